# SPDX-License-Identifier: Apache-2.0
"""The cache of built programs: what is kept, for how long, and who may use it at a time."""

import multiprocessing
import os
import time

import pytest

from backspike.sim.verilator import build_cache
from backspike.sim.verilator.build_cache import cache_folder, held, keep


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKSPIKE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(name, file):
    with held(name) as path:
        assert not path.exists()
        keep(path, [file])


def test_place_of_the_folder(folder, tmp_path, monkeypatch):
    assert cache_folder() == folder
    monkeypatch.delenv("BACKSPIKE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder() == tmp_path / "user" / "backspike"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "backspike"


def test_an_entry_holds_what_was_kept(tmp_path):
    file = tmp_path / "program"
    file.write_text("built")
    file.chmod(0o755)
    fill("a", file)
    file.write_text("changed")
    with held("a") as path:
        assert [entry.name for entry in path.iterdir()] == ["program"]
        assert (path / "program").read_text() == "built"
        assert os.access(path / "program", os.X_OK)


def test_what_was_not_used_for_longest_goes_first(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(build_cache, "LIMIT", 250)
    file = tmp_path / "program"
    file.write_bytes(bytes(100))
    for age, name in enumerate(("a", "b")):
        fill(name, file)
        os.utime(folder / name, (age, age))
    with held("a"):
        pass
    fill("c", file)
    assert sorted(path.name for path in folder.glob("*/")) == ["a", "c"]


def test_an_entry_in_use_stays(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(build_cache, "LIMIT", 50)
    file = tmp_path / "program"
    file.write_bytes(bytes(100))
    fill("a", file)
    with held("a") as path:
        fill("b", file)
        assert path.is_dir()


def _fill_slowly(file, log):
    with held("a") as path:
        if not path.exists():
            with log.open("a") as text:
                text.write("filled\n")
            time.sleep(0.5)
            keep(path, [file])


def test_two_processes_fill_an_entry_once(tmp_path):
    """The second waits, and finds what it wants."""
    file, log = tmp_path / "program", tmp_path / "log"
    file.write_text("built")
    processes = [multiprocessing.get_context("spawn").Process(target=_fill_slowly, args=(file, log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert log.read_text() == "filled\n"

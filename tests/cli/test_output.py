# SPDX-License-Identifier: Apache-2.0
"""Output folders: checked before any work, and held by one process at a time."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backspike.cli.output import output_folder

HOLDER = """
import sys, time
from pathlib import Path
from backspike.cli.output import output_folder
with output_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(folder):
    """A process that holds a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_belongs_to_one_process(tmp_path):
    """Until it ends, also if it is killed."""
    folder = tmp_path / "new" / "run"
    with hold(folder) as process:
        message = rf"^output '{re.escape(str(folder))}' must be free, but process {process.pid} is at work there: "
        for _ in range(2):
            with pytest.raises(BlockingIOError, match=message), output_folder(folder):
                pass
        process.send_signal(signal.SIGKILL)
    with output_folder(folder) as path:
        assert path == folder
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()} is"), output_folder(folder):
            pass
    assert list(folder.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / "file" / "more" / "run"):
        text = rf"^output must be a folder that can be written, not '{path}': a file is in its place$"
        with pytest.raises(OSError, match=text), output_folder(path):
            pass
    (tmp_path / "closed").mkdir(mode=0o500)
    if os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("SKIPPED for root, who may write everywhere: a folder without permission was not tried")
    with pytest.raises(OSError, match=r"Permission denied$"), output_folder(tmp_path / "closed"):
        pass


@pytest.mark.parametrize("name", ["two words", "a#b", "a$b", "a:b", "a%b"])
def test_a_path_that_make_does_not_take_is_refused_with_one_that_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^output must be a path without ") as caught:
        output_folder(Path(name), builds=True).__enter__()
    assert not Path(name).exists()
    advised = str(caught.value).split("use --output=")[1]
    with output_folder(Path(advised), builds=True) as folder:
        assert folder == tmp_path / "build" / re.sub(r"\W", "_", name)
    with output_folder(Path(name)) as folder:
        assert folder.is_dir(), "where nothing is built"

# SPDX-License-Identifier: Apache-2.0
"""Recordings of events: formats, frames, and what is said about files that are wrong."""

import re
import sys

import numpy as np
import pytest

from backspike.host.data.load import load, read
from backspike.host.data.sources.event_files import EVENT, read_events

EVENTS = np.array([(1, 2, 5, 1), (3, 0, 0, 0), (4, 2, 19, 1), (1, 2, 6, 1)], dtype=EVENT)
SORTED = EVENTS[[1, 0, 3, 2]]


def write_bin(path, events):
    rows = np.zeros((len(events), 5), dtype=np.uint8)
    rows[:, 0], rows[:, 1] = events["x"], events["y"]
    for place, shift in ((2, 16), (3, 8), (4, 0)):
        rows[:, place] = events["t"] >> shift & 255
    rows[:, 2] |= (events["p"] << 7).astype(np.uint8)
    rows.tofile(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes, in three formats."""
    for part in ("Train", "Test"):
        for name in ("left", "right"):
            (tmp_path / part / name).mkdir(parents=True)
    write_bin(tmp_path / "Train/left/1.bin", EVENTS)
    np.save(tmp_path / "Train/right/1.npy", EVENTS)
    np.savez(tmp_path / "Test/left/1.npz", **{name: EVENTS[name] for name in "xytp"})
    write_bin(tmp_path / "Test/right/2.bin", EVENTS[:2])
    return tmp_path


def test_all_formats_give_the_same_events(folder):
    for file in ("Train/left/1.bin", "Train/right/1.npy", "Test/left/1.npz"):
        assert np.array_equal(read_events(folder / file), SORTED)
    long = EVENTS.copy()
    long["t"] = [1 << 22, 5, 70000, 1]
    write_bin(folder / "a.bin", long)
    assert read_events(folder / "a.bin")["t"].tolist() == [1, 5, 70000, 1 << 22]


def test_frames_of_equal_length(folder):
    dataset = load(folder, 4)
    assert dataset.shape == (2, 3, 5) and dataset.classes == ("left", "right")
    assert len(dataset.train) == 2 and dataset.test.labels.tolist() == [0, 1]
    frames = dataset.train.spikes[:, 0].reshape(4, 2, 3, 5)
    assert [tuple(place) for place in np.argwhere(frames)] == [(0, 0, 0, 3), (1, 1, 2, 1), (3, 1, 2, 4)]
    assert np.array_equal(dataset.test[:1].spikes, dataset.train[:1].spikes)
    assert read(f"{folder}:8x9").shape == (2, 8, 9)


def test_one_folder_for_both_purposes(tmp_path):
    for number in range(10):
        (tmp_path / f"c{number % 2}").mkdir(exist_ok=True)
        np.save(tmp_path / f"c{number % 2}" / f"{number}.npy", EVENTS)
    data = read(tmp_path)
    assert len(data.train) == 8 and len(data.test) == 2 and data.classes == ("c0", "c1")


def test_less_than_four_fields_and_other_polarities(tmp_path):
    np.savez(tmp_path / "a.npz", x=[3, 1], t=[0.5, 0.25])
    assert read_events(tmp_path / "a.npz").tolist() == [(1, 0, 250_000_000, 0), (3, 0, 500_000_000, 0)]
    np.savez(tmp_path / "a.npz", x=[3, 1], t=[1, 2], p=[-1, 1])
    assert read_events(tmp_path / "a.npz")["p"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": [], "t": []}, "{path} must have events, not none"),
        ({"x": [1]}, "{path} must have x and t, and y and p if need be, not x"),
        ({"x": [1], "t": [1], "z": [1]}, "{path} must have x and t, and y and p if need be, not x, t, z"),
        ({"x": [1, 2], "t": [1]}, "t of {path} must be [2] as x, not [1]"),
        ({"x": [0.5], "t": [1]}, "x of {path} must be integers, not float64"),
        ({"x": [1], "t": [float("nan")]}, "t of {path} must be integers, not float64"),
        ({"x": [-1], "t": [1]}, "x of {path} must be at least 0, not -1"),
        ({"x": [1], "t": [1], "p": [2]}, "p of {path} must be 0 or 1, not 2"),
    ],
)
def test_wrong_events(tmp_path, arrays, text):
    path = tmp_path / "a.npz"
    np.savez(path, **{name: np.array(array, dtype=None if array else np.int64) for name, array in arrays.items()})
    with pytest.raises(ValueError, match=f"^{re.escape(text.format(path=path))}$"):
        read_events(path)


def test_wrong_files_and_folders(folder):
    (folder / "a.bin").write_bytes(b"abcd")
    with pytest.raises(ValueError, match=r"a.bin must have five bytes for each event, not 4 bytes in all$"):
        read_events(folder / "a.bin")
    (folder / "a.npy").write_bytes(b"abcd")
    with pytest.raises(ValueError, match=r"a.npy is damaged: "):
        read_events(folder / "a.npy")
    np.save(folder / "a.npy", np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"a.npy must have the fields x, y, t, p, not float64$"):
        read_events(folder / "a.npy")
    with pytest.raises(ValueError, match=r"^size of the sensor must be HEIGHTxWIDTH such as 34x34, not '34'$"):
        read(f"{folder}:34")
    small = load(f"{folder}:3x4", 2)
    with pytest.raises(
        ValueError, match=r"^x of .*1.bin must be less than 4, not 4: give the size of the sensor behind "
    ):
        _ = small.train.spikes
    (folder / "Test/right/2.bin").unlink()
    (folder / "Test/left/1.npz").unlink()
    with pytest.raises(ValueError, match=r"Test must have folders of classes with files \*.bin, "):
        read(folder)


def test_the_formats_of_cameras(tmp_path):
    expelliarmus = pytest.importorskip(
        "expelliarmus", reason="SKIPPED without expelliarmus: files of cameras were not read"
    )
    events = np.zeros(4, dtype=[("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
    for name in "txyp":
        events[name] = SORTED[name]
    for encoding, ending in (("dat", "dat"), ("evt2", "raw"), ("evt3", "raw")):
        path = tmp_path / f"{encoding}.{ending}"
        expelliarmus.Wizard(encoding=encoding).save(fpath=path, arr=events)
        assert np.array_equal(read_events(path), SORTED)


def test_the_formats_of_cameras_without_their_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "expelliarmus", None)
    with pytest.raises(ModuleNotFoundError, match=r"a.raw needs the package expelliarmus \(pip install expelliarmus\)"):
        read_events(tmp_path / "a.raw")

# SPDX-License-Identifier: Apache-2.0
"""Writes a small data set of each kind, such as docs/data.md describes: ``python examples/own_data.py FOLDER``.

Then ``backspike data FOLDER/glyphs`` shows one, and ``backspike golden --data FOLDER/glyphs`` trains a network with it.
"""

import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.uint8)])
WAY = ((0, 0), (1, 0), (2, 1), (1, 2), (0, 1), (0, 0), (1, 1), (2, 2))


def glyphs(folder: Path) -> None:
    """Images of 14 x 12 in 26 classes, as IDX files: glyphs that are moved, on a noisy ground."""
    generator = np.random.default_rng(0)
    shapes = generator.random((26, 9, 7)) < 0.45
    labels = np.arange(1040) % 26
    images = generator.integers(0, 90, (len(labels), 14, 12))
    for image, label in zip(images, labels, strict=True):
        y, x = generator.integers(1, 4, 2)
        image[y : y + 9, x : x + 7] += 160 * shapes[label]
    parts = {"train": slice(None, 832), "t10k": slice(832, None)}
    folder.mkdir(parents=True, exist_ok=True)
    for part, chosen in parts.items():
        for name, array in (("images-idx3", images[chosen]), ("labels-idx1", labels[chosen])):
            header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())


def table(path: Path) -> None:
    """scikit-learn's table of tumours, two classes, as CSV."""
    data = load_breast_cancer()
    lines = [",".join([*(name.replace(" ", "_") for name in data.feature_names), "kind"])]
    lines += [
        ",".join([*map(str, row), data.target_names[kind]]) for row, kind in zip(data.data, data.target, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


def waves(folder: Path) -> None:
    """Series of two channels and of different lengths in three classes, as ts files: sines, saws and squares."""
    generator = np.random.default_rng(0)
    forms = {"sine": np.sin, "saw": lambda x: x / np.pi % 2 - 1, "square": lambda x: np.sign(np.sin(x))}
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("TRAIN", 120), ("TEST", 60)):
        lines = [f"@classLabel true {' '.join(forms)}", "@data"]
        for number in range(count):
            name = list(forms)[number % 3]
            phase, length = generator.uniform(0, 6), int(generator.integers(40, 65))
            x = phase + np.arange(length) / 4
            channels = [forms[name](x + shift) + generator.normal(0, 0.2, length) for shift in (0, 1)]
            lines.append(":".join([*(",".join(f"{value:.3f}" for value in channel) for channel in channels), name]))
        (folder / f"waves_{part}.ts").write_text("\n".join(lines) + "\n")


def moving_digits(folder: Path) -> None:
    """Events of two polarities on 34 x 34: four digits of scikit-learn that move before a sensor, in two formats."""
    generator = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    for label in range(4):
        for number, image in enumerate(images[labels == label][:100]):
            path = folder / ("train" if number < 75 else "test") / str(label)
            path.mkdir(parents=True, exist_ok=True)
            events = _events(np.kron(image.reshape(8, 8) / 16, np.ones((4, 4))), generator)
            if label % 2:
                np.save(path / f"{number}.npy", events)
            else:
                (path / f"{number}.bin").write_bytes(_packed(events))


def _events(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Where an image of 32 x 32 gets brighter or darker as it moves."""
    found, before = [], np.zeros((34, 34))
    for step, (x, y) in enumerate(WAY):
        now = np.zeros((34, 34))
        now[y : y + 32, x : x + 32] = image
        for polarity, changed in ((1, now - before > 0.3), (0, before - now > 0.3)):
            rows, columns = np.nonzero(changed)
            times = 1000 * step + generator.integers(0, 900, len(rows))
            found += zip(columns, rows, times, [polarity] * len(rows), strict=True)
        before = now
    return np.sort(np.array(found, dtype=EVENT), order="t")


def _packed(events: np.ndarray) -> bytes:
    """N-MNIST's five bytes of each event."""
    time = events["t"]
    bits = events["p"].astype(np.int64) << 7 | time >> 16
    return np.stack([events["x"], events["y"], bits, time >> 8 & 255, time & 255], axis=1).astype(np.uint8).tobytes()


def write_all(folder: Path) -> None:
    """All four kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    glyphs(folder / "glyphs")
    table(folder / "tumours.csv")
    waves(folder / "waves")
    moving_digits(folder / "moving_digits")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))

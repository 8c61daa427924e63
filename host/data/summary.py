# SPDX-License-Identifier: Apache-2.0
"""What was understood of data: shapes, classes, densities, and a raster of one sample as text."""

from typing import Any

import numpy as np

from backspike.host.data.dataset import Dataset, Samples
from backspike.host.data.raw import RawData

__all__ = ["default_steps", "raster_lines", "summary"]

_SEEN = 256
"""Samples of each part, evenly spread, whose densities are found."""

_SERIES_STEPS, _EVENT_STEPS, _VALUE_STEPS = 16, 8, 4

_WIDTH = 120
"""Characters of a line of the raster."""


def default_steps(data: RawData) -> int:
    """Steps T where none are given: those of spikes, at most 16 of a series, 8 of events, 4 of values."""
    if data.kind == "series":
        return min(data.length, _SERIES_STEPS)
    return {"spikes": data.length, "events": _EVENT_STEPS}.get(data.kind, _VALUE_STEPS)


def summary(data: RawData, dataset: Dataset) -> dict[str, Any]:
    """What a person, or a program, wants to know of data and of the inputs that they become."""
    counts = {
        part: np.bincount(getattr(dataset, part).labels, minlength=len(data.classes)) for part in ("train", "test")
    }
    densities = {part: _densities(getattr(dataset, part)) for part in ("train", "test")}
    return {
        "name": data.name,
        "kind": data.kind,
        "shape": list(data.shape),
        "length": data.length if data.kind in ("series", "spikes") else None,
        "samples": {part: len(getattr(dataset, part)) for part in ("train", "test")},
        "classes": [
            {"name": name, **{part: int(found[number]) for part, found in counts.items()}}
            for number, name in enumerate(data.classes)
        ],
        "encoder": dataset.encoder,
        "steps": dataset.steps,
        "inputs": dataset.inputs,
        "input_shape": list(dataset.shape),
        "input_bits": dataset.bits,
        "density": {part: found["density"] for part, found in densities.items()},
        "density_by_step": [round(value, 6) for value in densities["train"]["by_step"]],
        "silent_samples": {part: found["silent"] for part, found in densities.items()},
        "silent_inputs": densities["train"]["silent_inputs"],
    }


def _densities(samples: Samples) -> dict[str, Any]:
    """Shares of inputs that are not 0, of some samples."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), _SEEN)).astype(np.int64))
    used = samples[chosen].spikes != 0
    return {
        "density": round(float(used.mean()), 6),
        "by_step": used.mean(axis=(1, 2)).tolist(),
        "silent": round(float(1 - used.any(axis=(0, 2)).mean()), 6),
        "silent_inputs": int((~used.any(axis=(0, 1))).sum()),
    }


def raster_lines(dataset: Dataset, sample: int = 0) -> list[str]:
    """The inputs of a training sample: maps side by side, a picture for each step, or a row for each input."""
    inputs = dataset.train[sample : sample + 1].spikes[:, 0]
    marks = " " + "".join(map(str, range(1, 10))) if dataset.bits > 1 else " #"
    scale = (len(marks) - 1) / ((1 << dataset.bits) - 1)
    digits = np.ceil(inputs * scale).astype(np.int64)
    if len(dataset.shape) == 1:
        rows = ["".join(marks[value] for value in row) for row in digits.T]
        return [f"{number:5d} |{row}|" for number, row in enumerate(rows[:64])] + (
            [f"      and {len(rows) - 64} more inputs"] if len(rows) > 64 else []
        )
    channels, height, width = dataset.shape
    fitting = max(1, _WIDTH // (width + 1))
    maps = digits.reshape(dataset.steps, channels, height, width)
    lines = []
    for channel in range(channels):
        for first in range(0, dataset.steps, fitting):
            shown = range(first, min(first + fitting, dataset.steps))
            lines.append(f"channel {channel}, steps {shown[0] + 1} to {shown[-1] + 1}:")
            lines += [
                "|".join("".join(marks[v] for v in maps[t, channel, y]) for t in shown) + "|" for y in range(height)
            ]
    return lines

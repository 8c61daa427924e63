# SPDX-License-Identifier: Apache-2.0
"""Draws the picture of docs/data.md: what each encoder makes of the same values, or of the same series.

Run it with the program's environment: ``python docs/data/draw.py``.
"""

from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backspike.host.data.encode import encode_data
from backspike.host.data.raw import Part, RawData

STEPS, SERIES_STEPS = 8, 24
VALUES = np.linspace(0, 1, 9)
SERIES = 0.5 + 0.5 * np.sin(np.linspace(0, 6.5, SERIES_STEPS)) * np.linspace(0.3, 1, SERIES_STEPS)
INK = "#2060b0"
rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "backspike", "font.family": "sans-serif", "font.size": 8})

OF_VALUES = ("threshold", "threshold+off", "count", "latency", "poisson", "levels:4", "bits:3", "direct:3")
OF_SERIES = ("levels:8", "delta:8", "count", "poisson")


def inputs(encoder: str, rows: np.ndarray, kind: str, steps: int) -> np.ndarray:
    """The inputs [inputs, T] of one sample."""
    part = Part(rows, np.zeros(len(rows), dtype=np.int64))
    shape, length = (rows.shape[1:], 1) if kind == "values" else (rows.shape[2:], rows.shape[1])
    data = RawData(
        name="picture", kind=kind, shape=shape, train=part, test=part, classes=("0",), length=length, full=1.0
    )
    return encode_data(data, steps, encoder).train[:1].spikes[:, 0].T


def draw(axes: Axes, encoder: str, found: np.ndarray) -> None:
    """Inputs upwards, steps to the right."""
    axes.imshow(found, cmap="Blues", vmin=0, vmax=max(1, found.max()), aspect="auto", origin="lower")
    axes.set_xticks(np.arange(found.shape[1]) - 0.5, minor=True)
    axes.set_yticks(np.arange(found.shape[0]) - 0.5, minor=True)
    axes.grid(which="minor", color="#dddddd", lw=0.4)
    axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    axes.set_title(encoder)


def main() -> None:
    """Draw the picture of values and that of series beside this file."""
    folder = Path(__file__).parent
    # Levels end at quantiles of all samples
    rows = np.concatenate([VALUES[np.newaxis], np.random.default_rng(0).random((400, len(VALUES)))])
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for axes, encoder in zip(figure.subplots(2, 4).flat, OF_VALUES, strict=True):
        draw(axes, encoder, inputs(encoder, rows, "values", STEPS))
    figure.savefig(folder / "values.svg", metadata={"Date": None})
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    places = figure.subplots(1, 1 + len(OF_SERIES))
    places[0].plot(SERIES, "o-", color=INK, ms=2, lw=0.8)
    places[0].set(title="series", ylim=(0, 1), xticks=[], yticks=[0, 1])
    for axes, encoder in zip(places[1:], OF_SERIES, strict=True):
        draw(axes, encoder, inputs(encoder, SERIES.reshape(1, -1, 1), "series", SERIES_STEPS))
    figure.savefig(folder / "series.svg", metadata={"Date": None})


main()

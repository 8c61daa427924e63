# SPDX-License-Identifier: Apache-2.0
"""Pictures of a training run: the plan on the mesh, learning curves, spikes of one digit, activity of the cores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from backspike.host.compiler.phases.program import Program
from backspike.host.data.dataset import Dataset
from backspike.sim.run.program_picture import draw_program
from backspike.sim.run.scenario import ACTIVITY_PERIOD, Scenario

__all__ = ["draw_all", "draw_inputs", "draw_mesh"]

_BLUE, _ORANGE, _GREEN = "#1f5fa8", "#d9731a", "#3a8f4d"
_ENGINES = (("FP", "feed-forward", _BLUE), ("BP", "back-propagation", _ORANGE), ("WG", "weight gradient", _GREEN))


def draw_all(
    scenario: Scenario,
    program: Program,
    data: Dataset,
    golden: dict[str, Any],
    measured: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    directory: Path,
) -> list[Path]:
    """Draw what the run has; returns the paths of the PNG files."""
    paths = [
        draw_mesh(program.plan.to_dict(), directory / "mesh.png")
        if program.plan
        else draw_program(program.to_dict(), measured["memory"]["training"], directory / "program.png"),
        _learning(scenario, golden, measured, directory / "learning.png"),
        _raster(data, golden, directory / "raster.png"),
    ]
    if len(arrays["activity"]):
        paths.append(_activity(scenario, arrays["activity"], directory / "activity.png"))
    return paths


def draw_mesh(plan: dict[str, Any], path: Path) -> Path:
    """The mesh with the slices of each core, one colour a layer, and the core's estimated load.

    Parameters
    ----------
    plan : dict
        As ``Plan.to_dict`` gives it.
    path : Path
        Of the PNG file.
    """
    columns, rows = plan["mesh"]
    figure = _figure(max(4, 1.2 + 2.0 * columns), 1.8 + 1.5 * rows)
    panel = figure.subplots()
    colors = colormaps["tab20"](range(20))
    loads = {tuple(core["core"]): core["load"]["cycles"] for core in plan["cores"]}
    for x in range(columns):
        for y in range(rows):
            slices = [part for part in plan["slices"] if tuple(part["core"]) == (x, y)]
            panel.add_patch(Rectangle((x, y), 0.9, 0.9, facecolor="#f2f2f2", edgecolor="#888888"))
            for number, part in enumerate(slices):
                height = 0.68 / len(slices)
                place = x + 0.04, y + 0.04 + number * height
                color = colors[part["layer"] % len(colors)]
                panel.add_patch(Rectangle(place, 0.82, 0.94 * height, facecolor=color, alpha=0.55, linewidth=0))
                last = part["first"] + part["channels"] - 1
                panel.text(
                    x + 0.45,
                    place[1] + height / 2,
                    f"layer {part['layer']}: {part['first']}-{last}",
                    ha="center",
                    va="center",
                    fontsize=8 if len(slices) < 4 else 6,
                )
            share = loads.get((x, y), 0) / plan["cycles"]
            panel.add_patch(Rectangle((x + 0.04, y + 0.76), 0.82, 0.1, facecolor="white", edgecolor="#bbbbbb"))
            panel.add_patch(Rectangle((x + 0.04, y + 0.76), 0.82 * share, 0.1, facecolor=_BLUE, alpha=0.7, linewidth=0))
            panel.text(x + 0.45, y + 0.81, f"load {share:.0%}", ha="center", va="center", fontsize=7)
    panel.set(
        xlim=(-0.1, columns),
        ylim=(rows, -0.1),
        aspect="equal",
        xticks=[k + 0.45 for k in range(columns)],
        yticks=[k + 0.45 for k in range(rows)],
        xticklabels=range(columns),
        yticklabels=range(rows),
        xlabel="x",
        ylabel="y",
    )
    panel.spines[["top", "right", "left", "bottom"]].set_visible(False)
    panel.tick_params(length=0)
    figure.suptitle(
        f"{plan['network']}\noutput channels of each layer on each core;\nestimated load, of "
        f"{plan['cycles']:,} cycles per sample",
        fontsize=10,
    )
    return _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window system."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _learning(scenario: Scenario, golden: dict[str, Any], measured: dict[str, Any], path: Path) -> Path:
    """Left: the chip's stretch, batch by batch. Right: the golden model's full training."""
    figure = _figure(11, 4.2)
    left, right = figure.subplots(1, 2)
    correct = np.array(measured["correct"]) / scenario.batch
    samples = np.arange(1, len(correct) + 1) * scenario.batch
    _curves(left, samples, measured["losses"], correct, "of the batch")
    left.set(title="simulated chip, before each update", xlabel="training samples", xlim=(0, samples[-1] * 1.02))
    epochs = np.arange(1, len(golden["accuracies"]) + 1)
    _curves(right, epochs, golden["losses"], golden["accuracies"], f"on the {golden['held']} samples")
    right.set(
        title=f"golden model, same bits: {golden['accuracy']:.1%} of the test samples in the end",
        xlabel="epoch",
        xlim=(0, epochs[-1] * 1.02),
    )
    return _save(figure, path)


def _curves(accuracy_axes: Axes, x: np.ndarray, losses: Sequence[float], accuracies: ArrayLike, where: str) -> None:
    """Accuracy on the left-hand scale, loss on the right-hand one."""
    loss_axes = accuracy_axes.twinx()
    marker = "." if len(x) <= 60 else None
    lines = accuracy_axes.plot(x, accuracies, color=_BLUE, marker=marker, label=f"accuracy {where}")
    lines += loss_axes.plot(x, losses, color=_ORANGE, marker=marker, label=f"loss {where}")
    accuracy_axes.set_ylim(0, 1.03)
    accuracy_axes.yaxis.set_major_formatter(PercentFormatter(1))
    accuracy_axes.tick_params(axis="y", colors=_BLUE)
    loss_axes.set_ylim(0, 1.1 * max(*losses, 1e-3))
    loss_axes.tick_params(axis="y", colors=_ORANGE)
    accuracy_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    accuracy_axes.grid(alpha=0.3)
    accuracy_axes.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, frameon=False)


def draw_inputs(inputs: np.ndarray, shape: tuple[int, ...], path: Path) -> Path:
    """Draw the inputs of a sample [T, inputs]: a row of maps for each channel, or a raster of inputs and steps."""
    steps = len(inputs)
    if len(shape) == 3:
        channels, height, width = shape
        figure = _figure(max(3, 1.2 * steps), max(1.6, 1.2 * channels * height / width))
        for place, axes in enumerate(figure.subplots(channels, steps, squeeze=False).flat):
            step, channel = place % steps, place // steps
            axes.imshow(inputs[step].reshape(shape)[channel], cmap="gray_r", vmin=0, vmax=max(1, inputs.max()))
            axes.set(xticks=[], yticks=[])
            if channel == 0:
                axes.set_title(f"step {step + 1}", fontsize=8)
    else:
        figure = _figure(max(3, 0.25 * steps), max(2, min(8, 0.12 * inputs.shape[1])))
        axes = figure.subplots()
        axes.imshow(inputs.T, cmap="gray_r", aspect="auto", origin="lower", interpolation="nearest")
        axes.set(xlabel="step", ylabel="input")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _save(figure, path)


def _as_picture(data: Dataset) -> np.ndarray:
    """How often each input of the first test sample spikes: as a map, of all channels together, or as a column."""
    shares = data.test[:1].spikes[:, 0].mean(axis=0).reshape(data.shape)
    return shares.mean(axis=0) if len(data.shape) == 3 else shares[:, np.newaxis]


def _raster(data: Dataset, golden: dict[str, Any], path: Path) -> Path:
    """Spikes of every neuron and step for the first test sample, with the fully trained weights."""
    trace = golden["trace"]
    layers = [trace.inputs[:, 0], *(layer.spikes[:, 0] for layer in trace.layers)]
    names = ["input", *(f"hidden {k}" for k in range(1, len(layers) - 1)), "output"]
    figure = _figure(2.2 * len(layers) + 4, 5)
    axes = figure.subplots(1, len(layers) + 1, width_ratios=[1.6] + [1] * len(layers))
    axes[0].imshow(_as_picture(data), cmap="gray_r", aspect="equal" if len(data.shape) == 3 else "auto")
    answer = int(golden["trainer"].predictions(trace)[0])
    axes[0].set(
        title=f"a test sample: {data.class_name(data.test.labels[0])}, answer {data.class_name(answer)}",
        xticks=[],
        yticks=[],
    )
    for panel, name, spikes in zip(axes[1:], names, layers, strict=True):
        steps, neurons = spikes.shape
        inks = np.ones((neurons, steps, 3))
        inks[spikes.T != 0] = [int(_BLUE[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        panel.imshow(
            inks, aspect="auto", origin="lower", interpolation="nearest", extent=(0.5, steps + 0.5, -0.5, neurons - 0.5)
        )
        for step in range(1, steps):
            panel.axvline(step + 0.5, color="#cccccc", linewidth=0.8)
        panel.set(title=f"{name} ({neurons})", xlabel="time step", xticks=range(1, steps + 1))
        panel.yaxis.set_major_locator(MaxNLocator(min(neurons, 10), integer=True))
    axes[1].set_ylabel("number of the neuron (filled: spike)")
    return _save(figure, path)


def _activity(scenario: Scenario, activity: np.ndarray, path: Path) -> Path:
    """Which engines are busy, core by core, during the first batch."""
    columns, cores = scenario.config.columns, activity.shape[1]
    window = max(1, len(activity) // 400)
    usable = len(activity) // window * window
    shares = activity[:usable].reshape(-1, window, cores, 3).mean(axis=1)
    time = np.arange(len(shares) + 1) * window * ACTIVITY_PERIOD / 1000
    figure = _figure(11, 1.5 + 0.7 * cores)
    panels = figure.subplots(cores, 1, sharex=True, squeeze=False)[:, 0]
    for core, panel in enumerate(panels):
        for row, (_, _, color) in enumerate(_ENGINES):
            base = 2 - row
            panel.fill_between(
                time, base, base + 0.9 * np.append(shares[:, core, row], 0), color=color, step="post", linewidth=0
            )
        panel.set(ylim=(-0.1, 3), xlim=(0, time[-1]), yticks=[])
        panel.set_ylabel(f"core {core % columns},{core // columns}", rotation=0, ha="right", va="center")
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(bottom=core == cores - 1)
    panels[-1].set_xlabel("thousand clock cycles")
    figure.suptitle("engines at work while the first batch is trained")
    figure.legend(
        handles=[Patch(color=color, label=f"{short}: {name}") for short, name, color in _ENGINES],
        loc="outside lower center",
        ncol=3,
        frameon=False,
    )
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path

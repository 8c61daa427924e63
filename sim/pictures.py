# SPDX-License-Identifier: Apache-2.0
"""Pictures of a training run: learning curves, spikes of one digit, activity of the cores."""

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402 - the backend must be chosen first

from backspike.sim.scenario import ACTIVITY_PERIOD  # noqa: E402

__all__ = ["draw_all"]

_BLUE, _ORANGE, _GREEN = "#1f5fa8", "#d9731a", "#3a8f4d"


def draw_all(scenario, data, golden, measured, arrays, directory):
    """Draw what the run has; returns the paths of the PNG files."""
    paths = [_learning(scenario, golden, measured, directory / "learning.png"),
             _raster(scenario, data, golden, directory / "raster.png")]
    if len(arrays["activity"]):
        paths.append(_activity(scenario, arrays["activity"], directory / "activity.png"))
    return paths


def _save(figure, path):
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _learning(scenario, golden, measured, path):
    """Left: the chip's stretch, batch by batch. Right: the golden model's full training."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    batches = np.arange(1, len(measured["losses"]) + 1) * scenario.batch
    left.plot(batches, measured["losses"], color=_ORANGE, marker=".", label="loss of the batch")
    running = np.cumsum(measured["correct"]) / batches
    left.plot(batches, running, color=_BLUE, label="running accuracy")
    left.set(title="simulated chip", xlabel="training samples", ylim=(0, 1.05))
    epochs = np.arange(1, len(golden["accuracies"]) + 1)
    right.plot(epochs, golden["losses"], color=_ORANGE, marker=".", label="loss on the test digits")
    right.plot(epochs, golden["accuracies"], color=_BLUE, marker=".", label="accuracy on the test digits")
    right.set(title=f"golden model, to {golden['accuracies'][-1]:.1%}", xlabel="epoch", ylim=(0, 1.05))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(loc="center right")
    return _save(figure, path)


def _raster(scenario, data, golden, path):
    """Spikes of every neuron and step for the first test sample, with the fully trained weights."""
    trace = golden["trace"]
    layers = [trace.inputs[:, 0], *(layer.spikes[:, 0] for layer in trace.layers)]
    figure, axes = plt.subplots(
        1, len(layers) + 1, figsize=(2.4 * (len(layers) + 1) + 2, 5), layout="constrained",
        gridspec_kw={"width_ratios": [1.4] + [1] * len(layers)})
    axes[0].imshow(data.test_spikes[:, 0].mean(axis=0).reshape(data.image), cmap="gray_r")
    axes[0].set(title=f"test digit, label {data.test_labels[0]}", xticks=[], yticks=[])
    names = ["input", *(f"layer {k}" for k in range(len(layers) - 2)), "output"]
    for panel, name, spikes in zip(axes[1:], names, layers, strict=True):
        step, neuron = np.nonzero(spikes)
        size = float(np.clip(2500 / spikes.shape[1], 4, 60))
        panel.scatter(step + 1, neuron, marker="|", s=size, color=_BLUE, linewidths=1.5)
        panel.set(title=f"{name} ({spikes.shape[1]})", xlabel="time step", xlim=(0.4, scenario.steps + 0.6),
                  ylim=(-0.8, spikes.shape[1] - 0.2), xticks=range(1, scenario.steps + 1))
    axes[-1].set_yticks(range(layers[-1].shape[1]))
    axes[1].set_ylabel("neuron")
    return _save(figure, path)


def _activity(scenario, activity, path):
    """Which engines are busy, core by core, during the first batch."""
    columns = scenario.config.columns
    cores = activity.shape[1]
    window = max(1, len(activity) // 400)
    usable = len(activity) // window * window
    shares = activity[:usable].reshape(-1, window, cores, 3).mean(axis=1)
    figure, panels = plt.subplots(cores, 1, figsize=(11, 1.3 + 0.75 * cores), sharex=True, layout="constrained",
                                  squeeze=False)
    time = (np.arange(len(shares)) + 0.5) * window * ACTIVITY_PERIOD / 1000
    for core, panel in enumerate(panels[:, 0]):
        for row, (name, color) in enumerate((("WG", _GREEN), ("BP", _ORANGE), ("FP", _BLUE))):
            panel.fill_between(time, row, row + 0.9 * shares[:, core, 2 - row], color=color, step="mid", linewidth=0)
            panel.text(-0.004, row + 0.4, name, transform=panel.get_yaxis_transform(), ha="right", va="center",
                       fontsize=7)
        panel.set(ylim=(0, 3), yticks=[])
        panel.set_ylabel(f"core {core % columns},{core // columns}", rotation=0, ha="right", va="center", labelpad=22)
    panels[0, 0].set_title("engines at work during the first batch")
    panels[-1, 0].set_xlabel("thousand clock cycles")
    return _save(figure, path)

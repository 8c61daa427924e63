# SPDX-License-Identifier: Apache-2.0
"""Picture of a network in phases: what is on the chip when, and the bytes of a training sample by class."""

from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

__all__ = ["draw_program"]

_LOADING = "#bbbbbb"


def draw_program(program: dict[str, Any], training: dict[str, Any], path: Path) -> Path:
    """Draw the estimated course of a batch, and the counted bytes.

    Parameters
    ----------
    program : dict
        As ``Program.to_dict`` gives it.
    training : dict
        Samples and bytes as in ``PhasedDriver.memory_report``.
    path : Path
        Of the PNG file.
    """
    phases = program["phases"]
    figure = Figure(figsize=(11, 2.2 + 0.5 * len(phases)), layout="constrained")
    FigureCanvasAgg(figure)
    course, classes = figure.subplots(1, 2, width_ratios=[2, 1])
    _course(course, program)
    names, counted = list(training["counted"]), list(training["counted"].values())
    bars = classes.barh(names, [count / training["samples"] for count in counted], color=_colors()[: len(names)])
    classes.bar_label(bars, fmt="{:,.0f}", padding=3)
    classes.margins(x=0.2)
    classes.invert_yaxis()
    classes.set(title="bytes of a training sample", xlabel="read and written, counted", xticks=[])
    classes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{program['network']} in {len(phases)} phases, batches of {program['batch']}")
    work = {"weights: loaded, updated, read": _LOADING, "forward": _colors()[0], "forward and back": _colors()[1]}
    patches = [Patch(color=color, label=name) for name, color in work.items()]
    figure.legend(handles=patches, loc="outside lower left", ncol=3, frameon=False)
    figure.savefig(path, dpi=110)
    return path


def _course(panel: Any, program: dict[str, Any]) -> None:
    """One row for each phase; its tiles forward, then back, each after the loading of its weights."""
    phases, now = program["phases"], 0.0
    forward = [(number, "forward") for number, phase in enumerate(phases) if phase["cycles"]["forward"]]
    for number, way in (*forward, *((number, "backward") for number in reversed(range(len(phases))))):
        phase = phases[number]
        count, passes = len(phase["tiles"]), 1 + bool(phase["cycles"]["forward"])
        loading, work = phase["cycles"]["weights"] / passes / count, phase["cycles"][way] / count
        for _ in range(count):
            panel.barh(number, loading, left=now, color=_LOADING, edgecolor="white", linewidth=0.5)
            color = _colors()[0 if way == "forward" else 1]
            panel.barh(number, work, left=now + loading, color=color, edgecolor="white", linewidth=0.5)
            now += loading + work
    labels = [
        f"layer{'s' * (first != last)} {first}{f'-{last}' if first != last else ''}, {len(phase['tiles'])} tile"
        f"{'s' * (len(phase['tiles']) > 1)}"
        for phase in phases
        for first, last in [phase["layers"]]
    ]
    panel.set_yticks(range(len(phases)), labels)
    panel.invert_yaxis()
    panel.set(title="estimated course of a batch", xlabel="clock cycles", xlim=(0, now))
    panel.spines[["top", "right"]].set_visible(False)


def _colors() -> list[Any]:
    return [colormaps["tab10"](k) for k in range(10)]

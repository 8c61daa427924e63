# SPDX-License-Identifier: Apache-2.0
"""Pictures of the benchmark: where the time goes, what skipping saves, how cores scale."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

__all__ = ["draw_benchmark"]

_BLUE, _ORANGE, _GREEN, _PURPLE, _GREY, _PALE = "#1f5fa8", "#d9731a", "#3a8f4d", "#7a4fa0", "#9a9a9a", "#dddddd"
_UNUSED = ("unused", "core not used", "white")
_FORWARD = (
    ("fp_busy", "feed-forward", _BLUE),
    ("fp_no_input", "no input", _GREY),
    ("fp_no_credit", "no free slot at a consumer", _ORANGE),
    ("fp_other", "other", _PALE),
    _UNUSED,
)
_BACKWARD = (
    ("errors_and_gradients", "errors, gradients", _GREEN),
    ("delta_busy", "deltas", _BLUE),
    ("update_busy", "weight update", _PURPLE),
    ("no_errors", "no errors", _GREY),
    ("backward_other", "nothing to do, other", _PALE),
    _UNUSED,
)


def draw_benchmark(report: dict[str, Any], directory: Path) -> list[Path]:
    """Draw what the report has; returns the paths of the PNG files."""
    runs = [run for run in report["runs"] if not run["difference"]]
    if not runs:
        return []
    paths = [_time(runs, directory / "time.png")]
    compared = [run for run in runs if any("skipping" in engine for engine in run["engines"].values())]
    if compared:
        paths.append(_skipping(compared, directory / "skipping.png"))
    if report["scaling"]:
        paths.append(_scaling(report["scaling"], directory / "scaling.png"))
    return paths


def _figure(width: float, height: float) -> Figure:
    """A figure that belongs to no window system."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _time(runs: list[dict[str, Any]], path: Path) -> Path:
    """Stacked bars: what the two threads of the cores do, in the mean."""
    figure = _figure(11, 2.2 + 0.4 * len(runs))
    for panel, title, parts in zip(
        figure.subplots(1, 2, sharey=True), ("forward thread", "backward thread"), (_FORWARD, _BACKWARD), strict=True
    ):
        left = np.zeros(len(runs))
        for key, label, color in parts:
            width = np.array([run["time"][key] for run in runs])
            panel.barh(
                [run["name"] for run in runs],
                width,
                left=left,
                color=color,
                label=label,
                edgecolor=_PALE,
                linewidth=0.5,
            )
            left += width
        panel.set(title=title, xlim=(0, 1), xlabel="share of the cores' cycles in training")
        panel.xaxis.set_major_formatter(PercentFormatter(1))
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28 if len(runs) < 5 else -0.14), ncol=2, frameon=False)
    figure.axes[0].invert_yaxis()
    return _save(figure, path)


def _skipping(runs: list[dict[str, Any]], path: Path) -> Path:
    """Speed-up of each engine beside the one that its density allows."""
    figure = _figure(11, 4.5)
    panels = figure.subplots(1, 3)
    for panel, name in zip(panels, ("FP", "BP", "WG"), strict=True):
        shown = [run for run in runs if "skipping" in run["engines"][name]]
        x = np.arange(len(shown))
        saved = [run["engines"][name]["skipping"] for run in shown]
        panel.bar(x - 0.2, [each["ideal"] for each in saved], 0.4, color=_PALE, label="1 / density")
        panel.bar(x + 0.2, [each["speed_up"] for each in saved], 0.4, color=_BLUE, label="measured")
        panel.set_xticks(x, [run["name"] for run in shown], rotation=40, ha="right")
        panel.set(title=name, yscale="log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.axhline(1, color="black", linewidth=0.8)
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("speed-up by skipping zeros")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncol=2, frameon=False)
    return _save(figure, path)


def _scaling(scaling: dict[str, Any], path: Path) -> Path:
    """Measured and estimated speed-up over cores."""
    figure = _figure(6.5 * len(scaling), 4.5)
    for panel, (name, rows) in zip(figure.subplots(1, len(scaling), squeeze=False)[0], scaling.items(), strict=True):
        cores = [row["cores"] for row in rows]
        ideal = [count / cores[0] for count in cores]
        panel.plot(cores, ideal, color=_GREY, linestyle="--", label="as many times as cores")
        panel.plot(
            cores,
            [row["estimated_speed_up"] for row in rows],
            color=_ORANGE,
            marker="x",
            label="compiler's estimate (its balance)",
        )
        panel.plot(cores, [row["speed_up"] for row in rows], color=_BLUE, marker="o", label="measured")
        panel.set(title=name, xlabel="cores", ylabel=f"speed-up over {cores[0]} core(s)", xlim=0, ylim=0)
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path

# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/rules.md: how spikes and errors of a sample go through steps and layers.

Run it with the program's environment: ``python docs/rules/draw.py``.
"""

from pathlib import Path

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STEPS, LAYERS = 4, ("input", "hidden 1", "hidden 2", "output")
GREY, INK, RED, BLUE = "#b8b8b8", "#404040", "#c03020", "#2060b0"
rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "backspike", "font.family": "sans-serif", "font.size": 9})


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str, style: str = "-", bend: float = 0.0
) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": color,
            "linestyle": style,
            "lw": 1.1,
            "shrinkA": 9,
            "shrinkB": 9,
            "connectionstyle": f"arc3,rad={bend}",
        },
    )


def forward(axes: Axes) -> None:
    """Neurons at each step, their inputs and their potentials."""
    for t in range(STEPS):
        for layer in range(len(LAYERS)):
            if layer:
                arrow(axes, (t, layer - 1), (t, layer), GREY)
                if t:
                    arrow(axes, (t - 1, layer), (t, layer), GREY)
            axes.plot(t, layer, "o", ms=10, mfc="white", mec=INK if layer else GREY, zorder=3)
        axes.text(t, -0.6, f"t = {t + 1}", ha="center", color=INK)
    for layer, name in enumerate(LAYERS):
        axes.text(-0.55, layer, name, ha="right", va="center", color=INK)


def down(axes: Axes, t: float, color: str = RED) -> None:
    """Errors from layer to layer within a step."""
    for layer in range(len(LAYERS) - 1, 1, -1):
        arrow(axes, (t, layer), (t, layer - 1), color, bend=0.35)


def back(axes: Axes, t: int) -> None:
    """Errors from a step to the one before it."""
    for layer in range(1, len(LAYERS)):
        arrow(axes, (t, layer), (t - 1, layer), RED, bend=0.35)


def learns(axes: Axes, t: float, layer: int, color: str = BLUE) -> None:
    axes.plot(t, layer, "o", ms=10, mfc=color, mec=color, zorder=4)


def time_rule(axes: Axes, frame: int, drawn: tuple[int, ...] | None = None, *, trace: bool = False) -> None:
    """Errors within frames; blue where weights learn."""
    forward(axes)
    for t in range(STEPS):
        if drawn is not None and t not in drawn:
            continue
        down(axes, t)
        if t % frame:
            back(axes, t)
        for layer in range(1, len(LAYERS)):
            learns(axes, t, layer)
    if trace:
        for layer in range(1, len(LAYERS) - 1):
            for t in range(1, STEPS):
                arrow(axes, (t - 1, layer), (t, layer), BLUE, ":", bend=-0.3)


def once(axes: Axes, *, ternary: bool) -> None:
    """Errors once a sample, from counts."""
    forward(axes)
    for layer in range(len(LAYERS)):
        arrow(axes, (STEPS - 1, layer), (STEPS + 0.4, layer), BLUE, ":")
        axes.plot(STEPS + 0.4, layer, "s", ms=10, mfc=BLUE if layer else "white", mec=BLUE, zorder=4)
    axes.text(STEPS + 0.4, -0.6, "counts", ha="center", color=BLUE)
    if not ternary:
        down(axes, STEPS + 0.4)
        return
    for t in range(3):
        place = STEPS + 1.3 + 0.8 * t
        for layer in range(1, len(LAYERS)):
            axes.plot(place, layer, "D", ms=7, mfc="white", mec=RED, zorder=3)
            if t:
                arrow(axes, (place - 0.8, layer), (place, layer), RED)
        down(axes, place)
        axes.text(place, -0.6, f"back {t + 1}", ha="center", color=RED)


def direct(axes: Axes, *, learned: bool) -> None:
    """Errors from the last layer straight to each hidden one."""
    forward(axes)
    for t in range(STEPS):
        for layer in range(1, len(LAYERS) - 1):
            arrow(axes, (t, len(LAYERS) - 1), (t, layer), RED, "--" if learned else "-", bend=0.3 + 0.1 * layer)
        for layer in range(1, len(LAYERS)):
            learns(axes, t, layer)
        if learned:
            for layer in range(1, len(LAYERS) - 1):
                axes.text(t + 0.13, layer - 0.3, "±z", color=INK, fontsize=7)


PICTURES = {
    "bptt": lambda axes: time_rule(axes, STEPS),
    "tbptt": lambda axes: time_rule(axes, 2),
    "sltt": lambda axes: time_rule(axes, 1),
    "sltt-k": lambda axes: time_rule(axes, 1, (1, 2)),
    "ottt": lambda axes: time_rule(axes, 1, trace=True),
    "dsr": lambda axes: once(axes, ternary=False),
    "spide": lambda axes: once(axes, ternary=True),
    "dfa": lambda axes: direct(axes, learned=False),
    "opzo": lambda axes: direct(axes, learned=True),
}


def main() -> None:
    folder = Path(__file__).parent
    for name, draw in PICTURES.items():
        wide = {"spide": 8.0, "dsr": 5.6}.get(name, 4.8)
        figure = Figure(figsize=(wide, 2.9))
        axes = figure.add_axes((0.16 * 4.8 / wide, 0.02, 1 - 0.17 * 4.8 / wide, 0.96))
        draw(axes)
        axes.set_ylim(-0.85, len(LAYERS) - 0.6)
        axes.axis("off")
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    main()

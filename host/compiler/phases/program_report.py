# SPDX-License-Identifier: Apache-2.0
"""What a program says about itself: phases, tiles, estimated cycles; as plain values and as text."""

from typing import TYPE_CHECKING, Any

from backspike.host.compiler.cost_model import CostModel
from backspike.host.compiler.plan_report import core_loads

if TYPE_CHECKING:
    from backspike.host.compiler.phases.program import Phase, Program, Tile

__all__ = ["program_cycles", "program_dict", "program_text"]

_WRITE, _READ, _UPDATE = 16 / 14, 7.0, 6.0
"""Cycles of a weight that is written, 14 in a packet, of one that a core reads back, and of its update."""


def _tile_cycles(tile: "Tile") -> dict[str, float]:
    """Estimated cycles of a tile: of the forward pass and of both passes of a sample; of its weights."""
    plan, config = tile.plan, tile.plan.config
    loads = core_loads(plan).values()
    link = CostModel(plan.network, plan.config, plan.densities).link_flits * len(plan.deliveries)
    busiest = max(core["weights"] for core in plan.core_use().values())
    return {
        "forward": max(link, *(load["forward"] for load in loads)),
        "both": max(link, *(load["cycles"] for load in loads)),
        "write": _WRITE * tile.weights,
        "start": config.slots * config.steps * config.neurons,  # a core that starts anew clears its sums of errors
        "read": max(_READ * busiest, 2 * tile.weights),
        "update": _UPDATE * busiest,
    }


def _phase_cycles(program: "Program", number: int) -> dict[str, float]:
    """Estimated cycles of a batch in a phase: ``forward``, ``backward`` with the passes in it, ``weights``."""
    phase, batch = program.phases[number], program.batch
    ends = number == len(program.phases) - 1
    forward = not ends or not program.joined
    tiles = [_tile_cycles(tile) for tile in phase.tiles]
    moved = 1 + program.velocities
    return {
        "forward": batch * forward * sum(tile["forward"] for tile in tiles),
        "backward": batch * sum(tile["both"] for tile in tiles),
        "weights": sum(
            (forward + moved) * tile["write"] + (forward + 1) * tile["start"] + moved * tile["read"] + tile["update"]
            for tile in tiles
        ),
    }


def program_cycles(program: "Program") -> float:
    """Estimated cycles of a training sample."""
    if program.plan:
        return float(program.plan.to_dict()["cycles"])
    return sum(sum(_phase_cycles(program, n).values()) for n in range(len(program.phases))) / program.batch


def program_dict(program: "Program") -> dict[str, Any]:
    """The program as plain values, for JSON.

    ``phases``: of each, its layers, its tiles with the plan of the largest, and the estimated cycles of a batch;
    ``cycles``: of a sample.
    """
    return {
        "network": str(program.network),
        "steps": program.network.steps,
        "rule": str(program.rule),
        "loss": program.loss,
        "mesh": [program.config.columns, program.config.rows],
        "batch": program.batch,
        "cycles": program_cycles(program),
        "phases": [
            {
                "layers": [phase.first, phase.last],
                "inputs": phase.inputs,
                "outputs": phase.outputs,
                "weights": sum(tile.weights for tile in phase.tiles),
                "tiles": [tile.channels for tile in phase.tiles],
                "plan": phase.tiles[0].plan.to_dict(),
                "cycles": _phase_cycles(program, number),
            }
            for number, phase in enumerate(program.phases)
        ],
    }


def program_text(program: "Program") -> str:
    """A table with a line for each phase."""
    config = program.config
    lines = [
        f"{program.network}, T = {program.network.steps}: {len(program.phases)} phases on {config.cores} "
        f"core{'s' * (config.cores != 1)} of {config.weights:,} weights, about "
        f"{program_cycles(program):,.0f} cycles per sample in batches of {program.batch}"
    ]
    titles = ("layers", "tiles", "channels", "inputs", "outputs", "weights", "use", "forward", "backward", "loading")
    lines.append("".join(f"{title:>10}" for title in titles))
    for number, phase in enumerate(program.phases):
        lines.append("".join(f"{value:>10}" for value in _row(program, phase, number)))
    return "\n".join(lines)


def _row(program: "Program", phase: "Phase", number: int) -> list[str]:
    """One phase: shapes, share of the weights that the largest tile takes, cycles of a sample."""
    cycles = _phase_cycles(program, number)
    layers = f"{phase.first}-{phase.last}" if phase.last > phase.first else f"{phase.first}"
    used = sum(core["weights"] for core in phase.tiles[0].plan.core_use().values())
    return [
        layers,
        str(len(phase.tiles)),
        str(phase.tiles[0].channels),
        f"{phase.inputs:,}",
        f"{phase.outputs:,}",
        f"{sum(tile.weights for tile in phase.tiles):,}",
        f"{used / (program.config.cores * program.config.weights):.0%}",
        *(f"{cycles[name] / program.batch:,.0f}" for name in ("forward", "backward", "weights")),
    ]

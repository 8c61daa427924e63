# SPDX-License-Identifier: Apache-2.0
"""What a plan says about itself: cores, slices, memory use, estimated load; as plain values and as text."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backspike.host.compiler.capacity import MEMORIES
from backspike.host.compiler.cost_model import CostModel
from backspike.host.compiler.geometry import Core
from backspike.host.compiler.slices import Host, Slice

if TYPE_CHECKING:
    from backspike.host.compiler.plan import Plan

__all__ = ["core_loads", "mean_hops", "plan_dict", "plan_text"]


def mean_hops(slices: Sequence[Slice]) -> float:
    """Mean distance between producing and consuming slices, in links; the host is not counted."""
    pairs = [abs(p.x - t.x) + abs(p.y - t.y) for p in slices for t, _, _ in p.targets if not isinstance(t, Host)]
    return sum(pairs) / len(pairs) if pairs else 0.0


def core_loads(plan: "Plan") -> dict[Core, dict[str, int]]:
    """Estimated cycles per training sample of each used core, by engine: ``{(x, y): {"forward": ..., ...}}``.

    ``forward``, ``errors``, ``gradients`` and ``deltas`` are the engines' own; ``backward`` is the thread that runs the
    last three, errors and gradients at the same time; ``port_in`` and ``port_out`` are flits of the network port.
    ``cycles`` is the core's load: the largest of forward, backward and the ports.
    """
    column = {core: k for k, core in enumerate(plan.cores)}
    blocks, channels, slices = np.zeros((3, len(plan.layers), len(column)))
    for part in plan.slices:
        where = part.layer, column[part.core]
        blocks[where] += part.blocks
        channels[where] += part.channels
        slices[where] += 1
    how = {"feedback": bool(plan.feedback), "learned": plan.learned, "input_errors": plan.input_errors}
    cost = CostModel(plan.network, plan.config, plan.densities, **how)
    names = ("forward", "errors", "gradients", "deltas")
    engines = dict(zip(names, cost.engines(blocks, channels, slices), strict=True))
    totals = {name: values.sum(axis=0) for name, values in engines.items()}
    parts = cost.loads(blocks, channels, slices)
    totals |= {"backward": parts[1], "port_in": parts[2], "port_out": parts[3], "cycles": parts.max(axis=0)}
    return {core: {name: round(float(values[k])) for name, values in totals.items()} for core, k in column.items()}


def _balance(plan: "Plan", loads: Mapping[Core, Mapping[str, int]]) -> float:
    """Mean over busiest estimated load, over all cores of the mesh."""
    cycles = [load["cycles"] for load in loads.values()]
    return sum(cycles) / plan.config.cores / max(*cycles, 1)


def plan_dict(plan: "Plan") -> dict[str, Any]:
    """The plan as plain values, for JSON.

    ``mesh``: columns and rows; ``memories``: what a core has; ``cycles``: estimated load of the busiest core in cycles
    per training sample; ``balance``: mean over busiest load, over all cores of the mesh; ``link``: flits that the host
    sends per sample; ``slices``: which channels of which layer each is; ``cores``: of each used core, its use of the
    memories and its ``load`` as in ``core_loads``.
    """
    loads = core_loads(plan)
    config = plan.config
    return {
        "network": str(plan.network),
        "steps": plan.network.steps,
        "rule": str(plan.rule),
        "frame": plan.frame,
        "loss": plan.loss,
        "hops": plan.hops,
        "mesh": [config.columns, config.rows],
        "memories": {name: getattr(config, name) for name in MEMORIES},
        "cycles": max(load["cycles"] for load in loads.values()),
        "balance": _balance(plan, loads),
        "link": CostModel(plan.network, plan.config, plan.densities).link_flits * len(plan.deliveries),
        "slices": [
            {
                "core": list(s.core),
                "index": s.index,
                "layer": s.layer,
                "first": s.first,
                "channels": s.channels,
                "outputs": s.outputs,
            }
            for s in plan.slices
        ],
        "cores": [{"core": list(core), **numbers, "load": loads[core]} for core, numbers in plan.core_use().items()],
    }


def plan_text(plan: "Plan") -> str:
    """Lines of text: one per core with its slices, the share of each memory in use, and its estimated load.

    The load is in cycles per training sample, in all and of each engine and port.
    """
    loads = core_loads(plan)
    frames = f" in frames of {plan.frame}" if plan.frames > 1 else ""
    lines = [
        f"{plan.network}, T = {plan.network.steps}{frames}: {len(plan.slices)} slices on {len(plan.cores)} cores, "
        f"{plan.hops:.1f} hops, balance {_balance(plan, loads):.2f}"
    ]
    memories, parts = (
        ("weights", "neurons", "tape_words", "fan_in", "routes"),
        ("cycles", "forward", "errors", "gradients", "deltas", "port_in", "port_out"),
    )
    titles = "".join(f" {name:>{_WIDTH[name]}}" for name in memories) + "".join(f" {name:>9}" for name in parts)
    lines.append(f"{'core':<6}{titles.replace('tape_words', '     words')}  layer:channels")
    for core, use in plan.core_use().items():
        own = ", ".join(f"{s.layer}:{s.first}-{s.first + s.channels - 1}" for s in plan.slices if s.core == core)
        shares = "".join(f" {f'{use[name]}/{getattr(plan.config, name)}':>{_WIDTH[name]}}" for name in memories)
        cycles = "".join(f" {loads[core][name]:>9}" for name in parts)
        lines.append(f"{f'{core[0]},{core[1]}':<6}{shares}{cycles}  {own}")
    return "\n".join(lines)


_WIDTH = {"weights": 13, "neurons": 11, "tape_words": 10, "fan_in": 8, "routes": 8}

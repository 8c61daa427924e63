# SPDX-License-Identifier: Apache-2.0
"""How often each part of the chip was used, from its hardware counters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from backspike.golden.network import Network
from backspike.hw.shapes import WORD, Shapes
from backspike.spec.config import ChipConfig
from backspike.spec.packets import LINK

__all__ = ["Access", "Accesses", "count_accesses", "summed"]


@dataclass(frozen=True)
class Access:
    """Bits that go to or come from a memory.

    Parameters
    ----------
    engine : str
        For whom: ``FP``, ``BP``, ``WG``, ``neurons`` or ``update``.
    memory : str
        Name of the memory.
    depth : int
        Words of one bank of it.
    bits : int
        Read and written, all cores together.
    """

    engine: str
    memory: str
    depth: int
    bits: int


@dataclass(frozen=True)
class Accesses:
    """Uses of a chip's parts, all cores and samples together.

    Parameters
    ----------
    terms : dict
        Terms of ``FP``, ``BP`` and ``WG``.
    memories : tuple of Access
        Of lists, weights, sums and so on.
    elementwise : int
        Operations of the elementwise units.
    flits : int
        Words that routers passed on.
    core_cycles : int
        Cycles, summed over the cores.
    """

    terms: dict[str, int]
    memories: tuple[Access, ...]
    elementwise: int
    flits: int
    core_cycles: int


def count_accesses(config: ChipConfig, network: Network, counters: Mapping[str, int], batches: int) -> Accesses:
    """What a training did, from counters that are summed over the cores.

    A term of WG reads and writes the low part of a gradient, and the high part where it carries.

    BP and WG share one search: a delta and an entry of a list are read once for a pair that both use. There is no
    counter of pairs; each of the two is taken to read for itself, which is an upper bound.

    Parameters
    ----------
    config : ChipConfig
        Of the chip.
    network : Network
        Which was trained.
    counters : mapping
        Sums over all cores, by the names of ``COUNTERS``.
    batches : int
        Updates of the weights.
    """
    shapes = Shapes(config)
    lanes, weights, number = config.lanes, shapes.weight_depth, shapes.number
    terms = {name: counters[f"{name.lower()}_terms"] for name in ("FP", "BP", "WG")}
    gradient = shapes.gradient_sum
    deltas = config.steps * shapes.block_depth
    updated = batches * sum(math.prod(layer.shape) for layer in network.layers)
    rows: list[tuple[str, str, int, int]] = [
        ("FP", "weights", weights, number * terms["FP"]),
        ("BP", "weights", weights, number * terms["BP"]),
        ("BP", "deltas", deltas, number * terms["BP"]),
        ("WG", "deltas", deltas, number * terms["WG"]),
        ("WG", "gradients", weights, 2 * shapes.gradient_low * terms["WG"]),
        ("WG", "gradients", weights, 2 * shapes.gradient_high * counters["wg_carries"]),
        (
            "neurons",
            "error sums",
            config.steps * config.neurons * config.slots,
            2 * shapes.error_word().size * counters["bp_results"],
        ),
        ("neurons", "potentials", config.neurons, 2 * (number + 1 + shapes.count) * counters["fp_results"]),
        ("neurons", "spikes and masks", config.neurons * config.slots, 2 * 2 * counters["fp_results"]),
        ("update", "weights", weights, 2 * number * updated),
        ("update", "gradients", weights, 2 * gradient * updated),
    ]
    if config.momentum:
        rows.append(("update", "velocities", weights, 2 * number * updated))
    if config.dense_only:
        rows.append(("BP", "bitmaps", shapes.delta_depth, WORD * counters["bp_rows"]))
        rows.append(("WG", "bitmaps", shapes.delta_depth, WORD * counters["wg_rows"]))
    else:
        address, block = shapes.weight_address, shapes.block
        # One list of spikes for all lanes, and one of deltas for each lane
        rows.append(("FP", "lists", config.list_depth, (address + 1) * -(-terms["FP"] // lanes)))
        rows.append(("BP", "lists", config.list_depth, (address + block + 1) * terms["BP"]))
        rows.append(("WG", "lists", config.list_depth, (address + block + 1) * terms["WG"]))
    if shapes.noise:
        rows.append(("neurons", "noise", config.neurons, 2 * shapes.noise * counters["fp_results"]))
    if shapes.traced:
        operands = config.operand_bits
        rows.append(("WG", "operands", config.tape_words * WORD, operands * counters["wg_rows"]))
    return Accesses(
        terms=terms,
        memories=tuple(Access(*row) for row in rows),
        elementwise=counters["elementwise"],
        flits=counters["router_flits"],
        core_cycles=counters["cycles"],
    )


def summed(counters: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Counters by core, without those of the host link, summed over the cores."""
    cores = [values for name, values in counters.items() if name != LINK]
    return {name: sum(core[name] for core in cores) for name in cores[0]}

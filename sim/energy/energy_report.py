# SPDX-License-Identifier: Apache-2.0
"""Energy of a training sample, by engine and by part of the chip, as plain values and as a table."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from backspike.golden.network import Network
from backspike.sim.energy.accesses import count_accesses
from backspike.sim.energy.constants import EnergyConstants
from backspike.sim.energy.operations import dense_terms, padded_terms
from backspike.sim.energy.reference import network_energy
from backspike.spec.config import ChipConfig

__all__ = ["LEFT_OUT", "energy_line", "energy_report", "print_energy"]

LEFT_OUT = "memory outside the chip, leakage, control logic, the reading of tapes and tables"
"""What no set of constants has."""


def energy_report(
    config: ChipConfig,
    network: Network,
    counters: Mapping[str, int],
    *,
    samples: int,
    batches: int,
    constants: EnergyConstants,
) -> dict[str, Any]:
    """Energy from hardware counters.

    Parameters
    ----------
    config, network
        What was trained on what.
    counters : mapping
        Of the training, summed over the cores.
    samples, batches : int
        That were trained.
    constants : EnergyConstants
        What an event costs.

    Returns
    -------
    dict
        ``parts``: pJ per sample by engine, then by part; ``picojoules``: their sum; ``per_term``: pJ per executed term
        of each engine; ``operations``: multiply-accumulates per sample: ``inside``, with taps inside the map;
        ``padded``, of a loop nest that works on the padding too; ``executed``; ``tflops_per_watt`` of each, two
        operations to a multiply-accumulate; ``reference``: pJ of the same network by the reference's own model of its
        dense array, and its TFLOPS/W; ``left_out``.

    Raises
    ------
    ValueError
        Nothing that the run did costs energy.
    """
    used = count_accesses(config, network, counters, batches)
    arithmetic = {"FP": constants.spike_term, "BP": constants.product_term, "WG": constants.gradient_term}
    parts: dict[str, dict[str, float]] = {
        name: {"arithmetic": used.terms[name] * cost} for name, cost in arithmetic.items()
    }
    for access in used.memories:
        part = parts.setdefault(access.engine, {})
        part[access.memory] = part.get(access.memory, 0.0) + constants.memory(access.bits, access.depth)
    parts["neurons"]["arithmetic"] = used.elementwise * constants.elementwise
    parts["network on chip"] = {"flits": 32 * used.flits * constants.link_bit}
    parts["clock"] = {"cores": used.core_cycles * constants.core_cycle}
    parts = {name: {key: value / samples for key, value in part.items()} for name, part in parts.items()}
    total = sum(sum(part.values()) for part in parts.values())
    if not total:
        raise ValueError(f"constants must have an energy above 0 for what the run did, not {constants.name!r}")
    forward, back = dense_terms(network)
    operations = {
        "inside": 2 * forward + back,
        "padded": padded_terms(network),
        "executed": sum(used.terms.values()) / samples,
    }
    dense = sum(network_energy(network).values())
    return {
        "constants": constants.name,
        "source": constants.source,
        "parts": parts,
        "picojoules": total,
        "per_term": {
            name: sum(parts[name].values()) * samples / used.terms[name] if used.terms[name] else None
            for name in arithmetic
        },
        "operations": operations,
        "tflops_per_watt": {name: 2 * count / total for name, count in operations.items()},
        "reference": {"picojoules": dense, "tflops_per_watt": 2 * operations["padded"] / dense},
        "left_out": LEFT_OUT,
    }


def energy_line(energies: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence about the reports of several sets of constants, by name."""
    each = ", ".join(
        f"{report['picojoules'] / 1e6:,.3f} uJ and {report['tflops_per_watt']['inside']:.3f} TFLOPS/W with {name}"
        for name, report in energies.items()
    )
    return f"energy per training sample, dense terms counted: {each}"


def print_energy(report: Mapping[str, Any], console: Console) -> None:
    """The energy of a sample as a table, within 80 columns."""
    title = f"energy per training sample, constants {report['constants']}: {report['picojoules'] / 1e6:,.3f} uJ"
    table = Table("", title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in ("uJ", "share", "pJ per term"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("most of it")
    for name, part in report["parts"].items():
        energy = sum(part.values())
        largest = max(part, key=lambda key: part[key])
        each = report["per_term"].get(name)
        table.add_row(
            name,
            f"{energy / 1e6:.3f}",
            f"{energy / report['picojoules']:.1%}",
            "-" if each is None else f"{each:.1f}",
            f"{largest} {part[largest] / energy:.0%}" if energy else "-",
        )
    console.print(table)
    rates = report["tflops_per_watt"]
    reference = report["reference"]
    console.print(
        f"TFLOPS/W: {rates['inside']:.3f} with dense terms inside the map, {rates['padded']:.3f} with those of the "
        f"padded loops, {rates['executed']:.3f} with the executed ones",
        soft_wrap=True,
    )
    console.print(
        f"the reference's model of its dense array: {reference['picojoules'] / 1e6:,.3f} uJ, "
        f"{reference['tflops_per_watt']:.3f} TFLOPS/W",
        soft_wrap=True,
    )
    console.print(f"left out: {report['left_out']}", soft_wrap=True)

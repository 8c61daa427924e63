# SPDX-License-Identifier: Apache-2.0
"""Cycles of trainings and area of units against committed values; run by ``make gates``.

A change that makes the chip slower or larger fails here, and so does one that makes it faster or smaller: then the
committed values are renewed, with the change that is the reason.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from backspike.fpga.boards import SMALL, board_named
from backspike.fpga.flow.unit_area import find_unit, synthesise_all
from backspike.sim.benchmark.benchmark import benchmark
from backspike.sim.benchmark.benchmark_cases import Case, chosen_runs
from backspike.sim.run.scenario import Scenario
from backspike.spec.config import ChipConfig

__all__ = ["GATES", "compare", "main"]

ROOT = Path(__file__).resolve().parents[1]
GATES = Path(__file__).with_suffix(".json")
TOLERANCE = 0.02
DIGITS = "build/sim/report.json"
CASES = (
    Case(name="dense", scenario={"network": "64-48-10"}, cores=(4,), samples=16, tests=1, dense=0, epochs=1),
    Case(
        name="conv",
        scenario={"network": "1x8x8-c6k3p1-c8k3s2p1-10"},
        cores=(4,),
        samples=16,
        tests=1,
        dense=0,
        epochs=1,
    ),
)
"""Cases beside that of ``make sim``: seconds each, on its chip, whose simulation is kept."""

UNITS = {
    "dense": ("tile", "router", "engine", "learning", "arithmetic", "slots"),
    "general": ("tile",),
}
"""Units of the boards' small cores, by kind of their engines."""


def compare(committed: dict[str, Any], measured: dict[str, Any], tolerance: float = TOLERANCE) -> list[str]:
    """A sentence for each measured value that is not the committed one, within the tolerance.

    Parameters
    ----------
    committed, measured : dict
        Nested dictionaries of numbers with the same keys.
    tolerance : float
        Largest difference, as a share of the committed value.
    """
    before, now = dict(_flat(committed)), dict(_flat(measured))
    found = [f"{name} has no committed value: it is {value:,}" for name, value in now.items() if name not in before]
    found += [f"{name} was not measured: {value:,} is committed" for name, value in before.items() if name not in now]
    for name in before.keys() & now.keys():
        if abs(now[name] - before[name]) > tolerance * before[name]:
            change = f"{(now[name] - before[name]) / before[name]:+.1%}" if before[name] else "from nothing"
            found.append(f"{name} was {before[name]:,}, and is {now[name]:,} ({change})")
    return sorted(found)


def _flat(values: dict[str, Any], path: str = "") -> list[tuple[str, float]]:
    pairs = []
    for name, value in values.items():
        pairs += _flat(value, f"{path}{name} ") if isinstance(value, dict) else [(f"{path}{name}", value)]
    return pairs


def _cycles(folder: Path) -> dict[str, int]:
    """Cycles of a training sample: those that ``make sim`` has measured, and those of the cases."""
    path = ROOT / DIGITS
    report = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if report is None or report["scenario"] != json.loads(json.dumps(dataclasses.asdict(Scenario()))):
        raise ValueError(f"{DIGITS} must be that of make sim without options, which has not run here")
    cycles = {"digits": round(report["training"]["cycles_per_sample"])}
    measured = benchmark(chosen_runs(cases=CASES), folder / "cycles")
    if measured["differences"]:
        raise ValueError(f"chip and golden model differ in {', '.join(measured['differences'])}")
    return cycles | {run["case"]: round(run["cycles_per_sample"]) for run in measured["runs"]}


def _units(folder: Path) -> dict[str, dict[str, dict[str, int]]]:
    """What each unit needs, with all that is inside, synthesised apart."""
    family = board_named("ulx3s_85f").family
    found: dict[str, dict[str, dict[str, int]]] = {}
    for kind, units in UNITS.items():
        config = ChipConfig(columns=1, rows=1, **SMALL | {"dense_only": kind == "dense"})
        rows = {row["unit"]: row for row in synthesise_all(config, family, folder / kind)}
        found[kind] = {
            unit: {name: rows[find_unit(rows, unit)][name] for name in ("lut", "ff", "ram", "dsp")} for unit in units
        }
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure and compare; returns 1 if a value has changed. With ``--renew``, the values are committed instead."""
    parser = argparse.ArgumentParser(prog="make gates", description="Cycles and area against committed values.")
    parser.add_argument("--renew", action="store_true", help="write the measured values to tests/gates.json")
    renew = parser.parse_args(arguments).renew
    folder = ROOT / "build" / "gates"
    try:
        measured = {"cycles per training sample": _cycles(folder), "units": _units(folder)}
    except ValueError as error:
        print(f"gates: {error}", file=sys.stderr)
        return 1
    text = json.dumps(measured, indent=2) + "\n"
    (folder / "measured.json").write_text(text, encoding="utf-8")
    if renew:
        GATES.write_text(text, encoding="utf-8")
        print(f"written: {GATES.relative_to(ROOT)}")
        return 0
    changes = compare(json.loads(GATES.read_text(encoding="utf-8")), measured)
    for change in changes:
        print(f"gates: {change}", file=sys.stderr)
    if changes:
        print(f"gates: at most {TOLERANCE:.0%} may change; make gates RENEW=1 renews the values", file=sys.stderr)
        return 1
    print(f"cycles and area are within {TOLERANCE:.0%} of tests/gates.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())

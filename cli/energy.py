# SPDX-License-Identifier: Apache-2.0
"""``backspike energy``: what a training sample costs in energy, from the hardware counters of a report."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from backspike.cli.output import check_files, write_json

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "Energy per training sample by engine and memory, from the hardware counters in a report of sim."
EXTRA = "sim"


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("report", type=Path, metavar="REPORT", help="report.json of make sim, or its folder")
    parser.add_argument(
        "--constants",
        default="neuromc,grounded28",
        metavar="NAMES",
        help="sets of constants, joined by commas: neuromc, grounded28, or JSON files (default %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what is shown to a file too")


def run(arguments: Namespace) -> int:
    """Print the tables; returns the exit code."""
    from rich.console import Console  # noqa: PLC0415 - --help works without the extra

    from backspike.sim.energy.accesses import summed  # noqa: PLC0415
    from backspike.sim.energy.constants import load_constants  # noqa: PLC0415
    from backspike.sim.energy.energy_report import energy_report, print_energy  # noqa: PLC0415
    from backspike.sim.run.scenario import Scenario  # noqa: PLC0415

    check_files(arguments, "json")
    sets = [load_constants(name) for name in arguments.constants.split(",")]
    path = arguments.report / "report.json" if arguments.report.is_dir() else arguments.report
    report = _read(path)
    counters = summed(report["counters"])
    if "wg_carries" not in counters:
        raise ValueError(f"report must be of a chip that counts carries, not {path}: run make sim again")
    scenario = Scenario(**report["scenario"])
    samples = report["training"]["samples"]
    found = []
    for constants in sets:
        found.append(
            energy_report(
                scenario.config,
                scenario.model,
                counters,
                samples=samples,
                batches=samples // scenario.batch,
                constants=constants,
            )
        )
        print_energy(found[-1], Console())
    if arguments.json:
        write_json(arguments.json, found)
    return 0


def _read(path: Path) -> dict[str, Any]:
    """A report of ``make sim`` with counters; ``ValueError`` where it is none."""
    try:
        report = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"report must be a report.json of make sim, not {path}: {error}") from None
    needed = ("scenario", "training", "counters")
    if not isinstance(report, dict) or any(name not in report for name in needed):
        raise ValueError(f"report must be a report.json of a make sim whose bits were equal, not {path}")
    return report

# SPDX-License-Identifier: Apache-2.0
"""What nextpnr reports of a build, and tables."""

import json
from typing import Any

from backspike.fpga.flow.devices import RESOURCES
from backspike.fpga.flow.families import Family

__all__ = ["markdown_table", "read_nextpnr", "slowest_clock", "summary", "text_table"]


def read_nextpnr(text: str, family: Family) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Clocks and resources of a placed and routed design.

    Parameters
    ----------
    text : str
        What nextpnr wrote for ``--report``.
    family : Family

    Returns
    -------
    clocks : dict
        ``{net: {"mhz": reached, "wanted": MHz}}``.
    resources : dict[str, int]
        ``{resource: amount}``, for what nextpnr counts by itself.
    """
    report = json.loads(text)
    clocks = {
        name: {"mhz": round(clock["achieved"], 2), "wanted": round(clock["constraint"], 2)}
        for name, clock in sorted(report["fmax"].items())
    }
    used = {
        resource: sum(report["utilization"][name]["used"] for name in names) for resource, names in family.bels.items()
    }
    return clocks, used


def slowest_clock(clocks: dict[str, dict[str, float]]) -> tuple[float, float] | None:
    """``(reached, wanted)`` in MHz of the clock that is furthest from what is wanted; None if there is no clock."""
    if not clocks:
        return None
    worst = min(clocks.values(), key=lambda clock: clock["mhz"] / clock["wanted"])
    return worst["mhz"], worst["wanted"]


def summary(report: dict[str, Any]) -> str:
    """A build report as text: a table and some lines."""
    rows = [
        [
            text,
            f"{report['resources'][name]['used']:,}",
            f"{report['resources'][name]['available']:,}",
            f"{100 * report['resources'][name]['used'] / report['resources'][name]['available']:.0f} %",
            f"{report['core'][name]:,}" if report["core"] else "-",
        ]
        for name, text in RESOURCES.items()
    ]
    lines = [text_table(["", "used", "there are", "share", "one core"], rows), ""]
    lines += [
        f"clock {name}: {clock['mhz']:.1f} MHz reached, {clock['wanted']:.1f} MHz wanted"
        for name, clock in report["clocks"].items()
    ]
    lines += [f"tool: {tool}" for tool in report["tools"]]
    lines.append("seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in report["seconds"].items()))
    lines.append(f"bitstream: {report['bitstream']['file']} ({report['bitstream']['bytes']:,} bytes)")
    return "\n".join(lines)


def text_table(head: list[str], rows: list[list[str]]) -> str:
    """Columns of strings, the first aligned left, the others right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row):
        return "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()

    return "\n".join([line(head), "─" * (sum(widths) + 2 * len(widths) - 2), *map(line, rows)])


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    """The same for a document."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] + ["---:"] * (len(head) - 1), *rows])

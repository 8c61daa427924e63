# SPDX-License-Identifier: Apache-2.0
"""What nextpnr reports of a build, and tables."""

import json

from backspike.fpga.flow.devices import RESOURCES

__all__ = ["markdown_table", "read_nextpnr", "slowest_clock", "summary", "text_table"]


def read_nextpnr(text, family):
    """Clocks and resources of a placed and routed design.

    Parameters
    ----------
    text: what nextpnr wrote for ``--report``
    family: Family

    Returns
    -------
    (clocks, resources): ``{net: {"mhz": reached, "wanted": MHz}}`` and ``{resource: amount}``, the latter only for what
    nextpnr counts by itself
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


def slowest_clock(clocks):
    """``(reached, wanted)`` in MHz of the clock that is furthest from what is wanted; None if there is no clock."""
    if not clocks:
        return None
    worst = min(clocks.values(), key=lambda clock: clock["mhz"] / clock["wanted"])
    return worst["mhz"], worst["wanted"]


def summary(report):
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


def text_table(head, rows):
    """Columns of strings, the first aligned left, the others right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row):
        return "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()

    return "\n".join([line(head), "─" * (sum(widths) + 2 * len(widths) - 2), *map(line, rows)])


def markdown_table(head, rows):
    """The same for a document."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] + ["---:"] * (len(head) - 1), *rows])

# SPDX-License-Identifier: Apache-2.0
"""Whether a design fits a device: cells counted after synthesis, and a sentence for what does not fit."""

import json
import re

from backspike.fpga.boards import Board, all_boards
from backspike.fpga.flow.devices import RESOURCES
from backspike.fpga.flow.families import Family

__all__ = ["check_fit", "count_modules", "explain_failure"]

_ROOM = 0.95
"""Share of a device that placement can use for a design that leaves it some choice."""


def count_modules(text: str, family: Family) -> dict[str, dict[str, int]]:
    """``{module: {resource: amount}}``, submodules included, from what Yosys' ``stat -json`` wrote.

    Parameters
    ----------
    text : str
        The file.
    family : Family
    """
    described = json.loads(text[text.index("{") :])["modules"]
    cells = {name.removeprefix("\\"): module["num_cells_by_type"] for name, module in described.items()}
    totals = {}

    def total(name):
        if name not in totals:
            inside = {kind.removeprefix("\\"): number for kind, number in cells[name].items()}
            amounts = family.count({kind: number for kind, number in inside.items() if kind not in cells})
            for kind, number in inside.items():
                if kind in cells:
                    for resource, amount in total(kind).items():
                        amounts[resource] += number * amount
            totals[name] = amounts
        return totals[name]

    return {name: total(name) for name in cells}


def check_fit(board: Board, needs: dict[str, int], *, core: dict[str, int] | None = None, cores: int = 0) -> None:
    """Refuse what cannot fit, before the tools try for an hour.

    Parameters
    ----------
    board : Board
    needs : dict[str, int]
        {resource: amount} of the whole design.
    core : dict[str, int] or None
        The same of one of its cores.
    cores : int
        How many of them there are.

    Raises
    ------
    ValueError
        What is needed, what there is, what would fit.
    """
    has = board.resources.resources()
    short = [f"{needs[name]:,} {text} of {has[name]:,}" for name, text in RESOURCES.items() if needs[name] > has[name]]
    if short:
        subject = f"{cores} core{'s' * (cores != 1)}" if cores else "the design"
        advice = _advice(board, needs, core, cores)
        raise ValueError(f"{subject} would not fit {board.title}: needed are {', '.join(short)}; {advice}")


def explain_failure(
    board: Board, log: str, *, needs: dict[str, int] | None = None, core: dict[str, int] | None = None, cores: int = 0
) -> ValueError | RuntimeError:
    """An exception for a failed place-and-route run: ValueError if the design does not fit, else RuntimeError.

    Parameters
    ----------
    log : str
        What nextpnr printed.
    other parameters
        As of ``check_fit``.
    """
    errors = re.findall(r"^ERROR: (.*)$", log, re.MULTILINE) or log.strip().splitlines()[-1:] or ["no message"]
    if not re.search(
        r"no (more )?bels|unable to (place|find)|failed to (place|pack|expand)|legal placement|overutili",
        " ".join(errors),
        re.IGNORECASE,
    ):
        return RuntimeError(f"place and route failed: {errors[0]}")
    used = ""
    if needs is not None:
        has = board.resources.resources()
        full = max(RESOURCES, key=lambda name: needs[name] / has[name])
        used = f", with {needs[full]:,} {RESOURCES[full]} of {has[full]:,}"
    advice = _advice(board, needs, core, cores) if needs is not None else "use a larger device"
    return ValueError(f"the design does not fit {board.title}{used} ({errors[0].rstrip('.')}); {advice}")


def _advice(board, needs, core, cores):
    advice = []
    if core:
        has = board.resources.resources()
        fewer = min(
            [
                int((_ROOM * has[name] - (needs[name] - cores * core[name])) // core[name])
                for name in RESOURCES
                if core[name]
            ],
            default=0,
        )
        if min(fewer, cores - 1) > 0:
            advice.append(f"{min(fewer, cores - 1)} cores would fit")
    larger = [
        other
        for other in all_boards().values()
        if other.resources.family == board.resources.family
        and all(needs[name] <= _ROOM * amount for name, amount in other.resources.resources().items())
    ]
    if larger:
        advice.append(f"boards with room for it: {', '.join(other.name for other in larger)}")
    return "; ".join(advice) or "no supported board of this family has room for it"

# SPDX-License-Identifier: Apache-2.0
"""Compares numbers in the pages with what the commands of the gate have printed; run by ``make check-docs``.

A comment in a page says where the numbers behind it come from:

``<!-- printed by: make sim -->``
    The next block is output of that command, as ``.ci/run`` keeps it in ``build/gate``. The words of each line must
    stand in this order in a line that was printed. Words may be left out, and so may lines. Durations do not count, nor
    do the rules of tables.
``<!-- rows of: build/bench/report.md -->``
    The next table has cells of the tables in that file. A row is found by its run and its engine, and a cell by the
    title of its column. Runs that the file does not have are not compared; one at least it must have.
``<!-- numbers of: tests/gates.json units.dense.tile lut ff -->``
    The next paragraph or table names these numbers.
"""

import argparse
import difflib
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "Deviation", "check_page", "main", "output_path"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
_MARK = re.compile(r"<!-- (printed by|rows of|numbers of): (.*) -->")
_DURATION = re.compile(r": [\d.]+ s$")
_OF_THE_MACHINE = ("generated (s)", "Verilator build (s)", "simulated cycles per second")
"""Columns that differ from machine to machine."""

_KEYS = ("run", "engine")


@dataclass(frozen=True)
class Deviation:
    """A line of a page that is not true, and the line that would be."""

    page: str
    number: int
    text: str
    true: str
    source: str

    def __str__(self) -> str:
        return f"{self.page}:{self.number}: {self.text.strip()!r} must be {self.true.strip()!r}, by {self.source}"


def output_path(command: str) -> str:
    """Where the output of a command of the gate is kept, from the top of the sources."""
    return f"build/gate/{'-'.join(re.findall(r'[A-Za-z0-9]+', command))}.txt"


def check_page(page: str, text: str, read: Callable[[str], str]) -> list[Deviation]:
    """What is not true in a page.

    Parameters
    ----------
    page: its path
    text: its content
    read: gives the content of a file, by its path from the top of the sources

    Raises
    ------
    ValueError: a mark with nothing behind it, or a source that has nothing to compare with
    """
    lines, found = text.split("\n"), []
    for index, line in enumerate(lines):
        mark = _MARK.fullmatch(line.strip())
        if mark:
            kind, of = mark.groups()
            source, *names = (output_path(of),) if kind == "printed by" else of.split(" ")
            block = _block(lines, index + 1)
            if not block:
                raise ValueError(f"{page}:{index + 1}: there must be a block behind {line.strip()!r}")
            compare = {"printed by": _printed, "rows of": _rows, "numbers of": _numbers}[kind]
            found += [
                Deviation(page, number + 1, lines[number], true, source)
                for number, true in compare(block, read(source), source, names)
            ]
    return found


def _block(lines: list[str], start: int) -> dict[int, str]:
    """The lines up to the next empty one, by number; of an indented block those that are indented or empty."""
    while start < len(lines) and (not lines[start].strip() or _MARK.fullmatch(lines[start].strip())):
        start += 1
    indented = lines[start : start + 1] and lines[start].startswith("    ")
    block = {}
    for number in range(start, len(lines)):
        if not (lines[number].startswith("    ") or not lines[number].strip() if indented else lines[number].strip()):
            break
        block[number] = lines[number]
    return block


def _printed(block: dict[int, str], output: str, source: str, _: list[str]) -> Iterator[tuple[int, str]]:
    printed = [line for line in output.split("\n") if line.strip()]
    known = [line.split() for line in printed]
    for number, line in block.items():
        words = [word for word in line.split() if word.strip(".─")]
        if not words or _DURATION.search(line) or any(_is_within(words, other) for other in known):
            continue
        near = difflib.get_close_matches(line.strip(), [other.strip() for other in printed], 1, 0)
        yield number, f"    {near[0]}" if near else f"nothing: {source} is empty"


def _is_within(words: list[str], others: list[str]) -> bool:
    """Whether the words stand among the others in this order."""
    rest = iter(others)
    return all(word in rest for word in words)


def _rows(block: dict[int, str], report: str, source: str, _: list[str]) -> Iterator[tuple[int, str]]:
    known: dict[tuple[str, ...], dict[str, str]] = {}
    for head, _, row in _table_rows(dict(enumerate(report.split("\n")))):
        cells = dict(zip(head, row, strict=True))
        known.setdefault(tuple(cells[name] for name in _KEYS if name in cells), {}).update(cells)
    compared = False
    for head, number, row in _table_rows(block):
        cells = dict(zip(head, row, strict=True))
        true = known.get(tuple(cells[name] for name in _KEYS if name in cells))
        if true is None:
            continue
        compared = True
        missing = [name for name in head if name not in true]
        if missing:
            raise ValueError(f"{source} must have a column {missing[0]!r}, as the table in line {number + 1} has")
        right = [cells[name] if name in _OF_THE_MACHINE else true[name] for name in head]
        if right != row:
            yield number, f"| {' | '.join(right)} |"
    if not compared:
        raise ValueError(f"{source} must have a run of the table in line {min(block) + 1}")


def _table_rows(lines: dict[int, str]) -> Iterator[tuple[list[str], int, list[str]]]:
    """``(head, number of the line, cells)`` of each row of the tables."""
    head: list[str] = []
    for number, line in lines.items():
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not head:
            head = cells
        elif not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            yield head, number, cells


def _numbers(block: dict[int, str], content: str, source: str, names: list[str]) -> Iterator[tuple[int, str]]:
    values = json.loads(content)
    for step in names[0].split("."):
        values = values[step]
    told = re.findall(r"\d[\d,]*(?:\.\d+)?", " ".join(block.values()))
    for name in names[1:]:
        if f"{values[name]:,}" not in told:
            yield min(block), f"a paragraph with {values[name]:,} ({names[0]}.{name})"


def _read(path: str) -> str:
    file = ROOT / path
    if not file.is_file():
        raise ValueError(f"{path} must be there: a command of .ci/run writes it")
    return file.read_text(encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Compare all pages; 1 if a number is not true. With ``--renew``, lines that were printed take their place."""
    parser = argparse.ArgumentParser(prog="make check-docs", description="Numbers of the pages, and what was printed.")
    parser.add_argument("--renew", action="store_true", help="put the true lines into the pages")
    renew = parser.parse_args(arguments).renew
    code = 0
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        try:
            found = check_page(page, text, _read)
        except ValueError as error:
            print(f"check-docs: {error}", file=sys.stderr)
            code = 1
            continue
        lines = text.split("\n")
        for deviation in found:
            print(deviation)
            code = 1
            if not deviation.true.startswith(("a paragraph", "nothing")):
                lines[deviation.number - 1] = deviation.true
        if renew:
            (ROOT / page).write_text("\n".join(lines), encoding="utf-8")
    print("the pages must be changed" if code else "the numbers of the pages are those that were printed")
    return code


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What has been built: the file ``built.json``, and the tables of boards and builds that are made from it."""

import json
import re
from pathlib import Path
from typing import Any

from backspike.fpga.boards import all_boards
from backspike.fpga.flow.devices import RESOURCES
from backspike.fpga.flow.flow_report import markdown_table, slowest_clock
from backspike.spec.config import ChipConfig

__all__ = ["BUILT", "board_rows", "build_rows", "read_built", "record", "update_document"]

BUILT = Path(__file__).resolve().parents[1] / "built.json"
_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "fpga.md"
_BOARD_HEAD = ["board", "", "device", *RESOURCES.values(), "cores built"]
_BUILD_HEAD = [
    "board",
    "cores x lanes",
    *RESOURCES.values(),
    "one core: LUT4",
    "FF",
    "clock MHz",
    "reached",
    "bitstream bytes",
    "minutes",
]


def read_built(path: Path | str = BUILT) -> list[dict[str, Any]]:
    """The recorded builds, in the order of the boards, each with the keys of ``record``."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def record(report: dict[str, Any], path: Path | str = BUILT, document: Path | str = _DOCUMENT) -> None:
    """Add a build to the file, in place of an earlier one of as many cores and lanes of this kind on this board.

    Parameters
    ----------
    report : dict[str, Any]
        What ``build_chip`` returned.
    path : Path or str
        The file.
    document : Path or str
        Markdown file with tables to be renewed; none if it is not there, as in an installed package.
    """
    reached, _ = slowest_clock(report["clocks"])
    entry = {name: report[name] for name in ("board", "cores", "lanes", "clock_mhz", "core", "chip", "seed")}
    entry |= {
        "resources": {name: amount["used"] for name, amount in report["resources"].items()},
        "reached_mhz": reached,
        "bitstream_bytes": report["bitstream"]["bytes"],
        "seconds": report["seconds"]["total"],
        "tools": [re.sub(r"native, .*\)", "native)", tool) for tool in report["tools"]],
    }
    builds = {_key(build): build for build in [*read_built(path), entry]}
    order = list(all_boards())
    builds = sorted(builds.values(), key=lambda build: (order.index(build["board"]), *_key(build)))
    Path(path).write_text(json.dumps(builds, indent=1) + "\n", encoding="utf-8")
    if Path(document).is_file():
        text = Path(document).read_text(encoding="utf-8")
        Path(document).write_text(update_document(text, builds), encoding="utf-8")


def board_rows(builds: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of all boards."""
    rows = []
    for board in all_boards().values():
        mine = [build for build in builds if build["board"] == board.name]
        rows.append(
            [
                board.name,
                board.title,
                board.device,
                *(f"{amount:,}" for amount in board.resources.resources().values()),
                str(max((build["cores"] for build in mine), default="none")),
            ]
        )
    return _BOARD_HEAD, rows


def build_rows(builds: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of builds."""
    rows = []
    for build in builds:
        has = all_boards()[build["board"]].resources.resources()
        used = [f"{amount:,} ({100 * amount / has[name]:.0f} %)" for name, amount in build["resources"].items()]
        chip = ChipConfig.from_dict(build["chip"])
        kind = ", dense" * chip.dense_only + ", chain" * chip.chain
        rows.append(
            [
                build["board"],
                f"{build['cores']} x {build['lanes']}{kind}",
                *used,
                f"{build['core']['lut']:,}",
                f"{build['core']['ff']:,}",
                f"{build['clock_mhz']:g}",
                f"{build['reached_mhz']:.1f}",
                f"{build['bitstream_bytes']:,}",
                f"{build['seconds'] / 60:.0f}",
            ]
        )
    return _BUILD_HEAD, rows


def update_document(text: str, builds: list[dict[str, Any]]) -> str:
    """A document with its tables renewed: what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``."""
    for name, (head, rows) in {"boards": board_rows(builds), "builds": build_rows(builds)}.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        table = markdown_table(head, rows)
        text = between.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
    return text


def _key(build):
    chip = ChipConfig.from_dict(build["chip"])
    return build["board"], build["cores"], build["lanes"], chip.dense_only, chip.chain

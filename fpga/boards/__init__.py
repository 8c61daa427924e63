# SPDX-License-Identifier: Apache-2.0
"""The boards: one short file per family of boards, each with a list ``BOARDS``; a new file is found by itself."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from amaranth.build import Platform

from backspike.fpga.flow.devices import DEVICES, Device

if TYPE_CHECKING:
    from backspike.fpga.flow.families import Family

__all__ = ["SMALL", "Board", "all_boards", "board_named"]

SMALL = {
    "lanes": 1,
    "slots": 2,
    "steps": 4,
    "slices": 2,
    "weights": 1024,
    "neurons": 64,
    "tape_words": 8,
    "groups": 8,
    "peers": 16,
    "window": 256,
    "batch_terms": 4096,
    "dense_only": True,
    "chain": True,
}
"""Sizes of a core with few memories, of which many fit a device; the default of most boards."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board and how a chip is put on it.

    Parameters
    ----------
    name : str
        What ``BOARD=`` takes.
    title : str
        Name in tables.
    device : str
        A key of ``DEVICES``.
    platform : callable
        Makes the Amaranth platform; called once for each build.
    clock : float
        Clock of the chip in MHz, made from the board's oscillator by a PLL; the oscillator's own frequency: no PLL.
    leds : tuple[tuple[str, int] or tuple[str, int, str] or None, ...]
        Resources that show alive, busy and fault: (name, number) or (name, number, part); None where there is none.
    uart : tuple[str, int]
        Resource of the serial port, (name, number), with the subsignals rx and tx as seen from the chip.
    baud : int
        Symbols per second of the serial port.
    cores : int
        How many, unless the user says otherwise.
    chip : dict[str, Any]
        Sizes of a core, as parameters of ``ChipConfig``, unless the user says otherwise.
    skip : tuple[str, ...]
        Build steps of the platform, by the name of their tool, that a bitstream does not need.
    """

    name: str
    title: str
    device: str
    platform: Callable[[], Platform]
    clock: float
    leds: tuple[tuple[str, int] | tuple[str, int, str] | None, ...]
    uart: tuple[str, int] = ("uart", 0)
    baud: int = 1_000_000
    cores: int = 1
    chip: dict[str, Any] = field(default_factory=lambda: dict(SMALL))
    skip: tuple[str, ...] = ()

    @property
    def resources(self) -> Device:
        return DEVICES[self.device]

    @property
    def family(self) -> "Family":
        from backspike.fpga.flow.families import FAMILIES  # noqa: PLC0415 - a list of boards needs no build flow

        return FAMILIES[self.resources.family]


@cache
def all_boards() -> dict[str, Board]:
    """``{name: Board}`` of all files in this folder, in alphabetical order of the files."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    boards = [board for name in modules for board in importlib.import_module(f"{__name__}.{name}").BOARDS]
    return {board.name: board for board in boards}


def board_named(name: str) -> Board:
    """The board with that name.

    Raises
    ------
    ValueError
        There is none.
    """
    if name not in all_boards():
        raise ValueError(f"board must be one of {', '.join(all_boards())}, not {name!r}")
    return all_boards()[name]

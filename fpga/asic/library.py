# SPDX-License-Identifier: Apache-2.0
"""A library of standard cells, as a liberty file describes it: areas, functions, capacitances, energies.

Energies of a liberty file are in its unit of capacitance times its unit of voltage squared.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from liberty.parser import LibertyParserError, parse_liberty
from liberty.tokenized import ParserError
from liberty.types import Group
from sympy.logic import boolalg

__all__ = ["Cell", "Function", "Library", "Pin", "Table", "read_library"]

_SCALES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3}
_QUANTITY = re.compile(r"([\d.eE+-]+)\s*([fpnumk]?)(?:[sSvVwWfF])")
_TRANSITION = ("input_transition_time", "input_net_transition")
_NAND = {(0, 0): True, (0, 1): True, (1, 0): True, (1, 1): False}

Function = Callable[[Mapping[str, Any]], Any]
"""Of values of pins: bits of integers, or of arrays of them."""


@dataclass(frozen=True)
class Table:
    """Values over transition time of an input and load of an output, in the units of the file."""

    slews: np.ndarray
    loads: np.ndarray
    values: np.ndarray

    def at(self, slew: float | None, load: float) -> float:
        """The value there, interpolated; beyond the table that of its border. ``None``: in the middle of the slews."""
        rows = [float(np.interp(load, self.loads, row)) for row in self.values]
        return rows[(len(rows) - 1) // 2] if slew is None else float(np.interp(slew, self.slews, rows))


@dataclass(frozen=True)
class Pin:
    """A pin of a cell.

    Parameters
    ----------
    name : str
    output : bool
    capacitance : float
        In the unit of the file.
    function : Function or None
        Of an output: of the cell's inputs, or of its state.
    energies : tuple of Table
        Of a rise and a fall, one table for each that the file has: their mean is that of a toggle.
    transitions : tuple of Table
        Of an output.
    """

    name: str
    output: bool
    capacitance: float
    function: Function | None
    energies: tuple[Table, ...]
    transitions: tuple[Table, ...]


@dataclass(frozen=True)
class Cell:
    """A cell.

    Parameters
    ----------
    name : str
    area : float
        In the unit of the file, which is most often a square micrometre.
    leakage : float or None
        In watts; ``None``: the file does not say.
    pins : dict[str, Pin]
    state : tuple[str, str] or None
        Of a flip-flop: names of its state and of the inverse of it in functions of outputs.
    next_state : Function or None
        Of a flip-flop.
    clock : str or None
        Of a flip-flop: the pin of its clock.
    """

    name: str
    area: float
    leakage: float | None
    pins: dict[str, Pin]
    state: tuple[str, str] | None
    next_state: Function | None
    clock: str | None

    @property
    def inputs(self) -> list[Pin]:
        """In the order of the file."""
        return [pin for pin in self.pins.values() if not pin.output]

    @property
    def outputs(self) -> list[Pin]:
        """In the order of the file."""
        return [pin for pin in self.pins.values() if pin.output]


class Library:
    """The cells of a liberty file.

    Parameters
    ----------
    group : Group
        What ``liberty-parser`` made of it.
    path : Path
        Of the file.

    Raises
    ------
    ValueError
        There is no flip-flop, inverter or NAND of two inputs in it, or no voltage.
    """

    def __init__(self, group: Group, path: Path) -> None:
        self.path, self._group = path, group
        self._groups = {str(_plain(cell.args[0])): cell for cell in group.get_groups("cell") if cell.args}
        self._cells: dict[str, Cell] = {}
        if not any(cell.get_groups("ff") for cell in self._groups.values()):
            raise ValueError(f"liberty file must have a flip-flop, a cell with a group ff; {path} has none")
        self.inverter = self._smallest("an inverter", 1, lambda f: not f(0b1) & 1 and f(0b0) & 1)
        self.nand = self._smallest(
            "a NAND of two inputs", 2, lambda f: all(bool(f(a, b) & 1) == out for (a, b), out in _NAND.items())
        )
        if not self.voltage:
            raise ValueError(f"liberty file must have a nom_voltage above 0; {path} has none")

    @cached_property
    def name(self) -> str:
        """Of the library."""
        return str(_plain(self._group.args[0])) if self._group.args else self.path.stem

    @cached_property
    def voltage(self) -> float:
        """Of the supply, in volts; 0 if the file does not say."""
        return float(_value(self._group, "nom_voltage", 0.0)) * _unit(self._group, "voltage_unit", 1.0)

    @cached_property
    def farads(self) -> float:
        """In a unit of capacitance."""
        given = _value(self._group, "capacitive_load_unit", None)
        if not isinstance(given, list) or len(given) != 2:
            return 1e-12
        return float(_plain(given[0])) * _SCALES.get(str(_plain(given[1])).lower().removesuffix("f"), 1e-12)

    @cached_property
    def joules(self) -> float:
        """In a unit of energy."""
        return self.farads * _unit(self._group, "voltage_unit", 1.0) ** 2

    @cached_property
    def watts(self) -> float:
        """In a unit of leakage."""
        return _unit(self._group, "leakage_power_unit", 1e-9)

    def cell(self, name: str) -> Cell:
        """The cell with that name."""
        if name not in self._cells:
            self._cells[name] = self._read(self._groups[name])
        return self._cells[name]

    def __contains__(self, name: str) -> bool:
        return name in self._groups

    def _smallest(self, what, inputs, test):
        """The smallest cell whose function passes a test on integers."""
        found = []
        for name, group in self._groups.items():
            if group.get_groups("ff") or group.get_groups("latch") or len(_pins(group)) != inputs + 1:
                continue
            cell = self.cell(name)
            if len(cell.inputs) != inputs or len(cell.outputs) != 1 or cell.outputs[0].function is None:
                continue
            names, function = [pin.name for pin in cell.inputs], cell.outputs[0].function
            if test(lambda *bits, f=function, n=names: f(dict(zip(n, bits, strict=True)))):
                found.append(cell)
        if not found:
            raise ValueError(f"liberty file must have {what}; {self.path} has none")
        return min(found, key=lambda cell: (cell.area, cell.name))

    def _read(self, group):
        pins = {name: self._pin(name, pin) for name, pin in _pins(group).items()}
        flip_flop = next(iter(group.get_groups("ff")), None)
        leakage = _value(group, "cell_leakage_power", None)
        clock = None
        if flip_flop is not None:
            edge = str(_value(flip_flop, "clocked_on", ""))
            clock = next((name for name in pins if re.search(rf"\b{re.escape(name)}\b", edge)), None)
        return Cell(
            name=str(_plain(group.args[0])),
            area=float(_value(group, "area", 0.0)),
            leakage=None if leakage is None else float(leakage) * self.watts,
            pins=pins,
            state=None if flip_flop is None else tuple(str(_plain(name)) for name in flip_flop.args[:2]),
            next_state=None if flip_flop is None else _function(flip_flop, "next_state"),
            clock=clock,
        )

    def _pin(self, name, group):
        output = str(_value(group, "direction", "input")) == "output"
        return Pin(
            name=name,
            output=output,
            capacitance=float(_value(group, "capacitance", 0.0)),
            function=_function(group, "function") if output else None,
            energies=self._tables(group, "internal_power", ("rise_power", "fall_power", "power")),
            transitions=self._tables(group, "timing", ("rise_transition", "fall_transition")),
        )

    def _tables(self, pin, kind, names):
        groups = [table for part in pin.get_groups(kind) for name in names for table in part.get_groups(name)]
        return tuple(self._table(group) for group in groups)

    def _table(self, group):
        """Transition time and load, in whichever order the file has them; without one of them, one value of it."""
        templates = [
            part
            for kind in ("power_lut_template", "lu_table_template")
            for part in self._group.get_groups(kind)
            if group.args and part.args and _plain(part.args[0]) == _plain(group.args[0])
        ]
        template = templates[0] if templates else Group("lu_table_template")
        values = np.array([_numbers(row) for row in _rows(group, "values")])
        axes, kinds = [], []
        for number in (1, 2):
            if (kind := _value(template, f"variable_{number}", None)) is not None:
                kinds.append(str(kind))
                axes.append(_numbers(*(_rows(group, f"index_{number}") or _rows(template, f"index_{number}"))))
        values = values.reshape([len(axis) for axis in axes] or (1, 1))
        if len(axes) == 1:
            values = values[:, None] if kinds[0] in _TRANSITION else values[None, :]
        elif len(axes) == 2 and kinds[1] in _TRANSITION:
            values = values.T
        of = dict(zip(("slew" if kind in _TRANSITION else "load" for kind in kinds), axes, strict=True))
        return Table(of.get("slew", np.zeros(1)), of.get("load", np.zeros(1)), values)


def read_library(path: Path | str) -> Library:
    """The library in a liberty file.

    Raises
    ------
    FileNotFoundError, OSError
        The file cannot be read.
    ValueError
        It is no liberty file, or not what ``Library`` needs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"liberty must be a liberty file, not {path}, which is not there")
    try:
        group = parse_liberty(path.read_text(encoding="utf-8"))
    except (LibertyParserError, ParserError, AssertionError, UnicodeDecodeError) as error:
        raise ValueError(f"liberty must be a liberty file (library, not packed), not {path}: {error}") from None
    if group.group_name != "library":
        raise ValueError(f"liberty must be a liberty file, which begins with library, not {path}")
    return Library(group, path)


def _plain(value: Any) -> Any:
    """Without the parser's mark of what stood in quotes."""
    return getattr(value, "value", value)


def _value(group: Group, name: str, default: Any) -> Any:
    found = group.get_attributes(name)
    return _plain(found[0]) if found else default


def _unit(group: Group, name: str, default: float) -> float:
    """A unit such as ``"1nW"``, in the unit without prefix."""
    found = _value(group, name, None)
    match = _QUANTITY.fullmatch(str(found).strip()) if found is not None else None
    return float(match[1]) * _SCALES[match[2].lower()] if match else default


def _pins(cell: Group) -> dict[str, Group]:
    return {str(_plain(name)): pin for pin in cell.get_groups("pin") for name in pin.args}


def _rows(group: Group, name: str) -> list[str]:
    found = _value(group, name, None) or []
    return [str(_plain(row)) for row in found] if isinstance(found, list) else [str(found)]


def _numbers(*rows: str) -> np.ndarray:
    return np.array([float(text) for row in rows for text in re.split(r"[\s,\\]+", row) if text])


def _function(group: Group, name: str) -> Function | None:
    try:
        expression = group.get_boolean_function(name)
    except Exception:  # of the grammar: what is no function of pins, as in cells that synthesis does not use
        return None
    return None if expression is None else _compiled(expression)


def _compiled(expression: Any) -> Function:
    """A function of integers or arrays of them, bit by bit."""
    if expression in (boolalg.true, boolalg.false):
        constant = -1 if expression == boolalg.true else 0
        return lambda pins: next(iter(pins.values())) * 0 + constant
    if expression.is_Symbol:
        name = expression.name
        return lambda pins: pins[name]
    parts = [_compiled(part) for part in expression.args]
    if expression.func is boolalg.Not:
        return lambda pins: ~parts[0](pins)
    join = {boolalg.And: np.bitwise_and, boolalg.Or: np.bitwise_or, boolalg.Xor: np.bitwise_xor}[expression.func]

    def joined(pins):
        result = parts[0](pins)
        for part in parts[1:]:
            result = join(result, part(pins))
        return result

    return joined

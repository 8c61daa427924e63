# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the arithmetic units, many copies side by side, against their exact models.

The environment variable ``BACKSPIKE_UNIT`` names the unit: a JSON object that :func:`make_unit` understands.
``BACKSPIKE_CASES`` is the number of random cases (terms of lanes, results of the others).
"""

import json
import os

import cocotb
import numpy as np
from amaranth.lib.wiring import Flow

from backspike.hw.arith.elementwise import SIGN, Elementwise
from backspike.hw.arith.lanes import ProductLane, SpikeLane
from backspike.hw.arith.rounding import Rounder
from backspike.spec.formats import Format
from tests.support.cases import corner_numbers, corner_sums, random_numbers, random_sums
from tests.support.side_by_side import Ports, from_integers, stream, to_integers
from tests.support.softfloat import check_against_softfloat

COPIES = 16
TAG_WIDTH = 8
_MILLISECONDS = 100  # watchdog, in simulated time: 10**7 cycles


def make_unit(kind, exponent, mantissa, **parameters):
    """The unit under test: ``kind`` is a class name, ``parameters`` are the class's own."""
    fmt = Format(exponent=exponent, mantissa=mantissa)
    if kind == "SpikeLane":
        return SpikeLane(fmt, parameters["terms"])
    if kind == "ProductLane":
        return ProductLane(fmt, parameters["terms"])
    if kind == "Rounder":
        return Rounder(fmt, parameters["width"], parameters["lsb"], TAG_WIDTH)
    if kind == "Elementwise":
        return Elementwise(fmt, parameters["sum_width"], TAG_WIDTH)
    raise ValueError(f"kind must be the name of an arithmetic unit, not {kind!r}")


def _unit():
    return make_unit(**json.loads(os.environ["BACKSPIKE_UNIT"]))


def _field(stimulus, name, values):
    """Set a field of the stimuli; integers of any width."""
    wide = stimulus.dtype[name].shape == (2,)
    stimulus[name] = from_integers(values) if wide else values


def _rows(values):
    """A list of cases as rows of ``COPIES``, the last row filled up with copies of the first case."""
    values = np.asarray(values)
    missing = -len(values) % COPIES
    return np.concatenate([values, np.repeat(values[:1], missing)]).reshape(-1, COPIES)


def _random_flags(rng, shape, probability):
    return (rng.random(shape) < probability).astype(np.uint8)


def directed_results(unit):
    """Corner cases of a Rounder or an Elementwise unit, all valid: name -> rows."""
    fmt = unit.fmt
    if isinstance(unit, Rounder):
        return {"sum": _rows(corner_sums(fmt, unit.width, unit.lsb))}
    numbers = corner_numbers(fmt)
    one, tiny, largest = fmt.bias << fmt.mantissa, 1, int(numbers[numbers < 1 << (fmt.width - 1)].max())
    extreme = 1 << (unit.sum_width - 1)
    others = [(0, 0), (one, one), (tiny, one), (largest, largest), (largest, largest | 1 << (fmt.width - 1))]
    half = [addend for addend in (1 << max(-fmt.lsb - 1, 0), 1 << (-fmt.lsb + fmt.mantissa)) if addend < extreme]
    addends = [0, 1, -1, *half, *[-addend for addend in half], extreme - 1, -extreme]
    a, b, other, addend = (
        grid.ravel() for grid in np.meshgrid(numbers, numbers, np.arange(len(others)), np.arange(len(addends)))
    )
    c, d = np.array(others)[other].T
    addend = np.array(addends, dtype=object)[addend]
    return {name: _rows(values) for name, values in (("a", a), ("b", b), ("c", c), ("d", d), ("addend", addend))}


def random_results(unit, rng, rows):
    """Random cases of a Rounder or an Elementwise unit: name -> rows.

    Elementwise gets sums of three, bare products, bare additions, fused multiply-adds, and cancellations.
    """
    fmt, shape = unit.fmt, (rows, COPIES)
    if isinstance(unit, Rounder):
        return {"sum": random_sums(rng, fmt, unit.width, shape)}
    one, sign = fmt.bias << fmt.mantissa, 1 << (fmt.width - 1)
    kind = rng.integers(0, 6, shape)
    a, b, c, d = (random_numbers(rng, fmt, shape) for _ in range(4))
    b = np.where(kind == 1, one, b)
    d = np.where((kind == 1) | (kind == 2), one, d)
    c, d = np.where(kind == 0, 0, c), np.where(kind == 0, 0, d)
    c, d = np.where(kind == 3, a ^ sign ^ rng.integers(0, 2, shape), c), np.where(kind == 3, b, d)
    addend = np.where(kind <= 3, 0, random_sums(rng, fmt, unit.sum_width, shape))
    return {"a": a, "b": b, "c": c, "d": d, "addend": addend}


def _as_terms(unit, cases, valid, rng):
    """Stimuli of Elementwise: each case is a row for a b, one for c d, one for the addend, in any order.

    Terms that are zero are left out in some cases, or given as what is neither a product nor an addend; the last row
    is always given. Returns the stimuli [3 * rows, copies], and which sums have no last term.
    """
    count = unit.TERMS
    stimulus = np.zeros((count * len(valid), valid.shape[1]), dtype=Ports.of(unit, Flow.In).dtype)
    order = rng.permuted(np.broadcast_to(np.arange(count), (*valid.shape, count)), axis=-1)
    zero = np.stack(
        [(cases[left] == 0) | (cases[right] == 0) for left, right in ("ab", "cd")]
        + [np.asarray(cases["addend"] == 0, dtype=bool)],
        axis=-1,
    )
    garbage = {name: random_numbers(rng, unit.fmt, valid.shape) for name in "ab"}
    for k in range(count):
        part, row = order[..., k], stimulus[k::count]
        empty = np.take_along_axis(zero, part[..., None], axis=-1)[..., 0] & (rng.random(valid.shape) < 0.5)
        add = part == 2
        row["a"] = np.choose(part, [cases["a"], cases["c"], garbage["a"]])
        row["b"] = np.choose(part, [cases["b"], cases["d"], garbage["b"]])
        _field(row, "addend", np.where(add | empty, cases["addend"], 1))
        row["product"], row["add"] = ~add & ~empty, add & ~empty
        row["last"] = k == count - 1
        row["valid"] = valid & ((k == count - 1) | ~empty | (rng.random(valid.shape) < 0.5))
    last = order[..., -1]
    without = {name: np.where(last == "abcd".index(name) // 2, 0, cases[name]) for name in "abcd"}
    return stimulus, unit.exact(**without, addend=np.where(last == 2, 0, cases["addend"]))


def _signs(sums):
    """Exact sums as a SIGN's bits."""
    negative, nonzero = np.asarray(sums < 0, dtype=int), np.asarray(sums != 0, dtype=int)
    return negative << SIGN["negative"].offset | nonzero << SIGN["nonzero"].offset


async def _check_results(dut, unit, cases, rng, valid):
    inputs, outputs = Ports.of(unit, Flow.In).dtype, Ports.of(unit, Flow.Out).dtype
    if isinstance(unit, Elementwise):
        stimulus, before = _as_terms(unit, cases, valid, rng)
    else:
        stimulus = np.zeros(valid.shape, dtype=inputs)
        for name, values in cases.items():
            _field(stimulus, name, values)
        stimulus["valid"] = valid
    stimulus["tag"] = rng.integers(0, 1 << TAG_WIDTH, stimulus.shape)
    every = len(stimulus) // len(valid)
    response, stray = await stream(dut, stimulus, outputs, unit.latency)
    for k in range(every - 1):
        assert not response[k::every]["done"].any(), "a result before the last term"
    response = response[every - 1 :: every]

    value, saturated = unit.model(**{"sums" if name == "sum" else name: values for name, values in cases.items()})
    expected = np.zeros(valid.shape, dtype=outputs)
    expected["done"], expected["value"], expected["saturated"] = valid, value, saturated
    expected["tag_out"] = stimulus["tag"][every - 1 :: every]
    if isinstance(unit, Elementwise):
        expected["sign"], expected["sign_before"] = _signs(unit.exact(**cases)), _signs(before)
    else:
        expected["nonzero"] = cases["sum"] != 0
    relevant = np.where(valid, response, np.zeros((), dtype=outputs))
    relevant["done"] = response["done"]
    wrong = np.argwhere(relevant != np.where(valid, expected, np.zeros((), dtype=outputs)))
    if len(wrong):
        where = tuple(wrong[0])
        given = {name: hex(values[where]) for name, values in cases.items()}
        raise AssertionError(f"{len(wrong)} wrong, first {where}: {given}: {response[where]}, not {expected[where]}")
    assert not stray["done"].any(), "a result without a case"
    dut._log.info("%d cases, %d saturated", valid.sum(), saturated[valid == 1].sum())
    if isinstance(unit, Elementwise):
        count = check_against_softfloat(unit.fmt, cases, response, valid)
        dut._log.info("%d cases compared with SoftFloat", count)


def directed_terms(unit):
    """Reductions with corner cases for a lane, as a dict of term lists; every copy gets the same."""
    fmt, terms = unit.fmt, unit.terms
    numbers = [int(number) for number in corner_numbers(fmt)]
    sign = 1 << (fmt.width - 1)
    largest = max(number for number in numbers if number < sign)
    one = fmt.bias << fmt.mantissa
    short = [[number] for number in numbers]
    short += [[largest, tiny, largest ^ sign][:terms] for tiny in numbers]
    full = [[number] * terms for number in (largest, largest ^ sign, 1, 1 ^ sign)]
    stream_of = {name: [] for name in ("last", "nonzero", "operand", "other")}
    plans = [(1, other, short) for other in (one, largest, 1, sign)]
    plans += [(0, largest, short)]  # sums of nothing
    plans += [(1, largest, full)]  # as large as sums can become
    for nonzero, other, reductions in plans:
        for reduction in reductions:
            count = len(reduction)
            stream_of["last"] += [0] * (count - 1) + [1]
            stream_of["nonzero"] += [nonzero] * count
            stream_of["operand"] += reduction
            stream_of["other"] += [other] * count
    return {name: np.repeat(np.array(values)[:, None], COPIES, axis=1) for name, values in stream_of.items()}


def random_terms(unit, rng, rows):
    """A random stream of terms for a lane: reductions of all lengths."""
    shape = (rows, COPIES)
    chance = rng.choice([0.01, 0.05, 0.3, 0.9], shape, p=[0.7, 0.1, 0.1, 0.1])
    last = _random_flags(rng, shape, chance)
    count = np.zeros(COPIES, dtype=np.int64)  # terms of the reduction so far
    for row in range(rows):
        count += 1
        last[row] |= count == unit.terms
        count[last[row] == 1] = 0
    return {
        "last": last,
        "nonzero": _random_flags(rng, shape, 0.8),
        "operand": random_numbers(rng, unit.fmt, shape),
        "other": random_numbers(rng, unit.fmt, shape),
    }


def _with_gaps(rng, terms, share):
    """The same stream with rows of garbage put in that are not valid; also returns which rows are valid."""
    rows = len(terms["last"])
    valid = np.zeros(int(rows / share), dtype=np.uint8)
    valid[np.sort(rng.permutation(len(valid))[:rows])] = 1
    spread = {}
    for name, values in terms.items():
        garbage = rng.integers(0, values.max() + 1, (len(valid), COPIES))
        garbage[valid == 1] = values
        spread[name] = garbage
    return spread, valid


async def _check_sums(dut, unit, terms, rng, share):
    factors = {"operand": "operand"} if isinstance(unit, SpikeLane) else {"operand": "a", "other": "b"}
    names = {"last": "last", "nonzero": "nonzero"} | factors
    spread, valid = _with_gaps(rng, terms, share)
    stimulus = np.zeros(spread["last"].shape, dtype=Ports.of(unit, Flow.In).dtype)
    for name, port in names.items():
        stimulus[port] = spread[name]
    stimulus["valid"] = valid[:, None]
    response, stray = await stream(dut, stimulus, Ports.of(unit, Flow.Out).dtype, unit.latency)

    arguments = {port: terms[name] for name, port in names.items()}
    sums = unit.model(**arguments)
    assert np.array_equal(response["done"], stimulus["valid"] & stimulus["last"]), "done is not where last was"
    got = to_integers(response[valid == 1], "sum")
    wrong = np.argwhere((got != sums) & (terms["last"] == 1))
    if len(wrong):
        where = tuple(wrong[0])
        raise AssertionError(f"{len(wrong)} wrong, first {where}: {hex(got[where])}, not {hex(sums[where])}")
    assert not stray["done"].any(), "a sum without a last term"
    dut._log.info("%d terms, %d sums", sums.size, terms["last"].sum())


def _is_lane(unit):
    return isinstance(unit, SpikeLane | ProductLane)


@cocotb.test(timeout_time=_MILLISECONDS, timeout_unit="ms")
async def corner_cases(dut):
    unit, rng = _unit(), np.random.default_rng(cocotb.RANDOM_SEED)
    if _is_lane(unit):
        for share in (1, 0.5):
            await _check_sums(dut, unit, directed_terms(unit), rng, share)
    else:
        cases = directed_results(unit)
        await _check_results(dut, unit, cases, rng, np.ones(next(iter(cases.values())).shape, dtype=np.uint8))


@cocotb.test(timeout_time=_MILLISECONDS, timeout_unit="ms")
async def random_cases(dut):
    unit, rng = _unit(), np.random.default_rng(cocotb.RANDOM_SEED)
    rows = -(-int(os.environ["BACKSPIKE_CASES"]) // COPIES)
    if _is_lane(unit):
        await _check_sums(dut, unit, random_terms(unit, rng, rows), rng, 0.9)
    else:  # some cases are not valid, and not counted
        rows = int(rows / 0.85) + 1
        valid = _random_flags(rng, (rows, COPIES), 0.9)
        await _check_results(dut, unit, random_results(unit, rng, rows), rng, valid)

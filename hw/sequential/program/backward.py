# SPDX-License-Identifier: Apache-2.0
"""Backward job: deltas of a sample's slice, the errors of its inputs, the gradients of its weights, and credits."""

from contextlib import contextmanager

from backspike.host.protocol import DESCRIPTOR, GROUP, Kind
from backspike.hw.sequential.assembler import ZERO, Label
from backspike.hw.sequential.instructions import WORD_BITS, Op
from backspike.hw.sequential.memory_map import LONG, SUM_WORDS
from backspike.hw.sequential.program.base import Registers as R
from backspike.hw.sequential.program.jobs import next_slot
from backspike.hw.sequential.program.spikes import BIT, FIRST, FREE, GROUP_AT, SCALE, set_bits, weights_of

__all__ = ["add_backward", "add_notify"]

_DELTA_WORDS = 2
"""A delta that is not zero: number of its neuron in the slice, value. As ERRORS plays it."""


def add_backward(p, label):
    """The job at ``label``: SLICE, AT_SLICE, SLOT and AT_SLOT are given; it ends at ``main``."""
    p.place(label)
    credits = Label("credits")
    p.load_slot(R.TEMP, R.AT_SLOT, "train")
    p.branch_if(R.TEMP, "==", 0, credits)
    p.store_slot(1, R.AT_SLOT, "taken")
    p.store_slot(ZERO, R.AT_SLOT, "known")
    with p.busy("delta_busy", 0):
        _deltas(p)
    p.memory_field(R.TEMP, DESCRIPTOR, "errors", R.DESCRIPTOR)
    with p.when(R.TEMP, "!=", 0):
        with p.busy("bp_busy", 2):
            _errors(p)
        _notify(p, Kind.ERRORS_DONE)
    with p.busy("wg_busy", 4):
        _gradients(p)
    p.place(credits)
    _notify(p, Kind.CREDIT)
    for name in ("beyond", "taken", "complete"):
        p.store_slot(ZERO, R.AT_SLOT, name)
    next_slot(p, "backward_slot")
    p.jump(p.main)


def _list_of_step(p, start, end):
    """Where the list of the deltas of STEP begins and ends."""
    p.multiply(start, R.STEP, p.map.delta_words)
    p.add(start, start, p.map.deltas)
    p.load(end, R.STEP, p.map.ends)


@contextmanager
def _steps_with_deltas(p, start, end):
    """The block is done for each STEP that has deltas, the last one first; it may change where its list is."""
    next_step = Label("next step")
    p.memory_field(R.STEP, DESCRIPTOR, "steps", R.DESCRIPTOR)
    with p.repeat(R.STEP, "!=", 0):
        p.sub(R.STEP, R.STEP, 1)
        _list_of_step(p, start, end)
        p.branch_if(start, "==", end, next_step)
        yield
        p.place(next_step)


def _deltas(p):
    """From each neuron's errors its deltas, the last step first; those that are not 0 go into the list of the step."""
    number, neuron, spiked, masked, error, delta, bit, one, a, b = R.LOCAL
    p.move(R.STEP, 0)
    with p.repeat(R.STEP, "!=", p.config.steps):
        _list_of_step(p, a, b)
        p.store(a, R.STEP, p.map.ends)
        p.add(R.STEP, R.STEP, 1)
    p.move(number, 0)
    with p.repeat(number, "!=", R.BLOCKS):
        p.memory_field(neuron, DESCRIPTOR, "neuron_base", R.DESCRIPTOR)
        p.multiply(a, R.SLOT, p.config.neurons)
        p.add(neuron, neuron, number)
        p.add(neuron, neuron, a)
        p.left(a, neuron, 1)
        p.load(spiked, a, p.map.own)
        p.load(masked, a, p.map.own + 1)
        p.memory_field(a, DESCRIPTOR, "loss", R.DESCRIPTOR)
        with p.when(a, "!=", 0):
            _loss(p, number, spiked, error, a, b, one)
        p.move(delta, 0)
        p.memory_field(R.STEP, DESCRIPTOR, "steps", R.DESCRIPTOR)
        with p.repeat(R.STEP, "!=", 0):
            p.sub(R.STEP, R.STEP, 1)
            p.bit(bit, R.STEP)
            p.memory_field(a, DESCRIPTOR, "loss", R.DESCRIPTOR)
            with p.when(a, "==", 0):
                _received(p, neuron, error, a, b)
            p.clear()
            p.both(a, masked, bit)
            with p.when(a, "!=", 0):
                p.memory_field(a, DESCRIPTOR, "amplitude", R.DESCRIPTOR)
                p.term(a, error)
            _later(p, spiked, bit, delta, a)
            p.rounded(delta)
            p.both(a, delta, (1 << p.config.format.width - 1) - 1)
            with p.when(a, "!=", 0):
                p.load(a, R.STEP, p.map.ends)
                p.store(number, a)
                p.store(delta, a, 1)
                p.add(a, a, _DELTA_WORDS)
                p.store(a, R.STEP, p.map.ends)
        p.add(number, number, 1)


def _loss(p, number, spiked, error, count, bit, one):
    """error = round(loss_scale (count - T y)): a term for each spike of another, or missing spike of the target."""
    p.clear()
    p.load_slot(one, R.AT_SLOT, "label")
    p.memory_field(count, DESCRIPTOR, "loss_scale", R.DESCRIPTOR)
    p.memory_field(R.STEP, DESCRIPTOR, "steps", R.DESCRIPTOR)
    p.sub(bit, R.STEP, 1)
    p.bit(bit, bit)
    p.left(bit, bit, 1)
    p.sub(bit, bit, 1)  # all steps, of which there may be 16
    p.both(error, spiked, bit)
    with p.when(one, "==", number):
        p.differ(error, error, bit)
    p.move(bit, p.number(-1.0))
    with p.when(one, "!=", number):
        p.move(bit, p.number(1.0))
    with p.while_(error, "!=", 0):
        p.sub(R.TEMP, error, 1)
        p.both(error, error, R.TEMP)
        p.term(count, bit)
    p.rounded(error)


def _received(p, neuron, error, a, b):
    """error = round(error sum of STEP), which is cleared."""
    p.clear()
    p.multiply(a, neuron, p.config.steps)
    p.add(a, a, R.STEP)
    p.multiply(a, a, SUM_WORDS)
    for k in range(SUM_WORDS):
        p.load(b, a, p.map.errors + k)
        p.word(b, k)
        p.store(ZERO, a, p.map.errors + k)
    p.rounded(error)


def _later(p, spiked, bit, delta, a):
    """The part of the delta of the step after this one: not after the last step, nor after a hard reset."""
    none, counts = Label("no later delta"), Label("the later delta counts")
    p.memory_field(a, DESCRIPTOR, "steps", R.DESCRIPTOR)
    p.sub(a, a, 1)
    p.branch_if(a, "==", R.STEP, none)
    p.both(a, spiked, bit)
    p.branch_if(a, "==", 0, counts)
    p.memory_field(a, DESCRIPTOR, "soft", R.DESCRIPTOR)
    p.branch_if(a, "==", 0, none)
    p.place(counts)
    p.memory_field(a, DESCRIPTOR, "kappa_back", R.DESCRIPTOR)
    p.term(a, delta)
    p.place(none)


def _errors(p):
    """For each step with deltas and each masked input, the exact sum of W delta to the input's owner."""
    row, at, value = FREE
    end = R.MORE
    with _steps_with_deltas(p, at, end), set_bits(p, p.map.masks, bias=False):
        weights_of(p, row)
        p.clear()
        _list_of_step(p, at, end)
        p.sub(value, end, at)
        p.right(value, value, 1)
        p.count("bp_terms", value)
        p.count("bp_rows", 1)
        p.count("bp_results", 1)
        p.list(at, end)
        p.play(Op.ERRORS, row, p.map.weights)
        _send_error(p, row, at, value)


def _send_error(p, low, high, scratch):
    """The sum in the lane to the owner of the bit of ``set_bits``; of two words where it fits into 64 bits."""
    def neuron(d):
        p.memory_field(d, GROUP, "neuron", GROUP_AT)
        p.add(d, d, FIRST)
        p.add(d, d, BIT)

    p.header(low, high, Kind.ERROR, scratch=scratch, slot=R.SLOT, step=R.STEP, neuron=neuron,
             x=lambda d: p.memory_field(d, GROUP, "x", GROUP_AT), y=lambda d: p.memory_field(d, GROUP, "y", GROUP_AT))
    p.begin_packet(low, high)
    for k in range(4):
        p.sum(scratch, k)
        p.put_half(scratch)
    long, done = Label("more than 64 bits"), Label("error is sent")
    p.right(scratch, scratch, 15)
    p.sub(scratch, ZERO, scratch)  # what 64 bits would be extended with
    for k in (4, 5):
        p.sum(low, k)
        p.branch_if(low, "!=", scratch, long)
    p.jump(done)
    p.place(long)
    for k in (4, 5):
        p.sum(low, k)
        p.put_half(low)
    p.place(done)
    p.end_packet()


def _gradients(p):
    """For each step with deltas: each delta, in fixed point, is added to the gradients of the inputs that spiked."""
    words = p.map.gradient_words
    at, end, value, temp, *fixed = R.LOCAL
    fixed = fixed[:words]
    with _steps_with_deltas(p, at, end):
        p.move(SCALE, words)
        p.call(p.list_spikes, R.MORE)
        _list_of_step(p, at, end)
        p.sub(value, end, at)
        p.right(value, value, 1)
        p.count("wg_rows", value)
        p.sub(temp, R.END, p.map.list)
        p.multiply(value, value, temp)
        p.high(temp)
        p.count_long("wg_terms", value, temp)
        with p.repeat(at, "!=", end):
            p.load(value, at, 1)
            _expand(p, value, fixed, temp)
            p.load(value, at)
            p.multiply(value, value, words)
            p.move(temp, p.map.list)
            p.list(temp, R.END)
            p.play(Op.GRADIENT, value, p.map.gradients, fixed[0])
            p.add(at, at, _DELTA_WORDS)


def _expand(p, number, fixed, temp):
    """fixed = a stored number as an integer in units of the smallest one, the lowest word first. Changes ``number``."""
    fmt = p.config.format
    sign, code, significand = fmt.width - 1, R.TEMP, temp
    p.both(significand, number, (1 << fmt.mantissa) - 1)
    p.right(code, number, fmt.mantissa)
    p.both(code, code, (1 << fmt.exponent) - 1)
    with p.when(code, "!=", 0):
        p.either(significand, significand, 1 << fmt.mantissa)
        p.sub(code, code, 1)
    for part in fixed:
        p.move(part, 0)
    p.right(number, number, sign)
    low, high = fixed[:2]
    upper, negative, done = Label("upper words"), Label("sign"), Label("expanded")
    if 1 << fmt.exponent > WORD_BITS:  # the shift may be more than a word
        p.branch_if(code, ">=", WORD_BITS, upper)
    p.bit(code, code)
    p.multiply(low, significand, code)
    p.high(high)
    if 1 << fmt.exponent > WORD_BITS:
        p.jump(negative)
        p.place(upper)
        p.bit(code, code)
        p.multiply(fixed[1], significand, code)
        p.high(fixed[2])
    p.place(negative)
    p.branch_if(number, "==", 0, done)
    for k, part in enumerate(fixed):
        (p.sbc if k else p.sub)(part, ZERO, part)
    p.place(done)


def _notify(p, kind):
    """A packet of this kind to each source."""
    low, high, scratch = R.LOCAL[:3]
    p.header(low, high, kind, sender=kind == Kind.CREDIT, scratch=scratch, slot=R.SLOT)
    p.call(p.notify, R.MORE)


def add_notify(p):
    """The routine ``notify``: a packet to each source of the slice; its header is given, but for the place."""
    low, high, left, at, first = R.LOCAL[:5]
    p.place(p.notify)
    p.memory_field(left, DESCRIPTOR, "sources", R.DESCRIPTOR)
    p.memory_field(at, DESCRIPTOR, "sources_base", R.DESCRIPTOR)
    p.left(at, at, 1)
    with p.repeat(left, "!=", 0):
        p.load(first, at, p.map.peers)
        p.put_peer(first, first, low)
        p.begin_packet(first, high)
        p.end_packet()
        p.add(at, at, LONG)
        p.sub(left, left, 1)
    p.give_back(R.MORE)

# SPDX-License-Identifier: Apache-2.0
"""Feed-forward job: one step of a sample in one slice. The spikes are listed once, and the list is played for each
neuron."""

from backspike.host.protocol import DESCRIPTOR, PEER, Kind
from backspike.hw.sequential.assembler import ZERO, Label
from backspike.hw.sequential.instructions import WORD_BITS, Op
from backspike.hw.sequential.memory_map import LONG
from backspike.hw.sequential.program.base import Registers as R
from backspike.hw.sequential.program.jobs import next_slot
from backspike.hw.sequential.program.spikes import SCALE

__all__ = ["add_forward"]

_NUMBER, _NEURON, _VALUE, _SPIKED, _MASKED, _STEP_BIT, _AT, _WEIGHT, _KEY, *_ = R.LOCAL


def add_forward(p, label):
    """The job at ``label``: SLICE, AT_SLICE, SLOT and AT_SLOT are given; it ends at ``main``."""
    p.place(label)
    p.load_slice(R.STEP, R.AT_SLICE, "step")
    with p.busy("fp_busy", 1):
        with p.when(R.STEP, "==", 0):
            p.store_slot(ZERO, R.AT_SLOT, "paid")
        _constants(p)
        p.move(SCALE, 1)
        p.call(p.list_spikes, R.MORE)
        p.sub(_AT, R.END, p.map.list)
        p.multiply(_AT, _AT, R.BLOCKS)
        p.high(_WEIGHT)
        p.count_long("fp_terms", _AT, _WEIGHT)
        p.count("fp_results", R.BLOCKS)
        p.move(_NUMBER, 0)
        p.bit(_STEP_BIT, R.STEP)
        with p.repeat(_NUMBER, "!=", R.BLOCKS):
            _neuron(p)
            _collect(p)
    p.add(R.STEP, R.STEP, 1)
    p.load_slice(R.TEMP, R.AT_SLICE, "steps")
    with p.when(R.STEP, "==", R.TEMP):
        p.store_slot(1, R.AT_SLOT, "beyond")
        next_slot(p, "forward_slot")
        p.move(R.STEP, 0)
    p.store_slice(R.STEP, R.AT_SLICE, "step")
    p.jump(p.main)


def _constants(p):
    """What the potentials are compared with, and no spikes yet."""
    for name in ("threshold", "mask_low", "mask_high"):
        p.memory_field(R.MORE, DESCRIPTOR, name, R.DESCRIPTOR)
        p.call(p.key, R.CLAIMED)
        p.put(R.TEMP, name)
    for name in ("spikes_0", "spikes_1", "masks_0", "masks_1"):
        p.put(ZERO, name)


def _neuron(p):
    """Potential, spike and surrogate mask of neuron _NUMBER of the slice; KEY = 1 if it spikes, WEIGHT = 1 if masked."""
    first = Label("first step")
    p.clear()
    p.memory_field(_NEURON, DESCRIPTOR, "neuron_base", R.DESCRIPTOR)
    p.add(_NEURON, _NEURON, _NUMBER)
    own = _AT
    p.multiply(own, R.SLOT, p.config.neurons)
    p.add(own, own, _NEURON)
    p.left(own, own, 1)
    p.move(_SPIKED, 0)
    p.move(_MASKED, 0)
    p.branch_if(R.STEP, "==", 0, first)
    p.load(_SPIKED, own, p.map.own)
    p.load(_MASKED, own, p.map.own + 1)
    p.load(_VALUE, _NEURON, p.map.potentials)
    p.memory_field(_KEY, DESCRIPTOR, "kappa", R.DESCRIPTOR)
    p.right(_WEIGHT, _STEP_BIT, 1)
    p.both(_WEIGHT, _WEIGHT, _SPIKED)  # spiked in the step before
    leak, hard = Label("leak"), Label("no soft reset")
    p.branch_if(_WEIGHT, "==", 0, leak)
    p.memory_field(_WEIGHT, DESCRIPTOR, "soft", R.DESCRIPTOR)
    p.branch_if(_WEIGHT, "==", 0, hard)
    p.memory_field(_WEIGHT, DESCRIPTOR, "reset", R.DESCRIPTOR)
    p.move(R.TEMP, p.number(-1.0))
    p.term(R.TEMP, _WEIGHT)
    p.place(leak)
    p.term(_KEY, _VALUE)
    p.place(hard)
    p.place(first)
    p.move(_AT, p.map.list)
    p.list(_AT, R.END)
    p.play(Op.FORWARD, _NUMBER, p.map.weights)
    p.rounded(_VALUE)
    p.store(_VALUE, _NEURON, p.map.potentials)
    p.move(R.MORE, _VALUE)
    p.call(p.key, R.CLAIMED)
    p.move(_AT, R.TEMP)
    _test(p, _AT, _WEIGHT, _KEY)
    own = _AT
    p.multiply(own, R.SLOT, p.config.neurons)
    p.add(own, own, _NEURON)
    p.left(own, own, 1)
    for bit, bits, offset in ((_KEY, _SPIKED, 0), (_WEIGHT, _MASKED, 1)):
        p.multiply(R.TEMP, bit, _STEP_BIT)
        p.either(bits, bits, R.TEMP)
        p.store(bits, own, p.map.own + offset)


def _test(p, key, mask, spike):
    """spike, mask = 0 or 1."""
    p.move(spike, 0)
    p.move(mask, 0)
    p.get(R.TEMP, "threshold")
    with p.when(key, ">=", R.TEMP):
        p.move(spike, 1)
    p.get(R.TEMP, "mask_low")
    with p.when(key, ">=", R.TEMP):
        p.get(R.TEMP, "mask_high")
        with p.when(R.TEMP, ">=", key):
            p.move(mask, 1)


def _collect(p):
    """The bits of 32 neurons make a word, which goes to all targets."""
    at = _AT
    p.right(at, _NUMBER, 4)
    p.both(at, at, 1)
    for bit, name in ((_KEY, "spikes_0"), (_WEIGHT, "masks_0")):
        p.bit(R.TEMP, _NUMBER)
        p.multiply(bit, bit, R.TEMP)
        p.load(R.TEMP, at, p.map.variables[name])
        p.either(bit, bit, R.TEMP)
        p.store(bit, at, p.map.variables[name])
    send, after = Label("send the word"), Label("word is not complete")
    p.add(_NUMBER, _NUMBER, 1)
    p.both(at, _NUMBER, 2 * WORD_BITS - 1)
    p.branch_if(at, "==", 0, send)
    p.branch_if(_NUMBER, "!=", R.BLOCKS, after)
    p.place(send)
    _send_word(p)
    for name in ("spikes_0", "spikes_1", "masks_0", "masks_1"):
        p.put(ZERO, name)
    p.place(after)


def _send_word(p):
    """The word that neuron _NUMBER - 1 ends, to all targets."""
    left, peer, low, high, scratch = _KEY, _AT, _VALUE, _WEIGHT, _SPIKED
    p.memory_field(left, DESCRIPTOR, "targets", R.DESCRIPTOR)
    p.memory_field(peer, DESCRIPTOR, "targets_base", R.DESCRIPTOR)
    p.left(peer, peer, 1)
    with p.repeat(left, "!=", 0):
        def word(d):
            p.memory_field(d, PEER, "word", _MASKED)
            p.sub(R.TEMP, _NUMBER, 1)
            p.right(R.TEMP, R.TEMP, 5)
            p.add(d, d, R.TEMP)

        p.add(_MASKED, peer, p.map.peers)
        p.load(_NEURON, _MASKED)
        p.header(low, high, Kind.SPIKES, peer=_NEURON, slot=R.SLOT, step=R.STEP, scratch=scratch, word=word,
                 train=lambda d: p.load_slot(d, R.AT_SLOT, "train"))
        p.begin_packet(low, high)
        for name in ("spikes_0", "spikes_1", "masks_0", "masks_1"):
            p.get(R.TEMP, name)
            p.put_half(R.TEMP)
        p.end_packet()
        p.add(peer, peer, LONG)
        p.sub(left, left, 1)

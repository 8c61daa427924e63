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

_NUMBER, _NEURON, _OWN, _SPIKED, _MASKED, _STEP_BIT, _AT, _VALUE, _SPIKE, _MASK = R.LOCAL
_WORD = "spikes_0", "spikes_1", "masks_0", "masks_1"
"""The word that is being collected, in the order of a packet."""


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
        p.high(_VALUE)
        p.count_long("fp_terms", _AT, _VALUE)
        p.count("fp_results", R.BLOCKS)
        p.move(_NUMBER, 0)
        p.bit(_STEP_BIT, R.STEP)
        p.memory_field(_NEURON, DESCRIPTOR, "neuron_base", R.DESCRIPTOR)
        p.multiply(_OWN, R.SLOT, p.config.neurons)
        p.add(_OWN, _OWN, _NEURON)
        p.left(_OWN, _OWN, 1)
        with p.repeat(_NUMBER, "!=", R.BLOCKS):
            _neuron(p)
            _collect(p)
            p.add(_NEURON, _NEURON, 1)
            p.add(_OWN, _OWN, 2)
    p.add(R.STEP, R.STEP, 1)
    p.load_slice(R.TEMP, R.AT_SLICE, "steps")
    with p.when(R.STEP, "==", R.TEMP):
        p.store_slot(1, R.AT_SLOT, "beyond")
        next_slot(p, "forward_slot")
        p.move(R.STEP, 0)
    p.store_slice(R.STEP, R.AT_SLICE, "step")
    p.jump(p.main)


def _constants(p):
    """The leak, what the potentials are compared with, and no spikes yet."""
    p.memory_field(R.TEMP, DESCRIPTOR, "kappa", R.DESCRIPTOR, R.MORE)
    p.put(R.TEMP, "kappa")
    for name in ("threshold", "mask_low", "mask_high"):
        p.memory_field(R.MORE, DESCRIPTOR, name, R.DESCRIPTOR)
        p.call(p.key, R.CLAIMED)
        p.put(R.TEMP, name)
    for name in _WORD:
        p.put(ZERO, name)


def _neuron(p):
    """Potential of a neuron, and whether it spikes and is masked: SPIKE and MASK = 0 or 1."""
    ready = Label("nothing remains of the step before")
    p.clear()
    p.move(_SPIKED, 0)
    p.move(_MASKED, 0)
    p.branch_if(R.STEP, "==", 0, ready)
    p.load(_SPIKED, _OWN, p.map.own)
    p.load(_MASKED, _OWN, p.map.own + 1)
    leak = Label("leak")
    p.right(_AT, _STEP_BIT, 1)
    p.both(_AT, _AT, _SPIKED)  # it spiked in the step before
    p.branch_if(_AT, "==", 0, leak)
    p.memory_field(_AT, DESCRIPTOR, "soft", R.DESCRIPTOR)
    p.branch_if(_AT, "==", 0, ready)
    p.memory_field(_AT, DESCRIPTOR, "reset", R.DESCRIPTOR)
    p.move(R.TEMP, p.number(-1.0))
    p.term(R.TEMP, _AT)
    p.place(leak)
    p.load(_VALUE, _NEURON, p.map.potentials)
    p.get(_AT, "kappa")
    p.term(_AT, _VALUE)
    p.place(ready)
    p.move(_AT, p.map.list)
    p.list(_AT, R.END)
    p.play(Op.FORWARD, _NUMBER, p.map.weights)
    p.rounded(_VALUE)
    p.store(_VALUE, _NEURON, p.map.potentials)
    p.move(R.MORE, _VALUE)
    p.call(p.key, R.CLAIMED)
    key = R.TEMP
    p.move(_SPIKE, 0)
    p.move(_MASK, 0)
    p.get(_AT, "threshold")
    with p.when(key, ">=", _AT):
        p.move(_SPIKE, 1)
        p.either(_SPIKED, _SPIKED, _STEP_BIT)
    p.get(_AT, "mask_low")
    with p.when(key, ">=", _AT):
        p.get(_AT, "mask_high")
        with p.when(_AT, ">=", key):
            p.move(_MASK, 1)
            p.either(_MASKED, _MASKED, _STEP_BIT)
    p.store(_SPIKED, _OWN, p.map.own)
    p.store(_MASKED, _OWN, p.map.own + 1)


def _collect(p):
    """The bits of 32 neurons make a word, which goes to all targets."""
    p.right(_AT, _NUMBER, 4)
    p.both(_AT, _AT, 1)
    p.bit(_VALUE, _NUMBER)
    for bit, name in ((_SPIKE, "spikes_0"), (_MASK, "masks_0")):
        with p.when(bit, "!=", 0):
            p.load(R.TEMP, _AT, p.map.variables[name])
            p.either(R.TEMP, R.TEMP, _VALUE)
            p.store(R.TEMP, _AT, p.map.variables[name])
    send, after = Label("send the word"), Label("word is not complete")
    p.add(_NUMBER, _NUMBER, 1)
    p.both(_AT, _NUMBER, 2 * WORD_BITS - 1)
    p.branch_if(_AT, "==", 0, send)
    p.branch_if(_NUMBER, "!=", R.BLOCKS, after)
    p.place(send)
    _send_word(p)
    for name in _WORD:
        p.put(ZERO, name)
    p.place(after)


def _send_word(p):
    """The word that neuron _NUMBER - 1 ends, to all targets."""
    left, peer, low, high, scratch, entry = _SPIKE, _AT, _VALUE, _MASK, _SPIKED, _MASKED
    p.memory_field(left, DESCRIPTOR, "targets", R.DESCRIPTOR)
    p.memory_field(peer, DESCRIPTOR, "targets_base", R.DESCRIPTOR)
    p.left(peer, peer, 1)
    with p.repeat(left, "!=", 0):
        def word(d):
            p.memory_field(d, PEER, "word", entry)
            p.sub(R.TEMP, _NUMBER, 1)
            p.right(R.TEMP, R.TEMP, 5)
            p.add(d, d, R.TEMP)

        p.add(entry, peer, p.map.peers)
        p.load(scratch, entry)
        p.header(low, high, Kind.SPIKES, peer=scratch, slot=R.SLOT, step=R.STEP, scratch=scratch, word=word,
                 train=lambda d: p.load_slot(d, R.AT_SLOT, "train"))
        p.begin_packet(low, high)
        for name in _WORD:
            p.get(R.TEMP, name)
            p.put_half(R.TEMP)
        p.end_packet()
        p.add(peer, peer, LONG)
        p.sub(left, left, 1)

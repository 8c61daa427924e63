# SPDX-License-Identifier: Apache-2.0
"""Takes one packet in, checks it, and acts on it at once, as docs/design.md says."""

from backspike.host.protocol import (
    COUNTERS,
    HEADER,
    HOST_KINDS,
    MAX_PAYLOAD,
    NEED,
    TAGS,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Cause,
    Kind,
    Region,
    payload_range,
)
from backspike.hw.core.regions import READABLE, WRITABLE
from backspike.hw.sequential.assembler import ZERO, Label
from backspike.hw.sequential.instructions import Input, Op
from backspike.hw.sequential.memory_map import LONG, SUM_WORDS, TAPE_WORD
from backspike.hw.sequential.program.base import Registers

__all__ = ["add_receive"]

A, B, C, D, E, F, G, T = (getattr(Registers, name) for name in "ABCDEFGT")


def add_receive(p):
    """The routine ``receive``: a flit waits; returns to ``RECEIVED`` when the whole packet has come. Changes A to T."""
    _Receive(p).add()


class _Receive:
    def __init__(self, p):
        self.p, self.config, self.map = p, p.config, p.map
        self.faults = {cause: Label(f"fault {cause.name}") for cause in
                       (Cause.KIND, Cause.LENGTH, Cause.FIELD, Cause.STATE)}
        self.done, self.slot = Label("packet is done"), Label("slot of the packet")
        self.payload = self.map.packet + LONG

    def add(self):
        p = self.p
        p.place(p.receive)
        self._take_in()
        handlers = {kind: Label(f"receive {kind.name}") for kind in HOST_KINDS}
        table = Label("kinds")
        p.both(E, A, 15)
        p.emit(Op.JUMP, ZERO, E, table)
        p.place(table)
        for code in range(16):
            p.jump(handlers.get(code, self.faults[Cause.KIND]))
        for kind, label in handlers.items():
            p.place(label)
            self._check_length(kind)
            getattr(self, f"_{kind.name.lower()}")()
        self._add_find_slot()
        self._end()

    def _take_in(self):
        """A, B = header; D = number of payload words, 16 if there are more; all in the memory."""
        p = self.p
        p.input(A, Input.LOW)
        p.input(B, Input.HIGH)
        p.store(A, ZERO, self.map.packet)
        p.store(B, ZERO, self.map.packet + 1)
        p.move(C, 0)
        p.move(D, 0)
        with p.loop("payload") as after:
            p.branch(Op.ENDED, after)
            wait, arrived = Label("wait for a flit"), Label("a flit waits")
            p.place(wait)
            p.branch(Op.ARRIVED, arrived)
            p.jump(wait)
            p.place(arrived)
            p.input(E, Input.LOW)
            p.input(F, Input.HIGH)
            with p.when(D, "<", MAX_PAYLOAD):
                p.store(E, C, self.payload)
                p.store(F, C, self.payload + 1)
                p.add(C, C, LONG)
            with p.when(D, "<", MAX_PAYLOAD + 1):
                p.add(D, D, 1)

    def _check_length(self, kind):
        p, (low, high) = self.p, payload_range(kind)
        if low == high:
            p.branch_if(D, "!=", low, self.faults[Cause.LENGTH])
        else:
            p.branch_if(D, "<", low, self.faults[Cause.LENGTH])
            p.branch_if(D, ">=", high + 1, self.faults[Cause.LENGTH])

    def _tag(self, d, kind, name):
        """d = a field of the tag of the header in A and B."""
        offset, width = HEADER.offset("tag") + TAGS[kind].offset(name), TAGS[kind].fields[name]
        p, end = self.p, offset + width
        if offset >= 16:
            p.right(d, B, offset - 16)
        else:
            p.right(d, A, offset)
            if end > 16:
                p.left(T, B, 16 - offset)
                p.either(d, d, T)
        if end not in (16, 32):
            p.both(d, d, (1 << width) - 1)

    def _limited(self, d, kind, name, limit):
        """d = a field of the tag; the packet is dropped if it is not below the limit."""
        self._tag(d, kind, name)
        if limit < 1 << TAGS[kind].fields[name]:
            self.p.branch_if(d, ">=", limit, self.faults[Cause.FIELD])

    def _find_slot(self):
        """E = slot; T, C = words of the slice and of the slot."""
        self.p.call(self.slot, G)

    def _add_find_slot(self):
        """The routine for it: slice and slot are at the same place in all tags that have them."""
        p = self.p
        p.place(self.slot)
        self._limited(C, Kind.LABEL, "slice", self.config.slices)
        self._limited(E, Kind.LABEL, "slot", self.config.slots)
        p.at_slice(T, C)
        p.at_slot(C, C, E)
        p.give_back(G)

    def _spikes(self):
        p, state = self.p, self.faults[Cause.STATE]
        self._limited(F, Kind.SPIKES, "step", self.config.steps)
        self._limited(D, Kind.SPIKES, "word", self.config.tape_words)
        self._find_slot()
        p.load_slice(A, T, "inputs")
        p.branch_if(A, "==", 0, state)
        p.load_slice(A, T, "steps")
        p.branch_if(F, ">=", A, state)
        p.load_slot(A, C, "beyond")
        p.branch_if(A, "!=", 0, state)
        p.load_slot(A, C, "complete")
        p.bit(B, F)
        p.both(A, A, B)
        p.branch_if(A, "!=", 0, state)

        self._tape_address(E, D)
        for k in range(TAPE_WORD):
            for offset, tape in ((0, self.map.spikes), (LONG, self.map.masks)):
                p.load(A, ZERO, self.payload + offset + k)
                p.store(A, E, tape + k)
        p.load(A, ZERO, self.map.packet + 1)
        p.right(A, A, 15)
        p.store_slot(A, C, "train")
        p.load_slice(D, T, "inputs")
        p.add(E, C, F)
        p.load(A, E, self.map.arrivals)
        p.add(A, A, 1)
        with p.when(A, "==", D):
            p.load_slot(D, C, "complete")
            p.either(D, D, B)
            p.store_slot(D, C, "complete")
            p.move(A, 0)
        p.store(A, E, self.map.arrivals)
        p.jump(self.done)

    def _tape_address(self, slot, word):
        """slot = place of a word of the tape, in memory words, of this slot, of step F and this word."""
        p = self.p
        p.multiply(slot, slot, self.config.steps)
        p.add(slot, slot, F)
        p.multiply(slot, slot, self.config.tape_words)
        p.add(slot, slot, word)
        p.left(slot, slot, 1)

    def _error(self):
        p = self.p
        self._limited(C, Kind.ERROR, "neuron", self.config.neurons)
        self._limited(F, Kind.ERROR, "step", self.config.steps)
        self._limited(E, Kind.ERROR, "slot", self.config.slots)
        p.multiply(E, E, self.config.neurons)
        p.add(E, E, C)
        p.multiply(E, E, self.config.steps)
        p.add(E, E, F)
        p.multiply(E, E, SUM_WORDS)
        with p.when(D, "==", 2):  # 64 bits
            p.load(A, ZERO, self.payload + 3)
            p.right(A, A, 15)
            p.sub(A, ZERO, A)
            p.store(A, ZERO, self.payload + 4)
            p.store(A, ZERO, self.payload + 5)
        for k in range(SUM_WORDS):
            p.load(A, ZERO, self.payload + k)
            p.load(B, E, self.map.errors + k)
            (p.adc if k else p.add)(B, B, A)
            p.store(B, E, self.map.errors + k)
        p.jump(self.done)

    def _counted(self, number, reached, needed):
        """Another packet of which a slot needs so many, unless it has them."""
        p = self.p
        self._find_slot()
        p.load_slot(A, C, reached)
        p.branch_if(A, "!=", 0, self.done)
        p.load_slot(A, C, number)
        p.add(A, A, 1)
        p.load_slice(B, T, needed)
        p.store_slot(A, C, number)
        p.branch_if(A, "!=", B, self.done)
        p.store_slot(ZERO, C, number)

    def _errors_done(self):
        p = self.p
        self._counted("markers", "known", "markers")
        p.load_slice(A, T, "label")
        p.branch_if(A, "!=", 0, self.done)
        p.store_slot(1, C, "known")
        p.jump(self.done)

    def _credit(self):
        self._counted("credits", "paid", "credits")
        self.p.store_slot(1, C, "paid")
        self.p.jump(self.done)

    def _label(self):
        p = self.p
        self._tag(D, Kind.LABEL, "label")
        self._find_slot()
        p.store_slot(D, C, "label")
        p.load_slice(A, T, "label")
        p.branch_if(A, "==", 0, self.done)
        p.store_slot(1, C, "known")
        p.jump(self.done)

    def _update(self):
        p = self.p
        self._limited(C, Kind.UPDATE, "slice", self.config.slices)
        p.at_slice(C, C)
        p.store_slice(1, C, "pending")
        for name in ("clear", "velocities"):
            self._tag(D, Kind.UPDATE, name)
            p.store_slice(D, C, name)
        p.jump(self.done)

    # Memories

    def _read(self):
        p, field = self.p, self.faults[Cause.FIELD]
        self._tag(E, Kind.READ, "region")
        self._tag(D, Kind.READ, "count")
        self._size(READABLE)
        p.branch_if(D, "==", 0, field)
        p.branch_if(D, ">=", MAX_PAYLOAD, field)
        p.load(A, ZERO, self.payload)
        p.load(B, ZERO, self.payload + 1)
        p.branch_if(B, "!=", 0, field)
        p.branch_if(A, ">=", T, field)  # so that their sum does not overflow
        p.add(B, A, D)
        p.branch_if(T, "<", B, field)
        self._check_idle()
        p.get(B, "reading")
        p.branch_if(B, "!=", 0, self.faults[Cause.STATE])
        p.put(D, "reading")
        p.put(E, "read_region")
        p.put(A, "read_address")
        p.jump(self.done)

    def _check_idle(self):
        """Only when nothing is at work, unless the region in E is always there."""
        p = self.p
        with p.when(E, "<", int(Region.CONTROL)):
            p.get(B, "idle")
            p.branch_if(B, "==", 0, self.faults[Cause.STATE])

    def _size(self, regions):
        """T = number of addresses of the region in E, at most 65,535; FIELD if it is none of these."""
        p = self.p
        p.bit(B, E)
        p.both(B, B, sum(1 << region for region in regions))
        p.branch_if(B, "==", 0, self.faults[Cause.FIELD])
        p.load(T, E, self.map.sizes)

    def _write(self):
        """A = address, C = place of the data, D = words left, E = region, T = size."""
        p, config = self.p, self.config
        self._tag(E, Kind.WRITE, "region")
        self._size(WRITABLE)
        p.load(A, ZERO, self.payload)
        p.load(B, ZERO, self.payload + 1)
        p.branch_if(B, "!=", 0, self.faults[Cause.FIELD])
        p.move(C, self.payload + LONG)
        p.sub(D, D, 1)
        written = Label("word is written")
        writers = {region: Label(f"write {region.name}") for region in WRITABLE}
        word = Label("write a word")
        p.place(word)
        p.branch_if(A, ">=", T, self.faults[Cause.FIELD])
        with p.when(E, "==", int(Region.TAPE)):
            p.both(B, A, TAPE_STRIDE - 1)
            p.branch_if(B, ">=", config.tape_words, self.faults[Cause.FIELD])
            self._host_step(B)
            p.branch_if(B, ">=", config.steps, self.faults[Cause.FIELD])
        self._check_idle()
        table = Label("regions")
        p.emit(Op.JUMP, ZERO, E, table)
        p.place(table)
        for code in range(max(WRITABLE) + 1):
            p.jump(writers.get(code, self.faults[Cause.FIELD]))
        for region, label in writers.items():
            p.place(label)
            self._write_word(region)
            p.jump(written)
        p.place(written)
        p.add(A, A, 1)
        p.add(C, C, LONG)
        p.sub(D, D, 1)
        p.branch_if(D, "!=", 0, word)
        p.jump(self.done)

    def _host_step(self, d):
        """d = the step in an address of region TAPE."""
        self.p.right(d, A, TAPE_STRIDE.bit_length() - 1)
        self.p.both(d, d, TAPE_SLOT_STRIDE // TAPE_STRIDE - 1)

    def _write_word(self, region):
        p, memory = self.p, self.map
        numbers = {Region.WEIGHT: memory.weights, Region.VELOCITY: memory.velocities}
        tables = {Region.DESCRIPTOR: memory.descriptors, Region.GROUP: memory.groups, Region.PEER: memory.peers}
        if region in numbers:
            p.load(B, C)
            if self.config.format.width < 16:
                p.both(B, B, (1 << self.config.format.width) - 1)
            p.store(B, A, numbers[region])
        elif region in tables:
            p.left(F, A, 1)
            for k in range(LONG):
                p.load(B, C, k)
                p.store(B, F, tables[region] + k)
        elif region == Region.TAPE:
            self._host_step(F)
            p.right(B, A, TAPE_SLOT_STRIDE.bit_length() - 1)
            p.both(G, A, TAPE_STRIDE - 1)
            self._tape_address(B, G)
            for k in range(TAPE_WORD):
                p.load(F, C, k)
                p.store(F, B, memory.spikes + k)
                p.store(ZERO, B, memory.masks + k)
        elif region == Region.NEED:
            self._restart()
        else:
            self._control()

    def _restart(self):
        """What a slice needs; its slots are free, and it expects its first sample in slot 0."""
        p, config = self.p, self.config
        p.at_slice(F, A)
        for name in ("inputs", "credits", "markers", "label", "steps"):
            p.field(B, NEED, name, lambda register, k: p.load(register, C, k), temp=G)
            if name in ("inputs", "steps"):
                limit = config.tape_words if name == "inputs" else config.steps
                with p.when(B, ">=", limit + 1):
                    p.move(B, 0)
            if name == "steps":
                with p.when(B, "==", 0):
                    p.store_slice(ZERO, F, "inputs")
            p.store_slice(B, F, name)
        for name in ("forward_slot", "step", "backward_slot"):
            p.store_slice(ZERO, F, name)
        p.at_slot(B, A, ZERO)
        p.move(F, config.slots)
        with p.repeat(F, "!=", 0):
            for name in ("complete", "known", "beyond", "taken"):
                p.store_slot(ZERO, B, name)
            p.store_slot(1, B, "paid")
            p.add(B, B, self.map.slot_words)
            p.sub(F, F, 1)
        p.put(1, "erase")

    def _control(self):
        p = self.p
        with p.when(A, "==", 0):
            p.load(B, C)
            p.both(B, B, 1)
            p.put(B, "skip_off")
        with p.when(A, "==", 1):
            p.move(B, self.map.counters)
            with p.repeat(B, "!=", self.map.counters + LONG * len(COUNTERS)):
                p.store(ZERO, B)
                p.add(B, B, 1)
            p.input(B, Input.CYCLES)
            p.put(B, "cleared_low")
            p.high(B)
            p.put(B, "cleared_high")

    def _end(self):
        p = self.p
        p.place(self.done)
        p.count("packets_in", 1, A)
        p.give_back(Registers.RECEIVED)
        drop = Label("drop")
        for cause, label in self.faults.items():
            p.place(label)
            p.move(E, int(cause))
            p.jump(drop)
        p.place(drop)
        p.count("dropped", 1, A)
        p.get(A, "fault")
        with p.when(A, "==", 0):
            p.put(E, "fault")
            for k, name in enumerate(("fault_low", "fault_high")):
                p.load(A, ZERO, self.map.packet + k)
                p.put(A, name)
        p.give_back(Registers.RECEIVED)

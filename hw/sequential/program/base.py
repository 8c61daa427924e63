# SPDX-License-Identifier: Apache-2.0
"""What the routines of the sequential core's program have in common."""

from contextlib import contextmanager

from backspike.host.protocol import COUNTERS, HEADER, PEER, TAGS, Fields, Kind
from backspike.hw.sequential.assembler import SPARE, ZERO, Assembler, Label, Register
from backspike.hw.sequential.instructions import WORD_BITS, Input, Op, Output
from backspike.hw.sequential.memory_map import LONG, MemoryMap

__all__ = ["Program", "Registers"]


class Registers:
    """Registers of the program, by who may change them.

    ``receive`` may run whenever a packet is to be sent, so that it has registers of its own.
    """

    A, B, C, D, E, F, G, T, RECEIVED = map(Register, range(2, 11))  # of ``receive``; the last is its return address
    CLAIMED = Register(11)  # return address of ``claim`` and other routines that call no one but ``receive``
    SLICE, AT_SLICE, AT_SLOT, SLOT, STEP, DESCRIPTOR, BLOCKS, END = map(Register, range(12, 20))  # of a job
    LOCAL = tuple(map(Register, range(20, 30)))
    TEMP = Register(30)
    MORE = Register(31)  # also the return address of longer routines


_PLACE = {"x": 3, "y": 3, "host": 1, "slice": 4}
"""What an entry of the peer table and a header with a slice have in common, in this order."""


class Program(Assembler):
    """An assembler with the words of the core: fields, variables, counters, packets.

    Parameters
    ----------
    config: ChipConfig
    """

    def __init__(self, config):
        super().__init__()
        self.config, self.map = config, MemoryMap(config)
        self.main, self.receive, self.claim, self.saturated, self.key = map(
            Label, ("main", "receive", "claim", "saturated", "key"))
        self.begin_busy, self.end_busy, self.list_spikes, self.notify = map(
            Label, ("begin_busy", "end_busy", "list_spikes", "notify"))

    # Fields

    def field(self, d, fields, name, load, temp=Registers.TEMP):
        """d = a bit field; ``load(register, k)`` loads word k of what it is in. The lowest 16 bits of wider ones."""
        word, shift = divmod(fields.offset(name), WORD_BITS)
        width = min(fields.fields[name], WORD_BITS)
        load(d, word)
        self.right(d, d, shift)
        if shift + width > WORD_BITS:
            load(temp, word + 1)
            self.left(temp, temp, WORD_BITS - shift)
            self.either(d, d, temp)
        if width < WORD_BITS and shift + width != WORD_BITS:
            self.both(d, d, (1 << width) - 1)

    def memory_field(self, d, fields, name, base, temp=Registers.TEMP):
        """d = a field of a table entry in the memory from ``base`` (a register) on."""
        self.field(d, fields, name, lambda register, word: self.load(register, base, word), temp)

    # Variables and counters

    def get(self, d, name):
        self.load(d, ZERO, self.map.variables[name])

    def put(self, value, name):
        self.store(value, ZERO, self.map.variables[name])

    def counter(self, name):
        """Address of a counter's words."""
        return self.map.counters + LONG * COUNTERS.index(name)

    def count(self, name, amount, temp=Registers.TEMP):
        """Add a register or a constant to a counter."""
        self.count_long(name, amount, 0, temp)

    def count_long(self, name, low, high, temp=Registers.TEMP):
        """Add 32 bits to a counter."""
        address = self.counter(name)
        for k, (add, amount) in enumerate(((self.add, low), (self.adc, high))):
            self.load(temp, ZERO, address + k)
            add(temp, temp, amount)
            self.store(temp, ZERO, address + k)

    @contextmanager
    def busy(self, name, activity):
        """The cycles of the block go to a counter, and the engine is shown at work. Changes ``TEMP`` and ``MORE``."""
        self.move(Registers.TEMP, activity)
        self.move(Registers.MORE, self.counter(name))
        self.call(self.begin_busy, Registers.CLAIMED)
        yield
        self.call(self.end_busy, Registers.CLAIMED)

    def add_busy(self):
        """The routines at the beginning and at the end of ``busy``."""
        low, high = Registers.LOCAL[:2]
        self.place(self.begin_busy)
        self.output(Registers.TEMP, Output.ACTIVITY)
        self.put(Registers.MORE, "counting")
        self.input(Registers.TEMP, Input.CYCLES)
        self.put(Registers.TEMP, "began_low")
        self.high(Registers.TEMP)
        self.put(Registers.TEMP, "began_high")
        self.give_back(Registers.CLAIMED)
        self.place(self.end_busy)
        self.output(ZERO, Output.ACTIVITY)
        self.elapsed(low, high, "began")
        self.get(Registers.MORE, "counting")
        for k, (add, amount) in enumerate(((self.add, low), (self.adc, high))):
            self.load(Registers.TEMP, Registers.MORE, k)
            add(Registers.TEMP, Registers.TEMP, amount)
            self.store(Registers.TEMP, Registers.MORE, k)
        self.give_back(Registers.CLAIMED)

    def elapsed(self, low, high, since):
        """Cycles since the time in two variables."""
        self.input(low, Input.CYCLES)
        self.high(high)
        self.get(Registers.TEMP, f"{since}_low")
        self.sub(low, low, Registers.TEMP)
        self.get(Registers.TEMP, f"{since}_high")
        self.sbc(high, high, Registers.TEMP)

    def rounded(self, d):
        """d = the lane's sum, rounded; saturations are counted."""
        self.round(d)
        self.adc(Registers.TEMP, ZERO, 0)
        with self.when(Registers.TEMP, "!=", 0):
            self.call(self.saturated, Registers.TEMP)

    def add_key(self):
        """The routine ``key``: TEMP = an unsigned integer that is in the order of the stored numbers, of that in MORE.

        Both zeros have the same. Changes MORE.
        """
        key, number, sign = Registers.TEMP, Registers.MORE, 1 << self.config.format.width - 1
        self.place(self.key)
        positive = Label("positive")
        self.move(key, sign)
        self.branch_if(number, "<", key, positive)
        self.both(number, number, sign - 1)
        self.sub(key, key, number)
        self.give_back(Registers.CLAIMED)
        self.place(positive)
        self.add(key, key, number)
        self.give_back(Registers.CLAIMED)

    def number(self, value):
        """The bit pattern of a stored number."""
        return int(self.config.format.encode(value))

    # Addresses

    def at_slice(self, d, number):
        """d = where the words of a slice begin."""
        self.multiply(d, number, self.map.slice_words)
        self.add(d, d, self.map.slices)

    def at_slot(self, d, slice_number, slot):
        """d = where the words of a slot begin; d may be ``slice_number``."""
        self.multiply(d, slice_number, self.config.slots)
        self.add(d, d, slot)
        self.multiply(d, d, self.map.slot_words)
        self.add(d, d, self.map.slots)

    def load_slice(self, d, base, name):
        self.load(d, base, self.map.slice_field(name))

    def store_slice(self, value, base, name):
        self.store(value, base, self.map.slice_field(name))

    def load_slot(self, d, base, name):
        self.load(d, base, self.map.slot_field(name))

    def store_slot(self, value, base, name):
        self.store(value, base, self.map.slot_field(name))

    # Packets

    def header(self, low, high, kind, *, scratch=None, peer=None, sender=False, **values):
        """A packet's header of constants, of registers whose bits above the field are 0, and of what a function loads.

        ``peer``: a register with the lower word of an entry of the peer table, instead of x, y, host and slice.
        ``sender``: with the place of this core. ``scratch``: a register for the functions, which are given it, and for
        ``sender``. Changes ``TEMP``.
        """
        fields = Fields(**{name: width for name, width in HEADER.fields.items() if name != "tag"}, **TAGS[kind].fields)
        parts = [(fields.offset(name), fields.fields[name], value)
                 for name, value in (values | {"kind": int(kind)}).items()]
        constant = sum(value << offset for offset, _, value in parts if type(value) is int)
        self.move(low, constant & 0xFFFF)
        self.move(high, constant >> WORD_BITS)
        if peer is not None:
            self.put_peer(low, peer, low)
        if sender:
            self.input(scratch, Input.PLACE)
            self._insert(low, high, fields.offset("from_x"), 6, scratch)
        for offset, width, value in parts:
            if callable(value):
                value(scratch)
                self._insert(low, high, offset, width, scratch)
            elif isinstance(value, Register):
                self._insert(low, high, offset, width, value)

    def put_peer(self, d, peer, low):
        """d = lower half of a header with x, y, host and slice of a peer; d may be any of the two. Changes ``TEMP``."""
        bits = sum(_PLACE.values())
        self.both(Registers.TEMP, peer, (1 << bits) - 1)
        self.left(Registers.TEMP, Registers.TEMP, HEADER.fields["kind"])
        self.either(d, low, Registers.TEMP)

    def _insert(self, low, high, offset, width, value):
        temp = Registers.TEMP
        if offset >= WORD_BITS:
            self.left(temp, value, offset - WORD_BITS)
            self.either(high, high, temp)
        else:
            self.multiply(temp, value, 1 << offset)
            self.either(low, low, temp)
            if offset + width > WORD_BITS:
                self.high(temp)
                self.either(high, high, temp)

    def begin_packet(self, low, high):
        """Wait until the packet buffer is free, and put a header into it."""
        self.call(self.claim, Registers.CLAIMED)
        self.put_half(low)
        self.put_half(high)

    def put_half(self, half):
        """The next 16 bits of the packet, the lower half of a word first."""
        self.output(half, Output.HALF)

    def end_packet(self):
        self.output(ZERO, Output.SEND)

    def add_saturated(self):
        """The routine that counts a saturation; changes register 1 instead of ``TEMP``, which is the return address."""
        self.place(self.saturated)
        self.count("saturated", 1, SPARE)
        self.give_back(Registers.TEMP)

    def add_claim(self):
        """The routine that waits until the packet buffer is free, and takes packets in meanwhile."""
        self.place(self.claim)
        occupied = Label("occupied")
        self.branch(Op.SENDING, occupied)
        self.count("packets_out", 1, Registers.T)
        self.give_back(Registers.CLAIMED)
        self.place(occupied)
        arrived = Label("arrived")
        self.branch(Op.ARRIVED, arrived)
        self.jump(self.claim)
        self.place(arrived)
        self.call(self.receive, Registers.RECEIVED)
        self.jump(self.claim)


def _check_places():
    """The peer table's entries and the headers must agree on where a place lies."""
    peer = dict(list(PEER.fields.items())[:len(_PLACE)])
    for kind in (Kind.SPIKES, Kind.CREDIT, Kind.ERRORS_DONE):
        header = {name: width for name, width in HEADER.fields.items() if name not in ("kind", "tag")}
        first = next(iter(TAGS[kind].fields.items()))
        if peer != _PLACE or header | dict([first]) != _PLACE:
            raise AssertionError(f"PEER and the header of {kind.name} differ in their places")


_check_places()

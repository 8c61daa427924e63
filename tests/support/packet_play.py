# SPDX-License-Identifier: Apache-2.0
"""Plays packets on a core in simulation, and holds what it does against the model of the packet contract.

An action is ``("send", gap, words)``: a packet after so many cycles without one; or ``("rest",)``: wait until nothing
is left to do. What the core sends to itself comes back to it, as from a router, between the host's packets.
"""

from collections import Counter

from amaranth.lib.wiring import Component, Out

from backspike.hw.core.core import Core
from backspike.hw.core.interface import CORE_MEMBERS
from backspike.spec.config import ChipConfig
from backspike.spec.counters import COUNTERS
from backspike.spec.packets import HEADER, MAX_PAYLOAD, Kind, Packet, parse_header
from backspike.spec.tables import Region
from tests.support.chip_model import ModelCore
from tests.support.chip_model.core import Unspecified
from tests.support.unit import Bench, Sink

__all__ = ["Play", "TracedCore", "describe"]

_LOOK = Packet(Kind.READ, {"region": Region.CONTROL, "count": 1}, (0,)).words()
_PATIENCE = 40_000  # cycles until a core that is not at rest counts as one that hangs


class TracedCore(Core):
    """A core that says of every packet, in order, whether it took or dropped it.

    Members
    -------
    those of a core; packet, dropped: for one cycle for each packet
    awake: something is to be seen in this cycle: one of these two, or a flit
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        Component.__init__(self, {**CORE_MEMBERS, "packet": Out(1), "dropped": Out(1), "awake": Out(1)})

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += [
            self.packet.eq(self.receiver.packet),
            self.dropped.eq(self.receiver.dropped),
            self.awake.eq(self.packet | self.dropped | self.tx.valid),
        ]
        return m


class _Feeder:
    """Gives packets to the core: the host's, each after its gap, and those that come back, whichever is there first."""

    def __init__(self, bench):
        self.bench, self.host, self.back = bench, [], []
        self.flits, self.log = [], []
        bench.agents.append(self)

    @property
    def empty(self):
        return not (self.host or self.back or self.flits)

    @property
    def quiet(self):
        """Cycles in which it will give nothing, if nothing comes back."""
        if self.flits or self.back:
            return 0
        return self.host[0][0] if self.host else _PATIENCE

    def skip(self, cycles):
        """So many of these have passed."""
        if self.host:
            self.host[0][0] -= cycles

    def _choose(self):
        if self.back and (not self.host or self.host[0][0] or self.bench.random.random() < 0.5):
            words = self.back.pop(0)
        elif self.host and not self.host[0][0]:
            words = self.host.pop(0)[1]
        else:
            if self.host:
                self.host[0][0] -= 1
            return
        self.log.append(words)
        self.flits = [{"data": word, "last": n == len(words) - 1} for n, word in enumerate(words)]

    def drive(self):
        if not self.flits:
            self._choose()
        self.bench.set("rx__valid", bool(self.flits))
        if self.flits:
            self.bench.set("rx__payload", self.flits[0])

    def sample(self):
        if self.flits and self.bench.bits("rx__ready"):
            self.flits.pop(0)


class Play:
    """One core from reset to the end of a list of actions. The clock runs.

    Parameters
    ----------
    dut: handle of the top
    name: of the unit, a :class:`TracedCore`
    config: its ChipConfig
    stalls: chance that a flit of the core has to wait

    Attributes
    ----------
    packets: what the core has sent
    compared: everything was held against the model; not so where the contract leaves open what happens
    """

    def __init__(self, dut, name: str, config: ChipConfig, stalls: float = 0.0):
        self.config = config
        self.bench = bench = Bench(dut, name, TracedCore(config))
        self.feeder, self.sink = _Feeder(bench), Sink(bench, "tx", stalls)
        self.verdicts, self.rests, self.packets, self.begun = [], [], [], []
        self.compared = False
        bench.watchers.append(self._watch)

    def _watch(self):
        if self.bench.bits("packet") or self.bench.bits("dropped"):
            self.verdicts.append(bool(self.bench.bits("dropped")))
        for item in self.sink.items:
            self.begun.append(item["data"])
            if item["last"]:
                self._came(self.begun)
                self.begun = []
        self.sink.items.clear()

    def _came(self, words):
        self.packets.append(words)
        if not HEADER.unpack(words[0])["host"]:
            self.feeder.back.append(words)

    async def run(self, actions: list) -> None:
        """Play, read all memories at the end, and compare; ``AssertionError`` where hardware and model differ."""
        await self.bench.reset()
        for action in actions:
            if action[0] == "rest":
                await self._rest()
            else:
                self.feeder.host.append([action[1], list(action[2])])
                await self._pass(lambda: not self.feeder.host, 20_000)
        await self._rest()
        for words in self._reads():
            self.feeder.host.append([0, words])
            await self._rest(looks=0)
        self._compare()

    def _reads(self):
        """READs of all that can be read, 14 words at a time."""
        sizes = {region: self.config.weights for region in (Region.WEIGHT, Region.GRADIENT, Region.GRADIENT_HIGH)}
        sizes |= {Region.VELOCITY: self.config.weights} if self.config.momentum else {}
        sizes |= {Region.NOISE: self.config.neurons} if self.config.noise else {}
        for region, size in (sizes | {Region.COUNTER: len(COUNTERS)}).items():
            for address in range(0, size, MAX_PAYLOAD - 1):
                count = min(MAX_PAYLOAD - 1, size - address)
                yield Packet(Kind.READ, {"region": region, "count": count}, (address,)).words()

    async def _rest(self, looks=2):
        """Until the core has not been busy in two looks in a row, between which nothing came."""
        bench, end = self.bench, self.bench.cycle + _PATIENCE
        quiet = 0
        while quiet < looks or not self.feeder.empty or self._data_missing():
            assert bench.cycle < end, f"the core does not come to rest within {_PATIENCE} cycles"
            before = len(self.packets)
            if self.feeder.empty and looks:
                self.feeder.host.append([0, list(_LOOK)])
            look = bench.cycle + 60
            await self._pass(lambda look=look: bench.cycle >= look, 60)
            new = self.packets[before:]
            idle = len(new) == 1 and _is_look(new[0]) and not new[0][2] & 2
            quiet = quiet + 1 if idle else 0
        await bench.step(4)
        assert len(self.verdicts) == len(self.feeder.log), "a packet was neither taken nor dropped"
        self.rests.append(len(self.feeder.log))

    async def _pass(self, condition, limit):
        """Let at most ``limit`` cycles pass, until ``condition()`` holds; Python sleeps while nothing is to be done."""
        bench, end = self.bench, self.bench.cycle + limit
        while not condition():
            assert bench.cycle < end, f"nothing came to an end within {limit} cycles"
            quiet = min(self.feeder.quiet, end - bench.cycle)
            if quiet > 1 and not bench.bits("awake"):
                self.feeder.skip(await bench.sleep(quiet) - 1)
            else:
                await bench.step()

    def _data_missing(self):
        """A READ that was taken has not been answered in full."""
        asked = sum(
            words[0] >> 15 & 15
            for words, dropped in zip(self.feeder.log, self.verdicts, strict=False)
            if words[0] & 15 == Kind.READ and not dropped
        )
        return asked != sum(len(words) - 2 for words in self.packets if words[0] & 15 == Kind.DATA)

    def _compare(self):
        sent = []
        model = ModelCore(self.config, 0, 0, sent.append)
        model.erase()
        for n, (words, dropped) in enumerate(zip(self.feeder.log, self.verdicts, strict=True)):
            if n in self.rests:
                model.rest()
            try:
                model.follow(words, dropped)
            except Unspecified:
                return
        self.compared = True
        self._compare_faults([packet for packet in sent if packet.kind == Kind.FAULT])
        self._compare_data([packet for packet in sent if packet.kind == Kind.DATA])
        others = Counter(_content(packet.words()) for packet in sent if packet.kind not in (Kind.FAULT, Kind.DATA))
        found = Counter(_content(words) for words in self.packets if words[0] & 15 not in (Kind.FAULT, Kind.DATA))
        for counter in (others, found):
            counter.pop(None, None)
        assert found == others, f"sent, but not by the model: {found - others}; not sent: {others - found}"

    def _compare_faults(self, expected):
        """Reports are those of the model, in their order; while one waits, others are only counted."""
        left = iter(packet.words() for packet in expected)
        for words in self.packets:
            if words[0] & 15 == Kind.FAULT:
                assert words in left, f"{describe(words)} is not what the model reports"

    def _compare_data(self, expected):
        found = [
            (parse_header(words[0])[2]["region"], words[1] + k, word)
            for words in self.packets
            if words[0] & 15 == Kind.DATA
            for k, word in enumerate(words[2:])
        ]
        wanted = [
            (packet.tag["region"], packet.payload[0] + k, word)
            for packet in expected
            for k, word in enumerate(packet.payload[1:])
        ]
        assert len(found) == len(wanted), f"{len(found)} words were read instead of {len(wanted)}"
        last = len(wanted) - len(COUNTERS)  # from here on the core is at rest, and counters stand still
        for n, ((region, address, word), (*place, value)) in enumerate(zip(found, wanted, strict=True)):
            assert [region, address] == place, f"{Region(region).name} {address} was read instead of {place}"
            counted = n >= last and COUNTERS[address] in ("dropped", "packets_in")
            known = value is not None and (region != Region.COUNTER or counted)
            bits = 1 if region == Region.CONTROL else -1  # how long it is busy is for the hardware to say
            assert not known or word & bits == value & bits, (
                f"{Region(region).name} {address} is {word:#x} instead of {value:#x}"
            )


def _is_look(words):
    return words[0] & 15 == Kind.DATA and parse_header(words[0])[2]["region"] == Region.CONTROL


def _content(words):
    """What counts of a packet: errors of 0 do not, nor how many words they take."""
    if words[0] & 15 != Kind.ERROR:
        return tuple(words)
    value = sum(word << 32 * k for k, word in enumerate(words[1:]))
    value -= (words[-1] >> 31) << 32 * (len(words) - 1)
    return (words[0], value) if value else None


def describe(words: list[int]) -> str:
    """A packet in words."""
    try:
        kind, _, tag = parse_header(words[0])
    except ValueError:
        return f"[{', '.join(f'{word:#x}' for word in words)}]"
    fields = " ".join(f"{name}={value}" for name, value in tag.items())
    return f"{kind.name} {fields} {[hex(word) for word in words[1:]]}"

# SPDX-License-Identifier: Apache-2.0
"""Bench of the network on chip: traffic between all nodes and the host through a mesh or chain of routers alone.

Every cycle is one step of one coroutine, at a rising edge of the clock: what it reads then is what the edge sees, and
what it writes comes behind the edge.
"""

import os
import re
from collections import defaultdict, deque
from itertools import pairwise
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from backspike.hw.noc.mesh import positions
from backspike.spec.config import ChipConfig
from backspike.spec.packets import HEADER, MAX_PAYLOAD
from tests.support.handshake import HandshakeMonitor
from tests.support.noc_mesh import mesh_name

PATIENCE = 2000  # cycles without any transfer after which the mesh counts as stuck
KIND, COLUMNS, ROWS = re.fullmatch(r"(mesh|chain)(\d)x(\d)", os.environ.get("BACKSPIKE_MESH", "mesh1x1")).groups()
CONFIG = ChipConfig(columns=int(COLUMNS), rows=int(ROWS), chain=KIND == "chain")
HOST = CONFIG.cores  # number of the host's stream, after those of the nodes
NODES = positions(CONFIG)
LONGEST = CONFIG.cores if CONFIG.chain else CONFIG.columns + CONFIG.rows  # routers on a way, and no fewer
FLIT_BITS = 33


def packet(source, destination, sequence, payload):
    """Words of a packet whose tag says where it comes from."""
    x, y = NODES[destination] if destination != HOST else (0, 0)
    tag = source << 12 | sequence
    return (HEADER.pack(kind=1, x=x, y=y, host=destination == HOST, tag=tag), *payload)


def origin(word):
    """Source of a packet, from its header."""
    return HEADER.unpack(word)["tag"] >> 12


def many(last):
    """Numbers of the nodes that get a packet of the host which is for all up to node ``last``."""
    if CONFIG.chain:
        return range(last + 1)
    x, y = NODES[last]
    return [n for n, position in enumerate(NODES) if position[0] <= x and position[1] <= y]


def path(source, destination):
    """Numbers of the routers on the way, in a mesh columns first."""
    if CONFIG.chain:
        here, goal = (0 if node == HOST else node for node in (source, destination))
        return [*range(here, goal, 1 if goal > here else -1), goal]
    (x, y) = NODES[source] if source != HOST else (0, 0)
    goal = NODES[destination] if destination != HOST else (0, 0)
    routers = [(x, y)]
    while (x, y) != goal:
        if x != goal[0]:
            x += 1 if goal[0] > x else -1
        else:
            y += 1 if goal[1] > y else -1
        routers.append((x, y))
    return [NODES.index(position) for position in routers]


class Mesh:
    """A mesh with a queue of packets to send at every stream, and a check of everything that arrives.

    Parameters
    ----------
    dut: simulation of ``RouterMeshes``
    random: source of all decisions
    """

    def __init__(self, dut, random):
        name = mesh_name(CONFIG)
        self.random = random
        self.clock, self.reset = dut.clk, dut.rst
        self.pins = {
            part: getattr(dut, f"{name}_{part}")
            for part in (
                "in_payload",
                "in_valid",
                "in_ready",
                "out_payload",
                "out_valid",
                "out_ready",
                "flits",
                "stalled",
            )
        }
        self.streams = HOST + 1
        self.send_rate = [1.0] * self.streams
        self.take_rate = [1.0] * self.streams
        self.to_send = [deque() for _ in range(self.streams)]  # flits: (data, last)
        self.offered = [None] * self.streams
        self.arriving = [[] for _ in range(self.streams)]
        self.expected = defaultdict(deque)  # (source, destination): packets
        self.outstanding = 0
        self.arrivals = []  # (cycle, destination, source, flits) of every packet, when its last flit came
        self.flits_through = [0] * HOST
        self.cycle = 0

    async def start(self):
        """Clock, reset, monitors."""
        for part in ("in_payload", "in_valid", "out_ready"):
            self.pins[part].value = 0
        self.reset.value = 1
        cocotb.start_soon(Clock(self.clock, 10, unit="ns").start())
        await ClockCycles(self.clock, 3)
        self.reset.value = 0
        for side in ("in", "out"):
            valid, ready = self.pins[f"{side}_valid"], self.pins[f"{side}_ready"]
            HandshakeMonitor(self.clock, self.reset, valid, ready, [self.pins[f"{side}_payload"]], name=side)

    def queue(self, source, destination, length, sequence=0):
        """A packet of ``length`` random payload words for later sending."""
        words = packet(source, destination, sequence, [self.random.getrandbits(32) for _ in range(length)])
        self.to_send[source].extend((word, n == length) for n, word in enumerate(words))
        self.expected[source, destination].append(words)
        self.outstanding += 1
        for router in path(source, destination):
            self.flits_through[router] += len(words)

    def queue_many(self, last, length, sequence=0):
        """A packet of the host for all nodes up to ``last``."""
        x, y = NODES[last]
        head = HEADER.pack(kind=1, x=x, y=y, host=1, tag=HOST << 12 | sequence)
        words = (head, *(self.random.getrandbits(32) for _ in range(length)))
        self.to_send[HOST].extend((word, n == length) for n, word in enumerate(words))
        for node in many(last):
            self.expected[HOST, node].append(words)
            self.outstanding += 1
            for router in path(HOST, node)[-2:]:  # the one before sends it on, and the node's own into the node
                self.flits_through[router] += len(words)

    async def step(self):
        """One clock cycle; returns the number of transfers at the edge of the mesh."""
        self.cycle += 1
        taking = sum(1 << n for n in range(self.streams) if self.random.random() < self.take_rate[n])
        self.pins["out_ready"].value = taking
        self._offer()
        await RisingEdge(self.clock)
        transfers = self._accepted(int(self.pins["in_ready"].value))
        valid, payload = int(self.pins["out_valid"].value), int(self.pins["out_payload"].value)
        for n in range(self.streams):
            if valid & taking & 1 << n:
                transfers += 1
                flit = payload >> n * FLIT_BITS & (1 << FLIT_BITS) - 1
                self._arrive(n, flit & 0xFFFFFFFF, flit >> 32)
        return transfers

    def _offer(self):
        valid, payload = 0, 0
        for n, flits in enumerate(self.to_send):
            if self.offered[n] is None and flits and self.random.random() < self.send_rate[n]:
                self.offered[n] = flits.popleft()
            if self.offered[n] is not None:
                word, last = self.offered[n]
                valid |= 1 << n
                payload |= (last << 32 | word) << n * FLIT_BITS
        self.pins["in_valid"].value = valid
        self.pins["in_payload"].value = payload

    def _accepted(self, accepting):
        """Forget what the edge takes; returns how much that is."""
        taken = [n for n, flit in enumerate(self.offered) if flit is not None and accepting >> n & 1]
        for n in taken:
            self.offered[n] = None
        return len(taken)

    def _arrive(self, n, word, last):
        words = self.arriving[n]
        words.append(word)
        if last:
            source = origin(words[0])
            assert self.expected[source, n], f"stream {n}: a packet from {source} that was not sent, or sent elsewhere"
            assert self.expected[source, n].popleft() == tuple(words), f"stream {n}: wrong packet from {source}"
            self.arrivals.append((self.cycle, n, source, len(words)))
            self.outstanding -= 1
            self.arriving[n] = []

    async def finish(self):
        """Steps until everything has arrived and the mesh is empty; fails if nothing moves for long."""
        quiet = 0
        while self.outstanding:
            quiet = 0 if await self.step() else quiet + 1
            assert quiet < PATIENCE, f"stuck with {self.outstanding} packets under way"
        for _ in range(20):
            assert not await self.step(), "something was left in the mesh"
        assert int(self.pins["in_ready"].value) == (1 << self.streams) - 1

    def counters(self, name):
        """What every router has reported."""
        values = int(self.pins[name].value)
        return [values >> 32 * n & 0xFFFFFFFF for n in range(HOST)]

    def destinations(self, source):
        """All streams that ``source`` may send to: every node, itself too, and the host from every node."""
        return range(HOST if source == HOST else HOST + 1)

    async def saturate(self, destination, sources, packets, *, longest=MAX_PAYLOAD, others=()):
        """Steps until one of ``sources`` has no more of its ``packets`` for ``destination``, and then finishes.

        They have up to ``longest`` payload words. Each source sends a packet to one of ``others`` between two of them.

        Returns
        -------
        what arrived at ``destination`` from the time on when all had got there, in order: (source, flits)
        """
        left = dict.fromkeys(sources, packets)
        for source in sources:
            for sequence in range(packets):
                self.queue(source, destination, self.random.randint(0, longest), sequence)
                if others:
                    other = others[sequence % len(others)]
                    self.queue(source, other, self.random.randint(0, longest), sequence)
        seen, came = len(self.arrivals), []
        while all(left.values()):
            await self.step()
            for _, n, source, flits in self.arrivals[seen:]:
                if n == destination:
                    left[source] -= 1
                    came.append((source, flits))
            seen = len(self.arrivals)
        await self.finish()
        silent = set(sources) - {sender for sender, _ in came}
        assert not silent, f"nothing has come from {sorted(silent)} while another sent {packets} packets"
        begin = max(next(n for n, (sender, _) in enumerate(came) if sender == source) for source in sources)
        return came[begin + 1 :]


async def _new_mesh(dut):
    mesh = Mesh(dut, Random(cocotb.RANDOM_SEED))
    await mesh.start()
    return mesh


@cocotb.test()
async def everything_arrives(dut):
    """Random packets between all, at random rates of sending and taking: once, whole, and in order per pair."""
    mesh = await _new_mesh(dut)
    for rates in ((1.0,), (0.05, 0.3, 1.0), (0.05,)):
        mesh.send_rate = [mesh.random.choice((0.1, 0.5, 1.0)) for _ in range(mesh.streams)]
        mesh.take_rate = [mesh.random.choice(rates) for _ in range(mesh.streams)]
        for source in range(mesh.streams):
            for sequence in range(20):
                length = mesh.random.choice((0, 0, 2, 3, mesh.random.randint(0, MAX_PAYLOAD)))
                mesh.queue(source, mesh.random.choice(mesh.destinations(source)), length, sequence)
        await mesh.finish()
    assert mesh.counters("flits") == mesh.flits_through


@cocotb.test()
async def the_host_sends_to_many(dut):
    """Packets of the host for one node and for many arrive in the order of the host, whatever else is under way."""
    mesh = await _new_mesh(dut)
    for rates in ((1.0,), (0.1, 0.3, 1.0), (0.1,)):
        mesh.send_rate = [mesh.random.choice((0.3, 1.0)) for _ in range(mesh.streams)]
        mesh.take_rate = [mesh.random.choice(rates) for _ in range(mesh.streams)]
        for sequence in range(15):
            length = mesh.random.choice((0, 2, 2, 3, mesh.random.randint(0, MAX_PAYLOAD)))
            if mesh.random.random() < 0.7:
                mesh.queue_many(mesh.random.randrange(HOST), length, sequence)
            else:
                mesh.queue(HOST, mesh.random.randrange(HOST), length, sequence)
        for source in range(HOST):
            for sequence in range(8):
                destination = mesh.random.choice(mesh.destinations(source))
                mesh.queue(source, destination, mesh.random.randint(0, MAX_PAYLOAD), sequence)
        await mesh.finish()
    assert mesh.counters("flits") == mesh.flits_through


@cocotb.test()
async def packets_for_many_take_a_cycle_for_each_flit(dut):
    """On idle ways they follow each other without a gap, whatever their length, and reach all nodes."""
    mesh = await _new_mesh(dut)
    lengths = [*range(MAX_PAYLOAD + 1), 0, 0, 0, 0, 2, 2, 2]
    for sequence, length in enumerate(lengths):
        mesh.queue_many(HOST - 1, length, sequence)
    start = mesh.cycle + 1
    await mesh.finish()
    latency = mesh.arrivals[-1][0] - start - (sum(length + 1 for length in lengths) - 1)
    assert latency <= 2 * LONGEST, f"{latency} cycles through {LONGEST} routers"


@cocotb.test()
async def all_send_to_one(dut):
    """Everybody sends to one node, and then to the host, as fast as possible: nobody is left out."""
    mesh = await _new_mesh(dut)
    for destination in (mesh.random.randrange(HOST), HOST):
        sources = [source for source in range(mesh.streams) if destination in mesh.destinations(source)]
        for source in sources:
            for sequence in range(8):
                mesh.queue(source, destination, 3, sequence)
        start, flits = mesh.cycle, 8 * 4 * len(sources)
        await mesh.finish()
        assert mesh.arrivals[-1][0] - start <= flits + 4 * LONGEST, "the receiver was not kept busy"


@cocotb.test()
async def idle_path_takes_a_flit_every_cycle(dut):
    """Packets of all lengths follow each other without a gap, a cycle or two per router after they were sent."""
    mesh = await _new_mesh(dut)
    for source, destination in ((HOST, HOST - 1), (HOST - 1, HOST), (0, HOST - 1), (HOST - 1, 0), (0, 0)):
        lengths = [*range(MAX_PAYLOAD + 1), 0, 0, 0, 0]
        for sequence, length in enumerate(lengths):
            mesh.queue(source, destination, length, sequence)
        start = mesh.cycle + 1
        flits = sum(length + 1 for length in lengths)
        await mesh.finish()
        latency = mesh.arrivals[-1][0] - start - (flits - 1)
        routers = len(path(source, destination))
        assert routers <= latency <= 2 * routers, f"{latency} cycles through {routers} routers"


@cocotb.test(skip=CONFIG.chain or min(CONFIG.columns, CONFIG.rows) < 3)
async def output_is_shared_in_turn(dut):
    """Five inputs that always have a packet for one output have a packet in every round each."""
    mesh = await _new_mesh(dut)
    middle = NODES.index((1, 1))
    sources = [middle, *(NODES.index(position) for position in ((0, 1), (1, 0), (2, 1), (1, 2)))]
    for sequence in range(40):
        for source in sources:
            mesh.queue(source, middle, mesh.random.randint(0, MAX_PAYLOAD), sequence)
    await mesh.finish()
    order = [source for _, _, source, _ in mesh.arrivals]
    for turn in range(10, 180):  # a round is five packets in any order, and there is a whole one among nine
        assert set(order[turn : turn + 9]) == set(sources)


def shares(came, sources):
    """How many flits, and how many packets, came from each of the sources."""
    packets, flits = (dict.fromkeys(sources, 0) for _ in range(2))
    for source, length in came:
        packets[source] += 1
        flits[source] += length
    return list(flits.values()), list(packets.values())


def longest_wait(came, source):
    """The largest number of others' packets in a row while a source had one on its way."""
    places = [-1, *(n for n, (sender, _) in enumerate(came) if sender == source), len(came)]
    return max(after - before - 1 for before, after in pairwise(places))


@cocotb.test()
@cocotb.parametrize(longest=[0, MAX_PAYLOAD])
async def all_senders_get_the_same(dut, longest):
    """All nodes, and some of them, send to the host and to a node without a pause: equal shares, short waits."""
    mesh = await _new_mesh(dut)
    few = mesh.random.sample(range(HOST), (HOST + 1) // 2)
    node = mesh.random.randrange(HOST)
    for destination, sources in ((HOST, range(HOST)), (HOST, few), (HOST, sorted({0, HOST - 1})), (node, range(HOST))):
        came = await mesh.saturate(destination, sources, 40, longest=longest)
        flits, packets = shares(came, sources)
        dut._log.info("to %d, flits of each: %s, packets: %s", destination, flits, packets)
        assert max(flits) <= 2 * min(flits), f"shares of a way to {destination}: {flits} flits"
        assert max(packets) - min(packets) <= 3, f"shares of a way to {destination}: {packets} packets"
        for source in sources:
            waited = longest_wait(came, source)
            assert waited <= 2 * len(sources), f"{source} waited for {waited} packets of {len(sources)} senders"


@cocotb.test(skip=HOST < 2)
async def nobody_waits_for_long_beside_other_traffic(dut):
    """As above, but each sender has other packets between those for the host: nobody gets far more than another."""
    mesh = await _new_mesh(dut)
    for others in ((HOST - 2,), range(HOST)):
        came = await mesh.saturate(HOST, range(HOST), 20, others=others)
        _, packets = shares(came, range(HOST))
        dut._log.info("beside packets to %s: packets to the host: %s", list(others), packets)
        for source in range(HOST):
            waited = longest_wait(came, source)
            assert waited <= 4 * HOST, f"{source} waited for {waited} packets of {HOST} senders"


@cocotb.test()
async def counters_tell_what_happened(dut):
    """A flit that is not taken for some cycles counts as stalled for each."""
    mesh = await _new_mesh(dut)
    waiting = mesh.random.randint(5, 50)
    mesh.take_rate[0] = 0
    mesh.queue(0, 0, 2)
    while not int(mesh.pins["out_valid"].value) & 1:
        await mesh.step()
    for _ in range(waiting - 1):  # the step that saw the flit was the first
        await mesh.step()
    mesh.take_rate[0] = 1
    await mesh.finish()
    assert mesh.counters("flits") == mesh.flits_through
    assert mesh.counters("stalled") == [waiting] + [0] * (HOST - 1)

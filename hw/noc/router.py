# SPDX-License-Identifier: Apache-2.0
"""A node's router: wormhole packets, in a mesh X first and then Y, or along a chain; the host's also to many nodes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out, Signature, connect, flipped

from backspike.hw.noc.flit import FLIT, LINK, FlitStream, LinkStream, header_of
from backspike.hw.noc.flow import FlitBuffer, FlitMerge, round_begins
from backspike.spec.config import ChipConfig

__all__ = ["Router", "forks_of", "link_members", "router_signature", "turns_of"]

_MESH_TURNS = {  # output: inputs whose packets can need it; x grows to the east, y to the south
    "local": ("local", "west", "north", "east", "south"),
    "west": ("local", "east"),
    "north": ("local", "west", "east", "south"),
    "east": ("local", "west"),
    "south": ("local", "west", "north", "east"),
}
_CHAIN_TURNS = {"local": ("local", "west", "east"), "west": ("local", "east"), "east": ("local", "west")}


def turns_of(config):
    """By output of a router: the inputs whose packets can need it."""
    return _CHAIN_TURNS if config.chain else _MESH_TURNS


def forks_of(config):
    """By input of packets for many nodes: the outputs that such a packet may need at once."""
    return (
        {"west": ("local", "east")}
        if config.chain
        else {"west": ("local", "east", "south"), "north": ("local", "south")}
    )


def link_members(config):
    """``<port>_in`` and ``<port>_out`` for each port to a neighbour: west, north, east, south, or west, east."""
    links = [port for port in turns_of(config) if port != "local"]
    return {f"{port}_in": In(LinkStream) for port in links} | {f"{port}_out": Out(LinkStream) for port in links}


def router_signature(config):
    """Members of a router, see :class:`Router`."""
    return Signature(
        {
            "x": In(3),
            "y": In(3),
            "local_in": In(FlitStream),
            "local_out": Out(FlitStream),
            **link_members(config),
            "flits": Out(3),
            "stalled": Out(3),
        }
    )


class Router(Component):
    """Sends every packet towards the node, or to the host, that its header names.

    A packet to a node goes along its row to the right column and then along the column; a packet to the host
    (``host`` = 1) goes to column 0 and then north, out of the north port of node (0, 0), to the host link. Packets
    never turn from a column into a row, so that the mesh cannot deadlock as long as every node takes in what arrives.
    What a packet cannot need (turning back to where it came from) is not built, and its header is compared only as
    far as is open where it comes from.

    A packet that comes from the west or the north with ``host`` = 1 is the host's, and for many nodes: those from the
    host on to column ``x`` and row ``y``. It goes along row 0, from there down each column, and into every node that it
    passes. Each output takes a flit when it can; the next flit comes when all have. Such packets come from one place
    and never overtake each other, and what one of them waits for lies behind all that it holds: no deadlock either.

    In a chain (``config.chain``) the nodes follow each other row by row, west to east as seen from the router; a packet
    to the host goes west, out of the west port of node (0, 0), and one for many nodes into all up to (``x``, ``y``).

    Parameters
    ----------
    config : ChipConfig
        All routers of a chip are equal.

    Members
    -------
    x, y : In(3)
        Position in the mesh, constant.
    local_in : In(FlitStream)
    local_out : Out(FlitStream)
        From and to the node.
    <port>_in : In(LinkStream)
    <port>_out : Out(LinkStream)
        For each port to a neighbour: west, north, east, south; in a chain west, east.
    flits : Out(3)
        Flits sent through any output in a cycle.
    stalled : Out(3)
        Outputs whose flit waited in a cycle because the receiver was not ready.

    Latency is one cycle per router; each output sends one flit per cycle, also from packet to packet. Outputs are
    combinational functions of registers and of ``ready`` of no other port; ``<port>_in.ready`` comes from a register.
    ``flits`` and ``stalled`` come two cycles late. Reset empties the buffers.

    Raises
    ------
    TypeError: ``config`` is not a ``ChipConfig``
    """

    def __init__(self, config):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self.config = config
        super().__init__(router_signature(config))

    def elaborate(self, platform):
        m = Module()
        turns = turns_of(self.config)
        merges = {port: FlitMerge(len(inputs), sources=[inputs.index("local")]) for port, inputs in turns.items()}
        for port in turns:
            layout = FLIT if port == "local" else LINK
            m.submodules[f"{port}_buffer"] = buffer = FlitBuffer(layout)
            connect(m, flipped(getattr(self, f"{port}_in")), buffer.i)
            begins = 0 if port == "local" else round_begins(m, buffer.o, port)
            branches = []
            ways = self._ways(m, port, buffer.o)
            for output in ways:
                merge, place = merges[output], turns[output].index(port)
                branch = merge.i[place]
                m.d.comb += [
                    branch.payload.data.eq(buffer.o.payload.data),
                    branch.payload.last.eq(buffer.o.payload.last),
                    merge.begins[place].eq(begins),  # also if the packet goes elsewhere
                ]
                branches.append(branch)
            self._send(m, port, buffer.o, list(ways.values()), branches)
        for port, merge in merges.items():
            m.submodules[f"{port}_merge"] = merge
            out = getattr(self, f"{port}_out")
            m.d.comb += [
                out.payload.data.eq(merge.o.payload.data),
                out.payload.last.eq(merge.o.payload.last),
                out.valid.eq(merge.o.valid),
                merge.o.ready.eq(out.ready),
            ]
            if port != "local":
                m.d.comb += out.payload.round.eq(merge.round)
        outputs = [merge.o for merge in merges.values()]
        self._count(m, self.flits, Cat(o.valid & o.ready for o in outputs))
        self._count(m, self.stalled, Cat(o.valid & ~o.ready for o in outputs))
        return m

    def _send(self, m, port, flits, wanted, branches):
        """Offer the flit at hand to its outputs; it is gone when all of them have taken it."""
        ready, valid = Cat(branch.ready for branch in branches), Cat(branch.valid for branch in branches)
        wanted = Cat(wanted)
        if port not in forks_of(self.config):
            m.d.comb += [valid.eq(wanted & flits.valid.replicate(len(wanted))), flits.ready.eq((ready & wanted).any())]
            return
        taken = Signal(len(wanted), name=f"{port}_taken")  # outputs that have the flit, while others have not
        m.d.comb += [
            valid.eq(wanted & ~taken & flits.valid.replicate(len(wanted))),
            flits.ready.eq((~wanted | taken | ready).all()),
        ]
        m.d.sync += taken.eq(Mux(flits.ready, 0, taken | (valid & ready)))

    def _ways(self, m, port, flits):
        """For every output that ``port`` has a path to: whether the flit at hand goes there."""
        outputs, decided = self._decide(m, port, flits)
        inside, kept = Signal(name=f"{port}_inside"), Signal.like(decided, name=f"{port}_kept")
        with m.If(flits.valid & flits.ready):
            m.d.sync += inside.eq(~flits.payload.last)  # the header has gone ahead
        with m.If(~inside):
            m.d.sync += kept.eq(decided)
        return dict(zip(outputs, Mux(inside, kept, decided), strict=True))

    def _decide(self, m, port, flits):
        """The outputs that ``port`` has a path to, and which of them a header goes to, as one bit for each.

        A packet for one node takes the first way that is open, the last of which is the node itself; one for many nodes
        takes all, as they are all on its way.
        """
        header = header_of(flits.payload)
        directions = self._chain_directions(header) if self.config.chain else self._mesh_directions(header)
        outputs = [output for output, inputs in turns_of(self.config).items() if port in inputs]
        decided = Signal(len(outputs), name=f"{port}_decided")
        m.d.comb += decided.eq(1 << outputs.index("local"))
        for output, condition in reversed(directions[port].items()):
            with m.If(condition):
                m.d.comb += decided.eq(1 << outputs.index(output))
        for fork in forks_of(self.config).get(port, ()):
            with m.If(header.host):
                m.d.comb += decided[outputs.index(fork)].eq(directions[port].get(fork, 1))
        return outputs, decided

    def _chain_directions(self, header):
        number, here = Cat(header.x, header.y), Cat(self.x, self.y)
        return {
            "local": {"west": header.host | (number < here), "east": ~header.host & (number > here)},
            "west": {"east": number != here},
            "east": {"west": header.host | (number != here)},
        }

    def _mesh_directions(self, header):
        """By where a packet comes from; in a row, it is on its way to its column, and then to its row."""
        x, y, host = header.x, header.y, header.host
        before, behind = x < self.x, x > self.x
        above, below = host | (y < self.y), ~host & (y > self.y)  # the host is north of row 0
        return {
            "local": {"west": Mux(host, self.x != 0, before), "east": ~host & behind, "north": above, "south": below},
            "west": {"east": x != self.x, "north": y < self.y, "south": y > self.y},
            "east": {"west": Mux(host, self.x != 0, x != self.x), "north": above, "south": below},
            "north": {"south": y != self.y},
            "south": {"north": host | (y != self.y)},
        }

    def _count(self, m, number, events):
        """Counts events in two steps, so that no addition is behind the arbitration."""
        seen = Signal.like(events)
        m.d.sync += [seen.eq(events), number.eq(sum(seen))]

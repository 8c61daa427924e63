# SPDX-License-Identifier: Apache-2.0
"""The core's one elementwise unit, and who may use it when."""

from enum import IntEnum

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.elementwise import SIGN, Elementwise
from backspike.hw.blocks import or_reduce

__all__ = ["Arithmetic", "Client", "request_layout", "result_latency", "result_layout", "tag_layout"]


class Client(IntEnum):
    """Whose result comes out of the unit."""

    NEURON = 0
    ERROR = 1
    DELTA = 2
    VELOCITY = 3
    WEIGHT = 4
    CLAMP = 5


def tag_layout(shapes):
    """What travels with an operation: the client, and the fields that the clients need."""
    return StructLayout(
        {
            "client": 3,
            "lane": shapes.lane,
            "index": max(shapes.neuron, shapes.weight_address),  # neuron, block of deltas, or weight word
            "step": shapes.step,
            "word": max(
                1, shapes.neuron - 5
            ),  # word of bits that the result belongs to, counted from the slice's first
            "flush": 1,  # ends that word
            "count": shapes.count,  # of the neuron's spikes before this step
            **({"noise": 1} if shapes.noise else {}),
        }
    )


def request_layout(shapes, *, addend=True):
    """A term of an operation: ``product``: a b; ``add``: ``addend``, in units of the square of the format's lsb, for
    those who have one; neither: 0. The terms of an operation follow each other, up to that with ``last``, whose tag
    counts.
    """
    return StructLayout(
        {
            "a": shapes.number,
            "b": shapes.number,
            **({"addend": signed(shapes.error_sum)} if addend else {}),
            "product": 1,
            "add": 1,
            "last": 1,
            "tag": tag_layout(shapes),
        }
    )


def result_layout(shapes):
    """A result: valid in one cycle, never waiting; signs as in ``Elementwise``."""
    signs = {"sign": SIGN, "sign_before": SIGN}
    return StructLayout({"valid": 1, "value": shapes.number, **signs, "tag": tag_layout(shapes)})


def result_latency(shapes):
    """Cycles from an operation's last term to its result."""
    return 1 + Elementwise.latency_of(shapes.config.format, shapes.error_sum)


class Arithmetic(wiring.Component):
    """Elementwise unit behind four request streams: neuron updates first, the others in the free cycles.

    An operation that has begun is finished first: until then only its side is served. Of the delta and the weight
    update only one may run at a time.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    neuron, delta: requests of the neuron and the delta update
    velocity, weight: those of the weight update, never both at once
    result: result of any of them, for whom the tag's client says; :func:`result_latency` cycles after the last term
    used, saturated: for the counters
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.unit = Elementwise(shapes.config.format, shapes.error_sum, tag_layout(shapes))
        request = stream.Signature(request_layout(shapes))
        super().__init__(
            {
                "neuron": In(request),
                "delta": In(request),
                "velocity": In(request),
                "weight": In(stream.Signature(request_layout(shapes, addend=False))),
                "result": Out(result_layout(shapes)),
                "used": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        begun, backward = Signal(), Signal()  # an operation waits for its next term, and whose it is
        others = Mux(begun, backward, ~self.neuron.valid)
        # Who may give a term
        sides = {"neuron": ~(begun & backward), **dict.fromkeys(("delta", "velocity", "weight"), others)}
        terms = {name: Signal.like(getattr(self, name).p, name=f"{name}_term") for name in sides}
        m.d.sync += unit.valid.eq(0)
        for name, free in sides.items():
            request = getattr(self, name)
            m.d.comb += request.ready.eq(free)
            with m.If(request.valid & free):
                m.d.sync += [unit.valid.eq(1), begun.eq(~request.p.last), backward.eq(int(name != "neuron"))]
            self._take(m, request.p, request.valid & free, terms[name])
        m.d.comb += [
            *(
                getattr(unit, name).eq(
                    or_reduce(Value.cast(term[name]) for term in terms.values() if name in term.shape().members)
                )
                for name in ("a", "b", "addend", "product", "add", "last", "tag")
            ),
            self.used.eq(unit.valid),
            self.result.valid.eq(unit.done),
            self.result.value.eq(unit.value),
            self.result.sign.eq(unit.sign),
            self.result.sign_before.eq(unit.sign_before),
            self.result.tag.eq(unit.tag_out),
            self.saturated.eq(unit.done & unit.saturated),
        ]
        return m

    def _take(self, m, request, taken, term):
        """Each client's term has a register of its own, which is 0 without one, so that an OR chooses among them.

        The zero becomes the synchronous clear of the flip-flops and costs no logic.
        """
        m.d.sync += term.eq(0)
        with m.If(taken):
            m.d.sync += [term[name].eq(request[name]) for name in ("a", "b", "product", "add", "last", "tag")]
        if "addend" in term.shape().members:
            with m.If(taken & request.add):
                m.d.sync += term.addend.eq(request.addend)

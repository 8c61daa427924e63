# SPDX-License-Identifier: Apache-2.0
"""The core's one elementwise unit, and who may use it when."""

from enum import IntEnum

from amaranth.hdl import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from backspike.hw.arith.elementwise import Elementwise

__all__ = ["Arithmetic", "Client", "request_layout", "result_layout", "tag_layout"]


class Client(IntEnum):
    """Whose result comes out of the unit."""

    NEURON = 0
    ERROR = 1
    DELTA = 2
    VELOCITY = 3
    WEIGHT = 4


def tag_layout(shapes):
    """What travels with an operation: the client, and the fields that the clients need."""
    return StructLayout({
        "client": 3,
        "lane": shapes.lane,
        "index": 17,  # neuron, block of deltas, or weight word
        "step": shapes.step,
        "local": 14,  # neuron or block counted from the start of the slice
        "flush": 1,  # ends a word of bits
        "weight": shapes.number,
    })


def request_layout(shapes):
    """An operation ``round(a b + c d + addend)``; ``addend`` in units of the square of the format's lsb."""
    number = shapes.number
    return StructLayout({
        **dict.fromkeys("abcd", number), "addend": signed(shapes.error_sum), "tag": tag_layout(shapes)})


def result_layout(shapes):
    """A result: valid in one cycle, never waiting."""
    return StructLayout({"valid": 1, "value": shapes.number, "tag": tag_layout(shapes)})


class Arithmetic(wiring.Component):
    """Elementwise unit behind two request streams: neuron updates first, everything else in the free cycles.

    Parameters
    ----------
    shapes: Shapes

    Members
    -------
    forward: requests of the neuron update, always accepted
    backward: requests of the backward thread
    result: result of either, for whom the tag's client says; ``latency`` cycles after the request
    used, saturated: for the counters
    """

    def __init__(self, shapes):
        self.shapes = shapes
        self.unit = Elementwise(shapes.config.format, shapes.error_sum, tag_layout(shapes))
        request = stream.Signature(request_layout(shapes))
        super().__init__({
            "forward": In(request),
            "backward": In(request),
            "result": Out(result_layout(shapes)),
            "used": Out(1),
            "saturated": Out(1),
        })

    @property
    def latency(self):
        return self.unit.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.unit = unit = self.unit
        m.d.comb += [
            self.forward.ready.eq(1),
            self.backward.ready.eq(~self.forward.valid),
            unit.valid.eq(self.forward.valid | self.backward.valid),
            self.used.eq(unit.valid),
            self.result.valid.eq(unit.done),
            self.result.value.eq(unit.value),
            self.result.tag.eq(unit.tag_out),
            self.saturated.eq(unit.done & unit.saturated),
        ]
        with m.If(self.forward.valid):
            self._offer(m, self.forward.p)
        with m.Else():
            self._offer(m, self.backward.p)
        return m

    def _offer(self, m, request):
        unit = self.unit
        m.d.comb += [
            unit.a.eq(request.a), unit.b.eq(request.b), unit.c.eq(request.c), unit.d.eq(request.d),
            unit.addend.eq(request.addend), unit.tag.eq(request.tag),
        ]

# SPDX-License-Identifier: Apache-2.0
"""Turns the results of the back-propagation engine into packets for the owners of the inputs, or for the host."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.core.send.packet_arbiter import packet_header
from backspike.spec.packets import Kind

__all__ = ["ErrorPackets"]


class ErrorPackets(wiring.Component):
    """One ERROR packet for each result, in the same cycle; of two words where the sum fits into 64 bits.

    Parameters
    ----------
    shapes: Shapes
    result: shape of the engine's results

    Members
    -------
    slot, to_host: of the job
    results: stream from the engine
    packets: packet stream
    """

    def __init__(self, shapes, result):
        super().__init__(
            {
                "slot": In(shapes.slot),
                "to_host": In(1),
                "results": In(stream.Signature(result)),
                "packets": Out(stream.Signature(shapes.packet)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        target, total, packet = self.results.p.target, self.results.p.sum, self.packets.p
        sign, high, long = total[63], total[64:], Signal()
        m.d.sync += long.eq((high ^ sign.replicate(len(high))).any())
        m.d.comb += [
            packet.header.eq(
                packet_header(
                    Kind.ERROR,
                    x=target.x,
                    y=target.y,
                    host=self.to_host,
                    neuron=target.neuron,
                    step=target.step,
                    slot=self.slot,
                )
            ),
            *(packet.words[k].eq(total[32 * k : 32 * (k + 1)]) for k in range(3)),
            packet.length.eq(Cat(long, 1)),  # of use two cycles after the header at the earliest
            self.packets.valid.eq(self.results.valid),
            self.results.ready.eq(self.packets.ready),
        ]
        return m

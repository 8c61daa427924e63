# SPDX-License-Identifier: Apache-2.0
"""One port of a memory for several owners."""

from amaranth.hdl import Assert, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from backspike.hw.blocks import is_onehot0
from backspike.hw.ram import ReadPort, WritePort

__all__ = ["PortArbiter"]


class PortArbiter(wiring.Component):
    """Gives a port to the owner that claims it, and to the last one while nobody does.

    At most one owner may claim it at a time, and while one does, the last must not write. The units see to that; here
    it is asserted.

    Parameters
    ----------
    port : ReadPort or WritePort
    owners : sequence of str

    Members
    -------
    <owner> : In(port)
    <owner>_claims : In(1)
        Of each owner but the last.
    port : Out(port)
        To the memory.

    Latency: none. No registers: clock and reset are for the assertions.
    """

    def __init__(self, port, owners):
        if not isinstance(port, ReadPort | WritePort):
            raise TypeError(f"port must be a ReadPort or a WritePort, not {port!r}")
        *self.claimants, self.last = owners
        super().__init__(
            {
                **{owner: In(port) for owner in owners},
                **{f"{owner}_claims": In(1) for owner in self.claimants},
                "port": Out(port),
            }
        )

    def elaborate(self, platform):
        m = Module()
        claims = Signal(len(self.claimants))
        m.d.comb += claims.eq(sum(getattr(self, f"{owner}_claims") << k for k, owner in enumerate(self.claimants)))
        if len(claims) > 1:
            self._assert(m, is_onehot0(claims))
        self._choose(m, getattr(self, self.last))
        for owner, claim in zip(self.claimants, claims, strict=True):
            with m.If(claim):
                self._choose(m, getattr(self, owner))
        if "data" in self.port.signature.members and self.port.signature.members["data"].flow == In:
            for owner in (*self.claimants, self.last):
                m.d.comb += getattr(self, owner).data.eq(self.port.data)
        else:
            self._assert(m, ~(claims.any() & getattr(self, self.last).enable.any()))
        return m

    def _assert(self, m, condition):
        """From the reset on: registers hold anything before."""
        m.d.sync += Assert(condition | ResetSignal())

    def _choose(self, m, owner):
        for name, member in self.port.signature.members.items():
            if member.flow == Out:
                m.d.comb += getattr(self.port, name).eq(getattr(owner, name))

# SPDX-License-Identifier: Apache-2.0
"""The chip's end of the serial link: packets on one side, two pins on the other. See docs/link.md."""

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from backspike.hw.noc.host_link import AxiStream
from backspike.hw.serial.arq_session import FrameMaker, Session
from backspike.hw.serial.frames import FrameReceiver, FrameSender
from backspike.hw.serial.rings import RING_BITS, Inbox, Outbox
from backspike.hw.serial.uart import UartReceiver, UartTransmitter
from backspike.spec.config import ChipConfig
from backspike.spec.serial_frames import pack_welcome

__all__ = ["UartLink"]


class UartLink(Component):
    """Carries packets over a serial line so that they arrive whole, once and in order, whatever the line does to bytes.

    A packet is on its way to the host as soon as it is whole, and behind all others; one from the host comes out when
    its frame has ended and was checked. The line sets the pace: four bytes of ten bits for a word, one for a packet,
    and some for each frame (docs/link.md). Reset ends the session.

    Parameters
    ----------
    config : ChipConfig
        What the host is told about the chip.
    clock_hz, baud : int
        As for :func:`backspike.hw.serial.uart.divisor`.

    Members
    -------
    rx : In(1), tx : Out(1)
        The line.
    m_axis : Out(AxiStream)
        Packets from the host.
    s_axis : In(AxiStream)
        Packets to the host, at most 16 words each.
    reset : Out(1)
        A session begins: the chip must start anew. For 16 cycles, from a register; also in the cycle after reset.
    tick : In(1)
        For one cycle, several milliseconds apart; four to five without an answer mean that bytes were lost.
    fault : Out(1)
        Since the session began, a damaged frame has come, something was sent again, or the chip has sent a FAULT.
    """

    rx: In(1)
    tx: Out(1, init=1)
    m_axis: Out(AxiStream)
    s_axis: In(AxiStream)
    reset: Out(1)
    tick: In(1)
    fault: Out(1)

    def __init__(self, config, *, clock_hz, baud):
        if not isinstance(config, ChipConfig):
            raise TypeError(f"config must be a ChipConfig, not {config!r}")
        self.config = config
        self._line = {"clock_hz": clock_hz, "baud": baud}
        self._receiver, self._transmitter = UartReceiver(**self._line), UartTransmitter(**self._line)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = self._receiver
        m.submodules.transmitter = transmitter = self._transmitter
        m.submodules.frame_receiver = frames = FrameReceiver()
        m.submodules.session = session = Session()
        inbox, outbox, frame_sender = Inbox(), Outbox(), FrameSender()
        maker = FrameMaker(pack_welcome(self.config, RING_BITS))
        # A domain, as ``ResetInserter`` would leave two resets to each register, one of them in its logic.
        m.domains.session = domain = ClockDomain(local=True)
        m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(session.reset)]
        anew = DomainRenamer("session")
        m.submodules.inbox, m.submodules.outbox = anew(inbox), anew(outbox)
        m.submodules.maker, m.submodules.frame_sender = anew(maker), anew(frame_sender)
        connect(m, maker.o, frame_sender.i)
        connect(m, frame_sender.o, transmitter.i)
        connect(m, inbox.o, flipped(self.m_axis))
        connect(m, flipped(self.s_axis), outbox.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            frames.i.eq(receiver.o),
            *(getattr(session, name).eq(getattr(frames, name)) for name in ("data", "valid", "end", "good")),
            *(getattr(session, name).eq(getattr(inbox, name)) for name in ("expected", "fits")),
            inbox.data.eq(frames.data),
            inbox.valid.eq(session.payload_valid),
            inbox.keep.eq(session.keep),
            inbox.drop.eq(session.drop),
            *(
                getattr(maker, name).eq(getattr(session, name))
                for name in ("session", "welcome", "lost", "poll", "nak", "acknowledge", "ack", "again")
            ),
            *(getattr(maker, name).eq(getattr(inbox, name)) for name in ("expected", "taken")),
            maker.enable.eq(~session.reset),
            session.answered.eq(maker.answered),
            maker.tick.eq(self.tick),
            maker.written.eq(outbox.written),
            maker.data.eq(outbox.data),
            outbox.acked.eq(maker.acked),
            outbox.address.eq(maker.address),
            self.reset.eq(session.reset),
        ]
        with m.If(session.damaged | maker.repeated | outbox.fault):
            m.d.sync += self.fault.eq(1)
        with m.Elif(session.reset):
            m.d.sync += self.fault.eq(0)
        return m

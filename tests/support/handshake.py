# SPDX-License-Identifier: Apache-2.0
"""The rules of a valid/ready stream, held by a monitor."""

import cocotb
from cocotb.triggers import RisingEdge

__all__ = ["HandshakeMonitor"]


class HandshakeMonitor:
    """Fails the test when a stream withdraws ``valid``, or changes its payload, before ``ready`` came.

    Signals are read at a rising edge of the clock: they are what they were before it, and what the edge sees.

    Parameters
    ----------
    clock, reset: handles; nothing is checked across a reset (``None`` for no reset)
    valid, ready: handles, one bit per stream
    payload: handles whose bits belong together; each is as many times wider than ``valid`` as its part of one stream
    name: what to call the streams in messages

    Attributes
    ----------
    transfers: number of transfers seen so far
    """

    def __init__(self, clock, reset, valid, ready, payload, *, name):
        self.clock, self.reset = clock, reset
        self.valid, self.ready, self.payload = valid, ready, tuple(payload)
        self.name = name
        self.streams = len(valid)
        self.transfers = 0
        self._task = cocotb.start_soon(self._watch())

    async def _watch(self):
        waiting, offered, edge = 0, [], RisingEdge(self.clock)
        while True:
            await edge
            if self.reset is not None and int(self.reset.value):
                waiting = 0
                continue
            valid, ready = int(self.valid.value), int(self.ready.value)
            payload = [int(part.value) for part in self.payload]
            if waiting:
                self._check(waiting, valid, offered, payload)
            self.transfers += (valid & ready).bit_count()
            waiting, offered = valid & ~ready, payload

    def _check(self, waiting, valid, offered, payload):
        withdrawn = waiting & ~valid
        assert not withdrawn, f"{self.name}: valid withdrawn before ready by streams {withdrawn:#b}"
        for handle, before, now in zip(self.payload, offered, payload, strict=True):
            changed = before ^ now
            if changed:
                width = len(handle) // self.streams
                for n in range(self.streams):
                    changes = changed >> n * width & (1 << width) - 1
                    changes_illegally = changes and waiting >> n & 1
                    assert not changes_illegally, f"{self.name}: stream {n} changed its payload while waiting"

# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench that does what another process asks for: send a packet, or wait for one.

Time passes in the simulation while it waits for a packet, and stands still otherwise. ``BACKSPIKE_REMOTE`` is the path
of a socket; see :mod:`backspike.sim.remote.remote_chip`.
"""

import os
import signal
from multiprocessing.connection import Client
from typing import Any

import cocotb

from backspike.sim.run.transport import ChipTransport


@cocotb.test()
async def serve(dut: Any) -> None:
    """Lists of words are sent; ``None`` asks for a packet, or for ``None`` where none comes; the end is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this is interrupted too, and closes the socket
    transport = ChipTransport(dut, seed=cocotb.RANDOM_SEED)
    await transport.start()
    with Client(os.environ["BACKSPIKE_REMOTE"], family="AF_UNIX") as host:
        while True:
            try:
                words = host.recv()
            except EOFError:
                return
            if words is not None:
                await transport.send(words)
                continue
            try:
                reply = await transport.receive()
            except TimeoutError:
                reply = None
            host.send(reply)

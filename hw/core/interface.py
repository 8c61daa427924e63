# SPDX-License-Identifier: Apache-2.0
"""What a tile expects of a core, of whatever kind."""

from amaranth.lib.wiring import In, Out

from backspike.hw.noc.flit import FlitStream

__all__ = ["CORE_MEMBERS"]

CORE_MEMBERS = {
    "x": In(3),
    "y": In(3),
    "rx": In(FlitStream),
    "tx": Out(FlitStream),
    "router_flits": In(3),
    "router_stalled": In(3),
    "activity": Out(3),
}
"""Members of a core, by name."""

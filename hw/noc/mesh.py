# SPDX-License-Identifier: Apache-2.0
"""Wiring of nodes to a mesh."""

from amaranth.lib.wiring import connect

from backspike.hw.noc.router import PORTS

__all__ = ["connect_mesh", "positions"]

_OPPOSITE = {"west": "east", "east": "west", "north": "south", "south": "north"}
_STEP = {"west": (-1, 0), "north": (0, -1), "east": (1, 0), "south": (0, 1)}


def positions(config):
    """``(x, y)`` of all nodes, row by row; node n of the chip is the n-th of them."""
    return [(x, y) for y in range(config.rows) for x in range(config.columns)]


def connect_mesh(m, config, nodes):
    """Connects every ``<port>_out`` with the neighbour's ``<port>_in``, and gives the nodes their coordinates.

    Ports at the edge of the mesh receive nothing, and take and forget what a wrong address may send there. The way
    from and to the host is left to the caller: from the west into node (0, 0), and out of it to the north.

    Parameters
    ----------
    m: Module
    config: ChipConfig
    nodes: ``{(x, y): node}`` with the members of a Router except for the local ports
    """
    for (x, y), node in nodes.items():
        m.d.comb += [node.x.eq(x), node.y.eq(y)]
        for port in PORTS[1:]:
            step = _STEP[port]
            neighbour = nodes.get((x + step[0], y + step[1]))
            out = getattr(node, f"{port}_out")
            if neighbour is not None:
                connect(m, out, getattr(neighbour, f"{_OPPOSITE[port]}_in"))
            elif (x, y, port) != (0, 0, "north"):
                m.d.comb += out.ready.eq(1)

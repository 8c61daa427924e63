# SPDX-License-Identifier: Apache-2.0
"""Wiring of nodes to a mesh or a chain."""

from amaranth.lib.wiring import connect

__all__ = ["connect_nodes", "positions", "to_host"]

_OPPOSITE = {"west": "east", "east": "west", "north": "south", "south": "north"}
_STEP = {"west": (-1, 0), "north": (0, -1), "east": (1, 0), "south": (0, 1)}


def positions(config):
    """``(x, y)`` of all nodes, row by row; node n of the chip is the n-th of them."""
    return [(x, y) for y in range(config.rows) for x in range(config.columns)]


def to_host(config, nodes):
    """The stream to the host: out of node (0, 0) to the north, and of a chain to the west."""
    return nodes[0, 0].west_out if config.chain else nodes[0, 0].north_out


def connect_nodes(m, config, nodes):
    """Connects every ``<port>_out`` with the neighbour's ``<port>_in``, and gives the nodes their coordinates.

    Ports at the edge receive nothing, and take and forget what a wrong address may send there. The way from and to the
    host is left to the caller: from the west into node (0, 0), and :func:`to_host`.

    Parameters
    ----------
    m : Module
    config : ChipConfig
    nodes : dict
        ``{(x, y): node}``, each with the members of a Router except for the local ports.
    """
    for (x, y), node in nodes.items():
        m.d.comb += [node.x.eq(x), node.y.eq(y)]
        for port, position in _neighbours(config, x, y).items():
            out, neighbour = getattr(node, f"{port}_out"), nodes.get(position)
            if neighbour is not None:
                connect(m, out, getattr(neighbour, f"{_OPPOSITE[port]}_in"))
            elif out is not to_host(config, nodes):
                m.d.comb += out.ready.eq(1)


def _neighbours(config, x, y):
    """``{port: position}``; at the edge, a position where no node is."""
    if not config.chain:
        return {port: (x + dx, y + dy) for port, (dx, dy) in _STEP.items()}
    number, nodes = y * config.columns + x, dict(enumerate(positions(config)))
    return {"west": nodes.get(number - 1), "east": nodes.get(number + 1)}

# SPDX-License-Identifier: Apache-2.0
"""Which part of a placement goes to which core of the mesh, so that packets have short ways."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backspike.host.compiler.capacity import words_of
from backspike.host.compiler.geometry import Core, pixels
from backspike.host.compiler.partition import Partition, Piece

__all__ = ["assign_cores", "flits"]

HOST_AT = (0, 0)
"""The core at whose router packets of the host enter."""


def flits(partition: Partition, producer: Piece, consumer: Piece) -> float:
    """Estimated flits per sample between two pieces, both ways.

    Packets of three flits: forward for 32 outputs and step, backward for each error that a mask asks for.
    """
    network, last = partition.network, len(partition.network.layers) - 1
    follows = producer.layer in network.taken[consumer.layer]
    sends = producer.layer < consumer.layer == last if partition.feedback else follows
    outputs = pixels(network.layers[producer.layer]) * producer.channels
    copies = follows + sends if partition.learned else follows or sends
    words = words_of(outputs) * copies
    errors = outputs * partition.densities[network.takers[producer.layer][0]].masks if sends else 0
    return 3 * network.steps * (words + errors)


def assign_cores(partition: Partition, pieces: Sequence[Piece], cores: Sequence[Core]) -> list[Piece]:
    """The same pieces on the same number of cores, exchanged so that flits times hops become few.

    Pieces that share a core stay together. No exchange of two of ``cores``, used or not, makes the result better.

    Parameters
    ----------
    partition : Partition
        Network and chip.
    pieces : sequence of Piece
        The placement.
    cores : sequence of (int, int)
        All cores that may be used, those of the pieces among them.
    """
    network = partition.network
    groups = sorted({(p.x, p.y) for p in pieces}, key=cores.index)
    places = groups + [core for core in cores if core not in groups]
    number = {core: k for k, core in enumerate(places)}
    traffic = np.zeros((len(places), len(places)))
    to_host = np.zeros(len(places))
    for p in pieces:
        at = number[p.x, p.y]
        if p.layer == 0:
            to_host[at] += 3 * network.steps * words_of(network.inputs)
        if p.layer == len(network.layers) - 1:
            to_host[at] += 3 * network.steps * words_of(p.channels)
        for q in pieces:
            if q.layer > p.layer:
                traffic[at, number[q.x, q.y]] += flits(partition, p, q)
    traffic += traffic.T
    spots = np.array(places)
    distance = np.abs(spots[:, None] - spots[None, :]).sum(axis=2)
    host_distance = np.abs(spots - HOST_AT).sum(axis=1)
    order = _exchange(traffic, to_host, distance, host_distance)
    return [replace(p, x=places[order[number[p.x, p.y]]][0], y=places[order[number[p.x, p.y]]][1]) for p in pieces]


def _exchange(traffic: np.ndarray, to_host: np.ndarray, distance: np.ndarray, host_distance: np.ndarray) -> np.ndarray:
    """Spot of each group after exchanging pairs for as long as that helps, always the pair that helps most."""
    order = np.arange(len(traffic))
    here, there = np.triu_indices(len(order), 1)
    while True:
        # cost[g, s]: flits times hops of group g if it alone were at the spot of group s
        ways = distance[np.ix_(order, order)]
        cost = traffic @ ways + np.outer(to_host, host_distance[order])
        own = np.diag(cost)
        gain = own[here] + own[there] - cost[here, there] - cost[there, here]
        gain -= 2 * traffic[here, there] * ways[here, there]
        if not len(gain) or gain.max() <= 1e-9:
            return order
        best = int(gain.argmax())
        a, b = here[best], there[best]
        order[[a, b]] = order[[b, a]]

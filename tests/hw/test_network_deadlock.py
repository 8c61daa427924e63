# SPDX-License-Identifier: Apache-2.0
"""No circle of packets that wait for each other in meshes and chains, with packets of the host for many nodes."""

from itertools import product

import pytest

from backspike.hw.noc.mesh import positions
from backspike.hw.noc.router import forks_of, turns_of
from backspike.spec.config import ChipConfig

_STEP = {"west": (-1, 0), "north": (0, -1), "east": (1, 0), "south": (0, 1)}
_ARRIVAL = {"west": "east", "north": "south", "east": "west", "south": "north"}
SHAPES = [
    ChipConfig(columns=columns, rows=rows, chain=chain)
    for columns, rows, chain in product((1, 2, 3, 5), (1, 2, 4), (False, True))
]


class Links:
    """The links of a chip: (node, output).

    Parameters
    ----------
    config: ChipConfig

    Attributes
    ----------
    next: by link: those that a packet on it may need next
    """

    def __init__(self, config):
        self.config, self.nodes = config, positions(config)
        turns = turns_of(config)
        self.next = {(node, way): self._behind(node, way, turns) for node in self.nodes for way in turns}

    def _behind(self, node, way, turns):
        following = self.follower(node, way)
        return [(following, output) for output, inputs in turns.items() if following and _ARRIVAL[way] in inputs]

    def follower(self, node, way):
        """The node at the other end, or None."""
        if way == "local":
            return None
        if self.config.chain:
            place = self.nodes.index(node) + _STEP[way][0]
            return self.nodes[place] if 0 <= place < len(self.nodes) else None
        other = node[0] + _STEP[way][0], node[1] + _STEP[way][1]
        return other if other in self.nodes else None

    def reached(self, link):
        """All links that packets may wait for, one after the other, behind this one."""
        found, left = set(), [link]
        while left:
            new = set(self.next[left.pop()]) - found
            found |= new
            left += new
        return found

    def tree(self, node, arrival, last):
        """Links that a packet of the host for all nodes up to ``last`` needs from a node on."""
        found = set()
        for way in forks_of(self.config)[arrival]:
            following = self.follower(node, way)
            if way == "local" or (following and self.wanted(following, last)):
                found.add((node, way))
            if following and self.wanted(following, last):
                found |= self.tree(following, _ARRIVAL[way], last)
        return found

    def wanted(self, node, last):
        """Whether a packet for all nodes up to ``last`` is for this one."""
        if self.config.chain:
            return self.nodes.index(node) <= self.nodes.index(last)
        return node[0] <= last[0] and node[1] <= last[1]


def _name(config):
    return f"{'chain' if config.chain else 'mesh'}{config.columns}x{config.rows}"


@pytest.mark.parametrize("chain", [False, True], ids=["mesh", "chain"])
def test_who_waits_for_a_link_holds_none_behind_it(chain):
    """So there is no circle of waiting packets: one for a single node never waits for itself, nor one for many.

    A packet for many nodes that waits for a link has at most the other links of its tree: those before and beside it.
    Who has the link waits for one behind it, and so on; that those never come back to the packet for many nodes is what
    is shown. Such packets do not overtake each other, as each node gets them from one side only.
    """
    for config in (config for config in SHAPES if config.chain == chain):
        links = Links(config)
        reached = {link: links.reached(link) for link in links.next}
        assert not [link for link, behind in reached.items() if link in behind], _name(config)
        arrivals = set()
        for last in links.nodes:
            tree = links.tree((0, 0), "west", last)
            assert {node for node, way in tree if way == "local"} == {n for n in links.nodes if links.wanted(n, last)}
            arrivals |= {(links.follower(*link), link) for link in tree if link[1] != "local"}
            for link in tree:
                following = links.follower(*link) if link[1] != "local" else None
                not_held = links.tree(following, _ARRIVAL[link[1]], last) if following else set()
                assert tree & reached[link] == not_held, f"{_name(config)}: {link} of a packet for all up to {last}"
        assert len(arrivals) == len({node for node, _ in arrivals}), _name(config)

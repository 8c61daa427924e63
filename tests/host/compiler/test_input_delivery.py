# SPDX-License-Identifier: Apache-2.0
"""How many copies of the inputs the host sends."""

import pytest

from backspike.golden.network import Dense, Network, Training
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.partition import Piece
from backspike.spec.config import ChipConfig
from backspike.spec.tables import Region

NETWORK = Network(layers=[Dense(inputs=40, outputs=6), Dense(inputs=6, outputs=2)], steps=2)


def plan_of(pieces, *, chain=False):
    config = ChipConfig(columns=2, rows=2, chain=chain, steps=2)
    return compile_network(NETWORK, Training(rate=0.125), config, strategy=pieces)


@pytest.mark.parametrize(("chain", "last"), [(False, (1, 1)), (True, (0, 1))], ids=["mesh", "chain"])
def test_slices_with_the_same_place_in_their_cores_share_a_copy(chain, last):
    places = [(1, 0), (0, 1)]
    pieces = [Piece(0, x, y, 3 * n, 3) for n, (x, y) in enumerate(places)]
    plan = plan_of([*pieces, Piece(1, 0, 0, 0, 2)], chain=chain)
    (delivery,) = plan.deliveries
    assert (delivery.index, delivery.tape, delivery.shared) == (0, 0, True)
    assert (delivery.x, delivery.y) == last
    assert [part.core for part in delivery.slices] == places
    assert plan.shared == {(1, 0, 0), (0, 1, 0)}, "not the slice with number 0 of core (0, 0), of another layer"
    shared = {part.core: plan.expectations(part)["shared"] for part in plan.slices}
    assert shared == {(0, 0): False, (1, 0): True, (0, 1): True}


def test_other_cores_on_the_way_are_told_to_take_nothing():
    """An earlier network may have used them; those that this one uses have entries of their own."""
    plan = plan_of([*(Piece(0, x, y, 3 * y, 3) for x, y in ((1, 0), (0, 1))), Piece(1, 0, 0, 0, 2)])
    entries = [p for p in plan.table_packets() if p.tag["region"] == Region.EXPECTATION]
    assert [(p.x, p.y) for p in entries] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert entries[-1].payload == (0, 0, 0)


def test_second_slices_of_cores_share_another_copy_and_one_alone_gets_its_own():
    pieces = [Piece(0, x, 0, first, 1) for x, first in ((0, 0), (1, 1), (0, 2), (1, 3), (0, 4))] + [
        Piece(0, 1, 1, 5, 1)
    ]
    plan = plan_of([*pieces, Piece(1, 0, 0, 0, 2)])
    found = [(each.index, each.x, each.y, each.shared, len(each.slices)) for each in plan.deliveries]
    assert found == [(0, 1, 1, True, 3), (1, 1, 0, True, 2), (2, 0, 0, False, 1)]
    assert plan.to_dict()["link"] == 3 * 2 * 2 * 3  # copies x steps x words x flits


def test_one_core_needs_no_packets_for_many():
    plan = plan_of([Piece(0, 0, 0, 0, 6), Piece(1, 1, 0, 0, 2)])
    assert [(each.shared, each.x, each.y) for each in plan.deliveries] == [(False, 0, 0)]
    assert not plan.shared

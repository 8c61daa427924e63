# SPDX-License-Identifier: Apache-2.0
"""Which slices of the first layer get the inputs of the host in the same packets."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from backspike.host.compiler.geometry import Core
from backspike.host.compiler.slices import Slice
from backspike.spec.config import ChipConfig

__all__ = ["Delivery", "bystanders", "input_deliveries"]


@dataclass(frozen=True)
class Delivery:
    """Slices that are served by one copy of the inputs.

    Parameters
    ----------
    slices : tuple of Slice
        Of the first layer, with the same number in their cores and the same first tape word.
    x, y : int
        The core to which the packets go, or if they are shared the last one.
    shared : bool
        Whether the packets go to many cores (``EXPECTATIONS.shared``).
    """

    slices: tuple[Slice, ...]
    x: int
    y: int
    shared: bool

    @property
    def index(self) -> int:
        """The number of the slices in their cores."""
        return self.slices[0].index

    @property
    def tape(self) -> int:
        """Their first tape word."""
        return self.slices[0].tape_base


def input_deliveries(config: ChipConfig, slices: Sequence[Slice]) -> list[Delivery]:
    """As few copies of the inputs as packets for many cores allow.

    Such a packet is for all slices of one number that share. So of each number, those share that are most often at the
    same tape word, and the others get copies of their own.

    Parameters
    ----------
    config : ChipConfig
        The chip.
    slices : sequence of Slice
        Those of the first layer.
    """
    alike: dict[tuple[int, int], list[Slice]] = defaultdict(list)
    for part in slices:
        alike[part.index, part.tape_base].append(part)
    most: dict[int, list[Slice]] = {}
    for (index, _), own in alike.items():
        most[index] = max(most.get(index, []), own, key=len)
    deliveries = []
    for (index, _), own in alike.items():
        if own is most[index] and len(own) > 1:
            deliveries.append(Delivery(tuple(own), *_last(config, own), True))
        else:
            deliveries += [Delivery((part,), part.x, part.y, False) for part in own]
    return deliveries


def bystanders(config: ChipConfig, delivery: Delivery) -> list[Core]:
    """Cores that packets for many cores come to besides those of the slices."""
    if not delivery.shared:
        return []
    cores = [(x, y) for y in range(config.rows) for x in range(config.columns)]
    if config.chain:
        reached = cores[: cores.index((delivery.x, delivery.y)) + 1]
    else:
        reached = [(x, y) for x, y in cores if x <= delivery.x and y <= delivery.y]
    own = {part.core for part in delivery.slices}
    return [core for core in reached if core not in own]


def _last(config: ChipConfig, slices: Sequence[Slice]) -> tuple[int, int]:
    """The last core of a chain, or the last column and row, that has one of the slices."""
    if config.chain:
        last = max(slices, key=lambda part: (part.y, part.x))
        return last.x, last.y
    return max(part.x for part in slices), max(part.y for part in slices)

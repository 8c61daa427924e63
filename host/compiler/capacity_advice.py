# SPDX-License-Identifier: Apache-2.0
"""Why a network does not fit on a chip, and the least change of the chip after which it does, in one sentence."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from backspike.host.compiler.capacity import MEMORIES
from backspike.host.compiler.geometry import pixels
from backspike.host.compiler.greedy_fill import greedy_fill
from backspike.host.compiler.partition import Partition
from backspike.spec.config import LIMITS, ChipConfig

__all__ = ["capacity_advice"]

_TOP = {name: LIMITS[name][1] for name in ("weights", "neurons", "tape_words", "fan_in", "routes", "slices")}
"""Largest values of memories, in the order in which they are advised."""
_MESHES = sorted({x * y for x in range(1, LIMITS["columns"][1] + 1) for y in range(1, LIMITS["rows"][1] + 1)})

_WORDS = {"tape_words": "tape words", "fan_in": "entries of the fan-in table"}


def capacity_advice(partition: Partition, cores: int, number: int, *, before: int = 0) -> str:
    """One sentence on the layer that finds no room on this many cores, with remedies that are enough.

    Parameters
    ----------
    partition : Partition
        Network and chip.
    cores : int
        Cores that may be used.
    number : int
        The first layer without room.
    before : int
        Layers before the first one, where the partition is of a part of a network.
    """
    network, config = partition.network, partition.config

    def fits(count: int, **changes: int) -> bool:
        own = partition
        if changes:
            other = ChipConfig.from_dict(config.to_dict() | changes)
            own = Partition(network, other, partition.densities, feedback=partition.feedback, learned=partition.learned)
        return not isinstance(greedy_fill(own, count, float("inf")), int)

    def least(low: int, high: int, step: int, test: Callable[[int], bool]) -> int:
        low, high = -(-low // step), high // step
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if test(middle * step) else (middle + 1, high)
        return low * step

    def enough() -> dict[str, int]:
        """Least values of several memories, each with those before it, or nothing where none are enough."""
        need = dict(_TOP)
        if not fits(cores, **need):
            return {}
        for name, top in _TOP.items():
            need[name] = least(getattr(config, name), top, steps[name], with_changes(need, name))
        return {name: value for name, value in need.items() if value > getattr(config, name)}

    def with_changes(changes: Mapping[str, int], name: str) -> Callable[[int], bool]:
        """Whether a value of one memory is enough, together with changes of others."""
        others = dict(changes)
        return lambda value: fits(cores, **{**others, name: value})

    steps = {name: config.lanes if name in ("weights", "neurons") else 1 for name in MEMORIES}
    scarce = [name for name in _TOP if fits(cores, **{name: _TOP[name]})][:1]
    more = [count for count in _MESHES if count > cores]
    first = bisect_left(more, True, key=fits)
    remedies = [f"at least {more[first]} cores"] if first < len(more) else []
    if scarce:
        name = scarce[0]
        changes = {name: least(getattr(config, name), _TOP[name], steps[name], with_changes({}, name))}
    else:
        changes = enough()
    if changes:
        remedies.append(_listed([f"{name}={value}" for name, value in changes.items()]))
    if not remedies:
        remedies.append("smaller layers, as no chip of so many cores can hold this network")
    return f"{_problem(partition, cores, number, changes, before)}: use {' or '.join(remedies)}"


def _problem(partition: Partition, cores: int, number: int, changes: Mapping[str, int], before: int) -> str:
    """Which layer does not fit, and into which memories."""
    layer, config = partition.network.layers[number], partition.config
    have = f"{cores} core{'s' * (cores != 1)} of {{}}"
    needs = {"weights": partition.rows[number] * layer.out_channels, "neurons": pixels(layer) * layer.out_channels}
    if len(changes) == 1 and (name := next(iter(changes))) in needs:
        text = f"layer {before + number} needs {needs[name]:,} {name} on {have.format(f'{getattr(config, name):,}')}"
        return text + " that hold the layers before it" * bool(number)
    small = [f"{getattr(config, name):,} {_WORDS.get(name, name)}" for name in changes or ("weights",)]
    return f"layer {before + number} does not fit on {have.format(_listed(small))}"


def _listed(items: Sequence[str]) -> str:
    """One, two and three things in words."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))

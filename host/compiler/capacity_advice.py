# SPDX-License-Identifier: Apache-2.0
"""Why a network does not fit on a chip, and the least change of the chip after which it does, in one sentence."""

from bisect import bisect_left
from dataclasses import replace

from backspike.host.compiler.capacity import MEMORIES
from backspike.host.compiler.geometry import pixels
from backspike.host.compiler.greedy_fill import fill
from backspike.host.compiler.partition import Cuts
from backspike.spec.config import LIMITS

__all__ = ["advice"]

_TOP = {name: LIMITS[name][1] for name in ("weights", "neurons", "tape_words", "groups", "peers", "slices")}
"""Largest values of memories, in the order in which they are advised."""
_MESHES = sorted({x * y for x in range(1, LIMITS["columns"][1] + 1) for y in range(1, LIMITS["rows"][1] + 1)})


def advice(cuts, cores, number):
    """One sentence on the layer that finds no room on this many cores, with remedies that are enough."""
    network, config = cuts.network, cuts.config

    def fits(count, **changes):
        own = Cuts(network, replace(config, **changes), cuts.densities) if changes else cuts
        return not isinstance(fill(own, count, float("inf")), int)

    def least(low, high, step, test):
        low, high = -(-low // step), high // step
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if test(middle * step) else (middle + 1, high)
        return low * step

    def enough():
        """Least values of several memories, each with those before it, or nothing where none are enough."""
        need = dict(_TOP)
        if not fits(cores, **need):
            return {}
        for name, top in _TOP.items():
            need[name] = least(
                getattr(config, name), top, steps[name], lambda value, name=name: fits(cores, **{**need, name: value})
            )
        return {name: value for name, value in need.items() if value > getattr(config, name)}

    steps = {name: config.lanes if name in ("weights", "neurons") else 1 for name in MEMORIES}
    scarce = [name for name in _TOP if fits(cores, **{name: _TOP[name]})][:1]
    more = [count for count in _MESHES if count > cores]
    first = bisect_left(more, True, key=fits)
    remedies = [f"at least {more[first]} cores"] if first < len(more) else []
    if scarce:
        name = scarce[0]
        changes = {name: least(getattr(config, name), _TOP[name], steps[name], lambda v: fits(cores, **{name: v}))}
    else:
        changes = enough()
    if changes:
        remedies.append(_listed([f"{name}={value}" for name, value in changes.items()]))
    if not remedies:
        remedies.append("smaller layers, as no chip of so many cores can hold this network")
    return f"{_problem(cuts, cores, number, changes)}: use {' or '.join(remedies)}"


def _problem(cuts, cores, number, changes):
    """Which layer does not fit, and into which memories."""
    layer, config = cuts.network.layers[number], cuts.config
    have = f"{cores} core{'s' * (cores != 1)} of {{}}"
    needs = {"weights": layer.shape[0] * layer.out_channels, "neurons": pixels(layer) * layer.out_channels}
    if len(changes) == 1 and (name := next(iter(changes))) in needs:
        text = f"layer {number} needs {needs[name]:,} {name} on {have.format(f'{getattr(config, name):,}')}"
        return text + " that hold the layers before it" * bool(number)
    small = [f"{getattr(config, name):,} {name.replace('_', ' ')}" for name in changes or ("weights",)]
    return f"layer {number} does not fit on {have.format(_listed(small))}"


def _listed(items):
    """One, two and three things in words."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))

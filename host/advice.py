# SPDX-License-Identifier: Apache-2.0
"""Why a network does not fit on a chip, and the least change of the chip after which it does, in one sentence."""

from dataclasses import replace

from .cuts import Cuts
from .filling import fill
from .geometry import pixels
from .limits import MEMORIES

__all__ = ["advice"]

_TOP = {"weights": 1 << 17, "neurons": 1 << 14, "tape_words": 1 << 9, "groups": 1 << 8, "peers": 1 << 8,
        "slices": 1 << 4}  # fmt: skip


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

    layer = network.layers[number]
    steps = {name: config.lanes if name in ("weights", "neurons") else 1 for name in MEMORIES}
    scarce = [name for name in _TOP if fits(cores, **{name: _TOP[name]})]
    have = f"{cores} core{'s' * (cores != 1)} of {{}}"
    if scarce and scarce[0] in ("weights", "neurons"):
        outputs = layer.out_channels
        need = {"weights": layer.shape[0] * outputs, "neurons": pixels(layer) * outputs}[scarce[0]]
        text = f"layer {number} needs {need:,} {scarce[0]} on {have.format(f'{getattr(config, scarce[0]):,}')}"
        text += " that hold the layers before it" if number else ""
    elif scarce:
        kind = scarce[0].replace("_", " ")
        text = f"layer {number} does not fit on {have.format(f'{getattr(config, scarce[0]):,} {kind}')}"
    else:
        text = f"layer {number} does not fit on {have.format(f'{config.weights:,} weights')}"
    more = least(cores + 1, 65, 1, fits)
    remedies = [f"at least {more} cores"] if more <= 64 else []
    if scarce:
        name = scarce[0]
        value = least(getattr(config, name), _TOP[name], steps[name], lambda v: fits(cores, **{name: v}))
        remedies.append(f"{name}={value}")
    elif not remedies:
        remedies.append("smaller layers, as no chip of so many cores can hold this network")
    return f"{text}: use {' or '.join(remedies)}"

# SPDX-License-Identifier: Apache-2.0
"""What a placement must keep to: every channel once, memories, lists of the engines, fields of packets and tables."""

from backspike.golden.network import Network, Training
from backspike.host.compiler.geometry import flat, pixels, same_maps, terms, window
from backspike.spec.config import LIMITS
from backspike.spec.packets import NO_LABEL
from backspike.spec.tables import DESCRIPTOR, NEED, PEER

__all__ = [
    "MEMORIES",
    "CapacityError",
    "check_cut",
    "check_layers",
    "check_memories",
    "check_size",
    "check_training",
    "core_use",
    "most_channels",
    "words_of",
]

MEMORIES = ("weights", "neurons", "tape_words", "groups", "slices", "peers")
"""Fields of ``ChipConfig`` that the slices of a core share."""


class CapacityError(ValueError):
    """The network does not fit on the chip; the message says what does not fit, and what would."""


def words_of(count):
    """Tape words of ``count`` neurons."""
    return -(-count // 32)


def _power(least):
    """The smallest power of two that is not less, which a window has to be."""
    return 1 << (least - 1).bit_length()


def most_channels(network, config, number):
    """Channels of a layer that one slice can have, so that the engines' lists hold the windows; at least 1.

    A slice of a layer whose maps the layer after it sees as maps is a group there, whose window must fit.
    """
    layer = network.layers[number]
    most = config.window // layer.kernel**2 * config.lanes
    after = network.layers[number + 1] if number + 1 < len(network.layers) else None
    if after is not None and not flat(after) and same_maps(after, layer):
        most = min(most, config.window // window(after))
    return min(most, layer.out_channels)


def check_training(training, config):
    """Refuse constants of a training that the chip cannot use."""
    if not isinstance(training, Training):
        raise TypeError(f"training must be a Training, not {training!r}")
    training.rounded(config.format)
    if training.momentum and not config.momentum:
        raise CapacityError(
            f"momentum is {training.momentum!r} and the chip has no velocity memory: use momentum=0 in the training, "
            f"or a chip with momentum=True"
        )


def check_size(network: Network) -> None:
    """Refuse a network that is too large for the largest chip, whose weights could take hours to make."""
    cores = LIMITS["columns"][1] * LIMITS["rows"][1]
    needs = {
        "weights": sum(layer.shape[0] * layer.shape[1] for layer in network.layers),
        "neurons": sum(pixels(layer) * layer.out_channels for layer in network.layers),
    }
    for name, need in needs.items():
        most = cores * LIMITS[name][1]
        if need > most:
            raise CapacityError(
                f"the network has {need:,} {name} and the largest chip, of {cores} cores, holds {most:,}: use smaller "
                f"layers"
            )


def _larger(name: str, value: int, template: str = ", or {}") -> str:
    """The advice to use a chip with this value, where there can be one."""
    return template.format(f"{name}={value}") if value <= LIMITS[name][1] else ""


def check_layers(network, config):
    """Refuse a network that no placement makes fit: windows, sizes of the descriptor's fields, terms of one sample."""
    check_size(network)
    for number, layer in enumerate(network.layers):
        if config.dense_only and not flat(layer):
            raise CapacityError(
                f"layer {number} is a convolution, which a dense_only chip cannot do: use dense layers, or a chip with "
                f"dense_only=False"
            )
        channels = layer.in_channels if number == 0 else 1  # the host is one producer, other producers can be cut
        inputs = channels * window(layer)
        if not flat(layer) and inputs > config.window:
            raise CapacityError(
                f"an output pixel of layer {number} sees {inputs:,} inputs of one producer and the chip's lists have "
                f"{config.window:,} entries: use a smaller kernel or pool{_larger('window', _power(inputs))}"
            )
        if layer.kernel**2 > config.window:
            raise CapacityError(
                f"layer {number} has a kernel of {layer.kernel**2} taps and the chip's lists have {config.window} "
                f"entries: use a smaller kernel{_larger('window', _power(layer.kernel**2))}"
            )
        for name in ("in_width", "in_height", "out_width", "out_height", "kernel", "stride", "padding", "pool"):
            value, end = getattr(layer, name), 1 << DESCRIPTOR.fields[name]
            if value >= end:
                raise CapacityError(f"layer {number} has {name}={value}: use a network where it is at most {end - 1}")
        most = terms(layer, network.steps)
        if most > config.batch_terms:
            raise CapacityError(
                f"a sample adds {most:,} terms to a gradient of layer {number} and the chip's sums hold "
                f"{config.batch_terms:,}: use fewer steps or a smaller map"
                f"{_larger('batch_terms', most, ', or {} times the samples of a batch')}"
            )


def check_cut(network, config, pieces):
    """Refuse, with ``ValueError``, pieces that are not a cut of the network on this mesh."""
    for piece in pieces:
        if not (0 <= piece.x < config.columns and 0 <= piece.y < config.rows):
            mesh = f"{config.columns} x {config.rows}"
            raise ValueError(f"placement must use cores of the {mesh} mesh, not ({piece.x}, {piece.y})")
        if not 0 <= piece.layer < len(network.layers):
            raise ValueError(f"placement must name layers 0 to {len(network.layers) - 1}, not {piece.layer!r}")
    for number, layer in enumerate(network.layers):
        end, most = 0, most_channels(network, config, number)
        for piece in sorted((p for p in pieces if p.layer == number), key=lambda p: p.first):
            if piece.first != end or piece.channels < 1:
                raise ValueError(f"placement must hold every channel of layer {number} once, which {end} is not")
            if piece.channels > most:
                raise CapacityError(
                    f"a slice of layer {number} has {piece.channels:,} channels and the chip's lists of "
                    f"{config.window:,} entries allow {most:,}: use smaller slices or a larger window"
                )
            end += piece.channels
        if end != layer.out_channels:
            raise ValueError(f"placement must hold all {layer.out_channels} channels of layer {number}, not {end}")


def core_use(layers):
    """What each used core needs, in the units of ``ChipConfig``: ``{(x, y): {"weights": ..., ...}}``."""
    use = {}
    for part in (s for slices in layers for s in slices):
        core = use.setdefault(part.core, dict.fromkeys(MEMORIES, 0))
        core["weights"] += part.weight_words * part.lanes
        core["neurons"] += part.pixels * part.blocks * part.lanes
        core["tape_words"] += part.tape_words
        core["groups"] += len(part.groups)
        core["slices"] += 1
        core["peers"] += len(part.sources) + len(part.targets)
    return dict(sorted(use.items()))


def check_memories(config, layers):
    """Refuse slices that a core's memories, or the fields of a packet or a table, cannot hold."""
    for core, use in core_use(layers).items():
        for name in MEMORIES:
            limit = getattr(config, name)
            if use[name] > limit:
                remedy = f"more or other cores for these layers{_larger(name, use[name])}"
                raise CapacityError(f"core {core} needs {name}={use[name]} and has {limit}: use {remedy}")
    for number, slices in enumerate(layers[1:], start=1):
        most = (1 << NEED.fields["credits"]) - 1
        if len(slices) > most:
            raise CapacityError(f"layer {number} is cut into {len(slices)} slices: use at most {most}")
    for part in (s for slices in layers for s in slices):
        groups, most = len(part.groups), (1 << DESCRIPTOR.fields["groups"]) - 1
        if groups > most:
            raise CapacityError(f"a slice of layer {part.layer} has {groups} groups of inputs: use at most {most}")
    largest = max(part.outputs for part in layers[-1])
    if largest > NO_LABEL:
        raise CapacityError(f"the last layer has {largest:,} outputs in one slice: use at most {NO_LABEL:,}")
    words, most = sum(part.words for part in layers[-1]), 1 << PEER.fields["word"]
    if words > most:
        raise CapacityError(f"the last layer's outputs fill {words} words of 32: use at most {most}")

# SPDX-License-Identifier: Apache-2.0
"""What a placement must keep to: every channel once, memories, lists of the engines, fields of packets and tables."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from backspike.golden.layers import Layer
from backspike.golden.network import Network, Training
from backspike.golden.rules import BPTT, OPERAND_BITS, Rule
from backspike.host.compiler.frames import frame_steps, once_a_sample
from backspike.host.compiler.geometry import Core, flat, pixels, same_maps, terms, window
from backspike.spec.config import LIMITS, ChipConfig, largest_count
from backspike.spec.packets import NO_LABEL
from backspike.spec.tables import DESCRIPTOR, EXPECTATIONS, ROUTE

if TYPE_CHECKING:
    from backspike.host.compiler.partition import Piece
    from backspike.host.compiler.slices import Slice

__all__ = [
    "MEMORIES",
    "CapacityError",
    "check_cut",
    "check_layers",
    "check_memories",
    "check_rule",
    "check_size",
    "check_training",
    "core_use",
    "gradient_terms",
    "most_channels",
    "scaled_training",
    "words_of",
]

MEMORIES = ("weights", "neurons", "tape_words", "fan_in", "slices", "routes")
"""Fields of ``ChipConfig`` that the slices of a core share."""

_LARGEST = {name: (1 << DESCRIPTOR.fields[name]) - 1 for name in ("in_width", "in_height", "out_width", "out_height")}
_LARGEST |= {"stride": 4, "padding": 7, "pool": 16}
_LARGEST_KERNEL = 7
_LARGEST_WHOLE_KERNEL = 15  # of a kernel that covers the whole pooled map: a fully connected layer behind pooled maps


class CapacityError(ValueError):
    """The network does not fit on the chip; the message says what does not fit, and what would."""


def words_of(count: int) -> int:
    """Tape words of ``count`` neurons."""
    return -(-count // 32)


def _longer_lists(least: int) -> str:
    """A remedy besides another one: the shortest lists that hold so many entries, a power of two, if there are any."""
    depth = 1 << (least - 1).bit_length()
    return f", or list_depth={depth}" if depth <= LIMITS["list_depth"][1] else ""


def most_channels(network: Network, config: ChipConfig, number: int) -> int:
    """Channels of a layer that one slice can have, so that the engines' lists hold the windows; at least 1.

    A slice of a layer whose maps a layer after it sees as maps is a group there, whose window must fit.
    """
    layer = network.layers[number]
    most = config.list_depth // layer.kernel**2 * config.lanes
    for after in (network.layers[taker] for taker in network.takers[number]):
        if not flat(after) and same_maps(after, layer):
            most = min(most, config.list_depth // window(after))
    return min(most, layer.out_channels)


def check_training(training: Training, config: ChipConfig) -> None:
    """Refuse constants of a training that the chip cannot use.

    Raises
    ------
    TypeError
        ``training`` is no ``Training``.
    ValueError
        The chip's format cannot hold a constant.
    CapacityError
        There is a momentum, and the chip has no memory for velocities.
    """
    if not isinstance(training, Training):
        raise TypeError(f"training must be a Training, not {training!r}")
    training.rounded(config.format)
    if (training.mu or training.beta) and not config.momentum:
        instead = {"momentum": "momentum=0", "lion": "update='sign' and momentum=0", "sign": "momentum=0"}
        asked = "" if training.update == "momentum" else f"update is {training.update!r}, "
        raise CapacityError(
            f"{asked}momentum is {training.mu!r} and the chip has no velocity memory: use "
            f"{instead[training.update]} in the training, or a chip with momentum=True"
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


def check_rule(network: Network, config: ChipConfig, rule: Rule) -> None:
    """Refuse, with ``CapacityError``, a rule that the chip has not, or whose frames have more steps than it holds.

    ``ValueError`` where the rule cannot train the network.
    """
    if network.input_bits > 1:
        raise CapacityError(
            f"the network's inputs are integers of {network.input_bits} bits and a chip takes spikes: use encoder "
            f"bits:{network.input_bits}, which makes an input of each bit, or the golden model alone"
        )
    if rule.backward == "ternary" and not config.ternary:
        raise CapacityError(
            f"rule {rule} has ternary spikes and the chip has no units for them: use a chip with ternary=True and "
            f"operand_bits={OPERAND_BITS}, or rule dsr"
        )
    if rule.feedback == "learned" and not config.noise:
        raise CapacityError(
            f"rule {rule} learns from noise and the chip has none: use a chip with noise=True, or rule dfa"
        )
    if rule.operand == "trace" and config.operand_bits != OPERAND_BITS:
        raise CapacityError(
            f"rule {rule} has traces of {OPERAND_BITS} bits and the chip's operands have {config.operand_bits}: use a "
            f"chip with operand_bits={OPERAND_BITS}, or rule sltt"
        )
    rule.check(network)
    if rule.operand == "count":
        _check_counts(network.steps, config, rule)
    steps, frame = network.steps, frame_steps(rule, network.steps)
    if frame > config.steps:
        what = "the network has" if rule.frame is None else f"a frame of rule {rule} has"
        fitting = max(size for size in range(1, config.steps + 1) if steps % size == 0)
        remedies = [f"a network of at most {config.steps} steps"] if rule.frame is None else []
        remedies += [f"a chip with steps={frame}"] if frame <= LIMITS["steps"][1] else []
        raise CapacityError(
            f"{what} {frame} steps and the chip holds {config.steps}: "
            f"use {', or '.join([*remedies, f'rule tbptt:{fitting}'])}"
        )


def _check_counts(steps: int, config: ChipConfig, rule: Rule) -> None:
    """Refuse samples of more steps than the chip counts spikes, its own and those of inputs, or makes numbers of."""
    most = 2**config.operand_bits - 1 if config.operand_bits > 1 else 0
    if steps > most:
        counts = f"counts to {most}" if most else "counts no spikes"
        raise CapacityError(
            f"rule {rule} counts the spikes of {steps} steps and the chip {counts}: use a chip with "
            f"operand_bits={OPERAND_BITS}, or rule sltt"
        )
    exact = largest_count(config.format)
    if steps > exact:
        raise CapacityError(
            f"rule {rule} counts the spikes of {steps} steps and {config.format} holds counts to {exact}: use a "
            f"network of at most {exact} steps, or rule sltt"
        )


def scaled_training(network: Network, training: Training, rule: Rule) -> Training:
    """The constants of the update for gradients in the rule's unit; ``ValueError`` where the rate is too small."""
    scale = rule.scale(network)
    scaled = training.for_gradients(scale)
    try:
        scaled.rounded(network.format)
    except ValueError:
        training.rounded(network.format)
        raise ValueError(
            f"rate must be at least {scale * 2.0**network.format.lsb!r} in {network.format} with rule {rule}, whose "
            f"gradients are {scale} times as large, not {training.rate!r}"
        ) from None
    return scaled


def gradient_terms(network: Network, rule: Rule = BPTT) -> list[int]:
    """Terms that one sample adds to the exact sum of a gradient of each layer, at most: a spike counts as one.

    Where weights change after each step, those of a step.
    """
    frames = rule.frames(network.steps) if rule.trained is None else rule.trained
    steps = frames * rule.frame_steps(network.steps)
    if once_a_sample(rule) or rule.step_updates:
        steps = max(1, rule.back_steps)
    return [
        terms(layer, steps) * operand.most
        for layer, operand in zip(network.layers, rule.operands(network), strict=True)
    ]


def _check_shape(number: int, layer: Layer) -> None:
    """Refuse what no chip's descriptors or engines can do."""
    for name, most in _LARGEST.items():
        if (value := getattr(layer, name)) > most:
            raise CapacityError(f"layer {number} has {name}={value}: use a network where it is at most {most}")
    most = _LARGEST_WHOLE_KERNEL if layer.whole else _LARGEST_KERNEL
    if layer.kernel > most:
        whole = "" if layer.whole else f", or the whole pooled map and at most {_LARGEST_WHOLE_KERNEL}"
        raise CapacityError(
            f"layer {number} has kernel={layer.kernel}: use a network where it is at most {most}{whole}"
        )


def _check_sources(network: Network, config: ChipConfig) -> None:
    """Residual connections are not proved on several cores: simulated chips of 20 differed from the golden model."""
    for number, (taken, takers) in enumerate(zip(network.taken, network.takers, strict=True)):
        if config.cores > 1 and max(len(taken), len(takers)) > 1:
            raise CapacityError(
                f"layer {number} has a residual connection, which so far needs a chip of one core, not of "
                f"{config.cores}: use cores=1 (columns=1, rows=1)"
            )


def check_layers(network: Network, config: ChipConfig, rule: Rule = BPTT) -> None:
    """Refuse, with ``CapacityError``, a network that no placement makes fit.

    That is one with layers that the descriptor's fields or the engines cannot hold, windows that are longer than the
    engines' lists, or too many terms of one sample; or one with residual connections on several cores.
    """
    _check_sources(network, config)
    for number, (layer, most) in enumerate(zip(network.layers, gradient_terms(network, rule), strict=True)):
        if config.dense_only and not flat(layer):
            kind = "convolution" if layer.learns else "maximum pooling"
            raise CapacityError(
                f"layer {number} is a {kind}, which a dense_only chip cannot do: use dense layers, or a chip with "
                f"dense_only=False"
            )
        _check_shape(number, layer)
        channels = layer.in_channels if number == 0 else 1  # the host is one producer, other producers can be cut
        inputs = channels * window(layer)
        if not flat(layer) and inputs > config.list_depth:
            raise CapacityError(
                f"an output pixel of layer {number} sees {inputs:,} inputs of one producer and the chip's lists have "
                f"{config.list_depth:,} entries: use a smaller kernel or pool{_longer_lists(inputs)}"
            )
        if layer.kernel**2 > config.list_depth:
            raise CapacityError(
                f"layer {number} has a kernel of {layer.kernel**2} taps and the chip's lists have {config.list_depth} "
                f"entries: use a smaller kernel{_longer_lists(layer.kernel**2)}"
            )
        if most > config.batch_terms:
            remedy = f"batch_terms={most} times the samples of a batch"
            if most > LIMITS["batch_terms"][1]:
                remedy = "fewer steps, smaller maps or smaller pools"
            raise CapacityError(
                f"a sample adds {most:,} terms to a gradient of layer {number} and the chip's sums hold "
                f"{config.batch_terms:,}: use {remedy}"
            )


def check_cut(network: Network, config: ChipConfig, pieces: Sequence["Piece"]) -> None:
    """Refuse pieces that are not a cut of the network on this mesh.

    Raises
    ------
    ValueError
        A piece is no part of the network or on no core, or a channel is missing or there twice.
    CapacityError
        A piece has more channels than the engines' lists allow.
    """
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
                    f"{config.list_depth:,} entries allow {most:,}: use smaller slices or a larger list_depth"
                )
            end += piece.channels
        if end != layer.out_channels:
            raise ValueError(f"placement must hold all {layer.out_channels} channels of layer {number}, not {end}")


def core_use(layers: Iterable[Iterable["Slice"]]) -> dict[Core, dict[str, int]]:
    """What each used core needs, in the units of ``ChipConfig``: ``{(x, y): {"weights": ..., ...}}``."""
    use: dict[Core, dict[str, int]] = {}
    for part in (s for slices in layers for s in slices):
        core = use.setdefault(part.core, dict.fromkeys(MEMORIES, 0))
        core["weights"] += (part.weight_words + part.feedback_words) * part.lanes
        core["neurons"] += part.pixels * part.blocks * part.lanes
        core["tape_words"] += part.tape_words
        core["fan_in"] += len(part.groups) + len(part.feedback)
        core["slices"] += len(part.indices)
        core["routes"] += len(part.sources) + len(part.targets)
    return dict(sorted(use.items()))


def check_memories(
    network: Network, config: ChipConfig, layers: Sequence[Sequence["Slice"]], *, feedback: bool = False
) -> None:
    """Refuse, with ``CapacityError``, slices that a core's memories, or fields of packets or tables, cannot hold.

    ``network``: the layers; ``feedback``: errors go from the last layer to each hidden one.
    """
    for core, use in core_use(layers).items():
        for name in MEMORIES:
            limit = getattr(config, name)
            if use[name] > limit:
                remedy = "more or other cores for these layers"
                if use[name] <= LIMITS[name][1]:
                    remedy += f", or {name}={use[name]}"
                raise CapacityError(f"core {core} needs {name}={use[name]} and has {limit}: use {remedy}")
    last, most = len(layers) - 1, (1 << EXPECTATIONS.fields["credits"]) - 1
    for number in range(last):
        consumers = {number + 1, last} if feedback else set(network.takers[number])
        count = sum(len(layers[consumer]) for consumer in consumers)
        if count > most:
            names = " and ".join(f"layer {consumer}" for consumer in sorted(consumers))
            verb = "are" if len(consumers) > 1 else "is"
            raise CapacityError(f"{names} {verb} cut into {count} slices: use at most {most}")
    for part in (s for slices in layers for s in slices):
        groups, most = len(part.groups) + len(part.feedback), (1 << DESCRIPTOR.fields["groups"]) - 1
        if groups > most:
            raise CapacityError(f"a slice of layer {part.layer} has {groups} groups of inputs: use at most {most}")
    largest = max(part.outputs for part in layers[-1])
    if largest > NO_LABEL:
        raise CapacityError(f"the last layer has {largest:,} outputs in one slice: use at most {NO_LABEL:,}")
    words, most = sum(part.words for part in layers[-1]), 1 << ROUTE.fields["word"]
    if words > most:
        raise CapacityError(f"the last layer's outputs fill {words} words of 32: use at most {most}")

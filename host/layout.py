# SPDX-License-Identifier: Apache-2.0
"""Where everything of a placed network lies in the cores' memories: slices, tape words, rows, peers."""

from dataclasses import dataclass, field
from itertools import pairwise

from .placement import CapacityError, words_of
from .protocol import DESCRIPTOR, NEED, NO_LABEL, PEER

__all__ = ["HOST", "Slice", "Word", "core_use", "lay_out"]

HOST = "host"
"""Origin of a tape word that the host sends; words of the bias have origin ``None``."""


@dataclass(frozen=True)
class Word:
    """One tape word of a slice.

    ``first`` and ``count``: the layer inputs in it (for the bias: the last weight row). ``origin``: ``HOST``, the
    producing ``Slice``, or ``None`` for the bias. ``neuron``: the origin core's number of the first input.
    ``row_base``: address in each lane's bank of the first input's weight row.
    """

    first: int
    count: int
    origin: object
    neuron: int
    row_base: int


@dataclass(frozen=True, eq=False)
class Slice:
    """Outputs ``first`` to ``first + outputs - 1`` of a layer on core (x, y), and its place in the core's memories.

    ``index`` is its number in the core; ``rows`` counts the bias. Addresses and sizes are those of
    ``protocol.DESCRIPTOR``. ``sources`` holds the producing slices (``[HOST]`` for the first layer), ``targets`` pairs
    of consuming slice (``HOST`` for the last layer) and first tape word there.
    """

    layer: int
    x: int
    y: int
    index: int
    first: int
    outputs: int
    rows: int
    lanes: int
    block_base: int
    weight_base: int
    tape_base: int
    delta_base: int
    words: tuple = field(repr=False)
    sources: tuple = field(repr=False)
    targets: list = field(repr=False, default_factory=list)
    sources_base: int = 0
    targets_base: int = 0

    @property
    def core(self):
        return self.x, self.y

    @property
    def blocks(self):
        return -(-self.outputs // self.lanes)

    @property
    def last_lanes(self):
        """Outputs in the last block, 1 to ``lanes``."""
        return self.outputs - (self.blocks - 1) * self.lanes

    @property
    def weight_words(self):
        return self.rows * self.blocks

    @property
    def delta_words(self):
        return -(-self.blocks // 32)

    @property
    def neuron_base(self):
        """The core's number of the first output."""
        return self.block_base * self.lanes

    @property
    def external_words(self):
        return sum(word.origin is not None for word in self.words)

    def weight_address(self, row, output):
        """Address in region ``WEIGHT`` of the weight from layer input ``row`` to output ``output`` of the slice."""
        return (self.weight_base + row * self.blocks) * self.lanes + output


def lay_out(network, config, pieces):
    """Slices by layer, in order of their outputs, of the placement ``pieces``.

    Raises ``ValueError`` where the pieces are not a cut of the network on this mesh, ``CapacityError`` where a core's
    memories or a packet field cannot hold the result.
    """
    _check_cut(network, config, pieces)
    used = {}
    layers = []
    for layer, dense in enumerate(network.layers):
        own = []
        for piece in sorted((p for p in pieces if p.layer == layer), key=lambda p: p.first):
            room = used.setdefault((piece.x, piece.y), {"index": 0, "block": 0, "weight": 0, "tape": 0, "delta": 0})
            own.append(_slice(dense, config, piece, room, layers[-1] if layers else None))
        layers.append(own)
    _connect(layers)
    _check(network, config, layers)
    return layers


def _slice(dense, config, piece, room, producers):
    blocks = -(-piece.outputs // config.lanes)
    words = []

    def add(count, origin, neuron=0):
        first = words[-1].first + words[-1].count if words else 0
        words.append(Word(first, count, origin, neuron, room["weight"] + first * blocks))

    for origin in producers or [HOST]:
        size = dense.inputs if origin is HOST else origin.outputs
        for start in range(0, size, 32):
            add(min(32, size - start), origin, 0 if origin is HOST else origin.neuron_base + start)
    if dense.bias:
        add(1, None)
    rows = dense.inputs + bool(dense.bias)
    result = Slice(
        layer=piece.layer, x=piece.x, y=piece.y, index=room["index"], first=piece.first, outputs=piece.outputs,
        rows=rows, lanes=config.lanes, block_base=room["block"], weight_base=room["weight"], tape_base=room["tape"],
        delta_base=room["delta"], words=tuple(words), sources=tuple(producers or [HOST]),
    )  # fmt: skip
    room["index"] += 1
    room["block"] += blocks
    room["weight"] += result.weight_words
    room["tape"] += len(words)
    room["delta"] += result.delta_words
    return result


def _connect(layers):
    """Fill targets, and give every slice its range of its core's peer table."""
    for producers, consumers in pairwise(layers):
        offset = 0
        for producer in producers:
            producer.targets.extend((consumer, consumer.tape_base + offset) for consumer in consumers)
            offset += words_of(producer.outputs)
    offset = 0
    for last in layers[-1]:
        last.targets.append((HOST, offset))
        offset += words_of(last.outputs)
    entries = {}
    for part in (s for slices in layers for s in slices):
        base = entries.get(part.core, 0)
        object.__setattr__(part, "targets_base", base)
        object.__setattr__(part, "sources_base", base + len(part.targets))
        entries[part.core] = base + len(part.targets) + len(part.sources)


def _check_cut(network, config, pieces):
    for piece in pieces:
        if not (0 <= piece.x < config.columns and 0 <= piece.y < config.rows):
            mesh = f"{config.columns} x {config.rows}"
            raise ValueError(f"placement must use cores of the {mesh} mesh, not ({piece.x}, {piece.y})")
        if not 0 <= piece.layer < len(network.layers):
            raise ValueError(f"placement must name layers 0 to {len(network.layers) - 1}, not {piece.layer!r}")
    for layer, dense in enumerate(network.layers):
        end = 0
        for piece in sorted((p for p in pieces if p.layer == layer), key=lambda p: p.first):
            if piece.first != end or piece.outputs < 1:
                raise ValueError(f"placement must hold every output of layer {layer} once, which output {end} is not")
            end += piece.outputs
        if end != dense.outputs:
            raise ValueError(f"placement must hold all {dense.outputs} outputs of layer {layer}, not {end}")


def _check(network, config, layers):
    limits = {name: getattr(config, name) for name in ("weights", "neurons", "tape_words", "slices", "peers")}
    for core, use in core_use(config, layers).items():
        for name, limit in limits.items():
            if use[name] > limit:
                remedy = f"more or other cores for these layers, or {name}={use[name]}"
                raise CapacityError(f"core {core} needs {name}={use[name]} and has {limit}: use {remedy}")
    for layer, slices in enumerate(layers[1:], start=1):
        most = (1 << NEED.fields["credits"]) - 1
        if len(slices) > most:
            raise CapacityError(f"layer {layer} is cut into {len(slices)} slices: use at most {most}")
    for part in (s for slices in layers for s in slices):
        _check_fields(network, part)
    largest = max(part.outputs for part in layers[-1])
    if largest > NO_LABEL:
        raise CapacityError(f"the last layer has {largest:,} outputs in one slice: use at most {NO_LABEL:,}")
    words, most = sum(words_of(part.outputs) for part in layers[-1]), 1 << PEER.fields["word"]
    if words > most:
        raise CapacityError(f"the last layer's outputs fill {words} words of 32: use at most {most}")


def _check_fields(network, part):
    """Refuse what a packet's or a table's field cannot say, although the memories would hold it."""
    packets, most = part.external_words * network.steps, (1 << NEED.fields["inputs"]) - 1
    if packets > most:
        raise CapacityError(
            f"a slice of layer {part.layer} gets {packets:,} input packets per sample: use fewer steps or inputs, so "
            f"that they are at most {most:,}"
        )
    for name in ("delta_base", "block_base", "weight_base", "tape_base"):
        value, end = getattr(part, name), 1 << DESCRIPTOR.fields[name]
        if value >= end:
            raise CapacityError(f"{name} on core {part.core} is {value}: use fewer slices, so that it is below {end}")


def core_use(config, layers):
    """What each used core needs, in the units of ``ChipConfig``: ``{(x, y): {"weights": ..., ...}}``."""
    use = {}
    for part in (s for slices in layers for s in slices):
        core = use.setdefault(part.core, dict.fromkeys(("slices", "weights", "neurons", "tape_words", "peers"), 0))
        core["slices"] += 1
        core["weights"] += part.weight_words * config.lanes
        core["neurons"] += part.blocks * config.lanes
        core["tape_words"] += len(part.words)
        core["peers"] += len(part.sources) + len(part.targets)
    return dict(sorted(use.items()))

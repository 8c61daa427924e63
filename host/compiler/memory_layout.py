# SPDX-License-Identifier: Apache-2.0
"""Where everything of a placed network lies in the cores' memories: slices, groups of inputs, weight rows, routes.

With feedback from the last layer, all hidden slices are producers of its slices: of those just before it come its
inputs, and of all the masks, for which it sends errors. If the feedback learns, these come with noise in words of their
own.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from backspike.golden.layers import Layer
from backspike.golden.network import Network
from backspike.host.compiler.capacity import CapacityError, check_cut, check_memories, words_of
from backspike.host.compiler.geometry import FEEDBACK_GROUP, Core, flat, input_rows, output_order, pixels, window
from backspike.host.compiler.partition import Piece
from backspike.host.compiler.slices import HOST, Group, Host, Slice
from backspike.spec.config import ChipConfig
from backspike.spec.tables import FAN_IN

__all__ = ["lay_out", "row_order"]

_START = {"index": 0, "block": 0, "weight": 0, "tape": 0, "delta": 0, "group": 0}


def lay_out(
    network: Network, config: ChipConfig, pieces: Sequence[Piece], *, feedback: bool = False, learned: bool = False
) -> list[list[Slice]]:
    """Slices by layer, in order of their channels, of the placement ``pieces``.

    Parameters
    ----------
    network : Network
        The layers.
    config : ChipConfig
        The chip.
    pieces : sequence of Piece
        The placement.
    feedback : bool
        Whether errors go from the last layer to each hidden one.
    learned : bool
        Whether what brings them learns.

    Raises
    ------
    ValueError
        The pieces are not a cut of the network on this mesh.
    CapacityError
        A core's memories, or a field of a packet or a table, cannot hold the result.
    """
    check_cut(network, config, pieces)
    _check_sums(network, pieces)
    used: dict[Core, dict[str, int]] = {}
    layers: list[list[Slice]] = []
    for number, layer in enumerate(network.layers):
        own = []
        for piece in sorted((p for p in pieces if p.layer == number), key=lambda p: p.first):
            room = used.setdefault((piece.x, piece.y), dict(_START))
            back = layers if feedback and number == len(network.layers) - 1 else []
            producers = [layers[source] for source in network.taken[number]]
            own.append(_slice(layer, config, piece, room, producers, back, learned=learned))
        layers.append(own)
    _connect(network, layers, learned=learned)
    check_memories(network, config, layers, feedback=feedback)
    return layers


def _check_sums(network: Network, pieces: Sequence[Piece]) -> None:
    """Maps that a layer takes as a vector are in the order of their slices: the same for all layers that it adds."""
    for number, layer in enumerate(network.layers):
        first, *others = network.taken[number] or (number,)
        if not flat(layer) or pixels(network.layers[first]) == 1:
            continue
        cuts = [sorted((p.first, p.channels) for p in pieces if p.layer == source) for source in (first, *others)]
        for source, cut in zip(others, cuts[1:], strict=True):
            if cut != cuts[0]:
                raise CapacityError(
                    f"layer {number} must add maps that are cut alike, not those of layers {first} and {source}: "
                    "use one core, or a layer of maps in between, such as c8k1"
                )


def _groups(
    layer: Layer, config: ChipConfig, blocks: int, room: dict[str, int], producers: Sequence[Sequence[Slice]]
) -> Iterator[Group]:
    """The groups of a slice with this many blocks but its bias, from where its core's memories are free.

    The same inputs of several layers, whose spikes are added, are in several groups with the same weights.
    """
    tape = room["tape"]
    sources: Sequence[Sequence[Slice | Host]] = producers or [[HOST]]
    for origins in sources:
        for group in _groups_of(layer, config, blocks, tape, room["weight"], origins, joint=len(sources) > 1):
            tape = group.tape + group.words
            yield group


def _groups_of(
    layer: Layer,
    config: ChipConfig,
    blocks: int,
    tape: int,
    base: int,
    origins: Sequence[Slice | Host],
    *,
    joint: bool,
) -> Iterator[Group]:
    """The groups of all inputs from one layer, or of the host, from a tape word and a row of weights on.

    ``joint``: the rows of maps are in the order of all channels, however the layer is cut, as other layers have them
    too; else those of a producer are together.
    """
    plain, field_end = flat(layer), 1 << FAN_IN.fields["row_stride"]
    row = base
    for origin in origins:
        if isinstance(origin, Host):
            channels, neuron = layer.in_channels, 0
        else:
            channels, neuron = origin.outputs if plain else origin.channels, origin.neuron_base
        most = config.list_depth if plain else channels  # a piece ends at a word's end, as the depth is a power of two
        for start in range(0, channels, most):
            count = min(most, channels - start)
            tap = count * blocks
            if joint and not plain and isinstance(origin, Slice):
                row, tap = base + origin.first * blocks, layer.in_channels * blocks
            words = words_of(count * layer.in_height * layer.in_width)
            yield Group(
                origin,
                tape,
                words,
                count,
                row,
                tap % field_end,
                0 if layer.kernel == 1 else layer.kernel * tap % field_end,
                neuron + start,
            )
            tape, row = tape + words, row + layer.kernel**2 * tap


def _feedback(hidden: Sequence[Sequence[Slice]], blocks: int, tape: int, new: int, row: int) -> Iterator[Group]:
    """The groups of a slice of the last layer through which it sends errors, their weights from ``row`` on.

    The words of the layer before it lie from ``tape`` on, where they may be inputs as well; those of the others follow
    them, from ``new`` on if that is not there.
    """
    for own in (hidden[-1:], hidden[:-1]):
        for producer in (part for slices in own for part in slices):
            for start in range(0, producer.outputs, FEEDBACK_GROUP):
                count = min(FEEDBACK_GROUP, producer.outputs - start)
                yield Group(producer, tape, words_of(count), count, row, neuron=producer.neuron_base + start)
                tape, row = tape + words_of(count), row + count * blocks
        tape = max(tape, new)


def _slice(
    layer: Layer,
    config: ChipConfig,
    piece: Piece,
    room: dict[str, int],
    producers: Sequence[Sequence[Slice]],
    hidden: Sequence[Sequence[Slice]],
    *,
    learned: bool,
) -> Slice:
    """A slice; ``producers``, ``hidden``: those by layer from which it takes spikes, and to which it sends errors."""
    blocks, count = -(-piece.channels // config.lanes), pixels(layer)
    groups = tuple(_groups(layer, config, blocks, room, producers))
    tape, row = groups[-1].tape + groups[-1].words, room["weight"] + layer.shape[0] * blocks
    feedback = tuple(_feedback(hidden, blocks, tape if learned else room["tape"], tape, row))
    if layer.bias:
        tape = max(group.tape + group.words for group in (*groups, *feedback))
        groups += (Group(None, tape, 1, 1, row - blocks),)
    inputs = sum(group.channels * (window(layer) if group.origin is not None else 1) for group in groups)
    result = Slice(
        layer=piece.layer,
        x=piece.x,
        y=piece.y,
        index=room["index"],
        first=piece.first,
        channels=piece.channels,
        pixels=count,
        rows=layer.shape[0],
        lanes=config.lanes,
        replay=inputs <= config.list_depth,
        block_base=room["block"],
        weight_base=room["weight"],
        tape_base=room["tape"],
        delta_base=room["delta"],
        fan_in_base=room["group"],
        groups=groups,
        order=output_order(layer, piece.first, piece.channels),
        sources=tuple(part for own in hidden or producers for part in own) or (HOST,),
        feedback=feedback,
        learned=learned and bool(feedback),
    )
    room["index"] += len(result.indices)
    room["block"] += count * blocks
    room["weight"] += result.weight_words + result.feedback_words
    room["tape"] += result.tape_words
    room["delta"] += result.delta_words
    room["group"] += len(groups) + len(feedback)
    return result


def row_order(network: Network, layers: Sequence[Sequence[Slice]], number: int) -> np.ndarray:
    """Golden weight rows of a layer in the order in which all its slices keep them, [rows]."""
    layer = network.layers[number]
    source = network.taken[number][0] if number else None
    before = None if source is None else network.layers[source]
    if source is None or (len(network.taken[number]) > 1 and not flat(layer)):
        producers = [(0, layer.in_channels)]
    else:
        producers = [(part.first, part.channels) for part in layers[source]]
    rows = [input_rows(layer, before, first, channels) for first, channels in producers]
    return np.concatenate([*rows, np.arange(layer.shape[0] - bool(layer.bias), layer.shape[0])])


def _connect(network: Network, layers: Sequence[Sequence[Slice]], *, learned: bool) -> None:
    """Fill targets, and give every slice its range of its core's route table."""
    for consumers, taken in zip(layers, network.taken, strict=True):
        offset = 0
        for producer in (part for source in taken for part in layers[source]):
            producer.targets.extend((consumer, consumer.tape_base + offset, False) for consumer in consumers)
            offset += producer.words
    for last in layers[-1]:
        for group in last.feedback:
            if not isinstance(group.origin, Slice):
                continue
            known = [target for target, _, noise in group.origin.targets if noise == learned]
            if last not in known:
                group.origin.targets.append((last, group.tape, learned))
    offset = 0
    for last in layers[-1]:
        last.targets.append((HOST, offset, False))
        offset += last.words
    entries: dict[Core, int] = {}
    for part in (s for slices in layers for s in slices):
        base = entries.get(part.core, 0)
        object.__setattr__(part, "targets_base", base)
        object.__setattr__(part, "sources_base", base + len(part.targets))
        entries[part.core] = base + len(part.targets) + len(part.sources)

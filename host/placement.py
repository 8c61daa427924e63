# SPDX-License-Identifier: Apache-2.0
"""Which core computes which outputs of which layer.

A placement is a list of ``Piece``: contiguous outputs of one layer on one core, several pieces per core
allowed. The strategies fill the cores one after the other along a path through the mesh in which neighbours
are one hop apart, so that a layer lies beside the layers it talks to.
"""

import random
from dataclasses import dataclass, replace

__all__ = ["CapacityError", "Density", "Piece", "balanced", "path", "shuffled"]


class CapacityError(ValueError):
    """The network does not fit on the chip; the message says what does not fit, and what would."""


@dataclass(frozen=True)
class Piece:
    """Outputs ``first`` to ``first + outputs - 1`` of layer ``layer`` (from 0) on core (x, y)."""

    layer: int
    x: int
    y: int
    first: int
    outputs: int


@dataclass(frozen=True, kw_only=True)
class Density:
    """Guessed share of non-zeros, for the work estimate: input spikes, surrogate masks, deltas."""

    spikes: float = 0.2
    masks: float = 0.3
    deltas: float = 0.15

    def __post_init__(self):
        for name in ("spikes", "masks", "deltas"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise TypeError(f"{name} must be a number, not {value!r}")
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be 0 to 1, not {value!r}")


def path(columns, rows):
    """All cores (x, y), each one hop from the one before, row by row from (0, 0)."""
    return [(x if y % 2 == 0 else columns - 1 - x, y) for y in range(rows) for x in range(columns)]


def words_of(count):
    """Tape words of a group of ``count`` neurons."""
    return -(-count // 32)


def work(network, layer, lanes, density):
    """Estimated cycles per sample of a piece, by engine: ``(fixed, per block)``, each (FP, BP, WG, network port)."""
    dense, steps = network.layers[layer], network.steps
    sparse = 1 - (1 - density.spikes) ** steps
    errors = steps * dense.inputs * density.masks if layer else 0
    fixed = (0, errors, 0, 3 * steps * words_of(dense.inputs) + 4 * errors)
    per_block = (
        steps * dense.inputs * density.spikes + steps,
        errors * lanes * density.deltas,
        dense.inputs * (sparse + steps * density.spikes * density.deltas),
        3 * steps * lanes / 32,
    )
    return fixed, per_block


class _Room:
    """What is left of one core while it is filled."""

    def __init__(self, config, limit):
        self.lanes = config.lanes
        self.rows = config.weights // config.lanes
        self.blocks = config.neurons // config.lanes
        self.tape, self.slices, self.peers = config.tape_words, config.slices, config.peers
        self.work = [limit] * 4

    def take(self, outputs, rows, tape, peers, cost):
        """Outputs of a new slice that still fit, at most ``outputs``; takes their room."""
        if self.slices < 1 or self.tape < tape or self.peers < peers:
            return 0
        fixed, per_block = cost
        blocks = min(self.rows // rows, self.blocks, -(-outputs // self.lanes))
        for left, start, each in zip(self.work, fixed, per_block, strict=True):
            if each and left < float("inf"):
                blocks = min(blocks, int((left - start) / each))
        if blocks < 1:
            return 0
        self.rows -= blocks * rows
        self.blocks -= blocks
        self.slices -= 1
        self.tape -= tape
        self.peers -= peers
        self.work = [w - start - blocks * each for w, start, each in zip(self.work, fixed, per_block, strict=True)]
        return min(outputs, blocks * self.lanes)


def _fill(network, config, cores, limit, density):
    """Pieces from filling ``cores`` up to ``limit`` cycles each, or the number of the first layer without room."""
    todo = iter(cores)
    core, room, pieces = None, None, []
    words, producers = words_of(network.layers[0].inputs), 1
    for layer, dense in enumerate(network.layers):
        first, own = 0, []
        cost = work(network, layer, config.lanes, density)
        tape, rows = words + dense.bias, dense.inputs + dense.bias
        while first < dense.outputs:
            count = room.take(dense.outputs - first, rows, tape, producers + 1, cost) if room else 0
            if count:
                own.append(Piece(layer, *core, first, count))
                first += count
                continue
            core = next(todo, None)
            if core is None:
                return layer
            room = _Room(config, limit)
        pieces += own
        words, producers = sum(words_of(piece.outputs) for piece in own), len(own)
    return pieces


def estimate(network, pieces, lanes, density):
    """Estimated cycles per sample of the busiest engine or network port of a placement, or of the host's link.

    Every piece of the first layer gets its own copy of the inputs through the host's link.
    """
    load, count = {}, [sum(p.layer == n for p in pieces) for n in range(len(network.layers))]
    host = 3 * network.steps * words_of(network.inputs) * count[0]
    for piece in pieces:
        fixed, per_block = work(network, piece.layer, lanes, density)
        blocks = -(-piece.outputs // lanes)
        total = [start + blocks * each for start, each in zip(fixed, per_block, strict=True)]
        if piece.layer + 1 < len(network.layers):
            errors = 4 * piece.outputs * density.masks
            total[3] += count[piece.layer + 1] * network.steps * (errors + 3 * words_of(piece.outputs))
        core = load.setdefault((piece.x, piece.y), [0] * 4)
        for engine, cycles in enumerate(total):
            core[engine] += cycles
    return max(host, *(max(engines) for engines in load.values()))


def balanced(network, config, cores, density):
    """The best placement found by filling each core up to a limit of work, over many limits.

    Best is the least estimated work of the busiest core, then the fewest pieces. Raises ``CapacityError`` where
    none fits.
    """

    def rank(pieces):
        return estimate(network, pieces, config.lanes, density), len(pieces)

    best = _fill(network, config, cores, float("inf"), density)
    if isinstance(best, int):
        raise CapacityError(_advice(network, config, len(cores), best, density))
    whole = [Piece(n, 0, 0, 0, dense.outputs) for n, dense in enumerate(network.layers)]
    limit = rank(whole)[0]
    while limit > 1:
        trial = _fill(network, config, cores, limit, density)
        if isinstance(trial, int):
            break
        best = min(best, trial, key=rank)
        limit *= 0.97
    return best


_MEMORIES = {"weights": 1 << 17, "neurons": 1 << 12, "tape_words": 1 << 7, "peers": 1 << 8, "slices": 1 << 4}


def _advice(network, config, cores, layer, density):
    """One sentence: which layer finds no room, and the least change of the chip after which all fit."""

    def fits(count, **changes):
        chip = replace(config, **changes)
        return not isinstance(_fill(network, chip, [(n, 0) for n in range(count)], float("inf"), density), int)

    def least(low, high, step, test):
        low, high = -(-low // step), high // step
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if test(middle * step) else (middle + 1, high)
        return low * step

    dense = network.layers[layer]
    steps = {name: config.lanes if name in ("weights", "neurons") else 1 for name in _MEMORIES}
    scarce = [name for name, top in _MEMORIES.items() if fits(cores, **{name: top})]
    have = f"{cores} core{'s' * (cores != 1)} of {{}}"
    if scarce and scarce[0] in ("weights", "neurons"):
        need = {"weights": (dense.inputs + dense.bias) * dense.outputs, "neurons": dense.outputs}[scarce[0]]
        text = f"layer {layer} needs {need:,} {scarce[0]} on {have.format(f'{getattr(config, scarce[0]):,}')}"
        text += " that hold the layers before it" if layer else ""
    elif scarce:
        kind = scarce[0].replace("_", " ")
        text = f"layer {layer} does not fit on {have.format(f'{getattr(config, scarce[0]):,} {kind}')}"
    else:
        text = f"layer {layer} does not fit on {have.format(f'{config.weights:,} weights')}"
    more = least(cores + 1, 65, 1, fits)
    remedies = [f"at least {more} cores"] if more <= 64 else []
    if scarce:
        name = scarce[0]
        value = least(getattr(config, name), _MEMORIES[name], steps[name], lambda v: fits(cores, **{name: v}))
        remedies.append(f"{name}={value}")
    elif not remedies:
        remedies.append("smaller layers, as no chip of so many cores can hold this network")
    return f"{text}: use {' or '.join(remedies)}"


def shuffled(network, config, cores, density, seed):
    """A random placement: other cuts, other cores, other orders than ``balanced``; the same for the same seed."""
    draw = random.Random(seed)
    cores = list(cores)
    draw.shuffle(cores)
    base = balanced(network, config, cores, density)
    for _ in range(20):
        order = list(cores)
        draw.shuffle(order)
        pieces = _random(network, config, order, draw)
        if pieces:
            return pieces
    return base


def _random(network, config, cores, draw):
    """One try of ``shuffled``: cut every layer at random, put every piece on a random core with room, or ``None``."""
    rooms = {core: _Room(config, float("inf")) for core in cores}
    pieces, words, producers = [], words_of(network.layers[0].inputs), 1
    free = ((0, 0, 0, 0), (0, 0, 0, 0))
    for layer, dense in enumerate(network.layers):
        limit = max(1, min(dense.outputs, 2 * len(cores), config.peers // 2 - 1, config.slices))
        cuts = sorted(draw.sample(range(1, dense.outputs), min(draw.randint(1, limit), dense.outputs) - 1))
        own = []
        for first, end in zip([0, *cuts], [*cuts, dense.outputs], strict=True):
            at = first
            order = list(cores)
            draw.shuffle(order)
            for core in order:
                tape, rows = words + dense.bias, dense.inputs + dense.bias
                count = rooms[core].take(end - at, rows, tape, producers + 1, free)
                if count:
                    own.append(Piece(layer, *core, at, count))
                    at += count
                if at == end:
                    break
            if at < end:
                return None
        pieces += own
        words, producers = sum(words_of(piece.outputs) for piece in own), len(own)
    return pieces

# SPDX-License-Identifier: Apache-2.0
"""Bytes that a batch moves between memory and chip, from the shapes alone; docs/memory.md explains each term."""

from collections.abc import Sequence
from dataclasses import dataclass

from backspike.golden.network import Network
from backspike.host.compiler.phases.program import Phase, Program
from backspike.host.memory.traffic import ERROR_DENSITY, SUM_BYTES, Traffic, number_bytes, packed_bytes

__all__ = ["Counted", "evaluation_traffic", "expected_counts", "node_traffic", "training_traffic"]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What the bytes of errors depend on besides shapes, of all samples of a batch, by phase.

    Parameters
    ----------
    asked : sequence of int
        Surrogate masks of the inputs of a phase that are set; of the first phase 0.
    nonzero : sequence of int
        Errors of these inputs that are not 0.
    """

    asked: Sequence[int]
    nonzero: Sequence[int]


def expected_counts(program: Program, batch: int, share: float = ERROR_DENSITY) -> Counted:
    """Counts for an estimate: masks as the compiler's densities say, and this share of the errors that is not 0."""
    asked, nonzero = [0], [0]
    for phase in program.phases[1:]:
        neurons = batch * program.network.steps * phase.inputs
        asked.append(round(phase.tiles[0].plan.densities[0].masks * neurons))
        nonzero.append(round(share * neurons))
    return Counted(asked=asked, nonzero=nonzero)


def training_traffic(program: Program, batch: int, counted: Counted) -> Traffic:
    """Of a training batch of so many samples; of a network that fits, its inputs alone."""
    if program.plan:
        return Traffic(spikes=batch * _blocks(program, 0))
    total, last = Traffic(), len(program.phases) - 1
    for number in range(last + 1):
        if number < last or not program.joined:
            total += _forward(program, number, batch)
        total += _backward(program, number, batch, counted)
    return total


def evaluation_traffic(program: Program, batch: int) -> Traffic:
    """Of so many samples that are only classified."""
    if program.plan:
        return Traffic(spikes=batch * _blocks(program, 0))
    return sum((_forward(program, number, batch) for number in range(len(program.phases))), start=Traffic())


def _blocks(program: Program, boundary: int) -> int:
    """Bytes of one bit for each neuron in front of a phase, of a sample: each tile's are apart."""
    return sum(packed_bytes(program.network.steps, count) for count in program.blocks(boundary))


def _numbers(program: Program, phase: Phase) -> int:
    """Bytes of the weights of all tiles of a phase."""
    return number_bytes(program.config.format.width) * sum(tile.weights for tile in phase.tiles)


def _errors(program: Program, boundary: int, batch: int, counted: Counted) -> int:
    """Bytes of the errors in front of a phase, once."""
    return batch * _blocks(program, boundary) + number_bytes(program.config.format.width) * counted.nonzero[boundary]


def _forward(program: Program, number: int, batch: int) -> Traffic:
    """Each tile reads its weights, and all inputs of the phase; spikes and masks of hidden layers are written."""
    phase, last = program.phases[number], len(program.phases) - 1
    out = batch * _blocks(program, number + 1) if number < last else 0
    return Traffic(
        weights=_numbers(program, phase),
        spikes=len(phase.tiles) * batch * _blocks(program, number) + out,
        masks=out,
    )


def _backward(program: Program, number: int, batch: int, counted: Counted) -> Traffic:
    """Each tile reads weights and velocities, all inputs with their masks, and its errors; it writes what is new.

    Errors of the inputs are complete after the last tile: until then, each sum is kept exactly.
    """
    phase, last = program.phases[number], len(program.phases) - 1
    numbers, rounds = 2 * _numbers(program, phase), len(phase.tiles)
    inputs = rounds * batch * _blocks(program, number)
    hidden = number > 0
    return Traffic(
        weights=numbers,
        velocities=numbers * program.velocities,
        spikes=inputs,
        masks=inputs * hidden,
        errors=(_errors(program, number + 1, batch, counted) if number < last else 0)
        + (_errors(program, number, batch, counted) if hidden else 0),
        sums=2 * SUM_BYTES * counted.asked[number] * (rounds - 1),
    )


def node_traffic(network: Network, weights: int, batch: int, *, momentum: bool, nonzero: float) -> Traffic:
    """Of a batch for a memory node that goes back by tiles of inputs, each layer a phase: a closed formula.

    Such tiles have complete sums of errors, so that none is kept; spikes and masks are read once on the way back.

    Parameters
    ----------
    network : Network
        The layers.
    weights : int
        That the whole chip holds, which says how many tiles a layer has.
    batch : int
        Samples.
    momentum : bool
        Whether there are velocities.
    nonzero : float
        Share of errors that are not 0.
    """
    total, last = Traffic(), len(network.layers) - 1
    number = number_bytes(network.format.width)
    for index, layer in enumerate(network.layers):
        own = layer.shape[0] * layer.shape[1]
        rounds = -(-own // weights)
        before, after = (batch * packed_bytes(network.steps, count) for count in (layer.inputs, layer.outputs))
        hidden, ends = index > 0, index == last

        def errors(count: int, bits: int) -> int:
            return bits + round(number * nonzero * batch * network.steps * count)

        total += Traffic(
            weights=3 * number * own,
            velocities=2 * number * own * momentum,
            spikes=(rounds + 1) * before + after * (not ends),
            masks=before * hidden + after * (not ends),
            errors=rounds * errors(layer.outputs, after) + errors(layer.inputs, before) * hidden,
        )
    return total

# SPDX-License-Identifier: Apache-2.0
"""A network as a list of phases, each of which is on the chip at one time and runs all samples of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from backspike.golden.layers import Conv, Layer, MaxPool
from backspike.golden.network import Network, Training
from backspike.golden.rules import Rule
from backspike.host.compiler.capacity import gradient_terms
from backspike.host.compiler.phases.program_report import program_dict, program_text
from backspike.host.compiler.plan import Plan
from backspike.spec.config import ChipConfig

__all__ = ["Part", "Phase", "Program", "Tile", "part_of"]


class Part(Network):
    """Some layers of a network, of which the last may be a map."""

    ends_in_pixel: ClassVar[bool] = False


def part_of(network: Network, first: int, last: int, channels: int | None = None) -> Part:
    """Layers ``first`` to ``last`` of a network, of the last one so many output channels (``None``: all)."""
    layers = list(network.layers[first : last + 1])
    if channels is not None:
        layers[-1] = _narrowed(layers[-1], channels)
    return Part(layers=layers, steps=network.steps, format=network.format)


def _narrowed(layer: Layer, channels: int) -> Layer:
    if isinstance(layer, MaxPool):
        raise TypeError(f"layer must have weights that can be divided, not be {layer!r}")
    return replace(layer, out_channels=channels) if isinstance(layer, Conv) else replace(layer, outputs=channels)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """What is on the chip at one time.

    Parameters
    ----------
    first, channels : int
        First output channel of the phase's last layer, and how many.
    pixels : int
        Of each of them.
    plan : Plan
        Of the phase's layers with these channels. Tiles of one size share it: they differ in their weights.
    """

    first: int
    channels: int
    pixels: int
    plan: Plan

    @property
    def outputs(self) -> int:
        """Neurons that leave the tile."""
        return self.channels * self.pixels

    @property
    def neurons(self) -> slice:
        """Where they are among all of the layer, in the golden model's order."""
        return slice(self.first * self.pixels, (self.first + self.channels) * self.pixels)

    @property
    def columns(self) -> slice:
        """Columns of the last layer's weights."""
        return slice(self.first, self.first + self.channels)

    @property
    def weights(self) -> int:
        """Weights of all of its layers."""
        return sum(layer.shape[0] * layer.shape[1] for layer in self.plan.network.layers)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Consecutive layers, or the tiles of one.

    Parameters
    ----------
    first, last : int
        The layers.
    tiles : tuple of Tile
        In order of their channels; of several layers there is one.
    """

    first: int
    last: int
    tiles: tuple[Tile, ...]

    @property
    def layers(self) -> slice:
        """The layers in the network."""
        return slice(self.first, self.last + 1)

    @property
    def inputs(self) -> int:
        """Neurons that it takes."""
        return self.tiles[0].plan.network.inputs

    @property
    def outputs(self) -> int:
        """Neurons that it gives."""
        return sum(tile.outputs for tile in self.tiles)


class Program:
    """What ``compile_program`` returns.

    Parameters
    ----------
    network : Network
        With the neurons of the rule.
    training, config, rule
        As given to ``compile_program``.
    loss : "rate" or "external"
        As given to ``compile_program``.
    batch : int
        Samples of a batch, for estimates.
    phases : sequence of Phase
        Their tiles' plans, but those of the first phase, give the errors of their inputs to the host.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        config: ChipConfig,
        phases: Sequence[Phase],
        loss: Literal["rate", "external"],
        rule: Rule,
        batch: int,
    ) -> None:
        self.network, self.training, self.config, self.loss, self.rule = network, training, config, loss, rule
        self.phases, self.batch = tuple(phases), batch
        self.frames = rule.frames(network.steps)
        self.sample_terms = max(gradient_terms(network, rule))

    @property
    def plan(self) -> Plan | None:
        """The plan of a network that fits, which is one phase; ``None`` of any other."""
        return self.phases[0].tiles[0].plan if len(self.phases) == len(self.phases[0].tiles) == 1 else None

    @property
    def joined(self) -> bool:
        """Whether the last phase goes back with its forward pass: where no output of another tile is needed for it."""
        return self.loss == "rate" or len(self.phases[-1].tiles) == 1

    @property
    def velocities(self) -> bool:
        """Whether velocities are kept: where the chip has a memory for them."""
        return self.config.momentum

    def blocks(self, boundary: int) -> list[int]:
        """Neurons in front of a phase, by the tile that they come from; those of the network's inputs are one block."""
        if not boundary:
            return [self.network.inputs]
        return [tile.outputs for tile in self.phases[boundary - 1].tiles]

    def retrained(self, training: Training) -> "Program":
        """The same phases with other constants of the training.

        Raises
        ------
        TypeError, ValueError, CapacityError
            As ``compile_network``.
        """
        plans = {id(tile.plan): tile.plan for phase in self.phases for tile in phase.tiles}
        new = {key: plan.retrained(training) for key, plan in plans.items()}
        phases = [
            replace(phase, tiles=tuple(replace(tile, plan=new[id(tile.plan)]) for tile in phase.tiles))
            for phase in self.phases
        ]
        return Program(self.network, training, self.config, phases, self.loss, self.rule, self.batch)

    def to_dict(self) -> dict[str, Any]:
        """Phases, tiles and their estimated cycles as plain values, for JSON; see ``program_dict``."""
        return program_dict(self)

    def summary(self) -> str:
        """Plain text: the plan of a network that fits, or a table with a line for each phase."""
        return self.plan.summary() if self.plan else program_text(self)

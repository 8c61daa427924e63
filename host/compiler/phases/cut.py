# SPDX-License-Identifier: Apache-2.0
"""Where a network that does not fit is cut into phases, and its largest layers into tiles.

program = compile_program(network, training, config)
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from backspike.golden.network import Network, Training
from backspike.golden.rules import BPTT, Rule
from backspike.golden.sources import is_chain
from backspike.host.compiler.capacity import CapacityError, check_layers, words_of
from backspike.host.compiler.capacity_advice import capacity_advice
from backspike.host.compiler.compile import check_chip, check_kinds, compile_network, feedback_kind
from backspike.host.compiler.cost_model import Density, layer_densities
from backspike.host.compiler.geometry import pixels
from backspike.host.compiler.greedy_fill import greedy_fill
from backspike.host.compiler.partition import Partition
from backspike.host.compiler.phases.program import Phase, Program, Tile, part_of
from backspike.host.compiler.plan import Plan
from backspike.host.memory.traffic import ERROR_DENSITY, SUM_BYTES, number_bytes, packed_bytes
from backspike.spec.checks import check_integer
from backspike.spec.config import ChipConfig
from backspike.spec.tables import ROUTE

__all__ = ["RULES", "check_program", "compile_program", "in_phases"]

RULES = "bptt, tbptt:C, sltt or sltt-k:K"
"""Those that can be run in phases."""

Cut: TypeAlias = tuple[int, int, tuple[int, ...]]
"""First and last layer of a phase, and the output channels of its tiles."""


def in_phases(rule: Rule) -> bool:
    """Whether a rule can be run in phases: all that weights learn from is spikes, and errors of the layer behind."""
    spikes = rule.operand == "spike" and rule.backward == "surrogate"
    return spikes and rule.feedback == "weights" and not rule.step_updates


def compile_program(
    network: Network,
    training: Training,
    config: ChipConfig,
    *,
    strategy: Literal["balanced", "shuffled"] = "balanced",
    seed: int = 0,
    density: Density | Sequence[Density] | None = None,
    loss: Literal["rate", "external"] = "rate",
    rule: Rule = BPTT,
    feedback_seed: int = 0,
    batch: int = 16,
) -> Program:
    """Place a network on a chip, in as many phases as it takes.

    Consecutive layers are one phase where they fit together and that saves bytes; a layer that does not fit is cut into
    tiles of its output channels, as few as possible.

    Parameters
    ----------
    network, training, config, strategy, seed, density, loss, rule, feedback_seed
        As for ``compile_network``.
    batch : int
        Samples of a batch, on which it depends what saves bytes.

    Returns
    -------
    Program
        One phase with one tile where the network fits: the plan of ``compile_network``.

    Raises
    ------
    CapacityError
        It does not fit in phases either, or the rule cannot be run in them; the message says what would fit.
    TypeError, ValueError
        As ``compile_network``.
    """
    check_kinds(network, training, config, rule)
    batch = check_integer("batch", batch, 1)
    cutter = _Cutter(network, training, config, layer_densities(network, density), rule, batch)
    given: dict[str, Any] = {"strategy": strategy, "seed": seed, "rule": rule, "feedback_seed": feedback_seed}
    given["batch"] = batch
    while True:
        cuts = cutter.cuts()
        try:
            phases = [_phase(cutter, cut, loss, given) for cut in cuts]
        except _Refused as refused:
            cutter.refuse(refused)  # by what is known only when everything has its place
        else:
            return Program(cutter.network, training, config, phases, loss, rule, batch)


def check_program(network: Network, training: Training, config: ChipConfig, rule: Rule = BPTT) -> None:
    """Refuse in a moment what ``compile_program`` refuses, in the same words; it still has to find placements."""
    _Cutter(network, training, config, layer_densities(network, None), rule, 1).cuts()


class _Refused(Exception):
    """A part of the network that finds no place."""

    def __init__(self, first: int, last: int, channels: int, reason: CapacityError) -> None:
        super().__init__(str(reason))
        self.first, self.last, self.channels, self.reason = first, last, channels, reason


class _Cutter:
    """Looks for the cuts with the fewest bytes of a batch."""

    def __init__(
        self,
        network: Network,
        training: Training,
        config: ChipConfig,
        densities: Sequence[Density],
        rule: Rule,
        batch: int,
    ) -> None:
        check_chip(network, training, config, rule)
        check_layers(network, config, rule)
        self.network, self.training, self.config, self.rule = rule.adapted(network), training, config, rule
        self.densities, self.batch, self.count = tuple(densities), batch, len(network.layers)
        self._fits: dict[tuple[int, int, int], bool] = {}
        self._refused: set[tuple[int, int]] = set()
        self._most: dict[int, int] = {}
        self._reason: CapacityError | None = None

    def part(self, first: int, last: int, channels: int) -> Network:
        """Some layers, with so many channels of the last one."""
        whole = (first, last, channels) == (0, self.count - 1, self.network.layers[-1].out_channels)
        return self.network if whole else part_of(self.network, first, last, channels)

    def cuts(self) -> list[Cut]:
        """The phases; one for a network that fits. ``CapacityError`` where there are none."""
        last = self.count - 1
        every = self.network.layers[last].out_channels
        if self._fit(0, last, every):
            return [(0, last, (every,))]
        if not in_phases(self.rule):
            reason = self._reason or self._advice(0, last, every)
            raise CapacityError(f"{reason}, or rule {RULES}, which can run in phases")
        if not is_chain(self.network):
            reason = self._reason or self._advice(0, last, every)
            raise CapacityError(f"{reason}; residual connections and maximum pooling cannot run in phases")
        costs: list[float] = [0.0]
        choices: list[list[Cut]] = [[]]
        for end in range(self.count):
            options = []
            for begin in range(end, -1, -1):
                sizes = self._tiles(end) if begin == end else self._whole(begin, end)
                if sizes:
                    options.append((costs[begin] + self._bytes(begin, end, sizes), begin, sizes))
                elif begin < end:
                    break
            cost, begin, sizes = min(options)
            costs.append(cost)
            choices.append([*choices[begin], (begin, end, sizes)])
        return choices[-1]

    def refuse(self, refused: _Refused) -> None:
        """Take note of a part without a place."""
        self._reason = refused.reason
        if refused.first == refused.last:
            self._most[refused.last] = refused.channels * 7 // 8
        else:
            self._refused.add((refused.first, refused.last))

    def _fit(self, first: int, last: int, channels: int) -> bool:
        if (first, last) in self._refused or channels > self._most.get(last, channels):
            return False
        key = first, last, channels
        if key not in self._fits:
            self._fits[key] = self._may_fit(*key) and not isinstance(self._fill(*key), int)
        return self._fits[key]

    def _may_fit(self, first: int, last: int, channels: int) -> bool:
        """Whether the cores have so many neurons, and tapes so many words: known without a search for places."""
        inside = sum(layer.outputs for layer in self.network.layers[first:last])
        outside = pixels(self.network.layers[last]) * channels
        neurons = self.config.cores * self.config.neurons
        return words_of(outside) <= 1 << ROUTE.fields["word"] and inside + outside <= neurons

    def _fill(self, first: int, last: int, channels: int) -> Any:
        """A placement, or the number of the layer that finds no room."""
        return greedy_fill(self._partition(first, last, channels), self.config.cores, float("inf"))

    def _partition(self, first: int, last: int, channels: int) -> Partition:
        part, densities = self.part(first, last, channels), self.densities[first : last + 1]
        return Partition(part, self.config, densities, input_errors=first > 0, **feedback_kind(self.rule))

    def _whole(self, first: int, last: int) -> tuple[int, ...]:
        """All channels of several layers, if they fit."""
        channels = self.network.layers[last].out_channels
        return (channels,) if self._fit(first, last, channels) else ()

    def _tiles(self, number: int) -> tuple[int, ...]:
        """Sizes of the tiles of a layer, as few as possible and as equal as whole blocks of lanes allow."""
        channels, lanes = self.network.layers[number].out_channels, self.config.lanes
        low, high = 0, channels
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._fit(number, number, middle) else (low, middle - 1)
        if not low:
            raise self._reason or CapacityError(self._advice(number, number, 1))
        size = -(-channels // -(-channels // low))
        size = min(-(-size // lanes) * lanes, low)
        return tuple(min(size, channels - done) for done in range(0, channels, size))

    def _advice(self, first: int, last: int, channels: int) -> str:
        partition, full = self._partition(first, last, channels), self._fill(first, last, channels)
        return capacity_advice(partition, self.config.cores, full if isinstance(full, int) else 0, before=first)

    def _bytes(self, first: int, last: int, sizes: Sequence[int]) -> float:
        """Estimated bytes of a batch by the formula of ``memory.formula``, but for the rounding to whole bytes."""
        network, rounds, ends = self.network, len(sizes), last == self.count - 1
        layers = network.layers[first : last + 1]
        number = number_bytes(self.config.format.width)
        each = number * ((4 if self.config.momentum else 2) + (0 if ends else 1) + 1)
        weights = each * sum(layer.shape[0] * layer.shape[1] for layer in layers)
        inside, outside = layers[0].inputs, layers[-1].outputs
        read = rounds * packed_bytes(network.steps, inside)
        sample = float(read * (1 + (not ends) + (first > 0)))
        if first:
            sums = network.steps * inside * self.densities[first].masks
            sample += 2 * SUM_BYTES * sums * (rounds - 1)
        if not ends:
            sample += 4 * packed_bytes(network.steps, outside)
            sample += 2 * number * ERROR_DENSITY * network.steps * outside
        return weights + self.batch * sample


def _phase(cutter: _Cutter, cut: Cut, loss: Literal["rate", "external"], given: dict[str, Any]) -> Phase:
    """The phase of a cut, with a plan for each size of its tiles."""
    first, last, sizes = cut
    plans: dict[int, Plan] = {}
    for channels in set(sizes):
        try:
            plans[channels] = compile_network(
                cutter.part(first, last, channels),
                cutter.training,
                cutter.config,
                density=cutter.densities[first : last + 1],
                loss=loss if last == cutter.count - 1 else "external",
                input_errors=first > 0,
                **given,
            )
        except CapacityError as error:
            raise _Refused(first, last, channels, error) from error
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    each = pixels(cutter.network.layers[last])
    tiles = [
        Tile(first=start, channels=channels, pixels=each, plan=plans[channels])
        for start, channels in zip(starts, sizes, strict=True)
    ]
    return Phase(first=first, last=last, tiles=tuple(tiles))

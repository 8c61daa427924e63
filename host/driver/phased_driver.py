# SPDX-License-Identifier: Apache-2.0
"""The driver of a network that is on the chip tile by tile; what is not on the chip is in a ``Store``."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.network import Training
from backspike.host.compiler.geometry import Core
from backspike.host.compiler.phases.program import Phase, Program, Tile
from backspike.host.driver.driver import Driver
from backspike.host.driver.operation import DriverError, Operation, Run, Script
from backspike.host.driver.sample_stream import ErrorFunction, SampleResult
from backspike.host.driver.transactions import Reads, Updates, Writes
from backspike.host.memory.formula import evaluation_traffic, training_traffic
from backspike.host.memory.store import Store
from backspike.host.memory.traffic import Traffic
from backspike.spec.tables import Region

__all__ = ["PhasedDriver", "driver_for"]

_Target: TypeAlias = Callable[[int, Tile], dict[str, Any]]
"""Labels or errors for ``Samples``, of a tile and its number in the phase."""


def driver_for(program: Program, *, strict: bool = True) -> Driver:
    """The driver of a program: a plain ``Driver`` where the network fits."""
    return Driver(program.plan, strict=strict) if program.plan else PhasedDriver(program, strict=strict)


class PhasedDriver(Driver):
    """As ``Driver``. A batch is one operation, in which all phases run: forward from the first, back from the last.

    The weights change with the batch as a whole: where it fails they are those before it, so that it can be trained
    again after ``recover``.

    Parameters
    ----------
    program : Program
        From ``compile_program``.
    strict : bool
        As for ``Driver``.

    Attributes
    ----------
    program : Program
        The phases; ``plan`` is that of the tile on the chip.
    samples : dict of str to int
        Samples of ``"training"`` and of ``"evaluation"`` so far.
    traffic, expected : dict of str to Traffic
        Their bytes, as they were counted and by the formula.
    """

    program: Program

    def __init__(self, program: Program, *, strict: bool = True) -> None:
        super().__init__(program.phases[0].tiles[0].plan, strict=strict)
        self.program = program
        self._kept: Store | None = None
        kinds = ("training", "evaluation")
        self.samples = dict.fromkeys(kinds, 0)
        self.traffic, self.expected = dict.fromkeys(kinds, Traffic()), dict.fromkeys(kinds, Traffic())

    @property
    def _store(self) -> Store:
        if self._kept is None:
            raise DriverError("weights must be loaded first")
        return self._kept

    def load(
        self,
        weights: Sequence[ArrayLike],
        velocities: Sequence[ArrayLike] | None = None,
        *,
        feedback: Sequence[np.ndarray] | None = None,
        noise: Sequence[np.ndarray] | None = None,
    ) -> Operation[None]:
        if feedback is not None or noise is not None:
            self._refuse("load with feedback")
        if velocities is not None:
            self._check_velocities("load with velocities")
        zeros = [np.zeros(layer.shape) for layer in self.program.network.layers]
        store = Store(self.program, weights, zeros if velocities is None else velocities)

        def script(run: Run) -> Script[None]:
            self._kept = store
            yield from ()

        return self._start("load", script)

    def write_weights(
        self, weights: Sequence[ArrayLike], velocities: Sequence[ArrayLike] | None = None
    ) -> Operation[None]:
        return self.load(weights, velocities)

    def change_training(self, training: Training) -> Operation[None]:
        program = self.program.retrained(training)

        def script(run: Run) -> Script[None]:
            self.program = program
            yield from ()

        return self._start("change_training", script)

    def _read(self, name: str, region: Region) -> Operation[list[np.ndarray]]:
        def script(run: Run) -> Script[list[np.ndarray]]:
            yield from ()
            return self._store.numbers(name.removeprefix("read_"))

        return self._start(name, script)

    def read_gradients(self) -> NoReturn:
        """Not here: ``DriverError``, as for ``update`` and ``clear_gradients``."""
        self._refuse("read_gradients")

    def update(self) -> NoReturn:
        self._refuse("update")

    def clear_gradients(self) -> NoReturn:
        self._refuse("clear_gradients")

    def _refuse(self, name: str) -> NoReturn:
        raise DriverError(f"{name} needs a network that fits: in phases, a batch is done as a whole")

    def _control_of_cores(self, run: Run) -> Script[dict[Core, dict[str, bool]]]:
        """Core (0, 0) answers for the errors that the host rounds, too."""
        control = yield from super()._control_of_cores(run)
        control[0, 0]["saturated"] |= self._kept is not None and self._kept.saturated
        return control

    def _train(
        self,
        run: Run,
        inputs: np.ndarray,
        frames: np.ndarray,
        labels: list[int] | None,
        errors: ErrorFunction | None,
        *,
        update: bool,
    ) -> Script[SampleResult]:
        if not update:
            self._refuse("train_batch without update")
        store, last = self._store, len(self.program.phases) - 1
        store.begin()
        store.give(inputs)
        for number in range(last):
            yield from self._pass_forward(run, number)
        if labels is not None:
            target = _labels(labels)
        elif self.program.joined:
            target = _errors(errors)
        else:
            outputs = yield from self._pass_forward(run, last)
            target = _known_errors(outputs, frames, errors)
        outputs = yield from self._pass_back(run, last, frames, target)
        for number in reversed(range(last)):
            yield from self._pass_back(run, number, frames, partial(self._kept_errors, number + 1))
        store.finish()
        by_formula = training_traffic(self.program, inputs.shape[1], store.counted)
        self._account("training", inputs.shape[1], by_formula)
        return SampleResult(outputs)

    def _evaluate(self, run: Run, inputs: np.ndarray) -> Script[SampleResult]:
        self._store.begin()
        self._store.give(inputs)
        for number in range(len(self.program.phases)):
            outputs = yield from self._pass_forward(run, number)
        self._account("evaluation", inputs.shape[1], evaluation_traffic(self.program, inputs.shape[1]))
        return SampleResult(outputs)

    def memory_report(self) -> dict[str, Any]:
        """Bytes of training and evaluation by class, counted and by the formula, as plain values for JSON."""
        return {
            kind: {
                "samples": self.samples[kind],
                "counted": self.traffic[kind].to_dict(),
                "formula": self.expected[kind].to_dict(),
            }
            for kind in self.samples
        }

    def _account(self, kind: str, samples: int, expected: Traffic) -> None:
        self.samples[kind] += samples
        self.traffic[kind] += self._store.traffic
        self.expected[kind] += expected

    def _pass_forward(self, run: Run, number: int) -> Script[np.ndarray]:
        """All tiles of a phase, without learning; returns its spikes [T, B, N]."""
        phase, store, parts = self.program.phases[number], self._store, []
        for tile in phase.tiles:
            yield from self._place(run, phase, tile, learning=False)
            samples = yield from self._forward(run, store.read_bits("spikes", number))
            if number + 1 < len(self.program.phases):
                store.write_bits("spikes", number + 1, samples.outputs)
                store.write_bits("masks", number + 1, samples.masks)
            parts.append(samples.outputs)
        return np.concatenate(parts, axis=2)

    def _pass_back(self, run: Run, number: int, frames: np.ndarray, target: _Target) -> Script[np.ndarray]:
        """All tiles of a phase, forward again and back; returns its spikes [T, B, N]."""
        phase, store, parts = self.program.phases[number], self._store, []
        for index, tile in enumerate(phase.tiles):
            yield from self._place(run, phase, tile, learning=True)
            masks = store.read_bits("masks", number) if number else None
            inputs = store.read_bits("spikes", number)
            samples = self._samples(inputs, frames, input_masks=masks, **target(index, tile))
            yield from run(samples)
            yield from self._updates(run)
            yield from samples.settle()
            if masks is not None:
                store.add_errors(number, index, masks, samples.input_errors)
            yield from self._fetch(run, phase, tile)
            parts.append(samples.outputs)
        return np.concatenate(parts, axis=2)

    def _kept_errors(self, boundary: int, index: int, tile: Tile) -> dict[str, Any]:
        """Errors of the outputs of a tile, from the phase behind it."""
        return {"errors": _picked(self._store.read_errors(boundary, index), tile.plan.frame)}

    def _place(self, run: Run, phase: Phase, tile: Tile, *, learning: bool) -> Script[None]:
        """Put a tile on the chip; with velocities and without gradients, if it is to learn."""
        self.plan, self.next_slot = tile.plan, 0
        packets = tile.plan.load_packets(self._store.read_numbers("weights", phase, tile))
        if learning and self.program.velocities:
            packets += tile.plan.velocity_packets(self._store.read_numbers("velocities", phase, tile))
        yield from run(Writes(packets))
        yield from self._until_idle(run)  # a core that starts anew takes no samples at first
        if learning:
            yield from self._updates(run, clear=True)

    def _updates(self, run: Run, *, clear: bool = False) -> Script[None]:
        """As ``_update``, but what it leaves where it fails is of no account."""
        for slices in self.plan.updates():
            yield from run(Updates(slices, clear=clear))

    def _fetch(self, run: Run, phase: Phase, tile: Tile) -> Script[None]:
        """Keep what a tile has learned."""
        regions = {"weights": Region.WEIGHT} | ({"velocities": Region.VELOCITY} if self.program.velocities else {})
        for name, region in regions.items():
            memory = yield from run(Reads(tile.plan.weight_reads(region)))
            self._store.write_numbers(name, phase, tile, tile.plan.decode_weights(memory))


def _labels(labels: Sequence[int]) -> _Target:
    """Labels, counted from the first output of each tile."""
    return lambda _, tile: {"labels": [label - tile.first for label in labels]}


def _errors(function: ErrorFunction | None) -> _Target:
    """Errors of a last layer that is one tile."""
    return lambda *_: {"errors": function}


def _known_errors(outputs: np.ndarray, frames: np.ndarray, function: ErrorFunction | None) -> _Target:
    """Errors of a last layer in tiles, all of whose outputs [T, B, N] are known."""
    steps, samples, _ = outputs.shape
    frame, errors = steps // len(frames), np.zeros(outputs.shape)
    if function:
        for sample in range(samples):
            for end in ((n + 1) * frame for n in np.flatnonzero(frames)):
                errors[end - frame : end, sample] = function(sample, outputs[:end, sample].copy())
    return lambda _, tile: {"errors": _picked(errors[..., tile.neurons], frame)}


def _picked(errors: np.ndarray, frame: int) -> ErrorFunction:
    """The ``ErrorFunction`` of errors [T, B, N] that are known."""
    return lambda sample, so_far: errors[len(so_far) - frame : len(so_far), sample]

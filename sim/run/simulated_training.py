# SPDX-License-Identifier: Apache-2.0
"""The training run of ``make sim``: golden model, generated chip, comparison, report, pictures."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.golden import learning
from backspike.golden.diagnosis import diagnose
from backspike.host.data.dataset import Dataset
from backspike.host.training.golden_training import accuracy_by_class, train_golden
from backspike.host.training.metrics import Metrics
from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip
from backspike.sim.run.pictures import draw_all
from backspike.sim.run.progress import Reporter, followed
from backspike.sim.run.run_name import check_run_name, new_run_name
from backspike.sim.run.run_report import make_report, print_report
from backspike.sim.run.scenario import Scenario
from backspike.sim.verilator.runner import Built, build, run
from backspike.spec.config import ChipConfig

__all__ = ["simulate_training"]

_SEEN = 500
"""Training samples that are looked at for the report's warnings."""


def simulate_training(
    scenario: Scenario,
    directory: Path,
    *,
    waves: str | None = None,
    reporter: Reporter | None = None,
    emit: Callable[[ChipConfig, Path], list[Path]] = emit_chip,
) -> dict[str, Any]:
    """Train a scenario's network on the simulated chip and in the golden model, and compare every bit.

    Parameters
    ----------
    scenario : Scenario
        What is trained, and on which chip.
    directory : Path
        Of everything that is written; ``report.json`` and the pictures go to its top.
    waves : str or None
        What ``chip.vcd`` records of the loading and the first batch, in a run of its own: ``"links"``, the ports of
        chip and tiles; ``"all"``, every signal; ``None``: there is no such file.
    reporter : Reporter or None
        Says what is being done; ``None``: on standard output.
    emit : Callable[[ChipConfig, Path], list of Path]
        What writes the chip's Verilog, called as ``emit_chip``; another one that does the same.

    Returns
    -------
    dict
        The report, as a dict; ``report["difference"]`` is ``None`` where chip and golden model are equal.

    Raises
    ------
    ValueError, TypeError
        The scenario is impossible; ``CapacityError`` says what would fit.
    RuntimeError
        A tool failed.
    """
    reporter = reporter or Reporter()
    scenario.check()
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    name = new_run_name()
    program, data = scenario.program(), scenario.dataset()
    columns, rows = scenario.config.columns, scenario.config.rows
    reporter.console.print(
        f"{scenario.network} with T = {scenario.steps} on {columns} x {rows} cores of {scenario.lanes} lane(s), "
        f"data {data.name}, seed {scenario.seed}",
        soft_wrap=True,
    )
    if remark := scenario.rate_remark():
        reporter.console.print(remark, soft_wrap=True)
    reporter.console.print(program.summary(), soft_wrap=True)
    with threadpool_limits(1):  # the matrices are too small for threads
        golden = _train_golden(scenario, data, reporter)
        _write_expected(name, scenario, data, golden, directory)
    with reporter.stage("generating Verilog"):
        paths = emit(scenario.config, directory / "verilog")
    with reporter.stage("building the simulation with Verilator"):
        built = build(
            [path for path in paths if path.suffix != ".json"],
            CHIP_MODULE,
            directory / "build",
            waves=waves is not None,
            blocks=(TILE_MODULE,),
            no_waves=("*.core*", "*.router.*", "*.host_link*") if waves == "links" else (),
        )
    if waves:
        with reporter.stage("recording waves of the first batch"):
            _run_bench(scenario, built, directory, waves=True, batches=1)
        (directory / "build" / "dump.vcd").replace(directory / "chip.vcd")
    _run_chip(scenario, built, directory, reporter)
    measured = json.loads((directory / "measured.json").read_text())
    check_run_name(directory / "measured.json", measured["run"], name)
    report = make_report(scenario, golden, measured, reporter.seconds)
    (directory / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    with reporter.stage("drawing pictures"):
        pictures = draw_all(scenario, program, data, golden, measured, np.load(directory / "measured.npz"), directory)
    print_report(report, pictures, reporter.console)
    return report


def _train_golden(scenario: Scenario, data: Dataset, reporter: Reporter) -> dict[str, Any]:
    """Full training with the bit-exact model."""
    each, total = len(data.train), len(data.train) * scenario.epochs
    held, _ = data.held
    with reporter.stage("training the golden model bit-exactly") as update:

        def told(epoch: int, _: Metrics, metrics: Metrics) -> None:
            note = f"loss {metrics.loss:.3f}, {held} accuracy {metrics.accuracy:.1%}"
            update((epoch + 1) * each, total, note)

        result = train_golden(scenario, data, scenario.trainer(scenario.weights()), told)
    seen = data.train[:_SEEN]
    return {
        "trainer": result.trainer,
        "samples": len(result.epochs) * each,
        "accuracies": [metrics.accuracy for metrics in result.epochs],
        "losses": [metrics.loss for metrics in result.epochs],
        "held": held,
        "warnings": diagnose(result.trainer, seen.spikes, seen.labels),
        "accuracy": result.tested.accuracy,
        "classes": accuracy_by_class(scenario, result.trainer, data),
    }


def _write_expected(name: str, scenario: Scenario, data: Dataset, golden: dict[str, Any], directory: Path) -> None:
    """What the chip must produce: spikes and weights of each batch, spikes of the tests before and after."""
    trainer = scenario.trainer(scenario.weights())
    expected: dict[str, Any] = {"run": name}
    spikes = []
    for number, chosen in enumerate(scenario.order(data)):
        batch, frames = data.train[chosen], scenario.trained_frames(0, number)
        spikes.append(trainer.train_batch(batch.spikes, batch.labels, trained=frames))
        expected |= {f"weights_{number}_{k}": weight for k, weight in enumerate(trainer.weights)}
        if trainer.feedback and trainer.feedback.learned:
            expected |= {f"feedback_{number}_{k}": matrix for k, matrix in enumerate(trainer.feedback.matrices)}
    expected |= {f"initial_{k}": weight for k, weight in enumerate(scenario.weights())}
    expected |= {f"trained_{k}": weight for k, weight in enumerate(golden["trainer"].weights)}
    expected["train_spikes"] = np.stack(spikes)
    tests = data.test[: scenario.tests].spikes
    for part, weights in (("evaluate", trainer.weights), ("trained", golden["trainer"].weights)):
        trace = learning.forward(scenario.model, weights, tests, trainer.arithmetic)
        expected[f"{part}_spikes"] = trace.layers[-1].spikes
        tested = scenario.metrics(trace.layers[-1].spikes, data.test.labels[: scenario.tests])
        golden[f"{part}_accuracy"] = tested.accuracy
        golden["trace"] = trace
    golden["saturated"] = trainer.saturated
    np.savez(directory / "expected.npz", **expected)
    (directory / "scenario.json").write_text(json.dumps({"run": name, "scenario": dataclasses.asdict(scenario)}))


_PHASES = {
    "load": "loading the chip",
    "train": "training on the chip",
    "evaluate": "testing on the chip",
    "trained": "testing the fully trained weights on the chip",
}


def _run_bench(
    scenario: Scenario, built: Built, directory: Path, *, waves: bool = False, batches: int | None = None
) -> None:
    """Run the bench: everything, or only the first batches."""
    env = {"BACKSPIKE_RUN": str(directory)}
    if batches is not None:
        env["BACKSPIKE_BATCHES"] = str(batches)
    run(built, "backspike.sim.run.bench_training", seed=scenario.seed, waves=waves, env=env)


def _run_chip(scenario: Scenario, built: Built, directory: Path, reporter: Reporter) -> None:
    """Run the bench, and show its progress, one stage for each phase."""
    with contextlib.ExitStack() as stages:
        current: dict[str, Callable[..., None]] = {}

        def show(phase: str, done: int, total: int, loss: float | None = None, accuracy: float | None = None) -> None:
            if phase not in current:
                stages.close()
                current.clear()
                current[phase] = stages.enter_context(reporter.stage(_PHASES[phase]))
            notes = [f"loss {loss:.3f}"] if loss is not None else []
            notes += [f"accuracy {accuracy:.1%}"] if accuracy is not None else []
            current[phase](done, total, ", ".join(notes))

        with followed(directory / "progress.jsonl", show):
            _run_bench(scenario, built, directory)

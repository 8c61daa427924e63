# SPDX-License-Identifier: Apache-2.0
"""The benchmark of ``make bench``: trained weights, a chip for each configuration, measured runs, report."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.golden.trainer import Trainer
from backspike.host.compiler.activity import measure_densities
from backspike.host.compiler.plan import Plan
from backspike.host.data.dataset import Dataset
from backspike.hw.verilog.emit import CHIP_MODULE, TILE_MODULE, emit_chip
from backspike.sim.benchmark.benchmark_cases import Measurement
from backspike.sim.benchmark.benchmark_pictures import draw_benchmark
from backspike.sim.benchmark.benchmark_report import make_benchmark_report, run_report
from backspike.sim.benchmark.benchmark_tables import markdown, print_benchmark
from backspike.sim.run.progress import Reporter, followed
from backspike.sim.run.run_name import check_run_name, new_run_name
from backspike.sim.run.scenario import Scenario
from backspike.sim.verilator.runner import Built, build, run
from backspike.spec.config import ChipConfig

__all__ = ["benchmark", "trained_weights"]

_DENSITY_SAMPLES = 64
_ACCURACY_SAMPLES = 256


class _Prepared(NamedTuple):
    plan: Plan
    accuracy: float  # of the weights at the start, on test samples


def benchmark(runs: list[Measurement], directory: Path, *, reporter: Reporter | None = None) -> dict[str, Any]:
    """Measure runs one after the other; ``report.json``, ``report.md`` and pictures go to the top of the folder.

    Parameters
    ----------
    runs : list of Measurement
        List of ``Measurement``.
    directory : Path
        Of everything that is written; chips and trained weights in it are used again.
    reporter : Reporter or None
        Says what is being done; ``None``: on standard output.

    Returns
    -------
    dict
        The report, as a dict; ``report["differences"]`` names the runs in which chip and golden model are not equal.

    Raises
    ------
    ValueError, TypeError
        A run is impossible; ``CapacityError`` says what would fit.
    RuntimeError
        A tool failed.
    """
    reporter = reporter or Reporter()
    for measurement in runs:
        measurement.scenario.check(phases=False)
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    name = new_run_name()
    weights: dict[str, tuple] = {}
    with threadpool_limits(1):  # the matrices are too small for threads
        # All of them before the first chip is built, so that what does not fit is known at once
        prepared = [_prepare(name, run, directory, reporter, weights) for run in runs]
    chips, results = {}, []
    for number, (measurement, (plan, accuracy)) in enumerate(zip(runs, prepared, strict=True), start=1):
        network = measurement.scenario.network
        reporter.console.print(f"[bold]run {number} of {len(runs)}: {measurement.name}[/], {network}")
        key = _chip_key(measurement.scenario.config)
        if key not in chips:
            chips[key] = _build(measurement.scenario.config, key, directory, reporter)
        built, _ = chips[key]
        folder = directory / "runs" / measurement.name
        measured = _measure_all(name, measurement, plan, built, folder, reporter)
        results.append(run_report(measurement, plan, accuracy, key, measured))
        # After every run, so that nothing is lost when a later one fails
        report = make_benchmark_report(results, {key: facts for key, (_, facts) in chips.items()}, runs)
        (directory / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        (directory / "report.md").write_text(markdown(report))
    with reporter.stage("drawing pictures"):
        pictures = draw_benchmark(report, directory)
    print_benchmark(report, reporter.console)
    for path in (directory / "report.json", directory / "report.md", *pictures):
        reporter.console.print(f"written: {path}", soft_wrap=True)
    return report


def _digest(values: Any) -> str:
    """A short name of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def _chip_key(config: ChipConfig) -> str:
    """Name of a configuration: equal ones are built once."""
    return f"{config.columns}x{config.rows}-{config.lanes}lanes-{_digest(config.to_dict())}"


def trained_weights(
    measurement: Measurement, data: Dataset, directory: Path, reporter: Reporter | None
) -> list[np.ndarray]:
    """Weights of a golden model that has learnt for a while, or those of the file that the case names.

    Deltas of an untrained network are much denser than those of one that makes few errors.
    """
    case, scenario = measurement.case, measurement.scenario
    network = scenario.model
    name = _digest(
        [
            *(scenario.network, scenario.steps, scenario.neuron, scenario.bias, scenario.data),
            *(scenario.rule, dataclasses.asdict(scenario.training), case.epochs, scenario.seed),
        ]
    )
    path = Path(case.weights) if case.weights else directory / "weights" / f"{case.name}-{name}.npz"
    if case.weights and not path.is_file():
        raise FileNotFoundError(f"{path}, the weights of {case.name!r}, is not a file")
    if not path.is_file():
        with (reporter or Reporter()).stage(f"training {case.name} in the golden model") as update:
            trainer = _train(scenario, data, case.epochs, update)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **_numbered("weights", trainer.weights))
    with np.load(path) as stored:
        missing = [f"weights_{k}" for k in range(len(network.layers)) if f"weights_{k}" not in stored]
        if missing:
            raise ValueError(f"{path} must have {missing[0]} for the network {scenario.network}")
        return [stored[f"weights_{k}"] for k in range(len(network.layers))]


def _train(scenario: Scenario, data: Dataset, epochs: int, update: Callable[..., None]) -> Trainer:
    """A golden model that was trained for some epochs, in batches of 16 or 1, whatever the chip's are."""
    batch = 1 if scenario.learning_rule.step_updates else 16
    scenario = dataclasses.replace(scenario, batch=batch, epochs=epochs)
    schedule = scenario.schedule()
    trainer = scenario.trainer(scenario.weights())
    count = len(data.train)
    for epoch, training in enumerate(schedule):
        trainer.training = training
        order = np.random.default_rng((scenario.seed, epoch)).permutation(count)
        for number, start in enumerate(range(0, count, batch)):
            chosen = order[start : start + batch]
            frames = scenario.trained_frames(epoch, number)
            trainer.train_batch(data.train[chosen].spikes, data.train.labels[chosen], trained=frames)
            update(epoch * count + start + len(chosen), epochs * count)
    return trainer


def _prepare(
    name: str, measurement: Measurement, directory: Path, reporter: Reporter, cache: dict[str, tuple]
) -> _Prepared:
    """Place the network by measured densities, and write what the chip must produce; returns a ``_Prepared``."""
    scenario, case = measurement.scenario, measurement.case
    data = scenario.dataset()
    key = f"{case.name} {scenario.rule}"
    if key not in cache:
        weights = trained_weights(measurement, data, directory, reporter)
        some = slice(0, _DENSITY_SAMPLES)
        trainer = scenario.trainer(weights)
        densities = measure_densities(trainer, data.train[some].spikes, data.train.labels[some])
        tests = slice(0, _ACCURACY_SAMPLES)
        accuracy = trainer.evaluate(data.test[tests].spikes, data.test.labels[tests])
        cache[key] = weights, densities, accuracy
    weights, densities, accuracy = cache[key]
    with reporter.stage(f"placing {case.name} on {scenario.cores} core(s) of {scenario.lanes} lane(s)"):
        plan = scenario.plan(density=densities)
    folder = directory / "runs" / measurement.name
    _write_expected(name, scenario, data, weights, folder)
    if measurement.compared:
        _write_expected(name, measurement.compared, data, weights, folder / "compared")
    (folder / "plan.txt").write_text(plan.summary() + "\n")
    return _Prepared(plan, accuracy)


def _write_expected(name: str, scenario: Scenario, data: Dataset, weights: list[np.ndarray], folder: Path) -> None:
    """Inputs of the run, and what the chip must answer: output spikes, and weights after the batches."""
    trainer = scenario.trainer(weights)
    spikes, order = [], scenario.order(data)
    for number, chosen in enumerate(order):
        frames, batch = scenario.trained_frames(0, number), data.train[chosen]
        spikes.append(trainer.train_batch(batch.spikes, batch.labels, trained=frames))
    tests = data.test[: scenario.tests].spikes
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "expected.npz",
        run=name,
        inputs=data.train[order.reshape(-1)].spikes,
        labels=data.train.labels[order.reshape(-1)],
        spikes=np.concatenate(spikes, axis=1),
        tests=tests,
        test_spikes=trainer.forward(tests).layers[-1].spikes,
        **_numbered("initial", weights),
        **_numbered("trained", trainer.weights),
    )


def _numbered(name: str, weights: list[np.ndarray]) -> dict[str, Any]:
    """Arrays for a file, one of each layer."""
    return {f"{name}_{k}": weight for k, weight in enumerate(weights)}


def _build(config: ChipConfig, key: str, directory: Path, reporter: Reporter) -> tuple[Built, dict[str, Any]]:
    """Generate and build a chip; returns the simulation, and sizes and seconds of making it.

    Where the program comes from the cache, the seconds of its build are those of the time when it was built.
    """
    folder = directory / "verilog" / key
    text = f"generating Verilog of {key}"
    with reporter.stage(text):
        paths = [path for path in emit_chip(config, folder) if path.suffix != ".json"]
    generated = reporter.seconds[text]
    content = b"".join(path.read_bytes() for path in paths)
    facts = {
        "config": config.to_dict(),
        "verilog_bytes": len(content),
        "verilog_lines": content.count(b"\n"),
        "generate_seconds": generated,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    text = f"building the simulation of {key}"
    with reporter.stage(text):
        built = build(paths, CHIP_MODULE, directory / "build" / key, blocks=(TILE_MODULE,))
    facts["build_seconds"] = built.seconds
    return built, facts


_PHASES = {"load": "loading", "train": "training", "evaluate": "evaluating"}


def _measure_all(
    name: str, measurement: Measurement, plan: Plan, built: Built, folder: Path, reporter: Reporter
) -> dict[str, Any]:
    """What the bench has measured: the ``whole`` run; to compare, a batch with ``skipping`` and one without, ``dense``.

    Where the whole run has the batch of the comparison, it is not repeated. Ends at the first difference.
    """
    measured = {"whole": _measure(name, measurement.scenario, plan, built, folder, reporter, measurement.name)}
    compared = measurement.compared
    if compared:
        parts = {
            "skipping": dataclasses.replace(compared, skipping=True),
            "dense": dataclasses.replace(compared, skipping=False),
        }
        if compared.batch == measurement.scenario.batch:
            measured["skipping"] = measured["whole"]
        for part, scenario in parts.items():
            if part not in measured and not any(values["difference"] for values in measured.values()):
                text = f"{measurement.name}, skipping {'on' if scenario.skipping else 'off'} for {compared.samples}"
                measured[part] = _measure(name, scenario, plan, built, folder / "compared", reporter, text, tests=False)
    for values in measured.values():
        values.pop("run", None)  # equal runs leave equal records
    (folder / "record.json").write_text(json.dumps(measured))
    return measured


def _measure(
    name: str,
    scenario: Scenario,
    plan: Plan,
    built: Built,
    folder: Path,
    reporter: Reporter,
    text: str,
    *,
    tests: bool = True,
) -> dict[str, Any]:
    """One run of the bench in a folder with expected values."""
    job = {
        "run": name,
        "scenario": dataclasses.asdict(scenario),
        "tests": tests,
        "pieces": [
            {"layer": part.layer, "x": part.core[0], "y": part.core[1], "first": part.first, "channels": part.channels}
            for part in plan.slices
        ],
    }
    (folder / "job.json").write_text(json.dumps(job))
    with (
        reporter.stage(text) as update,
        followed(folder / "progress.jsonl", lambda phase, done, total: update(done, total, _PHASES[phase])),
    ):
        run(built, "backspike.sim.benchmark.bench_measure", seed=scenario.seed, env={"BACKSPIKE_RUN": str(folder)})
    measured = json.loads((folder / "measured.json").read_text())
    check_run_name(folder / "measured.json", measured["run"], name)
    return measured

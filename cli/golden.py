# SPDX-License-Identifier: Apache-2.0
"""``backspike golden``: trains a network with the golden model, and prints accuracy, speed and activity.

Activity, the share of spikes, masks and deltas that are not zero, is what the chip's speed depends on.
"""

import time
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.cli.options import add_training_options, given_training, positive
from backspike.cli.output import check_files, write_json
from backspike.golden.arithmetic import Arithmetic, Float64
from backspike.golden.diagnosis import diagnose
from backspike.golden.engines import ENGINES, bit_exact
from backspike.golden.gradients import given_operands
from backspike.golden.layers import Layer
from backspike.golden.passes import Passes
from backspike.golden.trainer import Trainer
from backspike.golden.windows import delta_windows, input_windows, pooled_any, to_pixels
from backspike.host.data.dataset import Samples
from backspike.host.training.fitting import fitted
from backspike.host.training.golden_training import accuracy_by_class, train_golden
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_spec import TrainingSpec

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "densities", "run"]

DESCRIPTION = "Train a network with the golden model alone; print accuracy, speed and activity."
EXTRA = "sim"  # has the package of mnist5k

SAMPLES = 500  # whose activity is shown


def densities(trainer: Trainer, spikes: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Shares that are not zero, over some samples: input spikes, and a list with a dict per layer.

    ``spikes``, ``masks``, ``deltas`` of a layer are per neuron and step; ``inputs used`` and ``deltas used`` are those
    that are not zero at some step of a sample. The others are numbers of products per sample whose factors are both not
    zero: ``forward terms`` of a spike and a weight, ``gradient terms`` of a delta and a spike, trace or count, and
    ``error terms`` of a delta and a weight, for the inputs whose mask asks for the error (none in the first layer).
    With a rule that goes back once a sample deltas have one step, and masks are where errors are not zero.
    """
    trace = trainer.forward(spikes)
    deltas, errors = trainer.backward(trace, labels)
    given = given_operands(trainer.network, trace, trainer.rule, trainer.arithmetic)
    result: dict[str, Any] = {"inputs": float(trace.inputs.mean()), "layers": []}
    before = trace.inputs
    masks = np.zeros(deltas[0].shape[:2] + trace.inputs.shape[2:], dtype=bool)
    for description, layer, delta, error, values in zip(
        trainer.network.layers, trace.layers, deltas, errors, given, strict=True
    ):
        nonzero = delta != 0
        own = layer.masks if len(delta) == len(layer.masks) else error != 0
        terms = _terms(description, before, values != 0, masks, nonzero)
        result["layers"].append(
            {
                "spikes": float(layer.spikes.mean()),
                "masks": float(own.mean()),
                "deltas": float(nonzero.mean()),
                "inputs used": float(before.any(axis=0).mean()),
                "deltas used": float(nonzero.any(axis=0).mean()),
                "samples without deltas": float(1 - nonzero.any(axis=(0, 2)).mean()),
                **{f"{name} terms": float(count / len(labels)) for name, count in terms.items()},
            }
        )
        before, masks = layer.spikes, own
    return result


def _terms(
    layer: Layer, spikes: np.ndarray, given: np.ndarray, masks: np.ndarray, nonzero: np.ndarray
) -> dict[str, float]:
    """Products of a layer whose factors are not zero, all samples and steps together."""
    spikes, given, masks, nonzero = (array.reshape(-1, array.shape[2]) for array in (spikes, given, masks, nonzero))
    pixels = layer.out_height * layer.out_width
    result = {"forward": 0.0, "gradient": 0.0, "error": 0.0}
    for row in range(len(spikes)):
        result["forward"] += input_windows(layer, spikes[row : row + 1]).sum() * layer.channels
    for row in range(len(nonzero)):
        one = slice(row, row + 1)
        seen = input_windows(layer, given[one]).sum(axis=1)
        result["gradient"] += seen @ to_pixels(pixels, nonzero[one]).sum(axis=1)
        if masks[one].any():
            reached = np.count_nonzero(delta_windows(layer, nonzero[one].astype(np.float64)), axis=1)
            asked = pooled_any(layer, masks[one]).reshape(layer.in_channels, -1).sum(axis=0)
            result["error"] += (reached * asked).sum() if len(reached) == len(asked) else reached.sum() * asked.sum()
    return result


def _show(title: str, trainer: Trainer, samples: Samples) -> None:
    numbers = densities(trainer, samples.spikes, samples.labels)
    print(f"  activity, {title}: input spikes {numbers['inputs']:.3f}")
    for number, layer in enumerate(numbers["layers"]):
        print(
            f"    layer {number}: "
            + ", ".join(
                f"{name} {value:.0f}" if name.endswith("terms") else f"{name} {value:.3f}"
                for name, value in layer.items()
            )
        )
    total = sum(value for layer in numbers["layers"] for name, value in layer.items() if name.endswith("terms"))
    print(f"    all layers: {total:.0f} terms per sample", flush=True)


def _train(spec: TrainingSpec, kind: str, arithmetic: Arithmetic, *, activity: bool) -> float:
    """Train with one seed; returns the accuracy on the test samples."""
    dataset = spec.dataset()
    seen = dataset.train[:SAMPLES]
    trainer = spec.trainer(spec.weights(), arithmetic)
    engine = "compiled" if isinstance(arithmetic, Passes) else "numpy"
    print(f"{kind}, {engine}, seed {spec.seed}")
    if activity:
        _show("initial weights", trainer, seen)
    started = time.perf_counter()
    schedule = spec.schedule()

    def told(epoch: int, _: Metrics, metrics: Metrics) -> None:
        largest = max(float(np.abs(weight).max()) for weight in trainer.weights)
        print(
            f"  epoch {epoch + 1}: rate 2^{np.log2(schedule[epoch].rate):g}, {held} accuracy {metrics.accuracy:.4f}, "
            f"largest weight {largest:.2f}, {time.perf_counter() - started:.2f} s",
            flush=True,
        )

    held, _ = dataset.held
    result = train_golden(spec, dataset, trainer, told)
    if held == "validation":
        print(f"  weights of the best epoch: test accuracy {result.tested.accuracy:.4f}")
    if activity:
        _show("trained weights", trainer, seen)
        shares = accuracy_by_class(spec, trainer, dataset)
        told_shares = (f"{name} {share:.1%}" for name, share in shares.items() if share is not None)
        print(f"  test accuracy by class: {', '.join(told_shares)}")
    print(f"  saturated: {trainer.saturated}")
    for text in diagnose(trainer, seen.spikes, seen.labels):
        print(f"  warning: {text}")
    return result.tested.accuracy


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_training_options(
        parser,
        samples="training samples (default all)",
        tests="test samples (default all)",
    )
    parser.add_argument(
        "--hidden",
        metavar="LAYERS",
        help="instead of --network: hidden layers, such as 128 or c16k3s2p1-c32k3p1-a2-64; inputs and outputs are "
        "those of the data (default 128)",
    )
    parser.add_argument(
        "--seeds", type=positive, default=1, metavar="N", help="train with so many seeds, from --seed on (default 1)"
    )
    parser.add_argument(
        "--arithmetic", default="both", choices=("bit-exact", "float64", "both"), help="default %(default)s"
    )
    parser.add_argument(
        "--engine",
        default="auto",
        choices=ENGINES,
        help="of the bit-exact arithmetic: compiled loops, which need the package numba, or numpy; both give the same "
        "bits (default auto: compiled where numba is there)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the accuracies of all seeds to a file")


def _spec(arguments: Namespace) -> TrainingSpec:
    """What the options ask for."""
    given = {"seed": 0} | given_training(arguments)
    if arguments.hidden and arguments.network:
        raise ValueError("hidden must not be given with network")
    if arguments.network is None:
        given.setdefault("data", TrainingSpec.data)
    return TrainingSpec.with_epochs(**fitted(given, arguments.hidden))


def run(arguments: Namespace) -> int:
    """Train and print; returns the exit code."""
    spec = _spec(arguments)
    check_files(arguments, "json")
    print(f"{spec.data}, {spec.network}, T = {spec.steps}, rule {spec.rule}, loss {spec.loss}, {spec.schedule()[0]}")
    kinds: dict[str, tuple[str, ...]] = {"both": ("bit-exact", "float64")}
    results: dict[str, list[float]] = {}
    with threadpool_limits(1):  # the matrices are too small for threads
        for kind in kinds.get(arguments.arithmetic, (arguments.arithmetic,)):
            for seed in range(spec.seed, spec.seed + arguments.seeds):
                exact = kind == "bit-exact"
                arithmetic: Arithmetic[Any] = bit_exact(spec.model.format, arguments.engine) if exact else Float64()
                accuracy = _train(replace(spec, seed=seed), kind, arithmetic, activity=arguments.seeds == 1)
                results.setdefault(kind, []).append(accuracy)
    if arguments.seeds > 1:
        for kind, values in results.items():
            print(f"{kind}, {len(values)} seeds: mean {np.mean(values):.2%}, worst {min(values):.2%}")
    if arguments.json:
        write_json(arguments.json, {"spec": asdict(spec), "test_accuracy": results})
    return 0

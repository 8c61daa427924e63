# SPDX-License-Identifier: Apache-2.0
"""``backspike golden``: trains a network with the golden model, and prints accuracy, speed and activity.

Activity, the share of spikes, masks and deltas that are not zero, is what the chip's speed depends on.
"""

import time
from argparse import ArgumentParser, Namespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.golden import learning
from backspike.golden.arithmetic import Arithmetic, BitExact, Float64
from backspike.golden.initial import balanced_weights, initial_weights
from backspike.golden.layers import Layer
from backspike.golden.network import Conv, Network, Training
from backspike.golden.presets import default_schedule
from backspike.golden.trainer import Trainer
from backspike.golden.windows import delta_windows, input_windows, pooled_any, to_pixels
from backspike.host.compiler.capacity import check_size
from backspike.host.data import datasets as data
from backspike.spec.checks import check_integer

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "densities", "run"]

DESCRIPTION = "Train a network with the golden model alone; print accuracy, speed and activity."
EXTRA = "sim"  # has the package of mnist5k

SAMPLES = 500  # whose activity is shown


def densities(trainer: Trainer, spikes: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Shares that are not zero, over some samples: input spikes, and a list with a dict per layer.

    ``spikes``, ``masks``, ``deltas`` of a layer are per neuron and step; ``inputs used`` and ``deltas used`` are those
    that are not zero at some step of a sample. The others are numbers of products per sample whose factors are both not
    zero: ``forward terms`` of a spike and a weight, ``gradient terms`` of a spike and a delta, and ``error terms`` of a
    delta and a weight, for the inputs whose mask asks for the error (none in the first layer).
    """
    trace = trainer.forward(spikes)
    deltas, _ = learning.backward(
        trainer.network, trainer.weights, trace, trainer.training, trainer.arithmetic, labels=labels
    )
    result: dict[str, Any] = {"inputs": float(trace.inputs.mean()), "layers": []}
    before = trace.inputs
    masks = np.zeros(trace.inputs.shape, dtype=bool)
    for description, layer, delta in zip(trainer.network.layers, trace.layers, deltas, strict=True):
        nonzero = delta != 0
        terms = _terms(description, before, masks, nonzero)
        result["layers"].append(
            {
                "spikes": float(layer.spikes.mean()),
                "masks": float(layer.masks.mean()),
                "deltas": float(nonzero.mean()),
                "inputs used": float(before.any(axis=0).mean()),
                "deltas used": float(nonzero.any(axis=0).mean()),
                "samples without deltas": float(1 - nonzero.any(axis=(0, 2)).mean()),
                **{f"{name} terms": float(count / len(labels)) for name, count in terms.items()},
            }
        )
        before, masks = layer.spikes, layer.masks
    return result


def _terms(layer: Layer, spikes: np.ndarray, masks: np.ndarray, nonzero: np.ndarray) -> dict[str, float]:
    """Products of a layer whose factors are not zero, all samples and steps together."""
    spikes, masks, nonzero = (array.reshape(-1, array.shape[2]) for array in (spikes, masks, nonzero))
    pixels = layer.out_height * layer.out_width
    result = {"forward": 0.0, "gradient": 0.0, "error": 0.0}
    for row in range(len(spikes)):
        one = slice(row, row + 1)
        seen = input_windows(layer, spikes[one]).sum(axis=1)
        result["forward"] += seen.sum() * layer.channels
        result["gradient"] += seen @ to_pixels(pixels, nonzero[one]).sum(axis=1)
        if masks[one].any():
            reached = np.count_nonzero(delta_windows(layer, nonzero[one].astype(np.float64)), axis=1)
            asked = pooled_any(layer, masks[one]).reshape(layer.in_channels, -1).sum(axis=0)
            result["error"] += (reached * asked).sum() if len(reached) == len(asked) else reached.sum() * asked.sum()
    return result


def _show(title: str, trainer: Trainer, dataset: data.Dataset) -> None:
    numbers = densities(trainer, dataset.train_spikes[:, :SAMPLES], dataset.train_labels[:SAMPLES])
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


def _train(
    network: Network,
    schedule: list[Training],
    dataset: data.Dataset,
    arithmetic: Arithmetic,
    arguments: Namespace,
) -> None:
    weights = initial_weights(network, arguments.seed)
    if any(isinstance(layer, Conv) for layer in network.layers):
        weights = balanced_weights(network, arguments.seed, dataset.train_spikes[:, :64])
    trainer = Trainer(network, schedule[0], weights=weights, arithmetic=arithmetic)
    print(type(arithmetic).__name__)
    _show("initial weights", trainer, dataset)
    seconds = 0.0
    for epoch, training in enumerate(schedule):
        start = time.perf_counter()
        trainer.training = training
        trainer.train(dataset.train_spikes, dataset.train_labels, batch=arguments.batch, seed=arguments.seed + epoch)
        seconds += time.perf_counter() - start
        accuracy = trainer.evaluate(dataset.test_spikes, dataset.test_labels)
        largest = max(float(np.abs(weight).max()) for weight in trainer.weights)
        print(
            f"  epoch {epoch + 1}: rate 2^{np.log2(training.rate):g}, test accuracy {accuracy:.4f}, "
            f"largest weight {largest:.2f}, {seconds:.2f} s",
            flush=True,
        )
    _show("trained weights", trainer, dataset)
    print(f"  saturated: {trainer.saturated}")


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--data", default="digits", help="digits, mnist5k, or a folder with MNIST's four files")
    parser.add_argument("--hidden", default="128", help="hidden layers, such as 128 or c16k3s2p1-c32k3p1-a2-64")
    parser.add_argument("--reset", default="soft", choices=("soft", "hard"), help="default %(default)s")
    parser.add_argument("--steps", type=int, default=4, help="default %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="default %(default)s")
    parser.add_argument("--batch", type=int, default=16, help="default %(default)s")
    parser.add_argument("--momentum", type=float, default=0.875, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument(
        "--arithmetic", default="both", choices=("bit-exact", "float64", "both"), help="default %(default)s"
    )


def run(arguments: Namespace) -> int:
    """Train and print; returns the exit code."""
    check_integer("epochs", arguments.epochs, 1)
    check_integer("batch", arguments.batch, 1)
    check_integer("seed", arguments.seed, 0)
    dataset = data.load(arguments.data, arguments.steps)
    flat = arguments.hidden.replace("-", "").isdigit()
    first = dataset.inputs if flat else "x".join(map(str, (1, *dataset.image)))
    sizes = f"{first}-{arguments.hidden}-{dataset.classes}"
    network = Network.parse(sizes, steps=arguments.steps, reset=arguments.reset)
    check_size(network)
    schedule = default_schedule(network, arguments.epochs, batch=arguments.batch, momentum=arguments.momentum)
    print(f"{dataset.name}, {network}, {arguments.reset} reset, {schedule[0]}")
    exact, floating = BitExact(network.format), Float64()
    kinds: dict[str, tuple[Arithmetic[Any], ...]] = {"bit-exact": (exact,), "float64": (floating,)}
    with threadpool_limits(1):  # the matrices are too small for threads
        for arithmetic in kinds.get(arguments.arithmetic, (exact, floating)):
            _train(network, schedule, dataset, arithmetic, arguments)
    return 0

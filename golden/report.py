# SPDX-License-Identifier: Apache-2.0
"""Trains a network with the golden model and prints accuracy, speed and activity.

Run as ``python -m backspike.golden.report``. Activity, the share of spikes, masks and deltas that are not zero, is what
the chip's speed depends on.
"""

import argparse
import time

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.golden import learning
from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.network import Network
from backspike.golden.presets import default_schedule
from backspike.golden.trainer import Trainer
from backspike.host import data

__all__ = ["densities", "main"]


def densities(trainer, spikes, labels):
    """Shares that are not zero, over some samples: input spikes, and a list with a dict per layer.

    ``spikes``, ``masks``, ``deltas`` of a layer are per neuron and step; ``inputs used`` and ``deltas used`` are those
    that are not zero at some step of a sample; ``gradient terms`` is the share of all products of an input's spike and
    an output's delta at the same step.
    """
    trace = trainer.forward(spikes)
    deltas, _ = learning.backward(
        trainer.network, trainer.weights, trace, trainer.training, trainer.arithmetic, labels=labels
    )
    result = {"inputs": float(trace.inputs.mean()), "layers": []}
    before = trace.inputs
    for layer, delta in zip(trace.layers, deltas, strict=True):
        nonzero = delta != 0
        terms = (before.sum(axis=2, dtype=np.int64) * nonzero.sum(axis=2)).sum()
        result["layers"].append({
            "spikes": float(layer.spikes.mean()),
            "masks": float(layer.masks.mean()),
            "deltas": float(nonzero.mean()),
            "inputs used": float(before.any(axis=0).mean()),
            "deltas used": float(nonzero.any(axis=0).mean()),
            "samples without deltas": float(1 - nonzero.any(axis=(0, 2)).mean()),
            "gradient terms": float(terms / (before.size * delta.shape[2])),
        })
        before = layer.spikes
    return result


def _show(title, trainer, dataset):
    numbers = densities(trainer, dataset.train_spikes[:, :500], dataset.train_labels[:500])
    print(f"  activity, {title}: input spikes {numbers['inputs']:.3f}")
    for number, layer in enumerate(numbers["layers"]):
        print(f"    layer {number}: " + ", ".join(f"{name} {value:.3f}" for name, value in layer.items()))


def _train(network, schedule, dataset, arithmetic, arguments):
    trainer = Trainer(network, schedule[0], seed=arguments.seed, arithmetic=arithmetic)
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
        print(f"  epoch {epoch + 1}: test accuracy {accuracy:.4f}, largest weight {largest:.2f}, {seconds:.2f} s")
    _show("trained weights", trainer, dataset)
    print(f"  saturated: {trainer.saturated}")


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m backspike.golden.report", description="Train the golden model.")
    parser.add_argument("--data", default="digits", help="digits, or a folder with MNIST's four files")
    parser.add_argument("--hidden", default="128", help="sizes of the hidden layers, joined by '-'")
    parser.add_argument("--reset", default="soft", choices=("soft", "hard"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--momentum", type=float, default=0.875)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    dataset = data.load(arguments.data, arguments.steps)
    sizes = f"{dataset.inputs}-{arguments.hidden}-{dataset.classes}"
    network = Network.parse(sizes, steps=arguments.steps, reset=arguments.reset)
    schedule = default_schedule(network, arguments.epochs, batch=arguments.batch, momentum=arguments.momentum)
    print(f"{dataset.name}, {network}, {arguments.reset} reset, {schedule[0]}")
    with threadpool_limits(1):  # the matrices are too small for threads
        for arithmetic in (BitExact(network.format), Float64()):
            _train(network, schedule, dataset, arithmetic, arguments)


if __name__ == "__main__":
    main()

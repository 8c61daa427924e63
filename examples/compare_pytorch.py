# SPDX-License-Identifier: Apache-2.0
"""Trains networks with the default constants, bit-exactly, and in PyTorch on the same spikes; prints a table.

PyTorch's side is what most people take: cross-entropy of the spike counts, Adam, an arctangent surrogate, leaky neurons
with a soft reset and biases, weights as of ``nn.Linear``; batches and epochs as ours. Its rate and leak are
the best of six settings, for each data set, on a fifth of the training samples; ours are the default constants, the
same rule for all. The test samples are looked at once, with what was trained on all training samples.

    python examples/compare_pytorch.py [--sets wine OSULeaf] [--seeds 5] [--without-torch]
"""

import math
from argparse import ArgumentParser
from itertools import product

import numpy as np
from real_data import SERIES, TABLES, load
from threadpoolctl import threadpool_limits

from backspike.golden.arithmetic import BitExact
from backspike.golden.initial import balanced_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_epochs, default_schedule
from backspike.golden.trainer import Trainer
from backspike.host.data.dataset import Dataset

BATCH = 16
RATES, LEAKS = (5e-4, 2e-3, 8e-3), (0.5, 0.9)


def ours(data: Dataset, seed: int) -> float:
    """Accuracy on the test samples with the default constants."""
    network = Network.parse(f"{data.inputs}-128-{len(data.classes)}", steps=data.steps)
    some = data.train[:64].spikes
    epochs = default_epochs(len(data.train), BATCH)
    updates = epochs * -(-len(data.train) // BATCH)
    schedule = default_schedule(network, epochs, batch=BATCH, updates=updates, density=float(some.mean()))
    weights = balanced_weights(network, seed, some)
    trainer = Trainer(network, schedule[0], weights=weights, arithmetic=BitExact(network.format))
    for epoch, training in enumerate(schedule):
        trainer.training = training
        trainer.train(data.train.spikes, data.train.labels, batch=BATCH, seed=1000 * seed + epoch)
    return trainer.evaluate(data.test.spikes, data.test.labels)


def theirs(data: Dataset, seeds: int) -> tuple[np.ndarray, float, float]:
    """Accuracies on the test samples for each seed, and the rate and leak that were best on the validation samples."""
    part = data.with_validation(0.2, 0)
    held = (part.train.spikes, part.train.labels, part.validation.spikes, part.validation.labels)
    found = {both: _pytorch(*held, len(data.classes), *both, seeds).mean() for both in product(RATES, LEAKS)}
    rate, leak = max(found, key=lambda both: found[both])
    whole = (data.train.spikes, data.train.labels, data.test.spikes, data.test.labels)
    return _pytorch(*whole, len(data.classes), rate, leak, seeds), rate, leak


def _pytorch(
    spikes: np.ndarray,
    labels: np.ndarray,
    tests: np.ndarray,
    test_labels: np.ndarray,
    classes: int,
    rate: float,
    leak: float,
    seeds: int,
) -> np.ndarray:
    """Accuracies of networks of so many seeds, which are trained beside each other."""
    import torch  # noqa: PLC0415 - an optional package

    class Spike(torch.autograd.Function):
        """The step function, and the derivative of an arctangent in its place."""

        @staticmethod
        def forward(context, potential):
            context.save_for_backward(potential)
            return (potential >= 0).float()

        @staticmethod
        def backward(context, gradient):
            (potential,) = context.saved_tensors
            return gradient / (1 + (math.pi * potential) ** 2)

    def linear(inputs: int, outputs: int, generator: torch.Generator) -> torch.Tensor:
        """Weights as of ``nn.Linear``, the bias last."""
        return (2 * torch.rand(inputs + 1, outputs, generator=generator) - 1) / math.sqrt(inputs)

    def counts(layers: list[torch.Tensor], current: torch.Tensor) -> torch.Tensor:
        """Spikes of the outputs [seed, B, N], from input spikes [seed, T, B, inputs]."""
        for layer in layers:
            flat = current.flatten(1, 2)
            driven = torch.baddbmm(layer[:, -1:], flat, layer[:, :-1]).unflatten(1, current.shape[1:3])
            potential, fired, steps = torch.zeros_like(driven[:, 0]), torch.zeros_like(driven[:, 0]), []
            for step in range(driven.shape[1]):
                potential = leak * potential + driven[:, step] - fired.detach()
                fired = Spike.apply(potential - 1)
                steps.append(fired)
            current = torch.stack(steps, dim=1)
        return current.sum(dim=1)

    torch.set_num_threads(1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
    sizes = ((spikes.shape[2], 128), (128, classes))
    layers = [torch.stack([linear(*size, g) for g in generators]).requires_grad_() for size in sizes]
    optimizer = torch.optim.Adam(layers, lr=rate)
    samples, targets = torch.from_numpy(spikes).float().transpose(0, 1), torch.from_numpy(labels)
    for _ in range(default_epochs(len(labels), BATCH)):
        order = torch.stack([torch.randperm(len(labels), generator=g) for g in generators])
        for start in range(0, len(labels), BATCH):
            chosen = order[:, start : start + BATCH]
            found = counts(layers, samples[chosen].transpose(1, 2))
            loss = torch.nn.functional.cross_entropy(found.flatten(0, 1), targets[chosen].flatten())
            optimizer.zero_grad()
            (seeds * loss).backward()
            optimizer.step()
    with torch.no_grad():
        given = torch.from_numpy(tests).float().expand(seeds, *tests.shape)
        answers = counts(layers, given).argmax(dim=2)
    return (answers == torch.from_numpy(test_labels)).float().mean(dim=1).numpy()


def main() -> None:
    """Read the options, and print the table."""
    parser = ArgumentParser(description="Default constants beside PyTorch on real data.")
    parser.add_argument("--sets", nargs="+", default=[*TABLES, *SERIES], choices=[*TABLES, *SERIES])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without-torch", action="store_true")
    arguments = parser.parse_args()
    print("| data | network, T | samples, tests | default constants, bit-exact | PyTorch | its rate, leak |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in arguments.sets:
        data = load(name)
        own = [ours(data, seed) for seed in range(arguments.seeds)]
        other, rate, leak = ([], 0, 0) if arguments.without_torch else theirs(data, arguments.seeds)
        print(
            f"| {name} | {data.inputs}-128-{len(data.classes)}, {data.steps} | {len(data.train)}, "
            f"{len(data.test)} | {_show(own)} | {_show(other)} | {f'{rate:g}, {leak:g}' if rate else '-'} |",
            flush=True,
        )


def _show(shares: list[float]) -> str:
    values = 100 * np.asarray(shares)
    return f"{values.mean():.1f} ({values.min():.1f} to {values.max():.1f})" if values.size else "-"


if __name__ == "__main__":
    with threadpool_limits(1):  # the matrices are too small for threads
        main()

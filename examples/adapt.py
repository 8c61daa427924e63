# SPDX-License-Identifier: Apache-2.0
"""Train a network in PyTorch, then let the chip adapt it to data that have changed, with few samples.

The digits are seen by a sensor with a dead row and a dead column, or at a slant. The chip's part runs in the golden
model, which gives its bits; ``--simulated`` adapts a network of one seed on a simulated chip, too. Prints a table of
accuracies on changed test digits, mean and spread over seeds.

    python examples/adapt.py --seeds 5 --change dead
"""

import argparse

import numpy as np
import torch
from scipy.ndimage import rotate

from backspike import Model, Simulated
from backspike.host.data.load import load

NETWORK, STEPS = "64-128-10", 4
EPOCHS, BATCH, RATE = 15, 64, 2e-3  # of the training in PyTorch
ADAPT = {"rate": 2**-10, "epochs": 20}  # on the chip: small steps, that what is known stays
COUNTS = (20, 50, 100, 200)


def dead(images):
    """A row and a column of the sensor give nothing."""
    images = images.copy()
    images[:, 3] = images[:, :, 5] = 0
    return images


def turned(images):
    """Turned by 15 degrees."""
    return np.clip(rotate(images, 15, axes=(1, 2), reshape=False, order=1), 0, 1)


CHANGES = {"dead": dead, "turned": turned}


def digits():
    """Values and labels of the training and the test samples."""
    data = load("digits", STEPS)
    return [(part.rows[part.places].reshape(len(part), -1) / 16, part.labels) for part in (data.train, data.test)]


def pretrained(values, labels, seed):
    """A model from PyTorch: the chip's network and loss, with Adam."""
    model = Model(NETWORK, steps=STEPS, seed=seed)
    module = model.to_torch()
    spikes, labels = torch.from_numpy(model.inputs(values)), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(labels), generator=generator).split(BATCH):
            optimizer.zero_grad()
            module.loss(module(spikes[:, chosen]), labels[chosen]).backward()
            optimizer.step()
    return Model.from_torch(module)


def changed(values, change):
    """Values [samples, 64] after a change."""
    return CHANGES[change](values.reshape(-1, 8, 8)).reshape(len(values), -1)


def measure(seed, change):
    """Accuracies of a seed: on digits as they were, on changed ones before, and after so many samples on the chip."""
    (values, labels), (test_values, test_labels) = digits()
    order = np.random.default_rng(seed).permutation(len(labels))
    test = changed(test_values, change), test_labels
    model = pretrained(values, labels, seed)
    weights, spec = model.weights, model.spec
    row = {"as they were": model.evaluate(test_values, test_labels).accuracy, "0": model.evaluate(*test).accuracy}
    for count in COUNTS:
        chosen = order[:count]
        few = changed(values[chosen], change), labels[chosen]
        model.weights, model.spec = weights, spec
        row[f"{count}"] = model.fit(*few, progress=False, **ADAPT).evaluate(*test).accuracy
        new = Model(NETWORK, steps=STEPS, seed=seed).fit(*few, progress=False)
        row[f"{count}, from nothing"] = new.evaluate(*test).accuracy
    return row


def simulated(seed, change, count):
    """Whether a simulated chip adapts to the golden model's bits, in one epoch."""
    (values, labels), _ = digits()
    model = pretrained(values, labels, seed)
    weights, spec = model.weights, model.spec
    found = []
    for backend in ("golden", Simulated(cores=4)):
        model.backend, model.weights, model.spec = backend, weights, spec
        model.fit(changed(values[:count], change), labels[:count], progress=False, **ADAPT | {"epochs": 1})
        found.append(model.weights)
    return all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=5, help="default %(default)s")
    parser.add_argument("--change", choices=tuple(CHANGES), default="dead", help="default %(default)s")
    parser.add_argument("--simulated", type=int, metavar="N", help="adapt to N samples on a simulated chip, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(seed, arguments.change) for seed in range(arguments.seeds)]
    print("| changed digits that the chip saw | after training in PyTorch | from nothing |\n|---|---|---|")

    def told(name):
        values = 100 * np.array([row[name] for row in rows])
        return f"{values.mean():.1f} ± {values.std():.1f} %"

    print(f"| none | {told('0')} | - |")
    for count in COUNTS:
        print(f"| {count} | {told(str(count))} | {told(f'{count}, from nothing')} |")
    print(f"\nDigits as they were, before: {told('as they were')}; {arguments.seeds} seeds.")
    if arguments.simulated:
        equal = simulated(0, arguments.change, arguments.simulated)
        print(f"Simulated chip, {arguments.simulated} samples: {'the same bits' if equal else 'DIFFERENT WEIGHTS'}.")


if __name__ == "__main__":
    main()

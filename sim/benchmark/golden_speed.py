# SPDX-License-Identifier: Apache-2.0
"""Training in the golden model beside SpikingJelly: processor time of a batch, one thread.

All of them train the same networks on the same batches in turns, so that other work on the machine slows all alike.
SpikingJelly has its multi-step mode, float32, soft resets, and momentum as the update. It learns by itself; the golden
model's engines end with the same bits, which is checked.
"""

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.golden.arithmetic import Float64
from backspike.golden.engines import Engine, bit_exact
from backspike.golden.initial import balanced_weights
from backspike.golden.layers import Dense, Layer
from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.golden.trainer import Trainer
from backspike.host.data.load import load

__all__ = ["COLUMNS", "NETWORKS", "benchmark_golden", "measure", "spikingjelly"]

NETWORKS = ("784-128-10", "1x28x28-c16k3s2p1-c32k3p1-a2-64-10")
COLUMNS = ("numpy", "compiled", "float64", "spikingjelly")
BATCH, STEPS, WARM = 16, 4, 8
SAMPLES = 4000

Train = Callable[[np.ndarray, np.ndarray], object]


def benchmark_golden(folder: Path, *, samples: int | None = None, networks: Sequence[str] = NETWORKS) -> bool:
    """Measure on MNIST's digits, print a table, and write ``golden.json`` and ``golden.md``.

    Parameters
    ----------
    folder : Path
        That is written to.
    samples : int or None
        That each network is trained with, in batches of 16; ``None``: as many as in an epoch.
    networks : sequence of str
        In the notation of ``Network.parse``.

    Returns
    -------
    bool
        Whether the engines came to the same bits.
    """
    digits = load("mnist5k", STEPS).train
    spikes, labels = digits.spikes, digits.labels
    batches = max(1, (samples or SAMPLES) // BATCH)
    report: dict[str, Any] = {"processor": platform.processor(), "batches": batches, "networks": {}}
    rows = []
    for sizes in networks:
        print(f"training {sizes} for {batches} batches of {BATCH}, T = {STEPS}", flush=True)
        with threadpool_limits(1):  # the matrices are too small for threads
            seconds, equal = measure(sizes, spikes, labels, batches=batches)
        medians = {name: float(np.median(each)) for name, each in seconds.items()}
        report["networks"][sizes] = {"milliseconds": {name: 1000 * x for name, x in medians.items()}, "equal": equal}
        rows.append((sizes, medians))
        for name in COLUMNS:
            if name not in medians:
                print(f"  {name} is not installed: it was not measured")
    table = _table(rows)
    print(table)
    equal = all(found["equal"] is not False for found in report["networks"].values())
    print("both engines came to the same bits" if equal else "THE ENGINES DIFFER")
    (folder / "golden.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "golden.md").write_text(f"{table}\n")
    return equal


def _table(rows: list[tuple[str, dict[str, float]]]) -> str:
    """Medians in milliseconds for a batch, and how much faster the compiled engine is than others."""
    head = ["network", *(f"{name}, ms" for name in COLUMNS), "compiled over numpy", "over SpikingJelly"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for sizes, medians in rows:
        cells = [f"{1000 * medians[name]:.2f}" if name in medians else "-" for name in COLUMNS]
        for other in ("numpy", "spikingjelly"):
            both = "compiled" in medians and other in medians
            cells.append(f"{medians[other] / medians['compiled']:.2f}" if both else "-")
        lines.append(f"| {' | '.join([sizes, *cells])} |")
    return "\n".join(lines)


def measure(
    sizes: str, spikes: np.ndarray, labels: np.ndarray, *, batches: int
) -> tuple[dict[str, list[float]], bool | None]:
    """Seconds of each batch by column, and whether numpy and the compiled engine ended with the same weights.

    Parameters
    ----------
    sizes : str
        Of the network, as ``Network.parse`` takes it.
    spikes : array of uint8 [T, samples, inputs]
        0 and 1.
    labels : array of integers [samples]
        Outputs that should spike.
    batches : int
        That are measured, after ``WARM`` others.

    Returns
    -------
    (dict of list of float, bool or None)
        Columns of what is not installed are missing; ``None`` without the compiled engine.
    """
    network = Network.parse(sizes, steps=len(spikes))
    training, weights = default_training(network), balanced_weights(network, 1, spikes[:, :64])
    engines: tuple[Engine, ...] = ("numpy", "compiled")
    trainers: dict[str, Trainer] = {}
    for engine in engines:
        with suppress(ValueError):
            arithmetic = bit_exact(network.format, engine)
            trainers[engine] = Trainer(network, training, weights=weights, arithmetic=arithmetic)
    trainers["float64"] = Trainer(network, training, weights=weights, arithmetic=Float64())
    trains: dict[str, Train] = {name: trainer.train_batch for name, trainer in trainers.items()}
    with _other(network, weights) as other:
        if other:
            trains["spikingjelly"] = other
        seconds: dict[str, list[float]] = {name: [] for name in trains}
        for number, chosen in enumerate(_batches(len(labels), WARM + batches)):
            for name, train in trains.items():
                given, wanted = np.ascontiguousarray(spikes[:, chosen]), labels[chosen]
                started = time.process_time()
                train(given, wanted)
                if number >= WARM:
                    seconds[name].append(time.process_time() - started)
    return seconds, _equal(trainers)


def _batches(samples: int, count: int) -> Iterator[np.ndarray]:
    """Batches of random samples."""
    generator = np.random.default_rng(1)
    for _ in range(count):
        yield generator.choice(samples, BATCH, replace=False)


def _equal(trainers: dict[str, Trainer]) -> bool | None:
    """Whether the two engines have the same weights and velocities, bit for bit; ``None`` without one of them."""
    if "compiled" not in trainers:
        return None
    one, other = (
        [array.view(np.int64) for array in (*trainers[name].weights, *trainers[name].velocities)]
        for name in ("numpy", "compiled")
    )
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@contextmanager
def _other(network: Network, weights: list[np.ndarray]) -> Iterator[Train | None]:
    """A training step of SpikingJelly in one thread; ``None`` where it is not installed."""
    try:
        import torch  # noqa: PLC0415 - an optional package

        train = spikingjelly(network, weights)
    except ImportError:
        yield None
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield train
    finally:
        torch.set_num_threads(threads)


def spikingjelly(network: Network, weights: list[np.ndarray]) -> Train:
    """A function that trains the network on a batch with SpikingJelly, from these weights."""
    import torch  # noqa: PLC0415 - an optional package
    from spikingjelly.activation_based import functional, neuron, surrogate  # noqa: PLC0415
    from spikingjelly.activation_based import layer as layers  # noqa: PLC0415

    modules: list[Any] = []
    for described, weight in zip(network.layers, weights, strict=True):
        modules += _modules(layers, torch, described, weight)
        modules.append(
            neuron.LIFNode(
                tau=1 / (1 - described.neuron.kappa),
                decay_input=False,
                v_threshold=described.neuron.theta,
                v_reset=None,
                surrogate_function=surrogate.Rect(alpha=1 / described.neuron.width),
                detach_reset=True,
                step_mode="m",
            )
        )
    model = torch.nn.Sequential(*modules)
    functional.set_step_mode(model, "m")
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0**-10, momentum=0.875)
    first = network.layers[0]
    shape = (first.inputs,) if isinstance(first, Dense) else first.in_map

    def train(spikes: np.ndarray, labels: np.ndarray) -> None:
        steps, samples, _ = spikes.shape
        optimizer.zero_grad()
        given = torch.from_numpy(spikes).float().reshape(steps, samples, *shape)
        wanted = torch.nn.functional.one_hot(torch.from_numpy(labels), network.outputs)
        (0.5 * ((model(given).sum(dim=0) - steps * wanted) ** 2).sum() / steps).backward()
        optimizer.step()
        functional.reset_net(model)

    return train


def _modules(layers: Any, torch: Any, described: Layer, weight: np.ndarray) -> list[Any]:
    """What a layer's synapses are in SpikingJelly."""
    modules = []
    if described.pool > 1:
        modules.append(layers.AvgPool2d(described.pool))
    if described.whole:
        modules.append(layers.Flatten())
        synapses = layers.Linear(len(weight), described.channels, bias=False)
    else:
        sizes = (described.in_channels, described.channels, described.kernel, described.stride, described.padding)
        synapses = layers.Conv2d(*sizes, bias=False)
    scaled = np.ascontiguousarray(weight.T) * described.pool**2
    synapses.weight.data = torch.from_numpy(scaled).float().reshape(synapses.weight.shape)
    return [*modules, synapses]

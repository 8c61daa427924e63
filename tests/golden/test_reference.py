# SPDX-License-Identifier: Apache-2.0
"""float64 gradients equal PyTorch's autograd through the neurons of snnTorch and of SpikingJelly.

The surrogate is rectangular and the reset detached. The libraries' conventions: snnTorch subtracts ``theta`` at the
next step, after the leak, and fires above the threshold; SpikingJelly subtracts it at once, so that it leaks too
(rr = kappa * theta), and fires at the threshold.

Everything here is SKIPPED where PyTorch is missing, and each library's cases where that library is: then nothing is
compared with autograd. ``pip install .[reference]`` and ``pip install --no-deps spikingjelly`` install them.
"""

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.arithmetic import Float64
from backspike.golden.network import Conv, Network, Training
from backspike.golden.trainer import Trainer

WITHOUT = "SKIPPED without the extra 'reference': PyTorch is missing, and no gradient was compared with autograd"
torch = pytest.importorskip("torch", reason=WITHOUT)

STEPS, SAMPLES = 5, 6
NETWORKS = {
    "dense": ("11-9-7-4", False),
    "kernels, padding, flatten": ("2x7x6-c4k3p1-c5k4p2-6-4", True),
    "stride, pooling": ("1x12x12-c5k3s2p1-a2-c6k3p1-c4k3-4", False),
    "pooling before a dense layer": ("2x8x8-a2-c5k2s3p1-c4k1-a2-7-4", True),
    "pooling before a dense layer, several pixels": ("1x8x8-c4k3p1-a2-9-4", True),
    "wide padding, stride 4": ("3x6x6-c4k5s4p4-c5k3p2-c6k5-4", True),
}
THETA, WIDTH = 0.8, 1.4


class Rectangle(torch.autograd.Function):
    """Fires at (or above) zero; passes the gradient within half the width."""

    @staticmethod
    def forward(ctx, distance, strict):
        ctx.save_for_backward(distance)
        return (distance > 0 if strict else distance >= 0).to(distance)

    @staticmethod
    def backward(ctx, gradient):
        (distance,) = ctx.saved_tensors
        return gradient * (distance.abs() < WIDTH / 2), None


def snntorch_layers(count, kappa, reset):
    message = "SKIPPED without the extra 'reference': snnTorch is missing, and its neuron was not compared"
    snntorch = pytest.importorskip("snntorch", reason=message)

    def layer():
        mechanism = "subtract" if reset == "soft" else "zero"
        neuron = snntorch.Leaky(
            beta=kappa, threshold=THETA, reset_mechanism=mechanism, spike_grad=lambda x: Rectangle.apply(x, True)
        ).double()
        state = {"mem": neuron.reset_mem()}

        def step(current):
            spikes, state["mem"] = neuron(current, state["mem"])
            return spikes

        return step

    return [layer() for _ in range(count)]


def spikingjelly_layers(count, kappa, reset):
    message = "SKIPPED without SpikingJelly (pip install --no-deps spikingjelly): its neuron was not compared"
    library = pytest.importorskip("spikingjelly.activation_based.neuron", reason=message)
    arguments = {"v_threshold": THETA, "detach_reset": True, "v_reset": None if reset == "soft" else 0.0}

    def surrogate(distance):
        return Rectangle.apply(distance, False)

    return [
        library.LIFNode(tau=1 / (1 - kappa), decay_input=False, surrogate_function=surrogate, **arguments).double()
        for _ in range(count)
    ]


REFERENCES = {"snnTorch": (snntorch_layers, {"strict": True}), "SpikingJelly": (spikingjelly_layers, {})}


def current(layer, weight, signal):
    """The layer's weighted sum [B, N] of spikes [B, N], with PyTorch's own convolution, pooling and flattening.

    The weights of a convolution are those of the average of a pooling field: ``pool**2`` times ours.
    """
    rows = len(weight) - layer.bias
    bias = weight[rows] if layer.bias else None
    if not isinstance(layer, Conv):
        return torch.nn.functional.linear(signal, weight[:rows].T, bias)
    maps = torch.nn.functional.avg_pool2d(signal.reshape(-1, *layer.in_map), layer.pool)
    kernels = layer.pool**2 * weight[:rows].T.reshape(layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
    result = torch.nn.functional.conv2d(maps, kernels, bias, stride=layer.stride, padding=layer.padding)
    assert result.shape[1:] == layer.out_map
    return result.flatten(1)


def autograd(neurons, network, weights, spikes, labels, loss_scale):
    """Output spikes [T, B, N] and the gradients of the rate loss."""
    weights = [torch.tensor(weight, requires_grad=True) for weight in weights]
    outputs = []
    for now in torch.tensor(spikes, dtype=torch.float64):
        signal = now
        for neuron, layer, weight in zip(neurons, network.layers, weights, strict=True):
            signal = neuron(current(layer, weight, signal))
        outputs.append(signal)
    outputs = torch.stack(outputs)
    targets = STEPS * torch.nn.functional.one_hot(torch.tensor(labels), network.outputs)
    loss = loss_scale / 2 * ((outputs.sum(0) - targets) ** 2).sum()
    loss.backward()
    return outputs.detach().numpy(), [weight.grad.numpy() for weight in weights]


@pytest.mark.parametrize("kappa", [0.5, 0.9])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("library", REFERENCES)
@pytest.mark.parametrize("sizes, bias", NETWORKS.values(), ids=NETWORKS)
def test_gradients_equal_autograd(sizes, bias, library, reset, kappa):
    make, options = REFERENCES[library]
    if library == "snnTorch" and reset == "soft":
        options = {**options, "reset_value": THETA}
    network = Network.parse(
        sizes, steps=STEPS, bias=bias, reset=reset, kappa=kappa, theta=THETA, width=WIDTH, **options
    )
    compared = 0
    for seed in range(8):
        generator = np.random.default_rng(seed)
        weights = []
        for layer in network.layers:
            fan = layer.shape[0] * layer.pool**2 / 11  # of the order of 1 for the dense network
            weights.append(generator.normal(0.08 / fan, 0.5 / np.sqrt(fan), layer.shape))
        spikes = generator.integers(0, 2, (STEPS, SAMPLES, network.inputs), dtype=np.uint8)
        labels = generator.integers(0, network.outputs, SAMPLES)
        trainer = Trainer(network, Training(rate=0.1, loss_scale=0.3), weights=weights, arithmetic=Float64())
        trace = trainer.forward(spikes)
        deltas, _ = learning.backward(network, weights, trace, trainer.training, trainer.arithmetic, labels=labels)
        ours = learning.accumulate(network, trace, deltas, trainer.arithmetic)
        neurons = make(len(network.layers), kappa, reset)
        outputs, theirs = autograd(neurons, network, weights, spikes, labels, 0.3)
        assert np.array_equal(trace.layers[-1].spikes, outputs)
        for mine, reference in zip(ours, theirs, strict=True):
            assert np.abs(mine - reference).max() <= 1e-6 * np.abs(reference).max()
        compared += outputs.any() and not outputs.all() and all(reference.any() for reference in theirs)
    assert compared >= 4, "most of the seeds gave no spikes or no gradient: little was compared"

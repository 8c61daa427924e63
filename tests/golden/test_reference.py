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
from backspike.golden.network import Network, Training
from backspike.golden.trainer import Trainer

WITHOUT = "SKIPPED without the extra 'reference': PyTorch is missing, and no gradient was compared with autograd"
torch = pytest.importorskip("torch", reason=WITHOUT)

SIZES, STEPS, SAMPLES = (11, 9, 7, 4), 5, 6
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


def snntorch_layers(kappa, reset):
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

    return [layer() for _ in SIZES[1:]]


def spikingjelly_layers(kappa, reset):
    message = "SKIPPED without SpikingJelly (pip install --no-deps spikingjelly): its neuron was not compared"
    library = pytest.importorskip("spikingjelly.activation_based.neuron", reason=message)
    arguments = {"v_threshold": THETA, "detach_reset": True, "v_reset": None if reset == "soft" else 0.0}

    def surrogate(distance):
        return Rectangle.apply(distance, False)

    return [
        library.LIFNode(tau=1 / (1 - kappa), decay_input=False, surrogate_function=surrogate, **arguments).double()
        for _ in SIZES[1:]
    ]


REFERENCES = {"snnTorch": (snntorch_layers, {"strict": True}), "SpikingJelly": (spikingjelly_layers, {})}


def autograd(layers, weights, spikes, labels, loss_scale):
    """Output spikes [T, B, N] and the gradients of the rate loss."""
    weights = [torch.tensor(weight, requires_grad=True) for weight in weights]
    outputs = []
    for now in torch.tensor(spikes, dtype=torch.float64):
        signal = now
        for layer, weight in zip(layers, weights, strict=True):
            signal = layer(signal @ weight)
        outputs.append(signal)
    outputs = torch.stack(outputs)
    targets = STEPS * torch.nn.functional.one_hot(torch.tensor(labels), SIZES[-1])
    loss = loss_scale / 2 * ((outputs.sum(0) - targets) ** 2).sum()
    loss.backward()
    return outputs.detach().numpy(), [weight.grad.numpy() for weight in weights]


@pytest.mark.parametrize("kappa", [0.5, 0.9])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("library", REFERENCES)
def test_gradients_equal_autograd(library, reset, kappa):
    make, options = REFERENCES[library]
    if library == "snnTorch" and reset == "soft":
        options = {**options, "reset_value": THETA}
    network = Network.parse(
        "-".join(map(str, SIZES)), steps=STEPS, reset=reset, kappa=kappa, theta=THETA, width=WIDTH, **options
    )
    for seed in range(5):
        generator = np.random.default_rng(seed)
        weights = [generator.normal(0.15, 0.5, layer.shape) for layer in network.layers]
        spikes = generator.integers(0, 2, (STEPS, SAMPLES, SIZES[0]), dtype=np.uint8)
        labels = generator.integers(0, SIZES[-1], SAMPLES)
        trainer = Trainer(network, Training(rate=0.1, loss_scale=0.3), weights=weights, arithmetic=Float64())
        trace = trainer.forward(spikes)
        deltas, _ = learning.backward(network, weights, trace, trainer.training, trainer.arithmetic, labels=labels)
        ours = learning.accumulate(network, trace, deltas, trainer.gradients, trainer.arithmetic)
        outputs, theirs = autograd(make(kappa, reset), weights, spikes, labels, 0.3)
        assert np.array_equal(trace.layers[-1].spikes, outputs)
        assert outputs.any() and not outputs.all()
        for mine, reference in zip(ours, theirs, strict=True):
            assert np.abs(reference).max() > 0
            assert np.abs(mine - reference).max() <= 1e-6 * np.abs(reference).max()

# SPDX-License-Identifier: Apache-2.0
"""Networks of snnTorch and SpikingJelly to NIR, to ours, to NIR and back: the same spikes in float64 each time.

Everything here is SKIPPED where the frameworks are missing: then NIR files are only compared with its equations.
``pip install .[reference,nir]`` and ``pip install --no-deps spikingjelly`` install them.
"""

from functools import partial

import numpy as np
import pytest

from backspike.golden.arithmetic import Float64
from backspike.golden.forward import forward
from backspike.host.exchange.batch_norm import fold_batch_norm
from backspike.host.exchange.batches import keep_batches
from backspike.host.exchange.nir_export import to_nir
from backspike.host.exchange.nir_import import import_nir
from backspike.host.exchange.nir_neuron import Steps

WITHOUT = "SKIPPED without the extra 'reference' and SpikingJelly: no framework's networks went through NIR and back"
torch = pytest.importorskip("torch", reason=WITHOUT)
snntorch = pytest.importorskip("snntorch", reason=WITHOUT)
export_nir = pytest.importorskip("snntorch.export_nir", reason=WITHOUT)
spikingjelly = pytest.importorskip("spikingjelly.activation_based", reason=WITHOUT)

from snntorch.import_nir import import_from_nir  # noqa: E402
from spikingjelly.activation_based import functional, layer, neuron, nir_exchange  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.slow

STEPS = 24


def inputs_of(shape, samples):
    generator = np.random.default_rng(5)
    return (generator.random((STEPS, samples, *shape)) < 0.4).astype(np.uint8)


def settle(net):
    """Batch norms that have seen something, and weights with which all layers spike."""
    generator = torch.Generator().manual_seed(3)
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            with torch.no_grad():
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * 2 / fan_in**0.5)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            with torch.no_grad():
                for values, low in ((module.running_var, 0.5), (module.weight, 0.8), (module.bias, -0.1)):
                    values.copy_(low + torch.rand(values.shape, generator=generator))
                module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=generator) * 0.2)
    return in_float64(net)


def in_float64(net):
    """In float64, also between layers: snnTorch's spikes are in single precision."""
    for module in net.modules():
        module.register_forward_pre_hook(lambda module, given: tuple(value.double() for value in given))
    return net.double().eval()


def spikes_of(found, inputs):
    trace = forward(found.network(STEPS), found.exact, inputs.reshape(*inputs.shape[:2], -1), Float64())
    return trace.layers[-1].spikes


def leaky(*shape, last=False, **given):
    """The exporter takes the shape of a layer from that of its beta and its threshold."""
    beta, threshold = torch.full(shape, 0.75), torch.ones(shape)
    return snntorch.Leaky(beta=beta, threshold=threshold, init_hidden=True, output=last, **given)


def snntorch_net(kind, **given):
    """A network, and the shape of its inputs."""
    if kind == "dense":
        parts = [nn.Linear(20, 16), leaky(16, **given), nn.Linear(16, 12, bias=False), leaky(12, **given)]
        return nn.Sequential(*parts, nn.Linear(12, 5), leaky(5, last=True, **given)), (20,)
    first = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), leaky(4, 8, 8, **given), nn.AvgPool2d(2)]
    second = [nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), leaky(6, 2, 2, **given), nn.Flatten()]
    third = [nn.Linear(24, 5), nn.BatchNorm1d(5), leaky(5, last=True, **given)]
    return nn.Sequential(*first, *second, *third), (1, 8, 8)


def run_snntorch(net, inputs):
    """Output spikes of a network with hidden states, sample by sample in float64."""
    parts = []
    for sample in range(inputs.shape[1]):
        for module in net.modules():
            if isinstance(module, snntorch.Leaky):
                module.reset_mem()
        with torch.no_grad():
            steps = [net(torch.tensor(inputs[t, sample : sample + 1], dtype=torch.float64)) for t in range(STEPS)]
        parts.append([np.asarray(step[0] if isinstance(step, tuple) else step)[0] for step in steps])
    return np.stack(parts, axis=1)


@pytest.mark.parametrize("kind", ["dense", "convolution"])
@pytest.mark.parametrize(
    "given, steps",
    [
        ({"reset_mechanism": "zero"}, Steps()),
        ({"reset_mechanism": "subtract"}, Steps(reset="subtract-delayed")),
    ],
    ids=["zero", "subtract"],
)
def test_snntorch_to_ours(given, steps, kind):
    net, shape = snntorch_net(kind, **given)
    settle(net)
    inputs = inputs_of(shape, 4)
    wanted = run_snntorch(net, inputs)
    assert 0.02 < wanted.mean() < 0.98
    sample = torch.zeros((1, *shape), dtype=torch.float64)
    graph = export_nir.export_to_nir(fold_batch_norm(net), sample, ignore_dims=[0])
    assert np.array_equal(spikes_of(import_nir(graph, steps), inputs), wanted)


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_ours_to_snntorch(kind):
    """One sample at a time, and in a batch, which ``keep_batches`` leaves apart."""
    net, shape = snntorch_net(kind, reset_mechanism="zero")
    inputs = inputs_of(shape, 4)
    graph = export_nir.export_to_nir(fold_batch_norm(settle(net)), torch.zeros((1, *shape)).double(), ignore_dims=[0])
    found = import_nir(graph)
    back = in_float64(import_from_nir(to_nir(found.network(STEPS), found.exact)))
    wanted = spikes_of(found, inputs)
    alone = np.concatenate([batch_of_snntorch(back, inputs[:, [n]]).reshape(STEPS, 1, -1) for n in range(4)], axis=1)
    assert np.array_equal(alone, wanted)
    assert np.array_equal(batch_of_snntorch(keep_batches(back), inputs), wanted)


def batch_of_snntorch(net, inputs):
    """Output spikes of a network from NIR, all samples at once."""
    for module in net.modules():
        if isinstance(module, snntorch.Leaky):
            module.reset_mem()
    with torch.no_grad():
        return np.stack([net(torch.tensor(step, dtype=torch.float64))[0].numpy() for step in inputs])


def spikingjelly_net(kind):
    """A network, and the shape of its inputs."""
    leaky = partial(neuron.LIFNode, tau=4.0, decay_input=False)
    if kind == "dense":
        parts = [layer.Linear(20, 16), leaky(), layer.Linear(16, 12, bias=False), neuron.IFNode()]
        return nn.Sequential(*parts, layer.Linear(12, 5), neuron.LIFNode(tau=2.0, v_threshold=0.25)), (20,)
    first = [layer.Conv2d(1, 4, 3, padding=1), layer.BatchNorm2d(4), leaky(), layer.AvgPool2d(2, 2)]
    second = [layer.Conv2d(4, 6, 3, bias=False), layer.BatchNorm2d(6), neuron.IFNode(), layer.Flatten()]
    return nn.Sequential(*first, *second, layer.Linear(24, 5), layer.BatchNorm1d(5), leaky()), (1, 8, 8)


def run_spikingjelly(net, inputs):
    """Output spikes of a network in float64; of one from NIR, which hands its state on."""
    functional.reset_net(net)
    state, steps = None, []
    with torch.no_grad():
        for step in inputs:
            given = torch.tensor(step, dtype=torch.float64)
            if isinstance(net, torch.fx.GraphModule):
                result, state = net(given, state)
            else:
                result = net(given)
            steps.append(result.numpy())
    return np.stack(steps)


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_spikingjelly_to_ours_and_back(kind):
    """Batch norms are in the weights behind the first step."""
    net, shape = spikingjelly_net(kind)
    settle(net)
    inputs = inputs_of(shape, 4)
    wanted = run_spikingjelly(net, inputs)
    assert 0.02 < wanted.mean() < 0.98
    functional.reset_net(net)
    graph = nir_exchange.export_to_nir(fold_batch_norm(net), torch.zeros((1, *shape)).double())
    found = import_nir(graph, Steps(fire=">="))
    assert np.array_equal(spikes_of(found, inputs), wanted)
    back = nir_exchange.import_from_nir(to_nir(found.network(STEPS), found.exact), dtype=torch.float64)
    assert np.array_equal(run_spikingjelly(back, inputs), wanted)


def test_a_residual_network_of_spikingjelly_to_ours():
    """snnTorch's exporter loses a sum of spikes: it makes a second input of it."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(20, 12), nn.Linear(12, 12), nn.Linear(12, 5)
            lif = partial(neuron.LIFNode, tau=4.0, v_reset=0.0, decay_input=False)
            self.lif1, self.lif2, self.lif3 = lif(), lif(), lif()

        def forward(self, x):
            first = self.lif1(self.fc1(x))
            return self.lif3(self.fc3(self.lif2(self.fc2(first)) + first))

    net = settle(Residual())
    inputs = inputs_of((20,), 4)
    wanted = run_spikingjelly(net, inputs)
    assert 0.02 < wanted.mean() < 0.98
    functional.reset_net(net)
    found = import_nir(nir_exchange.export_to_nir(net, torch.zeros((1, 20)).double()), Steps(fire=">="))
    assert len(found.sources[2]) == 2
    assert np.array_equal(spikes_of(found, inputs), wanted)


def test_batch_norms_elsewhere_are_named():
    with pytest.raises(ValueError, match=r"batch norm '1' must follow a Conv2d or a Linear, not Flatten"):
        fold_batch_norm(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(5)))
    with pytest.raises(ValueError, match=r"batch norm 'norm' must be in a Sequential, behind a Conv2d or a Linear"):
        fold_batch_norm(nn.ModuleDict({"norm": nn.BatchNorm1d(5)}))

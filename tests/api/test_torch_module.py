# SPDX-License-Identifier: Apache-2.0
"""``Model.to_torch``: passes and gradients are the golden model's, bit for bit; weights go there and back.

Everything here is SKIPPED where PyTorch is missing: then nothing is compared with autograd.
"""

import numpy as np
import pytest

from backspike import Model
from tests.host.driver.test_driver import same

torch = pytest.importorskip(
    "torch", reason="SKIPPED without the extra 'reference': PyTorch is missing, no module was tried"
)

RULES = ("bptt", "tbptt:2", "sltt", "ottt", "dfa")


def batch(inputs, count=6, steps=4, seed=1):
    generator = np.random.default_rng(seed)
    spikes = (generator.random((steps, count, inputs)) < 0.4).astype(np.uint8)
    return spikes, generator.integers(0, 5, count)


@pytest.mark.parametrize("network", ["20-12-5", "1x6x6-c4k3p1-a2-5", "1x6x6-c4k3p1-m2-c4k3p1-5+2"])
@pytest.mark.parametrize("rule", RULES)
def test_gradients_are_those_of_a_batch_on_the_chip(network, rule):
    """Without a momentum a velocity is the rounded gradient of the batch, in the unit of the rule."""
    if rule == "dfa" and "m2" in network:
        pytest.skip("dfa needs layers in a chain")
    model = Model(network, rule=rule, bias=True, update="momentum", momentum=0.0, rate=2**-6, seed=3)
    module = model.to_torch()
    module.weights[-1].data *= 4  # else the outputs may be silent
    spikes, labels = batch(model.network.inputs)
    outputs = module(torch.from_numpy(spikes))
    module.loss(outputs, torch.from_numpy(labels)).backward()
    golden = model._trainer(model.spec, module.rounded())
    assert np.array_equal(golden.train_batch(spikes, labels), outputs.detach().numpy())
    assert outputs.any()
    one = golden.rule.one(golden.network)
    for layer, weight, velocity in zip(golden.network.layers, module.weights, golden.velocities, strict=True):
        assert weight.requires_grad == layer.learns
        if not layer.learns:
            continue
        assert weight.grad.abs().sum() > 0
        assert np.array_equal(golden.network.format.round(weight.grad.numpy() * one), velocity)


def test_a_step_below_the_format_is_not_lost():
    """Parameters are float64: the passes see them rounded, the optimizer does not."""
    module = Model("20-12-5").to_torch()
    before = module.rounded()
    with torch.no_grad():
        for weight in module.weights:
            weight.add_(1e-9)
    assert same(module.rounded(), before)
    assert not np.array_equal(module.weights[0].detach().numpy(), before[0])


def test_float64_rounds_nothing():
    model = Model("20-12-5", seed=2)
    module = model.to_torch(exact=False)
    with torch.no_grad():
        for weight in module.weights:
            weight.mul_(1.01)
    spikes, labels = batch(20)
    module.loss(module(torch.from_numpy(spikes)), torch.from_numpy(labels)).backward()
    assert module.weights[0].grad.abs().sum() > 0


def test_there_and_back_and_on_to_training():
    rows = np.random.default_rng(4).random((40, 20))
    labels = (rows[:, 0] > 0.5).astype(np.int64)
    module = Model("20-12-2", seed=1).to_torch()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    model = Model.from_torch(module)
    spikes = torch.from_numpy(model.inputs(rows))
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = module.loss(module(spikes), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    model = Model.from_torch(module)
    assert same(model.weights, module.rounded())
    outputs = module(spikes).detach().numpy()
    assert np.array_equal(model.spikes(rows), outputs)
    model.fit(rows, labels, epochs=1, progress=False)
    assert not same(model.weights, module.rounded())


@pytest.mark.parametrize("rule", ["dsr", "spide:4", "opzo"])
def test_rules_without_gradients_of_a_step_are_refused(rule):
    with pytest.raises(
        ValueError, match=f"rule must have gradients of each step, such as bptt, sltt or ottt, not {rule}"
    ):
        Model("20-12-5", rule=rule).to_torch()

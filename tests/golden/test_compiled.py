# SPDX-License-Identifier: Apache-2.0
"""The compiled golden model gives the bits of the one in numpy: every potential, spike, error, weight and velocity."""

import importlib
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from backspike.golden import learning
from backspike.golden.arithmetic import BitExact, Float64
from backspike.golden.engines import bit_exact
from backspike.golden.losses import Loss
from backspike.golden.network import Dense, Network, Training
from backspike.golden.operands import Operand
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.spec.formats import BINARY16, Format

pytest.importorskip("numba")
jit = importlib.import_module("backspike.golden.compiled.jit")

RULES = ("bptt", "tbptt:2", "sltt", "sltt-k:2", "ottt", "ottt-o", "dsr", "spide:6", "dfa", "opzo")
NETWORKS = (
    "7-3",
    "9-8-5-3",
    "2x4x4-c3k3p1-3",
    "1x7x7-c3k3s2-c4k2p1-5-3",
    "2x8x8-c4k3p1-a2-c3k2s2-4-3",
    "1x8x8-a2-c5k3s1p1-a2-3",
    "3x1x1-c4k1-2",
)
STEPS = 4
FORMATS = (BINARY16, Format(exponent=4, mantissa=3), Format(exponent=5, mantissa=2))


def same(ours, theirs, what):
    """Equal as bit patterns: -0 is not +0."""
    ours, theirs = (np.asarray(values, dtype=np.float64).view(np.int64) for values in (ours, theirs))
    assert np.array_equal(ours, theirs), what


def trainers(network, training, weights, **options):
    """One with each engine."""
    return [Trainer(network, training, weights=weights, engine=engine, **options) for engine in ("numpy", "compiled")]


def train_both(pair, generator, *, samples=3, batches=3, density=0.4):
    """Some batches through both; everything is compared after each."""
    network, rule = pair[0].network, pair[0].rule
    for _ in range(batches):
        shape = (network.steps, samples, network.inputs)
        spikes = (generator.random(shape) < density) * generator.integers(1, network.largest_input + 1, shape)
        spikes = spikes.astype(np.uint8)
        labels = generator.integers(0, network.outputs, samples)
        trained = rule.draw(network, generator)
        outputs = [trainer.train_batch(spikes, labels, trained=trained) for trainer in pair]
        assert np.array_equal(*outputs)
        for layer in range(len(network.layers)):
            for name in ("weights", "velocities"):
                same(getattr(pair[1], name)[layer], getattr(pair[0], name)[layer], f"{name} of layer {layer}")
        if pair[0].feedback:
            for ours, theirs in zip(pair[1].feedback.matrices, pair[0].feedback.matrices, strict=True):
                same(ours, theirs, "feedback")
        traces = [trainer.forward(spikes) for trainer in pair]
        for layer, (ours, theirs) in enumerate(zip(traces[1].layers, traces[0].layers, strict=True)):
            for name in ("potentials", "spikes", "masks"):
                same(getattr(ours, name), getattr(theirs, name), f"{name} of layer {layer}")
        assert pair[0].saturated == pair[1].saturated


@st.composite
def cases(draw):
    """A network, its training and its rule, anything that they can be."""
    rule = Rule.parse(draw(st.sampled_from(RULES)))
    once = rule.backward != "surrogate"
    theta = 1.0 if once else draw(st.sampled_from([1.0, 0.8, 2.0**-6, 40.0]))
    neuron = {"theta": theta, "width": theta * draw(st.sampled_from([1.0, 3.3])), "strict": draw(st.booleans())}
    if not once:
        neuron |= {"reset": draw(st.sampled_from(["soft", "hard"])), "kappa": draw(st.sampled_from([0.5, 0.9, 0.0]))}
        neuron |= {"kappa_back": draw(st.sampled_from([None, 0.3])), "amplitude": draw(st.sampled_from([1.0, 0.6]))}
    sizes = draw(st.sampled_from(NETWORKS[1:] if rule.feedback != "weights" else NETWORKS))
    number_format = draw(st.sampled_from(FORMATS))
    network = Network.parse(sizes, steps=STEPS, format=number_format, bias=draw(st.booleans()), **neuron)
    if rule.operand == "spike":
        network = replace(network, input_bits=draw(st.sampled_from([1, 1, 4, 8])))
    update = draw(st.sampled_from(["momentum", "lion", "sign"]))
    training = Training(
        rate=draw(st.sampled_from([0.5, 0.07])) * max(1, rule.one(network) / 8),
        update=update,
        momentum=draw(st.sampled_from([0.0, 0.75])),
        decay=draw(st.sampled_from([1.0, 0.75])),
        loss_scale=draw(st.sampled_from([0.3, 1.0, 7.0])),
    )
    loss = Loss()
    if not once and rule.trained is None and not rule.step_updates:
        loss = Loss(kind=draw(st.sampled_from(["rate", "cross-entropy"])), span=draw(st.sampled_from(["all", "last"])))
    return network, training, rule, loss, theta * draw(st.sampled_from([0.3, 1.0, 200.0])), draw(st.integers(0, 999))


@seed(1)
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_every_bit_is_that_of_numpy(case):
    network, training, rule, loss, scale, number = case
    generator = np.random.default_rng(number)
    weights = []
    for layer in network.layers:
        weight = scale * generator.normal(0.2, 1.0, layer.shape)
        weight *= generator.choice([0.0, -0.0, 2.0**-12, 1.0], layer.shape, p=[0.05, 0.05, 0.1, 0.8])
        weights.append(network.format.round(weight))
    samples = 1 if rule.step_updates else 3
    pair = trainers(network, training, weights, rule=rule, loss=loss, batch=samples, feedback_seed=3)
    train_both(pair, generator, samples=samples)


def test_sums_of_large_and_small_terms_are_exact():
    """Products of 2**32 and of 2**-48, beside each other in one error: two float64 numbers hold it."""
    generator = np.random.default_rng(2)
    network = Network.parse("1x6x6-c4k3p1-a2-6-3", steps=2, theta=100.0, width=1e4)
    weights = [
        network.format.round(generator.normal(0, 1, layer.shape) * generator.choice([2.0**-22, 1, 9000], layer.shape))
        for layer in network.layers
    ]
    arithmetics = BitExact(BINARY16), bit_exact(BINARY16, "compiled")
    trace = learning.forward(network, weights, generator.integers(0, 2, (2, 5, 36), dtype=np.uint8), arithmetics[0])
    errors = generator.normal(0, 1, (2, 5, 3)) * generator.choice([2.0**-20, 1, 9000], (2, 5, 3))
    training = Training(rate=0.1)
    results = [learning.backward(network, weights, trace, training, each, errors=errors) for each in arithmetics]
    for layer, (theirs, ours) in enumerate(zip(results[0][0], results[1][0], strict=True)):
        same(ours, theirs, f"deltas of layer {layer}")
    assert arithmetics[0].saturated and arithmetics[1].saturated


def test_sums_that_are_too_large_are_left_to_numpy():
    """With weights and deltas of the largest number sums of some thousands of terms need more than 53 bits."""
    network = Network.parse("9000-2-9000", steps=1, theta=1.0, width=60000.0)
    arithmetic = bit_exact(BINARY16, "compiled")
    large = [np.full(layer.shape, 65504.0) for layer in network.layers]
    spikes, deltas = np.ones((1, 1, 9000), dtype=np.uint8), np.full((1, 1, 9000), 65504.0)
    masks = np.ones((1, 1, 2), dtype=bool)
    one, other = network.layers
    assert arithmetic.run_layer(one, large[0], spikes, None, None) is None
    assert arithmetic.pass_back(other, large[1], deltas, masks) is None
    given, many = np.ones((1, 9000, 1), dtype=bool), np.broadcast_to(deltas, (1, 9000, 9000))[..., :2]
    assert arithmetic.correlated(Dense(inputs=1, outputs=2), given, many, Operand()) is None
    assert arithmetic.correlated(Dense(inputs=1, outputs=2), given, many / 4, Operand()) is not None
    assert arithmetic.run_layer(one, large[0] / 4, spikes, None, None) is not None
    assert arithmetic.pass_back(other, large[1] / 2**13, deltas / 2**16, masks) is not None
    pair = trainers(network, Training(rate=0.1), large)
    train_both(pair, np.random.default_rng(1), samples=2, batches=1, density=1.0)
    assert pair[0].saturated


def test_engine_is_checked():
    network, training = Network.parse("4-3"), Training(rate=0.1)
    for options, message in (
        ({"engine": "fast"}, "engine must be one of auto, compiled, numpy, not 'fast'"),
        ({"engine": "auto", "arithmetic": Float64()}, "engine must not be given with an arithmetic, not 'auto'"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            Trainer(network, training, seed=1, **options)


def test_without_numba(monkeypatch):
    """``None`` in place of a module makes its import fail."""
    monkeypatch.setitem(sys.modules, "backspike.golden.compiled.arithmetic", None)
    assert type(bit_exact(BINARY16)) is BitExact
    with pytest.raises(ValueError, match=re.escape("pip install 'backspike[fast]' brings it")):
        bit_exact(BINARY16, "compiled")


SUM = "from backspike.golden.compiled import jit, rounding; print(rounding.two_sum(1.0, 2.0), jit.machine_code)"


def test_machine_code_is_kept_and_compiling_is_announced(tmp_path):
    def run(folder):
        environment = {**os.environ, "BACKSPIKE_CACHE": str(folder)}
        return subprocess.run([sys.executable, "-c", SUM], env=environment, capture_output=True, text=True, check=True)

    first, second = run(tmp_path), run(tmp_path)
    assert first.stdout == second.stdout
    assert first.stdout.startswith(f"(3.0, 0.0) {tmp_path}")
    assert first.stderr == f"compiling the loops of the golden model, once; kept in {first.stdout.split()[2]}\n"
    assert not second.stderr


def test_where_no_cache_can_be_written_there_is_a_folder_of_the_process(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BACKSPIKE_CACHE", str(tmp_path / "file" / "below"))
    folder = jit._folder()
    assert folder.is_dir() and not folder.is_relative_to(tmp_path / "file")
    folder.rmdir()

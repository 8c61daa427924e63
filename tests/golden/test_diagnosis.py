# SPDX-License-Identifier: Apache-2.0
"""Each reason for which a network does not learn is brought about, and said; one that learns gets no warning."""

import re
from dataclasses import replace

import numpy as np
import pytest

from backspike.golden.arithmetic import Float64
from backspike.golden.diagnosis import diagnose, diagnose_outputs
from backspike.golden.initial import balanced_weights
from backspike.golden.network import Network
from backspike.golden.presets import default_schedule
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer
from backspike.host.data.load import load

DATA = load("digits")
SPIKES, LABELS = DATA.train[:300].spikes, DATA.train.labels[:300]


def untrained(sizes="64-32-10", *, arithmetic=None, rule="bptt", **neuron):
    network = Network.parse(sizes, steps=4, **neuron)
    weights = balanced_weights(Network.parse(sizes, steps=4), 1, SPIKES[:, :64])
    training = default_schedule(network, 4)[0]
    return Trainer(network, training, weights=weights, rule=Rule.parse(rule), arithmetic=arithmetic or Float64())


@pytest.fixture(scope="module")
def trained():
    trainer = untrained()
    trainer.train(SPIKES, LABELS, epochs=8)
    return trainer


def changed(trainer, layer, change):
    """A trainer with other weights of a layer."""
    weights = [weight.copy() for weight in trainer.weights]
    change(weights[layer])
    return Trainer(trainer.network, trainer.training, weights=weights, arithmetic=Float64())


def set_to(value, columns=slice(None)):
    def change(weight):
        weight[:, columns] = value

    return change


def found(trainer, start):
    """The one sentence that begins so."""
    sentences = [text for text in diagnose(trainer, SPIKES, LABELS) if re.match(start, text)]
    assert len(sentences) == 1, diagnose(trainer, SPIKES, LABELS)
    return sentences[0]


def test_a_network_that_learns_gets_no_warning(trained):
    assert trained.evaluate(SPIKES, LABELS) > 0.9
    assert diagnose(trained, SPIKES, LABELS) == []


def test_outputs_that_never_spike(trained):
    own = int((LABELS == 3).sum())
    text = found(changed(trained, 1, set_to(-1.0, 3)), "output 3 ")
    assert text.startswith(f"output 3 never spikes, though {own} of 300 samples should make it so: use a smaller rate")
    assert "outputs 2, 4 and 7 never spike, " in found(changed(trained, 1, set_to(-1.0, [2, 4, 7])), "outputs")
    assert found(changed(trained, 1, set_to(-1.0)), "10 outputs").startswith(
        "10 outputs never spike, though 300 of 300"
    )


def test_outputs_that_always_spike(trained):
    text = found(changed(trained, 1, set_to(8.0, [0, 5])), "outputs")
    assert text.startswith(
        "outputs 0 and 5 spike at every step of all 300 samples: use a smaller rate, a smaller kappa"
    )


def test_one_answer_to_everything():
    spikes, labels = np.zeros((4, 40, 3), dtype=np.uint8), np.arange(40) % 3
    spikes[0], spikes[1, :, 2] = 1, 1
    assert diagnose_outputs(spikes, labels) == [
        "output 2 is the answer to all 40 samples, 13 of which are its own: use a smaller rate, or more epochs"
    ]
    assert diagnose_outputs(spikes[:, :9], labels[:9]) == [], "few samples prove nothing"
    assert diagnose_outputs(spikes, np.full(40, 2)) == [], "it is the right one"


def test_numbers_that_saturate():
    network = Network.parse("64-32-10", steps=4)
    training = replace(default_schedule(network, 4)[0], rate=2.0**15)
    trainer = Trainer(network, training, seed=1)
    assert not any("saturated" in text for text in diagnose(trainer, SPIKES, LABELS))
    trainer.train(SPIKES, LABELS)
    assert "numbers have saturated at the largest of the format: use a smaller loss_scale" in found(trainer, "numbers")


def test_hidden_layers_that_are_silent_or_full(trained):
    assert found(changed(trained, 0, set_to(0.0)), "layer 1").startswith("layer 1 of 2 never spikes, so the layers ")
    assert found(changed(trained, 0, set_to(8.0)), "layer 1").startswith("layer 1 of 2 spikes in all neurons at every ")


@pytest.mark.parametrize("rule", ["bptt", "ottt", "dfa"])
def test_potentials_outside_the_window_and_what_is_advised_helps(rule):
    text = found(untrained(width=2.0**-8, rule=rule), "layer")
    assert re.match(r"layer 2 of 2 has no deltas for \d+ of \d+ wrong samples, as \d\.\d% of its potentials are", text)
    width = float(re.search("use width ([0-9.]+)", text)[1])
    assert not any(re.match("layer", text) for text in diagnose(untrained(width=width, rule=rule), SPIKES, LABELS))


def test_hidden_potentials_outside_the_window():
    trainer = untrained()
    layers = list(trainer.network.layers)
    layers[0] = replace(layers[0], neuron=replace(layers[0].neuron, width=2.0**-10))
    narrow = Trainer(
        replace(trainer.network, layers=layers), trainer.training, weights=trainer.weights, arithmetic=Float64()
    )
    narrow = changed(narrow, 0, lambda weight: np.multiply(weight, 1 / 64, out=weight))
    narrow.weights[0][:, :4] *= 512  # some spike, far above the threshold
    assert found(narrow, "layer 1").startswith("layer 1 of 2 has no deltas for ")


def test_data_without_spikes():
    assert diagnose(untrained(), np.zeros_like(SPIKES), LABELS) == [
        "no input spikes at any step: look at how the data became spikes"
    ]


def test_a_rule_that_goes_back_once_a_sample_is_looked_at_too():
    assert "10 outputs never spike" in " ".join(diagnose(untrained(rule="dsr", theta=8.0), SPIKES, LABELS))

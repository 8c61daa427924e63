# SPDX-License-Identifier: Apache-2.0
"""``backspike golden``: activity with every kind of rule."""

import numpy as np
import pytest

from backspike.cli.golden import densities
from backspike.cli.main import main
from backspike.golden.network import Network, Training
from backspike.golden.rules import Rule
from backspike.golden.trainer import Trainer


@pytest.mark.parametrize("rule", ["bptt", "ottt", "ottt-o", "dsr", "spide:4", "dfa"])
def test_all_rules_have_an_activity(rule, capsys):
    options = ["--epochs=1", "--samples=32", "--tests=16", "--arithmetic=float64", "--hidden=12"]
    assert main(["golden", f"--rule={rule}", *options]) == 0
    told = capsys.readouterr().out
    assert told.count("terms per sample") == 2 and "test accuracy" in told


def test_terms_of_a_rule_that_goes_back_once_a_sample():
    """Its deltas have one step, and meet counts."""
    network = Network.parse("20-12-5", steps=6)
    generator = np.random.default_rng(3)
    weights = [generator.normal(0.2, 0.5, layer.shape) for layer in network.layers]
    trainer = Trainer(
        network, Training(rate=0.25), weights=[network.format.round(w) for w in weights], rule=Rule.parse("dsr")
    )
    spikes = (generator.random((6, 4, 20)) < 0.3).astype(np.uint8)
    labels = generator.integers(0, 5, 4)
    trace = trainer.forward(spikes)
    deltas, errors = trainer.backward(trace, labels)
    used = [spikes.any(axis=0).sum(axis=1), trace.layers[0].spikes.any(axis=0).sum(axis=1)]
    nonzero = [(delta[0] != 0).sum(axis=1) for delta in deltas]
    found = densities(trainer, spikes, labels)["layers"]
    assert [layer["gradient terms"] for layer in found] == [(u @ n) / 4 for u, n in zip(used, nonzero, strict=True)]
    assert found[0]["forward terms"] == spikes.sum() * 12 / 4
    assert found[1]["error terms"] == (errors[0][0] != 0).sum(axis=1) @ nonzero[1] / 4 > 0

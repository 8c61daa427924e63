# SPDX-License-Identifier: Apache-2.0
"""What is trained: what is refused, which constants follow, and where data are found later."""

import re

import pytest

from backspike.golden.constants import UPDATES
from backspike.golden.presets import default_schedule
from backspike.host.training.training_spec import TrainingSpec
from tests.support.idx_files import write_folder

DEEP = "-".join(["64", *["16"] * 23, "10"])


def test_a_rule_that_gives_no_rate_is_replaced_by_the_smallest_one():
    """The rule's rate of 24 layers is far below the smallest number of the format."""
    spec = TrainingSpec(network=DEEP, update="momentum")
    assert {training.rate for training in spec.schedule()} == {2.0**-24}
    assert spec.rate_remark() == (
        "rate 5.960464477539063e-08, the smallest of the format: by the rule for this network it would be 1.1e-16"
    )
    assert TrainingSpec().rate_remark() is None
    assert TrainingSpec(network=DEEP).rate_remark() is None, "Lion's steps do not shrink with the layers"
    small = TrainingSpec(network="64-32-32-10", update="momentum", format={"exponent": 4, "mantissa": 3})
    assert {training.rate for training in small.schedule()} == {2.0**-9} and small.rate_remark()


def test_options_replace_the_rules():
    spec = TrainingSpec(network=DEEP, rate=2.0**-8, loss_scale=0.5, neuron={"kappa": 0.25, "strict": True})
    assert spec.rate_remark() is None
    schedule = spec.schedule()
    assert [training.rate for training in schedule] == [
        2.0**-exponent for exponent in [8] * 11 + [9] * 3 + [10] * 2 + [11] * 2 + [12] * 2
    ]
    assert {training.loss_scale for training in schedule} == {0.5}
    assert spec.constants()["neuron[23].kappa"] == 0.25 and spec.constants()["neuron[0].strict"] is True
    assert TrainingSpec(momentum=1.0).schedule()[0].rate == 2.0**-24
    conv = TrainingSpec(network="1x8x8-c4k3p1-10", rate=2.0**-22, epochs=5)
    assert [training.rate for training in conv.schedule()] == [2.0**-22] * 3 + [2.0**-24] * 2


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.5}, {"update": "lion", "decay": 0.999}, {"update": "sign", "momentum": 0.5}]
)
def test_without_options_the_constants_are_the_presets(options):
    spec = TrainingSpec(epochs=10, **options)
    assert spec.schedule() == default_schedule(spec.model, 10, batch=16, **options)


def test_the_momentum_by_default_is_that_of_the_update():
    assert [TrainingSpec(update=kind).schedule()[0].mu for kind in UPDATES] == [7 / 8, 63 / 64, 63 / 64]
    assert [TrainingSpec(update=kind).constants()["training[0].momentum"] for kind in UPDATES] == [
        7 / 8,
        63 / 64,
        63 / 64,
    ]


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"rate": 0}, ValueError, "rate must be more than 0, not 0"),
        ({"rate": float("nan")}, ValueError, "rate must be more than 0, not nan"),
        ({"rate": "1"}, TypeError, "rate must be a number, not '1'"),
        ({"rate": 1e-12}, ValueError, "rate must not round to zero in "),
        ({"rate": 1e9}, ValueError, "rate must be at most 65504 in "),
        ({"loss_scale": 0}, ValueError, "loss_scale must be more than 0, not 0"),
        ({"momentum": "much"}, TypeError, "momentum must be a number, not 'much'"),
        ({"update": "adam"}, ValueError, "update must be one of ('momentum', 'lion', 'sign'), not 'adam'"),
        ({"update": 1}, TypeError, "update must be a string, not 1"),
        ({"decay": 2}, ValueError, "decay must be at least 0 and at most 1, not 2"),
        ({"decay": 0.9999}, ValueError, "decay must not round to 1 in "),
        ({"neuron": []}, TypeError, "neuron must be a dict of fields of Neuron, not []"),
        ({"neuron": {"kapa": 1}}, ValueError, "neuron must have fields of ['kappa', "),
        ({"neuron": {"kappa": 2}}, ValueError, "kappa must be at least 0 and at most 1, not 2"),
        (
            {"neuron": {"theta": 6e-8}},
            ValueError,
            "theta must be at least 1.1920928955078125e-07 with kappa=0.5 and a ",
        ),
        ({"format": {"mantisa": 3}}, ValueError, "format must have fields of ['exponent', 'mantissa'], not 'mantisa'"),
        ({"data": 5}, TypeError, "data must be a string, not 5"),
        ({"network": 5}, TypeError, "sizes must be a string, not 5"),
        ({"steps": 0}, ValueError, "steps must be at least 1, not 0"),
        ({"bias": 1}, TypeError, "bias must be True or False, not 1"),
        ({"batch": True}, TypeError, "batch must be an integer, not True"),
        ({"samples": 0}, ValueError, "samples must be at least 1, not 0"),
        ({"epochs": 10001}, ValueError, "epochs must be at most 10000, not 10001"),
        (
            {"network": "64-999999-10"},
            ValueError,
            "the network has 73,999,926 weights and the largest chip, of 64 cores, holds 8,388,608: use smaller layers",
        ),
        (
            {"network": "1x255x255-c17k1-c1k1-10"},
            ValueError,
            "the network has 1,170,460 neurons and the largest chip, ",
        ),
    ],
)
def test_what_is_wrong_is_refused_at_once(fields, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        TrainingSpec(**fields)


def test_a_folder_is_found_from_everywhere(tmp_path, monkeypatch):
    """A simulation works in a folder of its own."""
    write_folder(tmp_path / "letters", (8, 8), labels=range(1, 27))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spec = TrainingSpec(data="../letters", network="64-32-27")
    assert spec.data == str(tmp_path / "letters")
    monkeypatch.chdir(tmp_path)
    assert len(spec.dataset().classes) == 27
    with pytest.raises(ValueError, match="network must have at least 27 outputs for the data 'letters', not 26"):
        TrainingSpec(data="letters", network="64-32-26").dataset()
    with pytest.raises(FileNotFoundError, match="elsewhere has neither train-images-idx3-ubyte nor "):
        TrainingSpec(data="elsewhere").dataset()


def test_layers_may_have_different_neurons():
    spec = TrainingSpec(neuron=[{"kappa": 0.75}, {"reset": "hard"}])
    assert [layer.neuron.kappa for layer in spec.model.layers] == [0.75, 0.5]
    assert TrainingSpec.from_json(spec.to_json()) == spec
    with pytest.raises(ValueError, match=r"neurons must be those of all 2 layers of 64-128-10, not \[\{\}\]"):
        TrainingSpec(neuron=[{}])
    with pytest.raises(ValueError, match=r"neuron must have fields of .* not 'leak'"):
        TrainingSpec(neuron=[{}, {"leak": 0.5}])

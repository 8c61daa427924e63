# SPDX-License-Identifier: Apache-2.0
"""Files of trainings: what they hold, how they are written, and which are refused."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from backspike.golden.initial import initial_weights
from backspike.golden.network import Network
from backspike.host.training.checkpoint import Checkpoint, read_spec, read_weights
from backspike.host.training.metrics import Metrics
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.config import ChipConfig
from tests.host.driver.test_driver import same

SPEC = TrainingSpec(
    network="64-12-10", steps=3, neuron={"reset": "hard"}, bias=True, batch=8, epochs=4, seed=5, tests=20
)


def written(path, **values):
    """A training in a file."""
    weights = [weight / 2 for weight in SPEC.weights()]
    state = Checkpoint(
        SPEC,
        SPEC.weights(),
        weights,
        2,
        3,
        Metrics(3, 24, 5, 77),
        [{"samples": 40, "loss": 1 / 3}],
        chip=ChipConfig().to_dict(),
    )
    state = replace(state, **values)
    state.save(path)
    return state


def test_everything_comes_back(tmp_path):
    state, found = written(tmp_path / "new" / "a.npz"), Checkpoint.load(tmp_path / "new" / "a.npz")
    assert same(found.weights, state.weights) and same(found.velocities, state.velocities)
    names = ("spec", "epoch", "batch", "metrics", "history", "data", "chip", "samples", "finished")
    assert {name: getattr(found, name) for name in names} == {name: getattr(state, name) for name in names}
    assert found.samples == 64 and not found.finished


def test_zeros_keep_their_signs(tmp_path):
    """They are different bits in the chip."""
    weights = [np.where(weight > 0, weight, -0.0) for weight in SPEC.weights()]
    written(tmp_path / "a.npz", weights=weights)
    found = Checkpoint.load(tmp_path / "a.npz").weights
    assert all(np.array_equal(np.signbit(a), np.signbit(b)) for a, b in zip(weights, found, strict=True))


def test_the_file_tells_people_what_it_is(tmp_path):
    written(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as content:
        description = json.loads(str(content["description"]))
        assert content["weights_1"].shape == (13, 10) and content["weights_1"].dtype == np.float64
    assert description["spec"]["network"] == "64-12-10"
    assert description["constants"]["neuron[0].reset"] == "hard"
    assert description["constants"]["training[3].rate"] == SPEC.schedule()[3].rate
    assert description["chip"]["columns"] == 2
    assert {"python", "numpy"} <= description["written_by"].keys()


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    """If writing fails in the middle, the file before is still there."""
    path = tmp_path / "a.npz"
    before = written(path)

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space left"):
        written(path, epoch=3)
    monkeypatch.undo()
    assert Checkpoint.load(path).epoch == before.epoch
    written(path, epoch=3)
    assert Checkpoint.load(path).epoch == 3
    assert os.listdir(tmp_path) == ["a.npz"]


def edited(path, change):
    """The file with another description."""
    with np.load(path) as content:
        arrays = dict(content)
    description = json.loads(str(arrays["description"]))
    change(description)
    np.savez(path, **arrays | {"description": np.array(json.dumps(description))})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda d: d.update(version=9), "version of {path} must be 4, not 9"),
        (lambda d: d.pop("metrics"), "{path} does not describe a training: metrics must be a value of dict, not None"),
        (lambda d: d["spec"].update(colour=1), "{path} does not describe a training: spec must have ['network', "),
        (lambda d: d.update(epoch=5), "epoch of {path} must be 0 to 4, not 5"),
        (
            lambda d: d["spec"].update(network="64-13-10"),
            "weights_0 of {path} must be [65, 13] for the network, not [65, 12]",
        ),
        (
            lambda d: d["spec"].update(network="64-12-12-10"),
            "neuron[1].width of {path} must be 2.0, as in this version, not 4.0",
        ),
        (lambda d: d["constants"].update({"training[1].rate": 0.5}), "training[1].rate of {path} must be 0.0"),
        (lambda d: d["spec"].update(tests=21), "data 'digits' must have the fingerprint "),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change, text, tmp_path):
    path = tmp_path / "a.npz"
    written(path)
    edited(path, change)
    with pytest.raises(ValueError, match=f"^{re.escape(text.format(path=path))}"):
        Checkpoint.load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 no", b"something", b"\x93NUMPY\x01\x00", None],
    ids=["empty", "zip", "text", "npy", "cut"],
)
def test_what_is_no_such_file_is_refused(content, tmp_path):
    path = tmp_path / "a.npz"
    written(path)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is not a whole npz file: "):
        Checkpoint.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.npz is not a file"):
        Checkpoint.load(tmp_path / "b.npz")


def test_an_npz_file_is_never_code(tmp_path):
    """Pickled objects are not read."""
    np.savez(tmp_path / "a.npz", weights_0=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="is not a whole npz file"):
        read_spec(tmp_path / "a.npz")


def test_weights_alone_can_be_read(tmp_path):
    model = Network.parse("64-7-10")
    weights = initial_weights(model, 3)
    np.savez(tmp_path / "a.npz", **{f"weights_{k}": weight for k, weight in enumerate(weights)})
    assert read_spec(tmp_path / "a.npz") is None
    found, moved = read_weights(tmp_path / "a.npz", model)
    assert same(found, weights) and moved == 0
    with pytest.raises(ValueError, match="must hold a training to go on with, not only weights"):
        Checkpoint.load(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="must have weights of 3 layers for the network, not of 2"):
        read_weights(tmp_path / "a.npz", Network.parse("64-7-7-10"))
    np.savez(tmp_path / "a.npz", weights_0=weights[0], weights_1=weights[1] + 1 / 3)
    with pytest.raises(ValueError, match=r"weights_1 of .* must be numbers of the format: "):
        read_weights(tmp_path / "a.npz", model)


def test_moved_data_are_the_same_data(tmp_path):
    """The name of a data set may change, its samples may not."""
    written(tmp_path / "a.npz")
    assert Checkpoint.load(tmp_path / "a.npz", "digits").spec == SPEC
    with pytest.raises(FileNotFoundError, match="not 'elsewhere'"):
        Checkpoint.load(tmp_path / "a.npz", "elsewhere")


@pytest.mark.parametrize(("name", "most"), [("samples", 1437), ("tests", 360)])
def test_more_data_than_there_are_are_refused(name, most):
    assert (
        getattr(TrainingSpec(**{name: most}), name)
        == most
        == len(getattr(TrainingSpec(**{name: most}).dataset(), "train" if name == "samples" else "test"))
    )
    with pytest.raises(ValueError, match=f"{name} must be at most {most} for the data 'digits', not {most + 1}"):
        TrainingSpec(**{name: most + 1}).dataset()
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        TrainingSpec(**{name: 0})


def entries(values, path=()):
    """The places of all values of a JSON object, inner ones too."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from entries(value, (*path, key))


def test_a_description_that_was_edited_by_hand_is_read_or_refused_by_name(tmp_path):
    """Every entry, each with values of all kinds: no other error, and nothing that fails later."""
    path = tmp_path / "a.npz"
    written(path)
    with np.load(path) as content:
        arrays = dict(content)
    original = str(arrays["description"])
    wrong = (None, True, -1, 2**40, 1.5, "x", [5], {"samples": "x"})
    read = 0
    for place in entries(json.loads(original)):
        if place[:2] in (("chip", place[-1]), ("written_by", place[-1])) or place[0] == "samples":
            continue  # for people
        for value in wrong:
            description = json.loads(original)
            inner = description
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            np.savez(path, **arrays | {"description": np.array(json.dumps(description))})
            for load in (Checkpoint.load, read_spec):
                try:
                    load(path)
                    read += 1
                except (ValueError, FileNotFoundError) as error:
                    assert str(path) in str(error) or "data" in str(error), (place, value, str(error))
    assert read > 60


@pytest.mark.parametrize("version", [1, 2, 3, "4", None])
@pytest.mark.parametrize("load", [Checkpoint.load, read_spec])
def test_a_description_of_another_version_is_refused(load, version, tmp_path):
    written(tmp_path / "a.npz")
    edited(tmp_path / "a.npz", lambda description: description.update(version=version))
    with pytest.raises(ValueError, match=rf"^version of .*a\.npz must be 4, not {re.escape(repr(version))}$"):
        load(tmp_path / "a.npz")


def test_weights_of_another_precision_are_rounded_when_asked_for(tmp_path):
    path, model = tmp_path / "a.npz", Network.parse("64-7-10")
    exact = [weight.astype(np.float32) * np.float32(1.0001) for weight in initial_weights(model, 3)]
    np.savez(path, **{f"weights_{k}": weight for k, weight in enumerate(exact)})
    with pytest.raises(ValueError, match=r"weights_0 of .* must be numbers of the format: .*: --round takes the near"):
        read_weights(path, model)
    found, moved = read_weights(path, model, rounded=True)
    assert same(found, [model.format.round(weight) for weight in exact])
    assert moved == max(np.abs(a - b).max() for a, b in zip(found, exact, strict=True)) > 0
    for bad in (np.full((64, 7), np.nan), np.full((64, 7), 1j), np.full((64, 7), "x")):
        np.savez(path, weights_0=bad, weights_1=exact[1])
        with pytest.raises(ValueError, match=r"^weights_0 of .* must be numbers of the format"):
            read_weights(path, model, rounded=True)

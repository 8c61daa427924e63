# SPDX-License-Identifier: Apache-2.0
"""``Model``: trained by name and from arrays, in the golden model and on chips at packet level; files; refusals."""

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from backspike import Model, Port, Simulated
from backspike.cli.main import main
from backspike.host.training.checkpoint import Checkpoint
from tests.host.driver.test_driver import same
from tests.support.trained_chip import Chip, golden

OPTIONS = {"steps": 2, "samples": 12, "tests": 6, "batch": 5, "seed": 2}
VALUES, LABELS = load_digits(return_X_y=True)
VALUES = VALUES / 16


@pytest.fixture
def port(monkeypatch):
    """A chip at packet level on each port."""
    link = SimpleNamespace(open_chip=lambda *_, **__: nullcontext(Chip()))
    monkeypatch.setitem(sys.modules, "backspike.host.link.serial_port", link)
    return Port("COM9")


def digits(backend="golden", **options):
    return Model("64-8-10", backend=backend, **OPTIONS).fit("digits", epochs=5, progress=False, **options)


def arrays(backend="golden", count=20, **options):
    model = Model("64-8-10", backend=backend, steps=2, batch=5, seed=2)
    test = (VALUES[count : count + 10], LABELS[count : count + 10])
    return model.fit(VALUES[:count], LABELS[:count], test=test, epochs=2, progress=False, **options)


def test_a_network_is_trained_by_the_name_of_data(capsys):
    model = Model("64-8-10", **OPTIONS).fit("digits", epochs=5)
    assert same(model.weights, golden()[0])
    assert [entry["epoch"] for entry in model.history] == [1, 2, 3, 4, 5]
    lines = capsys.readouterr().out.splitlines()
    last = model.history[-1]
    assert lines[-1] == (
        f"epoch 5/5: loss {last['train_loss']:.3f}, accuracy {last['train_accuracy']:.1%}; 6 test samples: loss "
        f"{last['test_loss']:.3f}, accuracy {last['test_accuracy']:.1%}"
    )
    whole = model.evaluate("digits")
    assert whole.samples == 360 and whole.right == (model.predict("digits") == _test_labels()).sum()
    assert model.spikes("digits").shape == (2, 360, 10)


def _test_labels():
    from backspike.host.data.load import load  # noqa: PLC0415

    return load("digits").test.labels


def test_a_chip_gives_the_same_bits(port):
    mine, chips = digits(), digits(port, compare=True)
    assert same(mine.weights, chips.weights) and mine.history == chips.history
    some = VALUES[:7]
    assert np.array_equal(mine.spikes(some), chips.spikes(some))
    assert chips.evaluate(some, LABELS[:7]) == mine.evaluate(some, LABELS[:7])


def test_arrays_on_both_and_training_goes_on(port):
    mine, chips = arrays(), arrays(port)
    assert same(mine.weights, chips.weights) and mine.history == chips.history
    assert mine.history[-1]["tests"] == 10
    before = mine.weights
    for model in (mine, chips):
        model.fit(VALUES[30:50], LABELS[30:50], epochs=1, progress=False, rate=2**-8)
    assert same(mine.weights, chips.weights) and not same(mine.weights, before)
    assert list(mine.history[-1]) == ["epoch", "samples", "train_loss", "train_accuracy", "rate", "saturated"]


def test_validation_keeps_the_best_epoch(port):
    mine, chips = (digits(backend, validation=0.5) for backend in ("golden", port))
    assert same(mine.weights, chips.weights) and mine.history == chips.history
    assert "validation_accuracy" in mine.history[0]


def test_spikes_values_and_bytes_are_the_same_samples():
    spikes = np.stack([VALUES > 0.25, VALUES > 0.75], axis=1)
    model = arrays()
    wanted = model.spikes(VALUES[:9])
    for given in (
        spikes[:9],
        spikes[:9].astype(np.uint8),
        VALUES[:9].reshape(9, 8, 8),
        (VALUES[:9] * 255).astype(np.uint8),
    ):
        assert np.array_equal(model.spikes(given), wanted)


def test_tables_words_and_series():
    words = np.array([f"digit {label}" for label in LABELS[:40]])
    table = Model("128-8-10", steps=2).fit(VALUES[:40], words, epochs=1, progress=False)
    assert table.classes == tuple(sorted(set(words))) and table.spec.encoder == "threshold+off"
    assert table.evaluate(VALUES[:10], words[:10]).samples == 10
    series = Model("64-8-10", steps=8).fit(VALUES[:40].reshape(40, 8, 8), LABELS[:40], epochs=1, progress=False)
    assert series.spec.encoder == "threshold"  # an image, as it has 64 values for 64 inputs
    levels = Model("64-8-10", steps=4).fit(
        VALUES[:40].reshape(40, 8, 8), LABELS[:40], epochs=1, progress=False, encoder="levels"
    )
    assert levels.predict(VALUES[:5].reshape(5, 8, 8)).shape == (5,)


def test_an_encoder_is_fitted_to_the_training_alone(tmp_path):
    """Single samples are encoded as all of them together; a loaded model does not know the training's."""
    series, labels = VALUES[:40].reshape(40, 8, 8), LABELS[:40]
    model = Model("64-8-10", steps=4).fit(series, labels, epochs=1, progress=False, encoder="levels")
    together = model.inputs(series[:3])
    assert np.array_equal(np.concatenate([model.inputs(series[n : n + 1]) for n in range(3)], axis=1), together)
    model.save(tmp_path / "a.npz")
    assert np.array_equal(Model.load(tmp_path / "a.npz").inputs(series[:3]), together), "as they are still held"
    del model
    with pytest.raises(
        ValueError, match="x must be spikes, as other values are encoded by the samples of the training"
    ):
        Model.load(tmp_path / "a.npz").predict(series)


def test_nir_and_back(tmp_path):
    model = arrays()
    model.to_nir(tmp_path / "net.nir")
    found = Model.from_nir(tmp_path / "net.nir", steps=2)
    assert same(found.weights, model.weights)
    assert np.array_equal(found.predict(VALUES[:20]), model.predict(VALUES[:20]))


def test_callbacks_see_each_epoch_and_end_it(port):
    for backend in ("golden", port):
        seen = []

        def enough(entry, seen=seen):
            seen.append(entry["epoch"])
            return entry["epoch"] == 2

        model = digits(backend, callbacks=[enough])
        assert seen == [1, 2] and len(model.history) == 2


def test_files_load_here_and_in_commands(port, tmp_path, capsys):
    model, path = digits(), tmp_path / "a.npz"
    model.save(path)
    assert same(Checkpoint.load(path).weights, model.weights)
    loaded = Model.load(path)
    assert same(loaded.weights, model.weights) and loaded.history == model.history
    assert loaded.spec.network == "64-8-10" and loaded.classes == tuple("0123456789")
    assert main(["evaluate", "--port=COM9", f"--load={path}", "--tests=9", "--compare"]) == 0
    assert "equal in every bit" in capsys.readouterr().out
    assert (
        main(
            [
                "train",
                "--port=COM9",
                f"--save={tmp_path / 'b.npz'}",
                "--network=64-8-10",
                "--steps=2",
                "--samples=12",
                "--tests=6",
                "--batch=5",
                "--epochs=5",
                "--seed=2",
            ]
        )
        == 0
    )
    assert same(Model.load(tmp_path / "b.npz").weights, model.weights)


def test_models_of_the_same_arrays_do_not_need_each_other(tmp_path):
    model = arrays()
    arrays()
    model.save(tmp_path / "a.npz")
    assert same(Model.load(tmp_path / "a.npz").weights, model.weights)


def test_validation_and_patience_are_options_like_others():
    given = arrays(validation=0.5, patience=1)
    kept = Model("64-8-10", steps=2, validation=0.5, patience=1).fit(VALUES[:40], LABELS[:40], progress=False)
    assert "validation_accuracy" in given.history[0] and "validation_accuracy" in kept.history[0]


def test_numbers_of_numpy_are_options(tmp_path):
    model = Model("64-8-10", steps=np.int64(2), kappa=np.float32(0.25), validation=np.float64(0.5))
    model.fit(VALUES[:20], LABELS[:20], epochs=np.int64(1), progress=False).save(tmp_path / "a.npz")
    assert Model.load(tmp_path / "a.npz").spec.neuron == {"kappa": 0.25}


def test_a_model_of_arrays_is_loaded_without_them(tmp_path):
    model = arrays()
    model.save(tmp_path / "a.npz")
    wanted = model.predict(VALUES[50:60])
    del model
    loaded = Model.load(tmp_path / "a.npz")
    assert np.array_equal(loaded.predict(VALUES[50:60]), wanted)
    loaded.save(tmp_path / "b.npz")
    again = Model.load(tmp_path / "b.npz")
    assert same(again.weights, loaded.weights) and again.history == loaded.history and again.classes


@pytest.mark.parametrize(
    "action, kind, text",
    [
        (lambda: Model("64-8-10", leak=0.5), TypeError, "options must be among network, steps, rule, .*not 'leak'"),
        (lambda: Model("64-8-10", kappa=2), ValueError, "kappa must be at least 0 and at most 1, not 2"),
        (lambda: Model("64-8-10", backend="chip"), ValueError, "backend must be 'golden', Simulated"),
        (lambda: Model("64-8-10", backend=4), TypeError, "backend must be 'golden', Simulated"),
        (lambda: setattr(Model("64-8-10"), "backend", "chip"), ValueError, "backend must be 'golden', Simulated"),
        (lambda: Simulated(cores=0), ValueError, "cores must be at least 1, not 0"),
        (
            lambda: digits(Simulated(cores=1), encoder="direct"),
            ValueError,
            "the network's inputs are integers of 4 bits and a chip takes spikes: use encoder bits:4",
        ),
        (lambda: Model("64-8-10").predict("digits"), ValueError, "the model must have weights: train it with fit"),
        (lambda: Model("64-8-10").save("a.npz"), ValueError, "the model must have weights: train it with fit"),
        (lambda: arrays().save("a.nir"), ValueError, r"path must end in .npz, not 'a.nir'"),
        (lambda: arrays().evaluate(VALUES), ValueError, "y must be given with an array"),
        (lambda: Model("64-8-10").fit("digits", LABELS), ValueError, "y and test must be None with the data 'digits'"),
        (
            lambda: Model("65-8-10").fit(VALUES, LABELS),
            ValueError,
            r"x must be \[samples, 65\] of values, or \[samples, 4",
        ),
        (
            lambda: Model("64-8-10").fit(VALUES * 16, LABELS),
            ValueError,
            "x must be values from 0 to 1, or bytes, not 0 to 16",
        ),
        (
            lambda: Model("64-8-10").fit(VALUES, LABELS[:9]),
            ValueError,
            r"y must be \[1797\], one label for each sample, not",
        ),
        (lambda: Model("64-8-10").fit(VALUES), ValueError, "y must be given with an array"),
        (lambda: Model("64-8-10").fit(5, LABELS), TypeError, r"x must be an array of numbers \[samples, ...\], not"),
        (lambda: Model("2-8-10").fit([[1, 0], [1]], [0, 1]), ValueError, "x must be an array: its samples must be of"),
        (lambda: Model("64-8-10").fit(VALUES[:0], []), ValueError, r"x must have samples and values, not \[0, 64\]"),
        (lambda: Model("64-8-10").fit(VALUES * np.nan, LABELS), ValueError, "x must be values from 0 to 1, not nan"),
        (
            lambda: Model("2x8x4-c4k3-10").fit(VALUES.reshape(-1, 8, 4, 2), LABELS),
            ValueError,
            r"a sample of x must be \[2, 8, 4\] or flat for the network's map, not \[8, 4, 2\]",
        ),
        (lambda: arrays(callbacks=print), TypeError, "callbacks must be a list of functions, not <built-in"),
        (lambda: Model("64-8-5").fit(VALUES, LABELS), ValueError, "network must have at least 10 outputs"),
        (lambda: Model("64-8-10").fit("nothing"), OSError, "data must be 'digits'"),
        (lambda: Model("64-8-10").fit("digits", epochs=0), ValueError, "epochs must be at least 1, not 0"),
    ],
)
def test_what_is_wrong_is_refused(action, kind, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=text):
        action()

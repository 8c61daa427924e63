# SPDX-License-Identifier: Apache-2.0
"""What a ``Model`` keeps of the data that it has learned: scale, encoder and classes, for whatever is given later."""

import csv

import numpy as np
import pytest
from sklearn.datasets import load_digits

from backspike import Model
from backspike.host.data.load import load

VALUES, LABELS = load_digits(return_X_y=True)
ROWS = 100 + 3.7 * VALUES[:60, 18:30]
WORDS = np.array(["zero", "one", "two"])[LABELS[:60] % 3]


@pytest.fixture
def table(tmp_path):
    """A table whose columns have a scale of their own."""
    return write(tmp_path / "rows.csv", WORDS)


def write(path, words, rows=ROWS):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"f{number}" for number in range(rows.shape[1])), "class"])
        writer.writerows([*row, word] for row, word in zip(rows.tolist(), words, strict=True))
    return path


def trained(data, network="24-6-3", **options):
    return Model(network, steps=4, batch=5, **options).fit(data, epochs=1, progress=False)


def test_arrays_get_the_scale_of_the_file(table, tmp_path):
    model = trained(table)
    wanted = load(table, 4).train
    rows = np.array([row for row, _ in zip(wanted.rows[wanted.places], range(7), strict=False)])
    assert np.array_equal(model.inputs(rows), wanted[:7].spikes)
    model.save(tmp_path / "a.npz")
    assert np.array_equal(Model.load(tmp_path / "a.npz").inputs(rows), wanted[:7].spikes)
    model.fit(rows, WORDS[:7], epochs=1, progress=False)
    assert np.array_equal(model.inputs(rows), wanted[:7].spikes), "the scale is that of the first training"


def test_levels_of_a_file_are_those_of_arrays(table):
    model = trained(table, "96-6-3", encoder="levels:8")
    wanted = load(table, 4, encoder="levels:8").train
    assert np.array_equal(model.inputs(np.asarray(wanted.rows[wanted.places[:5]])), wanted[:5].spikes)
    images = Model("256-6-10", steps=2).fit("digits", epochs=1, samples=40, progress=False, encoder="levels:4")
    own = load("digits", 2, encoder="levels:4").train
    rows = np.asarray(own.rows[own.places[:5]])
    assert np.array_equal(images.inputs(rows / 16), own[:5].spikes)


def test_without_the_file_arrays_must_be_spikes(table, tmp_path):
    trained(table).save(tmp_path / "a.npz")
    table.unlink()
    model = Model.load(tmp_path / "a.npz")
    with pytest.raises(
        ValueError, match=r"x must be spikes, as other values are encoded by the samples of the training"
    ):
        model.predict(ROWS / 1000)
    assert model.predict(np.zeros((2, 4, 24), dtype=bool)).shape == (2,)


def test_words_have_the_numbers_of_the_training(table, tmp_path):
    model = trained(table)
    assert model.classes == ("one", "two", "zero")
    some = WORDS != "one"
    spikes = model.predict(ROWS[some])
    right = np.mean(np.array(model.classes)[spikes] == WORDS[some])
    assert model.evaluate(ROWS[some], WORDS[some]).accuracy == right
    assert model.evaluate(ROWS[some], list(WORDS[some])).accuracy == right
    assert model.evaluate(ROWS[some], WORDS[some].astype(object)).accuracy == right
    with pytest.raises(ValueError, match="must be among the classes one, two, zero, not 'five'"):
        model.evaluate(ROWS[:3], ["three", "four", "five"])
    other = write(tmp_path / "other.csv", np.array(["three", "four", "five"])[LABELS[:60] % 3])
    with pytest.raises(ValueError, match=r"data must have the classes one, two, zero, .* not 'five', which"):
        model.evaluate(other)
    with pytest.raises(
        ValueError, match="labels of the data given must be 0 to 2, the numbers of one, two, zero, not 3"
    ):
        model.evaluate(ROWS[:3], [1, 2, 3])


def test_words_that_come_later_keep_their_numbers():
    values = VALUES / 16
    model = Model("64-6-3", steps=2).fit(values[:60], WORDS, epochs=1, progress=False)
    some = WORDS != "one"
    model.fit(values[:60][some], WORDS[some], epochs=1, progress=False)
    assert model.classes == ("one", "two", "zero")


def test_integers_from_1_on(tmp_path):
    values, labels = VALUES[:40] / 16, LABELS[:40] + 1
    model = Model("64-6-10", steps=2, seed=3).fit(values, labels, epochs=1, progress=False)
    same = Model("64-6-10", steps=2, seed=3).fit(values, labels - 1, epochs=1, progress=False)
    assert model.classes == tuple(map(str, range(1, 11))) and model.history == same.history
    few = labels < 6
    for tested in (model, _reloaded(model, tmp_path)):
        assert tested.evaluate(values[few], labels[few]) == same.evaluate(values[few], labels[few] - 1)
        assert np.array_equal(tested.predict(values), same.predict(values))
    with pytest.raises(ValueError, match=r"must be among the classes 1, 2, .* not '0'"):
        model.evaluate(values, labels - 1)
    more = Model("64-6-12", steps=2).fit(values, labels, epochs=1, progress=False)
    assert more.classes == tuple(map(str, range(11))), "outputs are left, so that labels are their numbers"


def _reloaded(model, tmp_path):
    model.save(tmp_path / "a.npz")
    return Model.load(tmp_path / "a.npz")


def test_numbers_may_become_more():
    values = VALUES[:40] / 16
    model = Model("64-6-10", steps=2).fit(values, LABELS[:40] % 4, epochs=1, progress=False)
    assert model.fit(values, LABELS[:40], epochs=1, progress=False).classes == tuple("0123456789")


def test_spikes_as_real_numbers():
    spikes = np.stack([VALUES > 4, VALUES > 12], axis=1)
    models = [
        Model("64-6-10", steps=2).fit(given[:40], LABELS[:40], epochs=1, progress=False)
        for given in (spikes, spikes.astype(np.float32))
    ]
    assert models[0].history == models[1].history
    assert np.array_equal(models[0].predict(spikes[:9].astype(float)), models[1].predict(spikes[:9]))
    values = Model("64-6-10", steps=2).fit(VALUES[:20] / 16, LABELS[:20], epochs=1, progress=False)
    assert np.array_equal(values.inputs(spikes[:9].astype(float)), values.inputs(spikes[:9]))
    with pytest.raises(ValueError, match=r"x must be spikes of 0 and 1, as \[samples, 2, 64\], not 0.5"):
        Model("64-6-10", steps=2).fit(spikes / 2, LABELS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"progress": "yes"}, "progress must be True or False, not 'yes'"),
        ({"compare": 1}, "compare must be True or False, not 1"),
        ({"callbacks": [3]}, r"callbacks must be a list of functions, not \[3\]"),
        ({"callbacks": [lambda entry: "no"]}, "a callback must return True, False or nothing, not 'no'"),
    ],
)
def test_progress_and_callbacks_are_checked(options, text):
    with pytest.raises(TypeError, match=text):
        Model("64-6-10", steps=2).fit(VALUES[:20] / 16, LABELS[:20], epochs=1, **{"progress": False} | options)

# SPDX-License-Identifier: Apache-2.0
"""Encoders: their inputs by their equations, and what is said about names that are none."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backspike.host.data.encode import encode_data
from backspike.host.data.encoders.by_name import ENCODERS, encoder_named
from backspike.host.data.encoders.threshold import threshold_code
from backspike.host.data.raw import Part, RawData

VALUES = np.array([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])


def coded(name, values=VALUES, steps=4, numbers=(0,)):
    """Inputs [planes, features, T] of one sample of values that stay the same."""
    shape = (steps, len(numbers), len(values))
    inputs = encoder_named(name).encode(np.broadcast_to(values, shape), np.array(numbers))
    assert inputs.dtype == np.uint8 and inputs.shape == (*shape[:2], encoder_named(name).planes, inputs.shape[3])
    return inputs[:, 0].transpose(1, 2, 0)


def data(rows, kind="values", **fields):
    rows = np.asarray(rows, dtype=np.float64)
    part = Part(rows, np.zeros(len(rows), dtype=np.int64))
    shape = rows.shape[1:] if kind == "values" else rows.shape[2:]
    length = 1 if kind == "values" else rows.shape[1]
    return RawData(name="d", kind=kind, shape=shape, train=part, test=part, classes=("0",), length=length, **fields)


def test_threshold_code_spikes_where_the_value_is_above_the_step_s_level():
    spikes = threshold_code(np.array([0.0, 0.125, 0.126, 0.5, 1.0]), 4)
    assert spikes.T.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert np.array_equal(coded("threshold")[0].T, threshold_code(VALUES, 4))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 40))
@settings(deadline=None, derandomize=True)
def test_count_has_as_many_spikes_as_the_value_says(values, steps):
    spikes = coded("count", np.array(values), steps)[0]
    sums = np.cumsum(np.broadcast_to(values, (steps, len(values))), axis=0)
    assert np.array_equal(np.cumsum(spikes, axis=1).T, np.floor(sums + 0.5)) and spikes.max() <= 1


def test_count_spreads_its_spikes():
    assert coded("count")[0].tolist() == [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 1, 0, 1],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
    ]


def test_latency_has_one_spike_the_earlier_the_larger_the_value():
    spikes = coded("latency")[0]
    assert spikes.sum(axis=1).tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert spikes.argmax(axis=1).tolist() == [0, 3, 3, 2, 1, 0, 0]


def test_poisson_depends_on_seed_and_sample_alone():
    one = coded("poisson:3", steps=4000)[0]
    assert np.abs(one.mean(axis=1) - VALUES).max() < 0.03
    rows = encoder_named("poisson:3").encode(np.broadcast_to(VALUES, (4000, 2, 7)), np.array([5, 0]))
    assert np.array_equal(rows[:, 1, 0].T, one) and not np.array_equal(rows[:, 0, 0].T, one)
    assert not np.array_equal(coded("poisson", steps=4000)[0], one)


def test_bits_are_those_of_the_direct_integers():
    integers = coded("direct:3")[0, :, 0]
    assert integers.tolist() == [0, 1, 2, 4, 5, 6, 7]
    planes = coded("bits:3")
    assert np.array_equal(sum(planes[bit, :, 0] << bit for bit in range(3)), integers)
    assert (planes == planes[:, :, :1]).all(), "they are the same at every step"


def test_levels_hold_as_many_training_values_each():
    values = np.random.default_rng(0).normal(size=(400, 1))
    dataset = encode_data(data(values), 2, "levels:4")
    assert dataset.train.spikes.shape == (2, 400, 4)
    assert dataset.train.spikes[0].sum(axis=0).tolist() == [100] * 4
    assert (dataset.train.spikes.sum(axis=2) == 1).all()


def test_delta_follows_a_series():
    series = np.array([0, 0.3, 0.3, 1, 0.9, 0, 0.05])
    spikes = encoder_named("delta:4").encode(series.reshape(-1, 1, 1), np.array([0]))[:, 0, :, 0]
    assert spikes.T.tolist() == [[0, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0]]


def test_off_adds_inputs_of_what_values_lack():
    dataset = encode_data(data([[0.0, 1.0], [0.25, 0.5]], full=1.0), 4, "threshold+off")
    plain = encode_data(data([[0.0, 1.0, 1.0, 0.0], [0.25, 0.5, 0.75, 0.5]], full=1.0), 4, "threshold")
    assert np.array_equal(dataset.train.spikes, plain.train.spikes)
    assert dataset.inputs == 4 and dataset.encoder == "threshold+off"


def test_planes_of_maps_are_channels_and_of_other_values_neighbours():
    values = np.array([1, 2, 4, 7]) / 7
    maps = encode_data(data(values.reshape(1, 1, 2, 2), full=1.0), 1, "bits:3")
    assert maps.shape == (3, 2, 2) and maps.notation == "3x2x2"
    assert maps.train.spikes.reshape(3, 4).tolist() == [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
    flat = encode_data(data(values.reshape(1, 4), full=1.0), 1, "bits:3")
    assert flat.train.spikes.reshape(4, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("name", [name for name, kind in ENCODERS.items() if "series" in kind.kinds])
def test_a_short_series_has_no_inputs_behind_its_end(name):
    rows = np.random.default_rng(1).uniform(0.5, 1, (6, 5, 2))
    rows[3, 2:] = np.nan
    dataset = encode_data(data(rows, "series"), 5, name)
    assert not dataset.train.spikes[2:, 3].any()
    if name != "delta":
        assert dataset.train.spikes[:2, 3].any()


def test_neighbours_of_long_series_are_averaged():
    rows = np.arange(14.0).reshape(1, 7, 2) / 13
    dataset = encode_data(data(rows, "series", full=1.0), 3, "direct:8")
    means = [rows[0, start : start + 3].mean(axis=0) for start in (0, 3, 6)]
    assert np.array_equal(dataset.train.spikes[:, 0], np.rint(255 * np.array(means)))


def test_values_are_scaled_by_the_training_samples():
    rows = np.stack([np.linspace(10, 20, 101), np.full(101, 3.0), np.linspace(-1, 1, 101)], axis=1)
    integers = encode_data(data(rows), 1, "direct:8").train.spikes[0]
    assert integers[:, 0].min() == 0 and integers[:, 0].max() == 255 and not integers[:, 1].any()
    assert abs(int(integers[50, 2]) - 127) <= 1
    assert (np.diff(integers[:, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        (
            "thresh",
            ValueError,
            "encoder must be one of threshold, count, latency, poisson:N, levels:N, delta:N, bits:N, ",
        ),
        ("bits:x", ValueError, "encoder must be one of "),
        ("bits:", ValueError, "encoder must be one of "),
        ("bits:9", ValueError, "number of encoder bits must be 1 to 8, not 9"),
        ("count:3", ValueError, "encoder must be count without a number, not 'count:3'"),
        ("levels+off", ValueError, "encoder must be levels:8 without +off, as it has inputs for small values, not "),
        (5, TypeError, "encoder must be a string, not 5"),
    ],
)
def test_names_that_are_none(name, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        encoder_named(name)


def test_an_encoder_must_take_the_kind_of_data():
    series = data(np.zeros((2, 5, 1)), "series")
    with pytest.raises(ValueError, match=r"^encoder must take series, such as levels:8, not 'latency'$"):
        encode_data(series, 4, "latency")
    with pytest.raises(ValueError, match=r"^encoder must take values, such as threshold\+off, not 'delta'$"):
        encode_data(data(np.zeros((2, 5))), 4, "delta")
    spikes = data(np.zeros((2, 5, 1)), "spikes")
    with pytest.raises(ValueError, match=r"^encoder must be None for the data 'd', which are spikes, not 'count'$"):
        encode_data(spikes, 5, "count")
    with pytest.raises(ValueError, match=r"^steps must be 5 for the data 'd', not 4$"):
        encode_data(spikes, 4)

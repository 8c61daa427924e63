# SPDX-License-Identifier: Apache-2.0
"""Presynaptic operands against a loop in Python's integers and fractions."""

from fractions import Fraction

import numpy as np
import pytest

from backspike.golden.operands import LEAK_ONE, Operands, operands, round_shift


def spikes_of(steps, density, seed=20260712, shape=(3, 40)):
    return (np.random.default_rng(seed).random((steps, *shape)) < density).astype(np.uint8)


def expected(spikes, leak, one, bits):
    """Operands of each step, input by input; whether any was too large for its bits."""
    result, saturated = np.zeros(spikes.shape, dtype=int), False
    for place in np.ndindex(spikes.shape[1:]):
        n = 0
        for t in range(len(spikes)):
            # Python rounds a fraction to the nearest, ties to even.
            n = round(Fraction(leak * n, 256)) + one * int(spikes[t][place])
            if n > 2**bits - 1:
                n, saturated = 2**bits - 1, True
            result[t][place] = n
    return result.tolist(), saturated


@pytest.mark.parametrize("bits", [2, 4, 7, 8])
@pytest.mark.parametrize("leak", [0, 1, 128, 192, 224, 240, 255, 256])
@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_operands_follow_the_recurrence(bits, leak, density):
    for one in {1, 2 ** (bits - 2), 2**bits - 1}:
        spikes = spikes_of(20, density)
        values, state = operands(spikes, leak=leak, one=one, bits=bits)
        assert (values.tolist(), state.saturated) == expected(spikes, leak, one, bits)
        assert state.values.tolist() == values[-1].tolist()


def test_every_product_is_rounded_to_the_nearest_even():
    values = np.arange(256 * 255 + 1)
    assert round_shift(values, 8).tolist() == [round(Fraction(int(v), 256)) for v in values]


@pytest.mark.parametrize("frames", [(8,), (1,) * 8, (3, 1, 4)])
def test_frames_do_not_change_operands(frames):
    """However a sample's steps are cut into frames, and the flag stays from the frame on in which it was set."""
    spikes = spikes_of(8, 0.6)
    whole, end = operands(spikes, leak=224, one=20, bits=6)
    state, parts, flags = None, [], []
    for piece in np.split(spikes, np.cumsum(frames)[:-1]):
        part, state = operands(piece, leak=224, one=20, bits=6, state=state)
        parts.append(part)
        flags.append(state.saturated)
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert state.values.tolist() == end.values.tolist()
    assert flags == sorted(flags) and flags[-1] == end.saturated and end.saturated


def test_by_default_operands_are_the_spikes_and_with_a_full_leak_their_counts():
    spikes = spikes_of(9, 0.3)
    assert operands(spikes)[0].tolist() == spikes.tolist()
    assert operands(spikes.astype(bool), bits=7)[0].tolist() == spikes.tolist()
    assert operands(spikes, leak=LEAK_ONE, bits=4)[0].tolist() == np.cumsum(spikes, axis=0).tolist()


def test_a_trace_is_exact_as_long_as_its_unit_can_say_it():
    """lambda = 1/2 with 32 units for a spike: five steps; then the last bit goes, to the even side."""
    spikes = np.zeros((8, 1, 1), dtype=bool)
    spikes[0] = True
    values, state = operands(spikes, leak=128, one=32, bits=7)
    assert values.ravel().tolist() == [32, 16, 8, 4, 2, 1, 0, 0]
    assert not state.saturated


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"bits": 0}, "bits must be 1 to 8, not 0"),
        ({"bits": 9}, "bits must be 1 to 8, not 9"),
        ({"leak": 257, "bits": 7}, "leak must be 0 to 256, not 257"),
        ({"leak": -1, "bits": 7}, "leak must be 0 to 256, not -1"),
        ({"one": 0, "bits": 7}, "one must be 1 to 127, not 0"),
        ({"one": 128, "bits": 7}, "one must be 1 to 127, not 128"),
        ({"leak": 128}, "leak must be 0 for operands of one bit, which are spikes, not 128"),
        ({"state": Operands(np.zeros((2, 4)))}, "state must be [3, 40], not [2, 4]"),
    ],
)
def test_what_is_out_of_range_is_refused(options, sentence):
    with pytest.raises(ValueError) as raised:
        operands(spikes_of(2, 0.5), **options)
    assert str(raised.value) == sentence


def test_spikes_of_another_kind_are_refused():
    with pytest.raises(TypeError) as raised:
        operands(np.ones((1, 1, 1)))
    assert str(raised.value) == "spikes must be an array of uint8 or bool, not float64"
    with pytest.raises(ValueError) as raised:
        operands(np.ones((1, 1), dtype=bool))
    assert str(raised.value) == "spikes must be [T, B, N], not [1, 1]"
    with pytest.raises(TypeError) as raised:
        operands(np.ones((1, 1, 1), dtype=bool), leak=0.5, bits=7)
    assert str(raised.value) == "leak must be an integer, not 0.5"

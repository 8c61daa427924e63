# SPDX-License-Identifier: Apache-2.0
"""Encoders: their spikes by their equations, and what is said about names that are none."""

import numpy as np

from backspike.host.data.encoders.threshold import threshold_code


def test_threshold_code_spikes_where_the_value_is_above_the_step_s_level():
    spikes = threshold_code(np.array([0.0, 0.125, 0.126, 0.5, 1.0]), 4)
    assert spikes.T.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]

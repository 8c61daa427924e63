# SPDX-License-Identifier: Apache-2.0
"""Data as inputs of a network: readers in ``sources``, what makes spikes of values in ``encoders``."""

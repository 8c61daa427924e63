# SPDX-License-Identifier: Apache-2.0
"""Neuron, delta and weight updates, and the arithmetic unit that they share."""

# SPDX-License-Identifier: Apache-2.0
"""Exact-sum arithmetic: fixed point, lanes, rounding, elementwise unit."""

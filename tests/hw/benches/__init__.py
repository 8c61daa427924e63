# SPDX-License-Identifier: Apache-2.0
"""Benches that run in a simulator."""

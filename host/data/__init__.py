# SPDX-License-Identifier: Apache-2.0
"""Data sets as spikes and labels."""

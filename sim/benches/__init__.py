# SPDX-License-Identifier: Apache-2.0
"""Cocotb benches, each run in a simulation that ``sim/runner.py`` builds."""

# SPDX-License-Identifier: Apache-2.0
"""Emission as Verilog, with a description in JSON."""

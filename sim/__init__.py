# SPDX-License-Identifier: Apache-2.0
"""Co-simulation with Verilator and cocotb."""

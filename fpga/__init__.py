# SPDX-License-Identifier: Apache-2.0
"""Bitstreams for FPGA boards with open tools: boards, build flow, reports, areas of units."""

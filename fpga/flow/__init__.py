# SPDX-License-Identifier: Apache-2.0
"""From a chip to a bitstream: tools, device families, what fits, reports."""

# SPDX-License-Identifier: Apache-2.0
"""What makes spikes of values, one encoder a file."""

# SPDX-License-Identifier: Apache-2.0
"""``make bench``: measures networks on simulated chips."""

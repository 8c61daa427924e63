# SPDX-License-Identifier: Apache-2.0
"""The core: two threads around the engines, memories, packets in and out."""

# SPDX-License-Identifier: Apache-2.0
"""``make sim``: trains a network on a simulated chip and compares it."""

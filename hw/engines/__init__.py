# SPDX-License-Identifier: Apache-2.0
"""The engines: searches for pairs of indices that contribute, and lanes that add up terms."""

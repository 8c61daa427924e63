# SPDX-License-Identifier: Apache-2.0
"""The memories of a core, and who owns their ports."""

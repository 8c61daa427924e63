# SPDX-License-Identifier: Apache-2.0
"""The memory beside a chip that runs a network in phases: what is kept in it, and the bytes that it moves."""

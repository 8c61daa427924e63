# SPDX-License-Identifier: Apache-2.0
"""A training on a real chip: what is trained, sessions, checkpoints, logs, comparison."""

# SPDX-License-Identifier: Apache-2.0
"""A core for small devices: one lane, and a program instead of engines and threads."""

from .core import SequentialCore

__all__ = ["SequentialCore"]

# SPDX-License-Identifier: Apache-2.0
"""The program of the sequential core, a file for each thing that it does."""

from .main import make_program

__all__ = ["make_program"]

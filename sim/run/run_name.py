# SPDX-License-Identifier: Apache-2.0
"""A name for each run, which its expected and its measured values bear, so that those of two runs are not mixed up."""

import secrets
from pathlib import Path

__all__ = ["check_run_name", "new_run_name"]


def new_run_name() -> str:
    """A name that no other run has."""
    return secrets.token_hex(8)


def check_run_name(path: Path, found: str, expected: str) -> None:
    """``RuntimeError`` where a file is not of the run that reads it."""
    if found != expected:
        raise RuntimeError(f"{path} must be of this run, {expected}, not of {found}: has another run used the folder?")

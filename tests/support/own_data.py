# SPDX-License-Identifier: Apache-2.0
"""The data sets that examples/own_data.py writes."""

import runpy
from pathlib import Path

__all__ = ["write_examples"]

_SCRIPT = Path(__file__).parents[2] / "examples" / "own_data.py"


def write_examples(folder: Path) -> Path:
    """Write them into ``folder``, which is returned."""
    runpy.run_path(str(_SCRIPT))["write_all"](folder)
    return folder

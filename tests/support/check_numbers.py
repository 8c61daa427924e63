# SPDX-License-Identifier: Apache-2.0
"""Builds and runs the bench of one arithmetic unit."""

import json

from backspike.sim.verilator.runner import build, default_seed, run
from tests.hw.benches.bench_numbers import COPIES, make_unit
from tests.support.side_by_side import write_side_by_side

__all__ = ["check_unit"]


def check_unit(folder, cases, **unit):
    """Simulate corner cases and ``cases`` random cases of the unit that ``make_unit(**unit)`` gives.

    Raises ``RuntimeError`` if the simulation cannot be built or differs from the unit's model.
    """
    build_dir = folder / "-".join(str(value) for value in unit.values())
    build_dir.mkdir(parents=True, exist_ok=True)
    source = write_side_by_side(make_unit(**unit), COPIES, build_dir / "side_by_side.v")
    built = build([source], "side_by_side", build_dir, no_inline=["unit"])
    environment = {"BACKSPIKE_UNIT": json.dumps(unit), "BACKSPIKE_CASES": str(cases)}
    run(built, "tests.hw.benches.bench_numbers", seed=default_seed(), env=environment)

# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the golden model: what it prints and writes, with few batches."""

import json

import pytest

from backspike.sim.benchmark import golden_speed


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    assert golden_speed.benchmark_golden(folder, samples=16, networks=["784-12-10"])
    return json.loads((folder / "golden.json").read_text()), (folder / "golden.md").read_text()


def test_report(told):
    report, table = told
    found = report["networks"]["784-12-10"]
    assert report["batches"] == 1
    assert {"numpy", "float64"} <= set(found["milliseconds"]) <= set(golden_speed.COLUMNS)
    assert all(value > 0 for value in found["milliseconds"].values())
    assert found["equal"] in ({True} if "compiled" in found["milliseconds"] else {None})
    assert table.splitlines()[2].startswith("| 784-12-10 | ")

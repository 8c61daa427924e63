# SPDX-License-Identifier: Apache-2.0
"""The benchmark: the smallest case on the chip, what its report says, a mismatch, and the table of cases."""

import dataclasses
import json
import re

import numpy as np
import pytest

from backspike.golden import learning
from backspike.golden.trainer import Trainer
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import compile_network
from backspike.sim.benchmark import benchmark as bench
from backspike.sim.benchmark.benchmark_cases import CASES, Case, chosen_runs
from backspike.sim.benchmark.benchmark_pictures import draw_benchmark
from backspike.sim.benchmark.benchmark_report import make_benchmark_report

SMALL = Case(
    name="small", scenario={"network": "64-24-10", "batch": 4}, cores=(2,), samples=8, tests=6, dense=3, epochs=1
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished benchmark: its folder and its report."""
    folder = tmp_path_factory.mktemp("bench")
    return folder, bench.benchmark(chosen_runs(seed=3, cases=[SMALL]), folder)


def test_chip_and_golden_model_are_equal(finished):
    folder, report = finished
    assert report["differences"] == []
    assert [run["name"] for run in report["runs"]] == ["small-2c1l"]
    measured = json.loads((folder / "runs" / "small-2c1l" / "record.json").read_text())
    assert {name: (len(part["batches"]), part["weights_equal"]) for name, part in measured.items()} == {
        "whole": (2, True),
        "skipping": (1, True),
        "dense": (1, True),
    }
    assert 0.2 < report["runs"][0]["accuracy"] <= 1, "the weights are trained ones"


def golden_terms(folder):
    """Terms of FP, BP and WG that are not zero, in all training samples of the run."""
    (run,) = chosen_runs(seed=3, cases=[SMALL])
    expected = np.load(folder / "runs" / run.name / "expected.npz")
    trainer = Trainer(run.scenario.model, run.scenario.training, weights=[expected["initial_0"], expected["initial_1"]])
    forward = back = gradient = 0
    for start in range(0, SMALL.samples, 4):
        spikes, labels = expected["inputs"][:, start : start + 4], expected["labels"][start : start + 4]
        trace = trainer.forward(spikes)
        deltas, _ = learning.backward(
            trainer.network, trainer.weights, trace, trainer.training, trainer.arithmetic, labels=labels
        )
        per_step = [
            [values.astype(bool).sum(axis=2) for values in arrays]
            for arrays in ((spikes, trace.layers[0].spikes), deltas, (trace.layers[0].masks,))
        ]
        (inputs, hidden), (hidden_deltas, deltas), (masks,) = per_step
        forward += int(inputs.sum()) * 24 + int(hidden.sum()) * 10
        back += int((masks * deltas).sum())
        gradient += int((inputs * hidden_deltas).sum() + (hidden * deltas).sum())
        trainer.train_batch(spikes, labels)
    return {"FP": forward, "BP": back, "WG": gradient}


def test_terms_are_the_products_that_are_not_zero(finished):
    folder, report = finished
    (run,) = report["runs"]
    expected = golden_terms(folder)
    dense = dict(zip(("FP", "BP", "WG"), (4 * (64 * 24 + 24 * 10), 4 * 24 * 10, 4 * (64 * 24 + 24 * 10)), strict=True))
    for name, engine in run["engines"].items():
        assert engine["terms_per_sample"] * SMALL.samples == expected[name] > 0
        assert engine["density"] == expected[name] / SMALL.samples / dense[name]
        assert 0 < engine["utilisation"] <= 1 and 0 < engine["busy_share"] <= 1
    memory = run["memory_per_sample"]
    assert memory["weights_read"] * SMALL.samples == expected["FP"] + expected["BP"]
    assert memory["gradients_read_and_written"] * SMALL.samples == expected["WG"]


def test_without_skipping_every_product_takes_a_cycle(finished):
    (run,) = finished[1]["runs"]
    assert run["dense"]["speed_up"] > 1
    for name, engine in run["engines"].items():
        saved = engine["skipping"]
        assert saved["busy_cycles_without"] >= engine["dense_terms_per_sample"] * run["dense"]["samples"], name
        assert saved["busy_cycles_without"] > saved["busy_cycles"]
        assert saved["reached"] == pytest.approx(saved["speed_up"] / saved["ideal"])


def test_shares_of_the_time_add_up(finished):
    """The counters are read a few cycles apart on each core, so not exactly."""
    for run in finished[1]["runs"]:
        time = run["time"]
        forward = sum(time[key] for key in ("fp_busy", "fp_no_input", "fp_no_credit", "fp_other", "unused"))
        backward = sum(
            time[key]
            for key in ("errors_and_gradients", "delta_busy", "update_busy", "no_errors", "backward_other", "unused")
        )
        assert forward == pytest.approx(1, abs=0.02)
        assert backward == pytest.approx(1, abs=0.02)
        assert time["unused"] == 0
        assert 0 < run["balance"]["measured"] <= 1
        assert 0 < run["balance"]["busiest_share"] <= 1


def test_scaling_follows_from_the_cycles(finished):
    (run,) = finished[1]["runs"]
    assert finished[1]["scaling"] == {}, "one number of cores is no comparison"
    more = {**run, "name": "small-6c1l", "cores": 6, "cycles_per_sample": run["cycles_per_sample"] / 2}
    report = make_benchmark_report([more, run], {}, [])
    first, second = report["scaling"]["small, 1 lane(s)"]
    assert [(row["cores"], row["speed_up"]) for row in (first, second)] == [(2, 1), (6, 2)]
    assert second["efficiency"] == pytest.approx(2 / 3)
    assert first["estimated_balance"] == run["plan"]["balance"]


def test_report_tables_and_pictures_are_written(finished):
    folder, report = finished
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(report))
    for name in ("time", "skipping"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    text = (folder / "report.md").read_text()
    (run,) = report["runs"]
    row = ("small-2c1l", "`64-24-10`", f"{run['accuracy']:.1%}", "2", "1", f"{run['cycles_per_sample']:,.0f}")
    assert f"| {' | '.join(row)} |" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 7
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_pictures_of_scaling_are_drawn(finished, tmp_path):
    (run,) = finished[1]["runs"]
    report = make_benchmark_report([run, {**run, "cores": 6}], {}, [])
    names = [path.name for path in draw_benchmark(report, tmp_path)]
    assert names == ["time.png", "skipping.png", "scaling.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_a_mismatch_is_named_and_chips_are_used_again(finished, monkeypatch):
    """One bit of one expected weight after the last batch is flipped; the seconds of the build stay the first ones."""
    folder, before = finished
    write = bench._write_expected

    def write_wrongly(name, scenario, data, weights, where):
        write(name, scenario, data, weights, where)
        expected = dict(np.load(where / "expected.npz"))
        bits = scenario.model.format.encode(expected["trained_1"])
        bits[5, 3] ^= 1
        expected["trained_1"] = scenario.model.format.decode(bits)
        np.savez(where / "expected.npz", **expected)

    monkeypatch.setattr(bench, "_write_expected", write_wrongly)
    report = bench.benchmark(chosen_runs(seed=3, cases=[SMALL]), folder)
    assert report["differences"] == ["small-2c1l"]
    difference = report["runs"][0]["difference"]
    assert [difference[key] for key in ("what", "layer", "index", "step", "bits")] == ["weight", 1, [5, 3], 1, 1]
    assert "**Chip and golden model differ** in small-2c1l" in (folder / "report.md").read_text()
    (key,) = report["chips"]
    assert report["chips"][key]["build_seconds"] == before["chips"][key]["build_seconds"]


def test_trained_weights_can_be_given(finished, tmp_path):
    folder, _ = finished
    (path,) = (folder / "weights").iterdir()
    (run,) = chosen_runs(cases=[dataclasses.replace(SMALL, weights=str(path))])
    given = bench.trained_weights(run, run.scenario.dataset(), tmp_path, None)
    assert [weight.shape for weight in given] == [(64, 24), (24, 10)]
    (run,) = chosen_runs(cases=[dataclasses.replace(SMALL, weights=str(tmp_path / "none.npz"))])
    with pytest.raises(FileNotFoundError, match=r"none.npz, the weights of 'small', is not a file"):
        bench.trained_weights(run, run.scenario.dataset(), tmp_path, None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_fits_its_chips(case):
    """And the densities of an ordinary network: those of the trained one are known only later."""
    for run in chosen_runs([case.name]):
        scenario = run.scenario
        plan = compile_network(scenario.model, scenario.training, scenario.config)
        assert plan.sample_terms * scenario.batch <= scenario.config.batch_terms


def test_samples_and_cores_can_be_chosen():
    runs = chosen_runs(["digits", "lanes-dense"], cores=[1, 6], samples=5, seed=7)
    assert [run.name for run in runs] == [
        "digits-1c1l",
        "digits-6c1l",
        *(f"lanes-dense-{cores}c{lanes}l" for cores in (1, 6) for lanes in (1, 4, 8)),
    ]
    for run in runs:
        assert (run.scenario.samples, run.scenario.batch, run.scenario.tests, run.scenario.seed) == (5, 5, 5, 7)
        assert (run.compared.samples, run.compared.batch) == (5, 5)
    (run,) = chosen_runs(["scaling"], cores=[1])
    assert run.compared is None


def test_a_case_that_does_not_fit_is_refused_before_weights_are_trained(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "trained_weights", None)
    runs = chosen_runs(cases=[SMALL, dataclasses.replace(SMALL, name="large", scenario={"network": "64-3000-10"})])
    with pytest.raises(CapacityError, match=r"^layer 0 .* on 2 cores"):
        bench.benchmark(runs, tmp_path)
    assert list(tmp_path.iterdir()) == []

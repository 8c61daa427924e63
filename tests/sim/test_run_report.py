# SPDX-License-Identifier: Apache-2.0
"""The report of a run says why its network does not learn; no simulation is needed for that."""

import io

from rich.console import Console

from backspike.sim.run import simulated_training
from backspike.sim.run.progress import Reporter
from backspike.sim.run.run_report import make_report, print_report
from backspike.sim.run.scenario import Scenario

GOLDEN = {"evaluate_accuracy": 0.1, "trained_accuracy": 0.1, "accuracy": 0.1, "samples": 1437, "classes": {}}
MEASURED = {"train_cycles": [100], "correct": [3], "losses": [0.5], "difference": None}


def reported(warnings, saturated):
    """The report of a run without a chip's counters, and what the console shows."""
    golden, measured = {**GOLDEN, "warnings": warnings}, {**MEASURED, "saturated": saturated}
    report, shown = make_report(Scenario(), golden, measured, {}), io.StringIO()
    print_report(report, [], Console(file=shown))
    return report["warnings"], shown.getvalue()


def test_warnings_are_in_the_report_and_on_the_console():
    text = "output 3 never spikes"
    warnings, shown = reported([text], True)
    assert warnings[0] == text and warnings[1].startswith("numbers have saturated at the largest of the format: use")
    assert f"warning: {text}\n" in shown and "warning: numbers have saturated at the largest" in shown
    assert reported([], False)[0] == [] and "warning" not in reported([], False)[1]


def test_a_rate_that_is_much_too_large_is_warned_of():
    """The golden model of the run is looked at in the end."""
    scenario = Scenario(network="64-16-10", rate=64.0, epochs=1)
    golden = simulated_training._train_golden(scenario, scenario.dataset(), Reporter(Console(file=io.StringIO())))
    assert golden["warnings"] and all("use " in text for text in golden["warnings"]), golden["warnings"]
    scenario = Scenario(network="64-16-10", epochs=3)
    golden = simulated_training._train_golden(scenario, scenario.dataset(), Reporter(Console(file=io.StringIO())))
    assert golden["warnings"] == []

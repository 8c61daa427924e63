# SPDX-License-Identifier: Apache-2.0
"""Energy from counters, and the reference's formulas against its own values."""

import json
from dataclasses import asdict

import pytest

from backspike.cli.main import main
from backspike.golden.network import Network
from backspike.sim.energy.accesses import count_accesses, summed
from backspike.sim.energy.constants import SETS, EnergyConstants, load_constants
from backspike.sim.energy.energy_report import energy_report
from backspike.sim.energy.operations import dense_terms, padded_terms
from backspike.sim.energy.reference import backward_energy, forward_energy, gradient_energy, network_energy
from backspike.sim.run.scenario import Scenario
from backspike.spec.config import ChipConfig
from backspike.spec.counters import COUNTERS

# Of energy_model_validation.csv in the documentation of SpikingJelly's op_counter, with the digits that it prints
PUBLISHED = [
    (forward_energy, (64, 48, 3, 56), 130159637.113),
    (forward_energy, (64, 16, 3, 56), 42368425.6439),
    (forward_energy, (128, 96, 3, 28), 129938026.785),
    (forward_energy, (64, 256, 1, 56), 91792700.5036),
    (forward_energy, (256, 64, 1, 56), 79422428.0101),
    (forward_energy, (512, 192, 3, 7), 90173088.2642),
    (backward_energy, (128, 96, 3, 28), 232762611.111),
    (backward_energy, (256, 128, 3, 14), 155990318.033),
    (backward_energy, (256, 96, 3, 56), 1858528527.43),
    (backward_energy, (512, 128, 3, 28), 1238396247.05),
    (gradient_energy, (64, 48, 3, 56), 98975124.5457),
    (gradient_energy, (128, 96, 3, 28), 99414933.273),
    (gradient_energy, (512, 128, 3, 7), 36070369.2728),
    (gradient_energy, (512, 512, 3, 14), 539595563.638),
]

# One pJ for each thing, so that energies are counts
COUNTING = EnergyConstants(
    name="counting", source="test", spike_term=1, product_term=1, gradient_term=1, elementwise=1, memory_bit=1
)


@pytest.mark.parametrize(("function", "layer", "published"), PUBLISHED)
def test_the_references_formulas_give_its_own_values(function, layer, published):
    """To 0.001 pJ, or to half of the last digit that is printed."""
    printed = len(repr(published).split(".")[1])
    assert abs(function(*layer) - published) <= max(0.001, 0.5 * 10**-printed)


def test_energy_is_counters_times_constants():
    """A core of one lane for dense layers; each count is a power of ten, so that nothing can be taken for another."""
    counters = dict.fromkeys(COUNTERS, 0) | {
        "fp_terms": 10,
        "bp_terms": 100,
        "wg_terms": 1000,
        "fp_results": 10**4,
        "bp_results": 10**5,
        "elementwise": 10**6,
        "bp_rows": 10**7,
        "wg_rows": 10**8,
        "wg_carries": 10**9,
    }
    config = ChipConfig(dense_only=True, batch_terms=1 << 16)
    network = Network.parse("64-16-10", steps=4)
    report = energy_report(config, network, counters, samples=1, batches=1, constants=COUNTING)
    gradient, low, high = 57, 32, 25  # a number of 41 bits, and 16 for 65,536 terms
    weights = 64 * 16 + 16 * 10
    assert report["parts"] == {
        "FP": {"arithmetic": 10, "weights": 16 * 10},
        "BP": {"arithmetic": 100, "weights": 1600, "deltas": 1600, "bitmaps": 32 * 10**7},
        "WG": {
            "arithmetic": 1000,
            "deltas": 16000,
            "gradients": 2 * (low * 1000 + high * 10**9),
            "bitmaps": 32 * 10**8,
        },
        "neurons": {
            "arithmetic": 10**6,
            "error sums": 2 * 97 * 10**5,
            "potentials": 2 * 17 * 10**4,
            "spikes and masks": 4 * 10**4,
        },
        "update": {"weights": 32 * weights, "gradients": 2 * gradient * weights, "velocities": 32 * weights},
        "network on chip": {"flits": 0},
        "clock": {"cores": 0},
    }
    assert report["picojoules"] == sum(sum(part.values()) for part in report["parts"].values())
    assert report["per_term"]["FP"] == 17
    assert report["operations"]["executed"] == 1110
    assert report["tflops_per_watt"]["executed"] == 2 * 1110 / report["picojoules"]


def test_a_list_of_spikes_is_read_once_for_all_lanes():
    counters = dict.fromkeys(COUNTERS, 0) | {"fp_terms": 800}
    network = Network.parse("1x4x4-c8k3p1-10", steps=4)
    found = {}
    for lanes in (1, 8):
        used = count_accesses(ChipConfig(lanes=lanes), network, counters, 1)
        found[lanes] = next(a for a in used.memories if (a.engine, a.memory) == ("FP", "lists"))
    assert found[1].bits == 800 * (14 + 1) and found[8].bits == 100 * (11 + 1)


def test_deeper_memories_and_the_clock_cost_more_in_the_grounded_set():
    grounded, paper = SETS["grounded28"], SETS["neuromc"]
    assert grounded.memory(16, 4096) == pytest.approx(2 * grounded.memory(16, 1024))
    assert paper.memory(16, 4096) == paper.memory(16, 1024) == pytest.approx(5.792676768)
    assert grounded.core_cycle > 0 == paper.core_cycle


def test_dense_counts_with_and_without_the_padding():
    """3 x 3 pixels, kernel 3, padding 1: 49 taps of 81 lie inside."""
    network = Network.parse("1x3x3-c2k3p1-5", steps=2)
    forward, back = dense_terms(network)
    assert 2 * forward + back == 2 * (2 * (2 * 49 + 90) + 90)
    assert padded_terms(network) == 2 * (2 * (2 * 81 + 90) + 90)
    energies = network_energy(network)
    assert energies["BP"] == pytest.approx(2 * backward_energy(18, 5, 1, 1))
    assert energies["FP"] == pytest.approx(2 * (forward_energy(1, 2, 3, 3) + forward_energy(18, 5, 1, 1)))


@pytest.fixture
def report(tmp_path):
    """The file of a report, as ``make sim`` writes it."""
    core = dict.fromkeys(COUNTERS, 0) | {"fp_terms": 1000, "bp_terms": 50, "wg_terms": 300, "cycles": 5000}
    values = {
        "scenario": asdict(Scenario(network="64-16-10")),
        "training": {"samples": 32},
        "counters": {"0,0": core, "1,0": core, "link": {"words_in": 7}},
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps(values))
    return path


def test_command_shows_every_set_and_writes_json(report, tmp_path, capsys):
    own, out = tmp_path / "own.json", tmp_path / "energy.json"
    own.write_text('{"spike_term": 1, "product_term": 0, "gradient_term": 0, "elementwise": 0}')
    assert main(["energy", str(report), f"--constants=neuromc,{own}", f"--json={out}"]) == 0
    told = capsys.readouterr().out
    assert "constants neuromc" in told and "constants own" in told and "left out: memory outside the chip" in told
    paper, mine = json.loads(out.read_text())
    assert paper["parts"]["FP"]["weights"] == pytest.approx(2000 * 5.792676768 / 32)
    assert mine["picojoules"] == 2000 / 32
    assert main(["energy", str(report.parent)]) == 0  # the folder of a run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "constants must have 'spike_term', in pJ"),
        ('{"spike": 1}', "constants must be some of name, source, spike_term,"),
        ('{"spike_term": "1"}', "constants must have 'product_term', in pJ"),
        ("[]", "constants must be a JSON object with energies by name, not []"),
        ("{", "constants must be a JSON file, not"),
        (
            '{"spike_term": 0, "product_term": 0, "gradient_term": 0, "elementwise": 0}',
            "constants must have an energy above 0 for what the run did, not 'own'",
        ),
    ],
)
def test_constants_of_a_file_are_checked(text, message, report, tmp_path, capsys):
    own = tmp_path / "own.json"
    own.write_text(text)
    assert main(["energy", str(report), f"--constants={own}"]) == 2
    assert message in capsys.readouterr().err


def test_constants_must_be_energies():
    base = {"spike_term": 1, "product_term": 1, "gradient_term": 1, "elementwise": 1}
    with pytest.raises(ValueError, match=r"elementwise must be at least 0 and finite, such as 0\.5, not -1"):
        EnergyConstants(name="a", source="b", **base | {"elementwise": -1})
    with pytest.raises(TypeError, match="spike_term must be a number of pJ, not 'x'"):
        EnergyConstants(name="a", source="b", **base | {"spike_term": "x"})
    with pytest.raises(ValueError, match="constants must be one of neuromc, grounded28, or a JSON file, not 'neuro'"):
        load_constants("neuro")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"scenario": {}}'])
def test_what_is_no_report_is_refused(text, tmp_path, capsys):
    path = tmp_path / "report.json"
    path.write_text(text)
    assert main(["energy", str(path)]) == 2
    assert "report must be a report.json of " in capsys.readouterr().err


def test_counters_of_the_link_are_not_those_of_a_core():
    assert summed({"0,0": {"cycles": 1}, "link": {"words_in": 5}, "1,0": {"cycles": 2}}) == {"cycles": 3}


def test_a_report_without_carries_asks_for_a_new_run(report, capsys):
    values = json.loads(report.read_text())
    for core in values["counters"].values():
        core.pop("wg_carries", None)
    report.write_text(json.dumps(values))
    assert main(["energy", str(report)]) == 2
    told = capsys.readouterr().err
    assert f"report must be of a chip that counts carries, not {report}: run make sim again" in told
    assert len(told.splitlines()) == 1

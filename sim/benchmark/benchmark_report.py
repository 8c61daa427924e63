# SPDX-License-Identifier: Apache-2.0
"""What the benchmark's counters say, as plain values. ``docs/performance.md`` explains the keys."""

from typing import Any, TypeAlias

from backspike.host.compiler.plan import Plan
from backspike.host.compiler.plan_report import plan_dict
from backspike.hw.shapes import Shapes
from backspike.hw.state import state_bits
from backspike.sim.benchmark.benchmark_cases import Measurement
from backspike.sim.energy.constants import SETS
from backspike.sim.energy.energy_report import energy_report
from backspike.sim.energy.operations import engine_terms
from backspike.sim.run.scenario import Scenario
from backspike.spec.packets import LINK

__all__ = ["make_benchmark_report", "run_report"]

_FORWARD = ("fp_busy", "fp_no_input", "fp_no_credit")
_BACKWARD = ("delta_busy", "bp_busy", "wg_busy", "update_busy", "no_errors")
_STALLED = ("fp_stalled", "bp_stalled", "wg_stalled")
_WORD = 4  # bytes of a word of link and network

_Counters: TypeAlias = dict[str, dict[str, int]]
"""By core, and of the link."""


def run_report(
    measurement: Measurement, plan: Plan, accuracy: float, chip: str, measured: dict[str, Any]
) -> dict[str, Any]:
    """Everything of one run.

    Parameters
    ----------
    measurement : Measurement
        The case on its chip.
    plan : Plan
        Made by measured densities.
    accuracy : float
        Of the weights at the start, on test samples.
    chip : str
        Key of the chip.
    measured : dict
        What the bench wrote: of the ``whole`` run and, where skipping is compared, ``skipping`` and ``dense``.
    """
    scenario, whole = measurement.scenario, measured["whole"]
    densities, layout = plan.densities, plan_dict(plan)
    differences = [part["difference"] for part in measured.values() if part["difference"]]
    report: dict[str, Any] = {
        "name": measurement.name,
        "case": measurement.case.name,
        "rule": scenario.rule,
        "network": scenario.network,
        "data": scenario.data,
        "steps": scenario.steps,
        "cores": scenario.cores,
        "lanes": scenario.lanes,
        "batch": scenario.batch,
        "seed": scenario.seed,
        "chip": chip,
        "accuracy": accuracy,
        "difference": differences[0] if differences else None,
        "densities": [
            {name: getattr(density, name) for name in ("spikes", "masks", "deltas")} for density in densities
        ],
        "plan": {name: layout[name] for name in ("cycles", "balance", "link", "hops", "cores")}
        | {"slices": len(layout["slices"])},
    }
    if differences:
        return report
    total = _Totals(whole, scenario.batch)
    report |= {
        "samples": total.samples,
        "cycles_per_sample": total.cycles / total.samples,
        "state_bits": state_bits(scenario.config),
        "load_cycles": whole["load_cycles"],
        "batch_cycles": [batch["cycles"] for batch in whole["batches"]],
        "evaluation": _evaluation(whole["evaluation"], whole["reading"]),
        "engines": _engines(scenario, total),
        "time": _time(scenario, total),
        "balance": _balance(total),
        "network_per_sample": _network(total),
        "memory_per_sample": _memory(measurement, layout, total),
        "energy": _energy(scenario, total),
        "simulation": whole["simulation"],
    }
    if measurement.compared and "dense" in measured:
        batch = measurement.compared.batch
        _compare(report, *(_Totals(measured[name], batch, 1) for name in ("skipping", "dense")))
    return report


class _Totals:
    """Counters of the first batches of a run, without what reading them adds.

    Attributes
    ----------
    samples, cycles : int
        Of the batches.
    cores : dict of dict
        Counters by core.
    sum, link : dict
        Counters over all cores, and those of the host link.
    """

    def __init__(self, measured: dict[str, Any], batch: int, count: int | None = None) -> None:
        batches = measured["batches"][:count]
        self.samples = len(batches) * batch
        self.cycles = sum(part["cycles"] for part in batches)
        parts = [_without_reading(part["counters"], measured["reading"]) for part in batches]
        counters = {
            core: {name: sum(part[core][name] for part in parts) for name in values}
            for core, values in parts[0].items()
        }
        self.link = counters.pop(LINK)
        self.cores = counters
        self.sum = {name: sum(core[name] for core in counters.values()) for name in next(iter(counters.values()))}


def _without_reading(counters: _Counters, reading: _Counters) -> _Counters:
    return {
        core: {name: max(0, value - reading[core][name]) for name, value in values.items()}
        for core, values in counters.items()
    }


def _engines(scenario: Scenario, total: _Totals) -> dict[str, dict[str, Any]]:
    """Terms, density, utilisation and share of time of each engine, summed over the cores."""
    engines = {}
    for name, each in engine_terms(scenario.model, scenario.learning_rule).items():
        dense = total.samples * each
        terms, busy = total.sum[f"{name.lower()}_terms"], total.sum[f"{name.lower()}_busy"]
        engines[name] = {
            "terms_per_sample": terms / total.samples,
            "dense_terms_per_sample": dense / total.samples,
            "density": terms / dense if dense else None,
            "busy_cycles_per_sample": busy / total.samples,
            "utilisation": terms / (scenario.lanes * busy) if busy else None,
            "busy_share": busy / (scenario.cores * total.cycles),
        }
    return engines


def _time(scenario: Scenario, total: _Totals) -> dict[str, float]:
    """Shares of all cores' cycles: by what the two threads do or wait for; ``unused`` are cores without a slice."""
    whole = scenario.cores * total.cycles
    unused = sum(not core["update_busy"] for core in total.cores.values()) / scenario.cores
    share = {name: total.sum[name] / whole for name in (*_FORWARD, *_BACKWARD, *_STALLED, "router_stalled")}
    share["unused"] = unused
    share["fp_other"] = max(0.0, 1 - unused - sum(share[name] for name in _FORWARD))
    # BP and WG of a sample run at the same time
    engines = sum(max(core["bp_busy"], core["wg_busy"]) for core in total.cores.values()) / whole
    rest = sum(share[name] for name in ("delta_busy", "update_busy", "no_errors"))
    share["errors_and_gradients"] = engines
    share["backward_other"] = max(0.0, 1 - unused - engines - rest)
    return share


def _balance(total: _Totals) -> dict[str, float]:
    """Work of the busier thread of each core: the mean over the busiest, and the busiest's share of the time."""
    works = [
        max(core["fp_busy"], core["delta_busy"] + max(core["bp_busy"], core["wg_busy"]) + core["update_busy"])
        for core in total.cores.values()
    ]
    most = max(*works, 1)
    return {
        "measured": sum(works) / len(works) / most,
        "busiest_share": most / total.cycles,
        "busiest_cycles_per_sample": most / total.samples,
    }


def _network(total: _Totals) -> dict[str, float]:
    """Flits through all routers, words and packets of the cores and of the host link."""
    names = {"router_flits": "router_flits", "packets_in": "packets_in", "packets_out": "packets_out"}
    found = {name: total.sum[key] / total.samples for name, key in names.items()}
    link = {f"link_{name}": total.link[name] / total.samples for name in ("words_in", "words_out")}
    share = {
        "link_in_share": total.link["words_in"] / total.cycles,
        "link_out_share": total.link["words_out"] / total.cycles,
    }
    return found | link | share


def _memory(measurement: Measurement, plan: dict[str, Any], total: _Totals) -> dict[str, Any]:
    """Accesses of the weight, gradient and velocity memories, in numbers and in bytes."""
    scenario = measurement.scenario
    bits = scenario.config.format.width
    shapes = Shapes(scenario.config)
    sums, low, high = shapes.gradient_sum, shapes.gradient_low, shapes.gradient_high
    weights = sum(layer.shape[0] * layer.shape[1] for layer in scenario.model.layers)
    updated = weights / scenario.batch
    reads = (total.sum["fp_terms"] + total.sum["bp_terms"]) / total.samples
    gradients, carries = (total.sum[name] / total.samples for name in ("wg_terms", "wg_carries"))
    moments = 2 * bool(scenario.training.mu) * updated
    return {
        "weights_read": reads,
        "gradients_read_and_written": gradients,
        "weights_updated": updated,
        "bytes": (
            reads * bits + 2 * (gradients * low + carries * high) + updated * (2 * bits + 2 * sums) + moments * bits
        )
        / 8,
        "weights": weights,
        "weight_bits": bits,
        "gradient_bits": sums,
        "largest_core": {
            name: max(core[name] for core in plan["cores"])
            for name in ("weights", "neurons", "tape_words", "fan_in", "slices", "routes")
        },
    }


def _energy(scenario: Scenario, total: _Totals) -> dict[str, Any]:
    """Energy of a sample by each set of constants."""
    return {
        name: energy_report(
            scenario.config,
            scenario.model,
            total.sum,
            samples=total.samples,
            batches=total.samples // scenario.batch,
            constants=constants,
        )
        for name, constants in SETS.items()
    }


def _evaluation(evaluation: dict[str, Any] | None, reading: _Counters) -> dict[str, Any] | None:
    """Cycles per evaluation sample; ``None`` without such samples."""
    if evaluation is None:
        return None
    samples, cycles = evaluation["samples"], evaluation["cycles"]
    counters = _without_reading(evaluation["counters"], reading)
    busy = sum(core["fp_busy"] for name, core in counters.items() if name != LINK)
    return {
        "samples": samples,
        "cycles_per_sample": cycles / samples,
        "fp_busy_share": busy / cycles / (len(counters) - 1),
    }


def _compare(report: dict[str, Any], skipping: _Totals, dense: _Totals) -> None:
    """Add what skipping saves: the same batch on the same chip, once with it and once without."""
    report["dense"] = {
        "samples": dense.samples,
        "cycles_per_sample": dense.cycles / dense.samples,
        "skipping_cycles_per_sample": skipping.cycles / skipping.samples,
        "speed_up": dense.cycles / skipping.cycles,
    }
    for name, engine in report["engines"].items():
        key = f"{name.lower()}_busy"
        terms = skipping.sum[f"{name.lower()}_terms"]
        possible = engine["dense_terms_per_sample"] * skipping.samples
        with_it, without = skipping.sum[key], dense.sum[key]
        if not (with_it and terms):
            continue
        density = terms / possible
        engine["skipping"] = {
            "density": density,
            "ideal": 1 / density,
            "speed_up": without / with_it,
            "busy_cycles": with_it,
            "busy_cycles_without": without,
            # 1: skipping saves all that the zeros cost
            "reached": density * without / with_it,
        }


def make_benchmark_report(
    results: list[dict[str, Any]], chips: dict[str, Any], runs: list[Measurement]
) -> dict[str, Any]:
    """The whole report.

    Parameters
    ----------
    results : list of dict
        Of ``run_report``, those that are finished.
    chips : dict
        Facts of each chip by key.
    runs : list of Measurement
        Every ``Measurement`` that was asked for.
    """
    return {
        "finished": len(results),
        "runs_asked_for": [run.name for run in runs],
        "differences": [result["name"] for result in results if result["difference"]],
        "runs": results,
        "scaling": _scaling(results),
        "chips": chips,
    }


def _scaling(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Of each case that was measured on several numbers of cores: speed-up over the smallest of them."""
    found: dict[str, list[dict[str, Any]]] = {}
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for result in results:
        if not result["difference"]:
            groups.setdefault((result["case"], result["lanes"]), []).append(result)
    for (case, lanes), group in groups.items():
        group.sort(key=lambda result: result["cores"])
        first = group[0]
        if len(group) < 2:
            continue
        found[f"{case}, {lanes} lane(s)"] = [
            {
                "cores": result["cores"],
                "cycles_per_sample": result["cycles_per_sample"],
                "speed_up": first["cycles_per_sample"] / result["cycles_per_sample"],
                "estimated_speed_up": first["plan"]["cycles"] / result["plan"]["cycles"],
                "efficiency": first["cycles_per_sample"]
                * first["cores"]
                / (result["cycles_per_sample"] * result["cores"]),
                "estimated_balance": result["plan"]["balance"],
                "measured_balance": result["balance"]["measured"],
                "busiest_share": result["balance"]["busiest_share"],
            }
            for result in group
        ]
    return found

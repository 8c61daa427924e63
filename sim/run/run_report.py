# SPDX-License-Identifier: Apache-2.0
"""The report of a training run, as a dict and as tables. The README explains the keys."""

import dataclasses
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from backspike.golden.diagnosis import saturation
from backspike.hw.state import state_bits
from backspike.sim.energy.accesses import summed
from backspike.sim.energy.constants import SETS
from backspike.sim.energy.energy_report import energy_line, energy_report
from backspike.sim.energy.operations import engine_terms
from backspike.sim.run.scenario import Scenario
from backspike.spec.packets import LINK

__all__ = ["engine_report", "make_report", "print_report"]


def make_report(
    scenario: Scenario, golden: dict[str, Any], measured: dict[str, Any], seconds: dict[str, float]
) -> dict[str, Any]:
    """Everything that was measured, in plain values.

    Parameters
    ----------
    scenario : Scenario
        Of the run.
    golden : dict
        Accuracies of the golden model.
    measured : dict
        What the bench wrote.
    seconds : dict[str, float]
        Duration of each stage.
    """
    samples = len(measured["train_cycles"]) * scenario.batch
    report: dict[str, Any] = {
        "scenario": dataclasses.asdict(scenario),
        "chip": scenario.config.to_dict(),
        "difference": measured["difference"],
        "mismatching_bits": measured["difference"]["bits"] if measured["difference"] else 0,
        "training": {
            "samples": samples,
            "cycles_per_sample": sum(measured["train_cycles"]) / samples,
            "accuracy": sum(measured["correct"]) / samples,
            "losses": measured["losses"],
        },
        "accuracy": {
            "golden_after_chip_samples": golden["evaluate_accuracy"],
            "golden_fully_trained": golden["accuracy"],
            "golden_training_samples": golden["samples"],
            "golden_fully_trained_same_tests": golden["trained_accuracy"],
            "golden_fully_trained_by_class": golden["classes"],
        },
        "state_bits": state_bits(scenario.config),
        "saturated": measured["saturated"],
        "warnings": golden["warnings"] + saturation(measured["saturated"]),
        "seconds": dict(seconds),
    }
    for name, key in (("evaluate", "chip_after_chip_samples"), ("trained", "chip_fully_trained_same_tests")):
        if f"{name}_accuracy" in measured:
            report["accuracy"][key] = measured[f"{name}_accuracy"]
    if "memory" in measured:
        report["memory"] = measured["memory"]
    if "train_counters" in measured:
        report["counters"] = measured["train_counters"]
        report["engines"] = engines = engine_report(scenario, measured["train_counters"], samples)
        report["training"]["terms_per_sample"] = sum(engine["terms"] for engine in engines.values()) / samples
        report["energy"] = {
            name: energy_report(
                scenario.config,
                scenario.model,
                summed(measured["train_counters"]),
                samples=samples,
                batches=len(measured["train_cycles"]),
                constants=constants,
            )
            for name, constants in SETS.items()
        }
        report["evaluation"] = {
            "tests": measured["tests"],
            "cycles_per_sample": measured["evaluate_cycles"] / measured["tests"],
        }
    return report


def engine_report(scenario: Scenario, counters: dict[str, dict[str, int]], samples: int) -> dict[str, Any]:
    """Utilisation of each engine and what it skipped, from the hardware counters of a training run of some samples.

    ``dense`` is the number of terms without any skipping, which follows from the shape of the network.
    """
    cores = {name: values for name, values in counters.items() if name != LINK}
    total = summed(counters)
    lanes = scenario.lanes
    dense = engine_terms(scenario.model, scenario.learning_rule)
    engines: dict[str, dict[str, Any]] = {name: {"dense": samples * count} for name, count in dense.items()}
    for name, engine in engines.items():
        busy, terms = total[f"{name.lower()}_busy"], total[f"{name.lower()}_terms"]
        engine |= {
            "busy_cycles": busy,
            "terms": terms,
            "skipped": engine["dense"] - terms,
            "utilisation": terms / (lanes * busy) if busy else None,
            "busy_by_core": {core: values[f"{name.lower()}_busy"] for core, values in cores.items()},
        }
    return engines


def print_report(report: dict[str, Any], pictures: list[Path], console: Console) -> None:
    """Short tables for people, within 80 columns."""
    accuracy, training = report["accuracy"], report["training"]
    table = _table("", "chip", "golden model", title="accuracy on the test digits")
    for text, end in (
        (f"after {training['samples']:,} samples on the chip", "after_chip_samples"),
        (f"weights of {accuracy['golden_training_samples']:,} samples", "fully_trained_same_tests"),
    ):
        chip = accuracy.get(f"chip_{end}")
        table.add_row(text, f"{chip:.1%}" if chip is not None else "-", f"{accuracy[f'golden_{end}']:.1%}")
    console.print(table)
    if "engines" in report:
        table = _table(
            "",
            "busy cycles",
            "terms",
            "dense",
            "utilisation",
            "skipped",
            title=f"training, {training['cycles_per_sample']:,.0f} cycles and "
            f"{training['terms_per_sample']:,.0f} terms per sample",
        )
        for name, engine in report["engines"].items():
            dense, used = engine["dense"], engine["utilisation"]
            table.add_row(
                name,
                f"{engine['busy_cycles']:,}",
                f"{engine['terms']:,}",
                f"{dense:,}",
                f"{used:.2f}" if used is not None else "-",
                f"{engine['skipped'] / dense:.1%}" if dense else "-",
            )
        console.print(table)
        console.print(energy_line(report["energy"]), soft_wrap=True)
    if "memory" in report:
        print_memory(report["memory"]["training"], console)
    bits = ", ".join(f"{count:,.0f} bits for each {what}" for what, count in report["state_bits"].items())
    console.print(f"memories of the chip: {bits}", soft_wrap=True)
    for text in report["warnings"]:
        console.print(f"[yellow]warning[/]: {text}", soft_wrap=True)
    for picture in pictures:
        console.print(f"picture: {_short(picture)}", soft_wrap=True)
    if report["difference"]:
        console.print(f"[bold red]chip and golden model differ[/]: {report['difference']['text']}")
    else:
        console.print("[bold green]chip and golden model are equal in every bit[/] (0 mismatching bits)")


def print_memory(training: dict[str, Any], console: Console) -> None:
    """Bytes that a training in phases has moved, beside those of the formula."""
    samples = training["samples"]
    table = _table("", "bytes", "per sample", "by the formula", title=f"memory, {samples:,} training samples in phases")
    for name in (*training["counted"], "all"):
        counted, formula = (
            sum(training[key].values()) if name == "all" else training[key][name] for key in ("counted", "formula")
        )
        table.add_row(name, f"{counted:,}", f"{counted / samples:,.1f}", f"{formula:,}")
    console.print(table)
    if training["counted"] != training["formula"]:
        console.print("[bold red]bytes differ from those of the formula[/]")


def _table(first: str, *others: str, title: str) -> Table:
    """A table with one column of text; the others are of numbers."""
    table = Table(first, title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _short(path: Path) -> Path:
    """A path as seen from the working directory, if it is below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

# SPDX-License-Identifier: Apache-2.0
"""The benchmark's report as Markdown, and its first table for the terminal."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["markdown", "print_benchmark"]

_Rows: TypeAlias = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Head and rows of a table."""


def markdown(report: dict[str, Any]) -> str:
    """All tables."""
    runs = [run for run in report["runs"] if not run["difference"]]
    parts = ["# Benchmark on the simulated chip\n", _state(report), _section("Cycles", *_overview(report["runs"]))]
    if runs:
        parts += [
            _section("Cost of the learning rules", *_costs(runs)),
            _section("Engines in training", *_engines(runs)),
            _section("Where the time goes in training", *_time(runs)),
            *(_section(f"Scaling: {name}", *_scaling(rows)) for name, rows in report["scaling"].items()),
            _section("Traffic per training sample", *_traffic(runs)),
            _section("Memories", *_memories(runs)),
            _section("Making the chips", *_chips(report["chips"], runs)),
        ]
    return "\n".join(parts)


def _state(report: dict[str, Any]) -> str:
    done = f"{report['finished']} of {len(report['runs_asked_for'])} runs are finished."
    if report["differences"]:
        return f"{done} **Chip and golden model differ** in {', '.join(report['differences'])}.\n"
    return f"{done} Output spikes and weights of each are those of the golden model, bit for bit.\n"


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"## {title}\n", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _overview(runs: list[dict[str, Any]]) -> _Rows:
    head = (
        "run",
        "network",
        "accuracy",
        "cores",
        "lanes",
        "cycles per training sample",
        "per evaluation sample",
        "speed-up by skipping",
        "bits",
    )
    rows = []
    for run in runs:
        about = (run["name"], f"`{run['network']}`", _share(run["accuracy"]), str(run["cores"]), str(run["lanes"]))
        if run["difference"]:
            rows.append((*about, "-", "-", "-", run["difference"]["text"]))
            continue
        evaluation, dense = run["evaluation"], run.get("dense")
        rows.append(
            (
                *about,
                _count(run["cycles_per_sample"]),
                _count(evaluation and evaluation["cycles_per_sample"]),
                _times(dense and dense["speed_up"]),
                "equal",
            )
        )
    return head, rows


def _costs(runs: list[dict[str, Any]]) -> _Rows:
    """Of each rule: time, work, and memory of the chip that was generated for it."""
    head = (
        "run",
        "rule",
        "cycles per training sample",
        "terms per sample: FP",
        "BP",
        "WG",
        "bits for each neuron",
        "input",
        "weight",
    )
    return head, [
        (
            run["name"],
            f"`{run['rule']}`",
            _count(run["cycles_per_sample"]),
            *(_count(engine["terms_per_sample"]) for engine in run["engines"].values()),
            *(_count(bits) for bits in run["state_bits"].values()),
        )
        for run in runs
    ]


def _engines(runs: list[dict[str, Any]]) -> _Rows:
    head = (
        "run",
        "engine",
        "density",
        "utilisation",
        "busy cycles per sample",
        "share of the time busy",
        "speed-up by skipping",
        "1 / density",
        "reached",
    )
    rows = []
    for run in runs:
        for name, engine in run["engines"].items():
            saved = engine.get("skipping", {})
            rows.append(
                (
                    run["name"],
                    name,
                    _small(engine["density"]),
                    _times(engine["utilisation"]),
                    _count(engine["busy_cycles_per_sample"]),
                    _share(engine["busy_share"]),
                    _times(saved.get("speed_up")),
                    _times(saved.get("ideal")),
                    _times(saved.get("reached")),
                )
            )
    return head, rows


def _time(runs: list[dict[str, Any]]) -> _Rows:
    head = (
        "run",
        "FP busy",
        "(stalled)",
        "no input",
        "no credit",
        "other",
        "delta",
        "BP or WG",
        "(BP stalled)",
        "(WG stalled)",
        "update",
        "no errors",
        "other",
        "cores not used",
        "router stalled",
    )
    keys = (
        "fp_busy",
        "fp_stalled",
        "fp_no_input",
        "fp_no_credit",
        "fp_other",
        "delta_busy",
        "errors_and_gradients",
        "bp_stalled",
        "wg_stalled",
        "update_busy",
        "no_errors",
        "backward_other",
        "unused",
        "router_stalled",
    )
    return head, [(run["name"], *(_share(run["time"][key]) for key in keys)) for run in runs]


def _scaling(rows: list[dict[str, Any]]) -> _Rows:
    head = (
        "cores",
        "cycles per sample",
        "speed-up",
        "estimated speed-up",
        "efficiency",
        "estimated balance",
        "measured balance",
        "busiest core busy",
    )
    return head, [
        (
            str(row["cores"]),
            _count(row["cycles_per_sample"]),
            _times(row["speed_up"]),
            _times(row["estimated_speed_up"]),
            *(_share(row[key]) for key in ("efficiency", "estimated_balance", "measured_balance", "busiest_share")),
        )
        for row in rows
    ]


def _traffic(runs: list[dict[str, Any]]) -> _Rows:
    head = (
        "run",
        "router flits",
        "packets out of cores",
        "host words in",
        "host words out",
        "host link busy (in)",
        "weights read",
        "gradients read and written",
        "bytes of these memories",
    )
    rows = []
    for run in runs:
        network, memory = run["network_per_sample"], run["memory_per_sample"]
        rows.append(
            (
                run["name"],
                *(_count(network[key]) for key in ("router_flits", "packets_out", "link_words_in", "link_words_out")),
                _share(network["link_in_share"]),
                *(_count(memory[key]) for key in ("weights_read", "gradients_read_and_written", "bytes")),
            )
        )
    return head, rows


def _memories(runs: list[dict[str, Any]]) -> _Rows:
    head = (
        "run",
        "weights of the network",
        "most in one core: weights",
        "neurons",
        "tape words",
        "fan_in",
        "slices",
        "routes",
    )
    return head, [
        (
            run["name"],
            _count(run["memory_per_sample"]["weights"]),
            *(_count(value) for value in run["memory_per_sample"]["largest_core"].values()),
        )
        for run in runs
    ]


def _chips(chips: dict[str, Any], runs: list[dict[str, Any]]) -> _Rows:
    head = ("chip", "Verilog (bytes)", "lines", "generated (s)", "Verilator build (s)", "simulated cycles per second")
    rows = []
    for key, chip in chips.items():
        speeds = [run["simulation"]["cycles_per_second"] for run in runs if run["chip"] == key]
        speed = f"{min(speeds):,.0f} to {max(speeds):,.0f}" if len(speeds) > 1 else _count(*speeds) if speeds else "-"
        rows.append(
            (
                key,
                _count(chip["verilog_bytes"]),
                _count(chip["verilog_lines"]),
                f"{chip['generate_seconds']:.1f}",
                f"{chip['build_seconds']:.1f}",
                speed,
            )
        )
    return head, rows


def print_benchmark(report: dict[str, Any], console: Console) -> None:
    """The first table, and whether all bits are equal."""
    table = Table(title="cycles per sample", box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    shown = {"run": 0, "cores": 3, "lanes": 4, "training": 5, "evaluation": 6, "speed-up by skipping": 7}
    for name in shown:
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=True)
    for row in _overview(report["runs"])[1]:
        table.add_row(*(row[k] for k in shown.values()))
    console.print(table)
    if not report["differences"]:
        console.print("[bold green]chips and golden model are equal in every bit[/]")
    for run in report["runs"]:
        if run["difference"]:
            console.print(f"[bold red]chip and golden model differ[/] in {run['name']}: {run['difference']['text']}")

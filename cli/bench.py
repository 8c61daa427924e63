# SPDX-License-Identifier: Apache-2.0
"""``backspike bench``: networks measured on simulated chips."""

from argparse import ArgumentParser, Namespace

from backspike.cli.options import add_output_option, comma_list
from backspike.cli.output import output_folder

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = (
    "Measure networks on simulated chips, comparing every bit with the golden model, and the golden model itself."
)
EXTRA = "sim"


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--cases",
        type=comma_list(str),
        metavar="NAMES",
        help="names of cases, joined by commas, such as digits,mlp (default all)",
    )
    parser.add_argument(
        "--cores",
        type=comma_list(int),
        metavar="LIST",
        help="numbers of cores, joined by commas (default those of each case)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="training samples of each run, and samples to evaluate (default those of each case)",
    )
    parser.add_argument(
        "--rule",
        type=comma_list(str),
        default=["bptt"],
        metavar="NAMES",
        help="learning rules, joined by commas, such as bptt,sltt: each case runs with each (default bptt)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="as of sim (default 1)")
    add_output_option(parser, "build/bench")


def run(arguments: Namespace) -> int:
    """Measure; returns the exit code."""
    from backspike.sim.benchmark.benchmark import benchmark  # noqa: PLC0415 - --help works without the extra
    from backspike.sim.benchmark.benchmark_cases import GOLDEN, chosen_runs  # noqa: PLC0415
    from backspike.sim.benchmark.golden_speed import benchmark_golden  # noqa: PLC0415

    names = arguments.cases
    golden = names is None or GOLDEN in names
    if names == [GOLDEN]:
        with output_folder(arguments.output) as folder:
            return 0 if benchmark_golden(folder, samples=arguments.samples) else 1
    runs = chosen_runs(
        names and [name for name in names if name != GOLDEN],
        cores=arguments.cores,
        samples=arguments.samples,
        seed=arguments.seed,
        rules=arguments.rule,
    )
    with output_folder(arguments.output, builds=True) as folder:
        equal = benchmark_golden(folder, samples=arguments.samples) if golden else True
        return 1 if benchmark(runs, folder)["differences"] or not equal else 0

# SPDX-License-Identifier: Apache-2.0
"""``backspike sim``: a training on a simulated chip, compared with the golden model."""

from argparse import ArgumentParser, Namespace

from backspike.cli.options import (
    add_chip_options,
    add_output_option,
    add_training_options,
    given_chip,
    given_training,
)
from backspike.cli.output import output_folder

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "Generate a chip, simulate it with Verilator, train it on real data, and compare every bit."
EXTRA = "sim"


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_chip_options(parser, steps=False)
    add_training_options(
        parser,
        samples="training samples on the chip, rounded up to whole batches (default 208)",
        tests="test samples on the chip (default 96)",
        epochs="epochs of the golden model's full training (default 20)",
    )
    parser.add_argument(
        "--preset",
        default="digits",
        metavar="NAME",
        help="what all options that are not given are taken from: digits (default), mlp (784-128-10 on 20 "
        "cores) or deep20 (a convolutional network of eight layers on 20 cores)",
    )
    parser.add_argument("--idle", type=float, metavar="P", help="chance that the host pauses in a cycle (default 0)")
    parser.add_argument("--no-skipping", action="store_true", help="let the engines work on zeros too")
    parser.add_argument(
        "--waves",
        nargs="?",
        const="links",
        choices=("links", "all"),
        help="record the first batch in chip.vcd: the links between host and tiles (default), or all signals",
    )
    add_output_option(parser, "build/sim")


def run(arguments: Namespace) -> int:
    """Simulate the training; returns the exit code."""
    from backspike.host.training.fitting import fitted  # noqa: PLC0415 - slow, and not needed for --help
    from backspike.sim.run.scenario import Scenario  # noqa: PLC0415 - --help works without the extra
    from backspike.sim.run.simulated_training import simulate_training  # noqa: PLC0415

    names = ("cores", "lanes", "idle")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    training = given_training(arguments)
    if arguments.preset == "digits":  # the others have networks of their own
        training = fitted(training)
    scenario = Scenario.preset(
        arguments.preset,
        chip=given_chip(arguments),
        skipping=not arguments.no_skipping,
        **given,
        **training,
    )
    scenario.check()  # before a folder is made for it
    with output_folder(arguments.output, builds=True) as folder:
        report = simulate_training(scenario, folder, waves=arguments.waves)
    print(f"report: {arguments.output / 'report.json'}")
    memory = report.get("memory", {}).values()
    return 1 if report["difference"] or any(part["counted"] != part["formula"] for part in memory) else 0

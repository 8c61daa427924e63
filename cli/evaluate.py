# SPDX-License-Identifier: Apache-2.0
"""``backspike evaluate``: a test of trained weights on a chip at a serial port."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from backspike.cli.port import add_port_options, chip_on_port
from backspike.host.data.load import absolute, check_words
from backspike.host.training.checkpoint import read_spec, read_weights
from backspike.host.training.chip_session import ChipSession
from backspike.host.training.compare import first_spike_difference
from backspike.host.training.training_log import TrainingLog

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "Load weights that 'backspike train' has saved into a chip, and classify the test samples."
EXTRA = None


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_port_options(parser)
    parser.add_argument("--load", type=Path, required=True, metavar="FILE", help="the weights (npz)")
    parser.add_argument("--round", action="store_true", help="round the weights to the number format, where need be")
    parser.add_argument("--data", metavar="NAME", help="as of train (default the data of the training)")
    parser.add_argument("--tests", type=int, metavar="N", help="test samples (default all)")


def run(arguments: Namespace) -> int:
    """Classify the test samples; returns the exit code."""
    spec = read_spec(arguments.load)
    if spec is None:
        raise ValueError(f"{arguments.load} must describe its network, not only hold weights")
    given = {name: getattr(arguments, name) for name in ("data", "tests") if getattr(arguments, name) is not None}
    if arguments.data is not None and spec.classes is not None and absolute(arguments.data) != spec.data:
        check_words(arguments.data, spec.classes)
    spec = replace(spec, samples=None, **{"tests": None} | given)
    weights, moved = read_weights(arguments.load, spec.model, rounded=arguments.round)
    data = spec.dataset()
    with threadpool_limits(1), chip_on_port(arguments) as chip, TrainingLog() as log:
        if arguments.round:
            log.say(f"weights rounded to {spec.model.format}: the largest change is {moved:.3g}")
        if not chip.config.momentum:
            spec = replace(spec, update="momentum", momentum=0.0)  # nothing is trained
        session = ChipSession(chip, spec, spec.schedule()[0])
        session.load(weights)
        classified = session.classify(data.test)
        assert classified, "nobody asks to stop"
        metrics, parts = classified
        log.say(f"{metrics.samples} tests: loss {metrics.loss:.3f}, accuracy {metrics.accuracy:.1%}")
        if not arguments.compare:
            return 0
        golden, start = spec.trainer(weights), 0
        for part in parts:
            trace = golden.forward(data.test[start : start + part.shape[1]].spikes)
            difference = first_spike_difference(trace.layers[-1].spikes, part, len(weights) - 1, start)
            if difference:
                log.say(str(difference))
                return 1
            start += part.shape[1]
        log.say("chip and golden model are equal in every bit")
        return 0

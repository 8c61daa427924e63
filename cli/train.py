# SPDX-License-Identifier: Apache-2.0
"""``backspike train``: a training on a chip at a serial port."""

import dataclasses
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.cli.interruption import StopRequest
from backspike.cli.options import add_training_options, given_training, positive
from backspike.cli.output import claimed, why_not
from backspike.cli.port import add_port_options, chips_on_ports
from backspike.golden.constants import Training
from backspike.host.driver.checks import check_run
from backspike.host.training.checkpoint import Checkpoint, read_spec, read_weights
from backspike.host.training.chip_group import GroupSession
from backspike.host.training.chip_session import ChipSession
from backspike.host.training.fitting import fitted
from backspike.host.training.training_log import TrainingLog
from backspike.host.training.training_run import TrainingRun
from backspike.host.training.training_spec import TrainingSpec

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = (
    "Train a network on a chip over a serial port. The training can be interrupted by Ctrl-C, and resumed: the weights "
    "are the same bits as without. See docs/training.md."
)
EXTRA = None

_SHAPE = ("network", "steps", "neuron", "bias", "format", "data", "encoder", "classes")
"""What comes with loaded weights, unless the options say otherwise."""


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_port_options(parser, several=True)
    add_training_options(
        parser,
        samples="training samples of each epoch (default all)",
        tests="test samples after each epoch (default all)",
    )
    parser.add_argument("--load", type=Path, metavar="FILE", help="begin with the weights in a file (npz)")
    parser.add_argument(
        "--round", action="store_true", help="round the weights of --load to the chip's number format, where need be"
    )
    parser.add_argument(
        "--save",
        type=Path,
        default=Path("build/train/weights.npz"),
        metavar="FILE",
        help="where weights and all that is needed to resume are saved, with the ending .npz; a log with the ending "
        ".jsonl is beside (default %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the training in the file of --save")
    parser.add_argument("--overwrite", action="store_true", help="the file of --save may exist, and is lost")
    parser.add_argument(
        "--save-every",
        type=positive,
        default=250,
        metavar="N",
        help="batches between two saves; at the end of an epoch there is one, too (default %(default)s)",
    )


def run(arguments: Namespace) -> int:
    """Train; returns the exit code."""
    with threadpool_limits(1), _saving(arguments):  # the golden model's matrices are too small for threads
        state = _resumed(arguments) if arguments.resume else None
        if state and state.finished:
            print(f"{arguments.save} holds a finished training of {state.epoch} epochs")
            return 0
        spec = state.spec if state else _new(arguments)
        spec.dataset()
        with chips_on_ports(arguments) as chip:
            remarks = []
            if state is None:
                spec = spec.for_chip(chip.config)
                training = spec.schedule()[0]
                count = len(arguments.port)
                part = -(-spec.batch // count)
                rule = spec.learning_rule
                check_run(spec.model, training, chip.config, batch=part, rule=rule, phases=count == 1)
                weights, remark = _loaded(arguments, spec)
                state = Checkpoint.start(spec, weights)
                remarks = [text for text in (remark, spec.rate_remark()) if text]
            path = arguments.save.with_suffix(".jsonl")
            with TrainingLog(path, anew=not arguments.resume) as log, StopRequest() as request:
                run = TrainingRun(
                    chip,
                    state,
                    arguments.save,
                    log,
                    save_every=arguments.save_every,
                    compare=arguments.compare,
                    stop=request.asked,
                )
                _introduce(log, run.session, "resume" if arguments.resume else "start", state, remarks)
                return _conclude(log, arguments, state, run.run(), request)


@contextmanager
def _saving(arguments: Namespace) -> Iterator[None]:
    """The file of ``--save``, checked and held while the training lasts."""
    path = arguments.save
    if path.suffix != ".npz":
        raise ValueError(f"save must end in .npz, not {str(path)!r}: use --save {path}.npz")
    if path.is_dir():
        raise IsADirectoryError(f"save must be a file, not the folder {str(path)!r}")
    if arguments.round and not arguments.load:
        raise ValueError("round must be given with load, whose weights it is for")
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise OSError(f"save must be in a folder that can be written, not {str(path)!r}: {why_not(error)}") from None
    with claimed(lock, f"save {str(path)!r}"):
        yield


def _resumed(arguments: Namespace) -> Checkpoint:
    """The training in the file; ``ValueError`` where an option says something else."""
    for name in ("load", "overwrite"):
        if getattr(arguments, name):
            raise ValueError(f"{name} must not be given with resume")
    given = given_training(arguments)
    state = Checkpoint.load(arguments.save, given.pop("data", None))
    _check_same(state.spec, given, arguments.save)
    return state


def _check_same(spec: TrainingSpec, given: dict[str, Any], path: Path) -> None:
    """Refuse options that say something else than the specification in a file."""
    neurons = [layer.neuron for layer in spec.model.layers[: None if isinstance(spec.neuron, list) else 1]]
    for name, found in given.items():
        if name == "neuron":
            for neuron in neurons:
                _compare({key: getattr(neuron, key) for key in found}, found, path)
        else:
            known = getattr(spec, name)
            if known is None and name in ("rate", "update", "momentum", "loss_scale"):
                known = getattr(spec.schedule()[0], "mu" if name == "momentum" else name)
            _compare({name: known}, {name: found}, path)


def _compare(known: dict[str, Any], found: dict[str, Any], path: Path) -> None:
    for name, value in found.items():
        if known[name] != value:
            raise ValueError(f"{name} must be {known[name]!r} as in {path}, not {value!r}")


def _new(arguments: Namespace) -> TrainingSpec:
    """What the options ask for, on top of what the file of ``--load`` says."""
    if arguments.save.exists() and not arguments.overwrite:
        raise FileExistsError(f"{arguments.save} exists: use --resume to go on with it, --overwrite, or another --save")
    given = given_training(arguments)
    loaded = read_spec(arguments.load) if arguments.load else None
    if loaded is None:
        return TrainingSpec.with_epochs(**fitted(given))
    shape = {name: getattr(loaded, name) for name in _SHAPE}
    fixed = {name: value for name, value in given.items() if name in shape and name not in ("data", "classes")}
    _check_same(loaded, fixed, arguments.load)
    return TrainingSpec.with_epochs(**shape | {name: value for name, value in given.items() if name not in fixed})


def _loaded(arguments: Namespace, spec: TrainingSpec) -> tuple[list[np.ndarray] | None, str | None]:
    """The weights of ``--load``, ``None`` without it, and a sentence where they were rounded."""
    if not arguments.load:
        return None, None
    weights, moved = read_weights(arguments.load, spec.model, rounded=arguments.round)
    if not arguments.round:
        return weights, None
    return weights, f"weights of {arguments.load} rounded to {spec.model.format}: the largest change is {moved:.3g}"


def _introduce(
    log: TrainingLog, session: ChipSession | GroupSession, event: str, state: Checkpoint, remarks: list[str]
) -> None:
    spec, config = state.spec, session.chip.config
    count = len(session.sessions) if isinstance(session, GroupSession) else 1
    chips = f"{count} chips, the first of " if count > 1 else ""
    log.say(
        f"{spec.network} with T = {spec.steps} on {chips}{config.columns} x {config.rows} cores of {config.lanes} "
        f"lane(s), data {spec.data}, batches of {spec.batch}, {_update(spec.schedule()[0])}, seed {spec.seed}"
    )
    for remark in remarks:
        log.say(remark)
    log.say(session.program.summary())
    text = f"going on in epoch {state.epoch + 1}, after batch {state.batch}" if event == "resume" else None
    values: dict[str, Any] = {"spec": dataclasses.asdict(spec), "chip": config.to_dict()}
    log.event(event, text, epoch=state.epoch + 1, batch=state.batch, **values)


def _update(training: Training) -> str:
    kind = "" if training.update == "momentum" else f"{training.update}, "
    return f"{kind}momentum {training.mu}" + (f", decay {training.decay}" if training.decay != 1 else "")


def _conclude(log: TrainingLog, arguments: Namespace, state: Checkpoint, result: str, request: StopRequest) -> int:
    log.event(result, epoch=state.epoch + 1, batch=state.batch, samples=state.samples)
    if result == "different":
        return 1
    if result == "interrupted":
        log.say(f"interrupted after {state.samples:,} samples: --save {arguments.save} --resume goes on")
        return request.exit_code
    equal = "; chip and golden model are equal in every bit" if arguments.compare else ""
    log.say(f"{arguments.save}: weights after {state.samples:,} samples{equal}")
    return 0

# SPDX-License-Identifier: Apache-2.0
"""``backspike train`` and ``backspike evaluate``: a chip on a serial port, options, files, Ctrl-C, exit codes."""

import os
import signal
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from backspike.golden.trainer import Trainer
from backspike.host.link.arq import LinkError
from backspike.host.training.checkpoint import Checkpoint, read_course, read_weights
from backspike.host.training.chip_session import ChipFault, ChipSession
from backspike.host.training.compare import first_spike_difference
from backspike.host.training.training_log import Journal
from backspike.host.training.training_run import TrainingRun
from backspike.host.training.training_spec import Course

__all__ = ["evaluate", "train"]

_FIELDS = ("network", "steps", "bias", "momentum", "data", "samples", "batch", "tests", "epochs", "seed")
_SHAPE = ("network", "steps", "neuron", "bias", "format", "data")
"""What comes with loaded weights, unless the options say otherwise."""


def train(arguments):
    """Train as the parsed options of ``backspike train`` say; returns the exit code."""
    state = _resumed(arguments) if arguments.resume else None
    if state and state.finished:
        print(f"{arguments.save} holds a finished training of {state.course.epochs} epochs")
        return 0
    course, weights = (state.course, None) if state else _new(arguments)
    course.dataset()
    course.constants()
    with _serial(arguments) as chip:
        if state is None:
            state = Checkpoint.start(_for_chip(course, arguments, chip.config), weights)
        log = arguments.save.with_suffix(".jsonl")
        with Journal(log, anew=not arguments.resume) as journal, _Interruption() as interruption:
            run = TrainingRun(
                chip,
                state,
                arguments.save,
                journal,
                save_every=arguments.save_every,
                compare=arguments.compare,
                stop=interruption.asked,
            )
            _introduce(journal, run.session, "resume" if arguments.resume else "start", state)
            result = run.run()
            return _conclude(journal, arguments, state, result)


def evaluate(arguments):
    """Classify the test samples with weights of a file; returns the exit code."""
    course = read_course(arguments.load)
    if course is None:
        raise ValueError(f"{arguments.load} must describe its network, not only hold weights")
    given = {name: getattr(arguments, name) for name in ("data", "tests") if getattr(arguments, name) is not None}
    course = replace(course, samples=None, **{"tests": None} | given)
    weights = read_weights(arguments.load, course.model)
    data = course.dataset()
    with _serial(arguments) as chip, Journal() as journal:
        if not chip.config.momentum:
            course = replace(course, momentum=0.0)  # nothing is trained
        session = ChipSession(chip, course, course.schedule()[0])
        session.load(weights)
        score, parts = session.classify(data.test_spikes, data.test_labels)
        journal.say(f"{score.samples} tests: loss {score.loss:.3f}, accuracy {score.accuracy:.1%}")
        if not arguments.compare:
            return 0
        golden, start = Trainer(course.model, course.schedule()[0], weights=weights), 0
        for part in parts:
            trace = golden.forward(data.test_spikes[:, start : start + part.shape[1]])
            difference = first_spike_difference(trace.layers[-1].spikes, part, len(weights) - 1, start)
            if difference:
                journal.say(str(difference))
                return 1
            start += part.shape[1]
        journal.say("chip and golden model are equal in every bit")
        return 0


@contextmanager
def _serial(arguments):
    """The chip on the serial port, as ``chip_session`` wants it."""
    from backspike.host.link.serial_port import open_chip  # noqa: PLC0415 - other ways to a chip do not need it

    if "/" in arguments.port and not Path(arguments.port).exists():
        raise FileNotFoundError(f"{arguments.port} does not exist: no such serial port")
    with ExitStack() as stack:
        try:
            chip = stack.enter_context(
                open_chip(arguments.port, arguments.baud, timeout=arguments.timeout, resend=arguments.resend)
            )
        except (LinkError, TimeoutError) as error:
            raise ChipFault(str(error), lost=True) from error
        except RuntimeError as error:
            raise ModuleNotFoundError(str(error)) from error
        yield SimpleNamespace(config=chip.config, run=partial(chip.run, timeout=arguments.timeout))


def _given(arguments):
    """Fields of ``Course`` that the options give."""
    given = {name: getattr(arguments, name) for name in _FIELDS if getattr(arguments, name) is not None}
    if arguments.reset is not None:
        given["neuron"] = {"reset": arguments.reset}
    return given


def _resumed(arguments):
    """The training in the file; ``ValueError`` where an option says something else."""
    if arguments.load or arguments.overwrite:
        raise ValueError(f"{'load' if arguments.load else 'overwrite'} must not be given with resume")
    given = _given(arguments)
    state = Checkpoint.load(arguments.save, given.pop("data", None))
    _check_same(state.course, given, given, arguments.save)
    return state


def _check_same(course, given, names, path):
    """Refuse options that say something else than the course in a file."""
    for name in names:
        option, known, found = name, getattr(course, name), given[name]
        if name == "neuron":
            option, known, found = "reset", course.model.layers[0].neuron.reset, found["reset"]
        if known != found:
            raise ValueError(f"{option} must be {known!r} as in {path}, not {found!r}")


def _new(arguments):
    """``(course, weights)`` of a new training; the weights are ``None`` where they are initial ones."""
    if arguments.save.exists() and not arguments.overwrite:
        raise FileExistsError(f"{arguments.save} exists: use --resume to go on with it, --overwrite, or another --save")
    given = _given(arguments)
    if not arguments.load:
        return Course(**given), None
    loaded = read_course(arguments.load)
    shape = {name: getattr(loaded, name) for name in _SHAPE} if loaded else {}
    fixed = [name for name in shape if name in given and name != "data"]
    _check_same(loaded, given, fixed, arguments.load)
    course = Course(**shape | {name: value for name, value in given.items() if name not in fixed})
    return course, read_weights(arguments.load, course.model)


def _for_chip(course, arguments, config):
    """The course with the chip's number format, and without momentum where nobody asked for it and it cannot be."""
    own = {"exponent": config.format.exponent, "mantissa": config.format.mantissa}
    if course.format and course.format != own:
        raise ValueError(f"format of the loaded weights must be the chip's, {own}, not {course.format}")
    momentum = {} if config.momentum or arguments.momentum is not None else {"momentum": 0.0}
    return replace(course, format=own, **momentum)


def _introduce(journal, session, event, state):
    course, config = state.course, session.chip.config
    journal.say(
        f"{course.network} with T = {course.steps} on {config.columns} x {config.rows} cores of {config.lanes} "
        f"lane(s), data {course.data}, batches of {course.batch}, momentum {course.momentum}, seed {course.seed}"
    )
    journal.say(session.plan.summary())
    text = f"going on in epoch {state.epoch + 1}, after batch {state.batch}" if event == "resume" else None
    journal.event(event, text, epoch=state.epoch + 1, batch=state.batch, course=vars(course), chip=config.to_dict())


def _conclude(journal, arguments, state, result):
    journal.event(result, epoch=state.epoch + 1, batch=state.batch, samples=state.samples)
    if result == "different":
        return 1
    if result == "interrupted":
        journal.say(f"interrupted after {state.samples:,} samples: --save {arguments.save} --resume goes on")
        return 130
    equal = "; chip and golden model are equal in every bit" if arguments.compare else ""
    journal.say(f"{arguments.save}: weights after {state.samples:,} samples{equal}")
    return 0


class _Interruption:
    """Ctrl-C: the first one asks to stop after the batch in work, the second one stops at once. SIGTERM likewise."""

    def __init__(self):
        self._asked, self._before = False, {}

    def asked(self):
        return self._asked

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_):
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        os.write(2, b"\nstopping after this batch; Ctrl-C again stops at once\n")  # a handler must not use buffers

# SPDX-License-Identifier: Apache-2.0
"""``backspike train`` and ``backspike evaluate`` on a chip at packet level: options, files, Ctrl-C, exit codes."""

import os
import re
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from backspike.cli.main import main
from backspike.golden.trainer import Trainer
from backspike.host.link.arq import LinkError
from backspike.host.link.serial_port import LinkTimeoutError
from backspike.host.training.checkpoint import Checkpoint
from backspike.spec.packets import Kind
from backspike.spec.tables import Region
from tests.host.driver.test_driver import same
from tests.support.trained_chip import SPEC, Chip, golden

OPTIONS = ["--network=64-8-10", "--steps=2", "--samples=12", "--tests=6", "--batch=5", "--epochs=5", "--seed=2"]


@pytest.fixture
def port(monkeypatch):
    """What the command finds at its serial port: ``chip``, or an exception; ``asked`` are the ports and rates."""
    found = SimpleNamespace(chip=Chip(), asked=[], open=False)

    @contextmanager
    def open_chip(name, baud, *, timeout, resend):
        found.asked.append((name, baud, timeout, resend))
        if isinstance(found.chip, Exception):
            raise found.chip
        found.open = True
        try:
            yield found.chip
        finally:
            found.open = False

    monkeypatch.setitem(sys.modules, "backspike.host.link.serial_port", SimpleNamespace(open_chip=open_chip))
    return found


def train(path, *options):
    return main(["train", "--port=COM9", f"--save={path}", *options])


def test_training_and_evaluation(port, tmp_path, capsys):
    path = tmp_path / "a.npz"
    assert train(path, *OPTIONS, "--compare", "--baud=3000000", "--resend=0.5") == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "64-8-10 with T = 2 on 2 x 1 cores of 1 lane(s), data digits, batches of 5, lion, momentum 0.984375"
    )
    assert f"{path}: weights after 60 samples; chip and golden model are equal in every bit" in told
    assert same(Checkpoint.load(path).weights, golden()[0])
    assert (tmp_path / "a.jsonl").read_text().count("\n") > 20
    assert port.asked == [("COM9", 3000000, 30.0, 0.5)] and not port.open

    port.chip = Chip(lanes=2)
    assert main(["evaluate", "--port=COM9", f"--load={path}", "--tests=9", "--compare"]) == 0
    data = SPEC.dataset()
    trainer = Trainer(SPEC.model, SPEC.schedule()[0], weights=golden()[0])
    from backspike.host.data.load import load  # noqa: PLC0415

    samples = load("digits", 2).test[:9]
    spikes, labels = samples.spikes, samples.labels
    told = capsys.readouterr().out
    assert f"9 tests: loss {_loss(trainer.forward(spikes).counts, labels):.3f}, accuracy " in told
    assert f"accuracy {trainer.evaluate(spikes, labels):.1%}\n" in told
    assert "equal in every bit" in told and "train" not in port.chip.names
    assert data.test.labels.size == 6
    assert port.asked[-1] == ("COM9", 1_000_000, 30.0, 0.1)


def _loss(counts, labels):
    return (((counts / 2 - np.eye(10)[labels]) ** 2).sum(axis=1) / 2).mean()


class Interrupted(Chip):
    """Sends signals to this process while operations of certain numbers run."""

    def __init__(self, *signals):
        super().__init__()
        self.signals = dict(signals)

    def run(self, operation, timeout=None):
        for _ in range(self.signals.get(len(self.names), 0)):
            os.kill(os.getpid(), signal.SIGINT)
        return super().run(operation)


def test_ctrl_c_and_resuming(port, tmp_path, capfd):
    """Once: the batch in work is finished. The same options may be given again."""
    path = tmp_path / "a.npz"
    handler = signal.getsignal(signal.SIGINT)
    port.chip = Interrupted((2, 1))
    assert train(path, *OPTIONS) == 130
    captured = capfd.readouterr()
    assert "stopping after this batch" in captured.err
    assert captured.out.endswith(f"interrupted after 10 samples: --save {path} --resume goes on\n")
    assert port.chip.names == ["load", "train_batch", "train_batch", "read_weights", "read_velocities"]
    assert signal.getsignal(signal.SIGINT) == handler
    port.chip = Interrupted((5, 2))
    assert train(path, "--resume", "--compare", "--seed=2") == 130
    assert "going on in epoch 1, after batch 2" in capfd.readouterr().out
    assert len(port.chip.names) == 5 and not port.open
    port.chip = Chip()
    assert train(path, "--resume", "--compare", *OPTIONS, "--data=digits", "--reset=soft") == 0
    assert same(Checkpoint.load(path).weights, golden()[0]) and same(Checkpoint.load(path).velocities, golden()[1])
    capfd.readouterr()
    port.asked.clear()
    assert train(path, "--resume") == 0
    assert capfd.readouterr().out == f"{path} holds a finished training of 5 epochs\n"
    assert not port.asked


@pytest.fixture
def stopped(port, tmp_path):
    """The file of a training that was stopped after a batch."""
    port.chip = Interrupted((1, 1))
    assert train(tmp_path / "stopped.npz", *OPTIONS) == 130
    port.chip, port.asked[:] = Chip(), []
    return tmp_path / "stopped.npz"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--resume", "--network=64-9-10"], "network must be '64-8-10' as in {path}, not '64-9-10'"),
        (["--resume", "--steps=3"], "steps must be 2 as in {path}, not 3"),
        (["--resume", "--reset=hard"], "reset must be 'soft' as in {path}, not 'hard'"),
        (["--resume", "--bias"], "bias must be False as in {path}, not True"),
        (["--resume", "--momentum=0.5"], "momentum must be 0.984375 as in {path}, not 0.5"),
        (["--resume", "--samples=13"], "samples must be 12 as in {path}, not 13"),
        (["--resume", "--epochs=6"], "epochs must be 5 as in {path}, not 6"),
        (["--resume", "--load=x.npz"], "load must not be given with resume"),
        (["--resume", "--overwrite"], "overwrite must not be given with resume"),
        ([], "{path} exists: use --resume to go on with it, --overwrite, or another --save"),
        (
            ["--save={other}", "--load={path}", "--network=64-9-10"],
            "network must be '64-8-10' as in {path}, not '64-9-10'",
        ),
        (["--save={other}", "--load={path}", "--reset=hard"], "reset must be 'soft' as in {path}, not 'hard'"),
        (["--save={other}", "--load={other}"], "{other} is not a file"),
        (["--save={other}", "--resume"], "{other} is not a file"),
        (
            ["--save={other}", "--network=63-10"],
            "network must have 64 inputs for the data 'digits', not 63: such as 1x8x8-128-10",
        ),
        (["--save={other}", "--samples=5000"], "samples must be at most 1437 for the data 'digits', not 5000"),
        (["--save={other}", "--momentum=2"], "momentum must be at least 0 and at most 1, not 2.0"),
    ],
)
def test_an_impossible_request_does_not_reach_the_chip(options, text, port, stopped, capsys):
    before, names = stopped.read_bytes(), {"path": stopped, "other": stopped.with_name("other.npz")}
    capsys.readouterr()
    assert train(stopped, *(option.format(**names) for option in options)) == 2
    assert capsys.readouterr().err == f"backspike train: {text.format(**names)}\n"
    assert stopped.read_bytes() == before and not port.asked


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            {"format": {"exponent": 4, "mantissa": 3}},
            "format of the network must be the chip's, Format(exponent=4, "
            "mantissa=3), not Format(exponent=5, mantissa=10)",
        ),
        ({"momentum": False}, "update is 'lion', momentum is 0.984375 and the chip has no velocity memory"),
        ({"steps": 1}, "the network has 2 steps and the chip holds 1"),
    ],
)
def test_a_file_that_does_not_fit_the_chip_is_refused(config, text, port, stopped, capsys):
    before = stopped.read_bytes()
    port.chip.config = type(port.chip.config).from_dict(port.chip.config.to_dict() | config)
    assert train(stopped, "--resume") == 2
    assert f"backspike train: {text}" in capsys.readouterr().err
    assert stopped.read_bytes() == before and not port.chip.names


def test_beginning_with_weights_of_a_file(port, stopped, tmp_path):
    """The network is that of the file; counting and velocities begin anew."""
    weights = Checkpoint.load(stopped).weights
    assert train(tmp_path / "b.npz", f"--load={stopped}", "--samples=5", "--tests=2", "--batch=5", "--epochs=1") == 0
    found = Checkpoint.load(tmp_path / "b.npz")
    assert found.spec.network == "64-8-10" and found.spec.steps == 2 and found.samples == 5
    trainer, data = Trainer(found.spec.model, found.spec.schedule()[0], weights=weights), found.spec.dataset()
    chosen = found.spec.epoch_batches(0, 5)[0]
    trainer.train_batch(data.train[chosen].spikes, data.train.labels[chosen])
    assert same(found.weights, trainer.weights)

    np.savez(tmp_path / "c.npz", **{f"weights_{k}": weight for k, weight in enumerate(weights)})
    port.chip = Chip()
    assert (
        train(
            tmp_path / "b.npz",
            f"--load={tmp_path / 'c.npz'}",
            "--network=64-8-10",
            "--steps=2",
            "--samples=5",
            "--tests=2",
            "--batch=5",
            "--epochs=1",
            "--overwrite",
        )
        == 0
    )
    assert same(Checkpoint.load(tmp_path / "b.npz").weights, trainer.weights)


def test_a_chip_without_velocities_has_no_momentum_by_default(port, tmp_path, capsys):
    port.chip = Chip(momentum=False)
    assert train(tmp_path / "a.npz", *OPTIONS[:-2], "--epochs=1", "--compare") == 0
    assert "momentum 0.0" in capsys.readouterr().out
    assert Checkpoint.load(tmp_path / "a.npz").spec.momentum == 0
    assert train(tmp_path / "b.npz", *OPTIONS, "--momentum=0.5") == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--update=lion"], "lion, momentum 0.984375, seed"),
        (["--update=sign", "--momentum=0.75", "--decay=0.5"], "sign, momentum 0.75, decay 0.5, seed"),
    ],
)
def test_another_update_is_trained_told_and_kept(options, text, port, tmp_path, capsys):
    path = tmp_path / "a.npz"
    assert train(path, *OPTIONS[:-2], "--epochs=1", "--compare", *options) == 0
    told = capsys.readouterr().out
    assert text in told and "equal in every bit" in told
    trained = Checkpoint.load(path)
    assert same(trained.weights, golden(trained.spec)[0])
    other = golden(replace(trained.spec, update="momentum"))[0]
    assert not same(trained.weights, other)
    assert train(path, "--resume", "--update=momentum") == 2
    assert f"update must be '{trained.spec.update}' as in {path}, not 'momentum'" in capsys.readouterr().err
    port.chip = Chip(momentum=False)
    assert train(tmp_path / "b.npz", *OPTIONS, *options) == 2
    assert "the chip has no velocity memory: use " in capsys.readouterr().err


def test_the_sign_of_gradients_needs_no_velocities(port, tmp_path):
    port.chip = Chip(momentum=False)
    options = [*OPTIONS[:-2], "--epochs=1", "--compare", "--update=sign", "--momentum=0"]
    assert train(tmp_path / "a.npz", *options) == 0


def test_a_chip_of_another_format_gets_a_network_of_its_format(port, tmp_path):
    port.chip = Chip(format=type(Chip().config.format)(exponent=5, mantissa=7))
    assert train(tmp_path / "a.npz", *OPTIONS[:-2], "--epochs=1", "--compare") == 0
    assert Checkpoint.load(tmp_path / "a.npz").spec.format == {"exponent": 5, "mantissa": 7}


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (LinkTimeoutError("the chip on COM9 was silent for 10 s"), 1, "the chip on COM9 was silent for 10 s"),
        (LinkError("version of the chip's link must be 1, not 7"), 1, "version of the chip's link must be 1, not 7"),
        (RuntimeError("serial ports need the package pyserial"), 2, "serial ports need the package pyserial"),
        (PermissionError(13, "Permission denied"), 2, "[Errno 13] Permission denied"),
    ],
)
def test_a_port_without_a_chip(error, code, text, port, tmp_path, capsys):
    port.chip = error
    assert train(tmp_path / "a.npz", *OPTIONS) == code
    assert capsys.readouterr().err.startswith(f"backspike train: {text}")
    assert not (tmp_path / "a.npz").exists()


def test_a_port_that_does_not_exist(port, tmp_path, capsys):
    assert main(["train", f"--port={tmp_path / 'ttyX'}", f"--save={tmp_path / 'a.npz'}", *OPTIONS]) == 2
    assert capsys.readouterr().err == f"backspike train: {tmp_path / 'ttyX'} does not exist: no such serial port\n"
    assert not port.asked


def test_a_file_is_no_port(port, tmp_path, capsys):
    """It is refused at once, not after the timeout."""
    (tmp_path / "file").touch()
    assert main(["train", f"--port={tmp_path / 'file'}", f"--save={tmp_path / 'a.npz'}", *OPTIONS]) == 2
    assert "port must be a serial port, such as /dev/ttyUSB0, not the file or folder" in capsys.readouterr().err
    assert not port.asked


def test_a_broken_chip_is_exit_code_1(port, tmp_path, capsys):
    port.chip = Chip(faults=dict.fromkeys((1, 3, 5, 7), Kind.SPIKES))
    assert train(tmp_path / "a.npz", *OPTIONS) == 1
    assert capsys.readouterr().err.startswith("backspike train: train_batch: core (1, 0) dropped a LABEL packet")
    assert not port.open


class Wrong(Chip):
    """One bit of every weight changes after they were loaded."""

    def run(self, operation, timeout=None):
        result = super().run(operation)
        if operation.name == "load":
            for core in self._chip.cores.values():
                for address in core.memory.words[Region.WEIGHT]:
                    core.memory.words[Region.WEIGHT][address] ^= 0x0100
        return result


def test_a_wrong_chip_is_exit_code_1(port, stopped, tmp_path, capsys):
    port.chip = Wrong()
    assert train(tmp_path / "a.npz", *OPTIONS, "--compare") == 1
    assert re.search(r"^epoch 1, after batch \d: first difference: \w+ of layer \d", capsys.readouterr().out, re.M)
    port.chip = Wrong()
    assert main(["evaluate", "--port=COM9", f"--load={stopped}", "--compare"]) == 1
    assert "first difference: spike of layer 1" in capsys.readouterr().out


def test_weights_without_a_network_cannot_be_evaluated(port, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", weights_0=np.zeros((64, 10)))
    assert main(["evaluate", "--port=COM9", f"--load={tmp_path / 'a.npz'}"]) == 2
    assert "a.npz must describe its network, not only hold weights" in capsys.readouterr().err
    assert not port.asked


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train"], "the following arguments are required: --port"),
        (["evaluate", "--port=COM9"], "the following arguments are required: --load"),
        (["train", "--port=COM9", "--save-every=0"], "--save-every: must be an integer from 1 on, not '0'"),
        (["train", "--port=COM9", "--timeout=0"], "--timeout: must be a number of seconds above 0, not '0'"),
        (["train", "--port=COM9", "--cores=4"], "unrecognized arguments: --cores=4"),
    ],
)
def test_what_cannot_be_parsed_is_refused(arguments, text, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and text in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run0.5", "run0.25", "a.jsonl", "a"])
def test_a_file_without_its_ending_is_refused(name, port, tmp_path, capsys):
    """Two such files would share a log, or be their own."""
    path = tmp_path / name
    assert train(path, *OPTIONS) == 2
    text = f"backspike train: save must end in .npz, not '{path}': use --save {path}.npz\n"
    assert capsys.readouterr().err == text
    assert not port.asked and list(tmp_path.iterdir()) == []


def test_files_with_similar_names_have_logs_of_their_own(port, tmp_path):
    for name in ("run0.5.npz", "run0.25.npz"):
        port.chip = Chip()
        assert train(tmp_path / name, *OPTIONS[:-2], "--epochs=1") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "run0.25.jsonl",
        "run0.25.npz",
        "run0.5.jsonl",
        "run0.5.npz",
    ]


def test_where_nothing_can_be_saved_is_known_at_once(port, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npz").mkdir()
    for path, text in (
        (
            tmp_path / "file" / "a.npz",
            "save must be in a folder that can be written, not '{path}': a file is in its place",
        ),
        (tmp_path / "folder.npz", "save must be a file, not the folder '{path}'"),
    ):
        assert train(path, *OPTIONS) == 2
        assert capsys.readouterr().err == f"backspike train: {text.format(path=path)}\n"
    assert not port.asked


def test_two_trainings_do_not_save_in_one_file(port, tmp_path, capsys):
    """The second one begins while the first one is at work."""
    codes = []

    class Busy(Chip):
        def run(self, operation, timeout=None):
            if not codes:
                codes.append(train(tmp_path / "a.npz", *OPTIONS, "--overwrite"))
            return super().run(operation)

    port.chip = Busy()
    assert train(tmp_path / "a.npz", *OPTIONS[:-2], "--epochs=1") == 0
    assert codes == [2]
    text = f"backspike train: save '{tmp_path / 'a.npz'}' must be free, but process {os.getpid()} is at work there: "
    assert capsys.readouterr().err.startswith(text)


def test_sigterm_has_an_exit_code_of_its_own(port, tmp_path, capfd):
    class Terminating(Chip):
        def run(self, operation, timeout=None):
            if len(self.names) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().run(operation)

    port.chip = Terminating()
    assert train(tmp_path / "a.npz", *OPTIONS) == 143
    assert "interrupted after 10 samples" in capfd.readouterr().out


def test_weights_of_another_precision_are_taken_with_round(port, stopped, tmp_path, capsys):
    exact = [weight.astype(np.float32) * np.float32(1.0001) for weight in Checkpoint.load(stopped).weights]
    np.savez(tmp_path / "c.npz", **{f"weights_{k}": weight for k, weight in enumerate(exact)})
    options = [f"--load={tmp_path / 'c.npz'}", *OPTIONS[:-2], "--epochs=1"]
    assert train(tmp_path / "d.npz", *options) == 2
    assert re.search(r"must be numbers of the format: .*: --round takes the nearest ones\n$", capsys.readouterr().err)
    assert train(tmp_path / "d.npz", *options, "--round", "--compare") == 0
    told = capsys.readouterr().out
    assert re.search(r"c\.npz rounded to Format\(exponent=5, mantissa=10\): the largest change is \d", told)
    assert train(tmp_path / "e.npz", *OPTIONS, "--round") == 2
    assert "round must be given with load" in capsys.readouterr().err


def test_constants_are_options_and_are_kept(port, tmp_path, capsys):
    options = ["--rate=0.0078125", "--loss-scale=0.25", "--kappa=0.75", "--theta=2", "--width=3", "--strict"]
    path = tmp_path / "a.npz"
    assert train(path, *OPTIONS[:-2], "--epochs=1", *options, "--compare") == 0
    spec = Checkpoint.load(path).spec
    assert (spec.rate, spec.loss_scale) == (0.0078125, 0.25)
    assert spec.neuron == {"kappa": 0.75, "theta": 2.0, "width": 3.0, "strict": True}
    capsys.readouterr()
    for option, text in (("--rate=0.5", "rate must be 0.0078125"), ("--kappa=0.5", "kappa must be 0.75")):
        assert train(path, "--resume", option) == 2
        assert capsys.readouterr().err.startswith(f"backspike train: {text} as in {path}, not 0.5")
    assert train(path, "--resume", *options) == 0


def test_a_network_that_no_chip_holds_is_refused_before_the_chip_is_asked(port, tmp_path, capsys):
    assert train(tmp_path / "a.npz", "--network=64-99999999999999999999-10") == 2
    assert "and the largest chip, of 64 cores, holds 8,388,608: use smaller layers" in capsys.readouterr().err
    assert not port.asked
    assert train(tmp_path / "a.npz", "--steps=2", "--network=64-20000-10") == 2
    assert "layer 1 does not fit on 2 cores" in capsys.readouterr().err
    assert train(tmp_path / "a.npz", "--steps=2", "--batch=100000") == 2
    assert "use batch=32768, or batch_terms=200000" in capsys.readouterr().err
    assert port.chip.names == []


def test_a_rate_that_the_rule_does_not_give_is_said(port, tmp_path, capsys):
    port.chip = Chip(slices=16, columns=4, steps=4)
    network = "-".join(["64", *["4"] * 23, "10"])
    options = [f"--network={network}", "--samples=5", "--tests=2", "--batch=5", "--epochs=1", "--compare"]
    options += ["--update=momentum"]
    assert train(tmp_path / "a.npz", *options) == 0
    assert "rate 5.960464477539063e-08, the smallest of the format" in capsys.readouterr().out


@pytest.mark.parametrize("rule", ["sltt", "ottt-o"])
def test_a_chip_of_one_step_trains_samples_of_several(port, tmp_path, capsys, rule):
    """By a rule whose frames have one step; the rule says how large a batch may be, if nobody does."""
    port.chip = Chip(steps=1, operand_bits=7)
    options = ["--network=64-8-10", "--steps=3", "--samples=4", "--tests=2", "--epochs=1", "--compare"]
    assert train(tmp_path / "a.npz", f"--rule={rule}", *options) == 0
    told = capsys.readouterr().out
    assert f"batches of {1 if rule == 'ottt-o' else 16}, lion" in told and "equal in every bit" in told

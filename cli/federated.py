# SPDX-License-Identifier: Apache-2.0
"""``backspike federated``: workers with data of their own learn one network together."""

import json
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from backspike.cli.options import add_output_option, add_training_options, given_training, positive, seconds
from backspike.cli.output import output_folder
from backspike.host.federated.federation import Federation, Round, one_worker, run_federation
from backspike.host.federated.partition import PARTITIONS
from backspike.host.training.checkpoint import Checkpoint
from backspike.host.training.chip_session import Chip
from backspike.host.training.port_chip import check_ports, chip_on_port
from backspike.host.training.training_spec import TrainingSpec

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = (
    "Federated learning with Flower on this machine: each worker trains on a share of the data, in a process of its "
    "own; the exact mean of their weights goes round. See docs/federated.md."
)
EXTRA = "federated"


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    add_training_options(
        parser,
        samples="training samples of all workers together (default all)",
        tests="test samples after each round (default all)",
        epochs="not of this command: rounds times local epochs",
    )
    parser.add_argument("--workers", type=positive, default=5, metavar="N", help="workers (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="rounds (default %(default)s)")
    parser.add_argument(
        "--local-epochs",
        type=positive,
        default=1,
        metavar="N",
        help="epochs of each worker in a round (default %(default)s)",
    )
    parser.add_argument(
        "--partition",
        choices=PARTITIONS,
        default="iid",
        help="iid: samples are shared out at random; label: each worker sees few of the classes (default iid)",
    )
    parser.add_argument(
        "--drop", type=float, default=0.0, metavar="P", help="chance that a worker is absent in a round (default 0)"
    )
    parser.add_argument(
        "--port",
        action="append",
        default=[],
        metavar="DEVICE",
        help="serial port of the chip of the first worker; given again, of the next one, and so on; workers without a "
        "chip train in the golden model, to the same bits",
    )
    parser.add_argument(
        "--baud", type=positive, default=1_000_000, metavar="N", help="as of train (default %(default)s)"
    )
    parser.add_argument("--timeout", type=seconds, default=30.0, metavar="S", help="as of train (default %(default)s)")
    parser.add_argument("--resend", type=seconds, default=0.1, metavar="S", help="as of train (default %(default)s)")
    add_output_option(parser, "build/federated")


@dataclass(frozen=True)
class _OnPort:
    """Opens the chip on a port, in the process of its worker."""

    port: str
    baud: int
    timeout: float
    resend: float

    def __call__(self) -> AbstractContextManager[Chip]:
        return chip_on_port(self.port, self.baud, timeout=self.timeout, resend=self.resend)


def run(arguments: Namespace) -> int:
    """Train all rounds; returns the exit code."""
    import flwr  # noqa: F401, PLC0415 - what is missing is said at once

    logging.getLogger("flwr").setLevel(logging.ERROR)
    federation = _federation(arguments)
    check_ports(arguments.port)
    if len(arguments.port) > federation.workers:
        raise ValueError(f"port must be given at most {federation.workers} times, once a worker")
    spec, rounds = federation.spec, federation.rounds
    chips = [_OnPort(port, arguments.baud, arguments.timeout, arguments.resend) for port in arguments.port]
    with threadpool_limits(1), output_folder(arguments.output) as folder:
        data = spec.dataset()
        shares = federation.shares(data)
        print(
            f"{spec.network} with T = {spec.steps}, data {spec.data}, {federation.workers} workers with "
            f"{min(map(len, shares))} to {max(map(len, shares))} samples ({federation.kind}), {len(chips)} of them on "
            f"chips; {rounds} rounds of {federation.local_epochs} epoch(s), seed {spec.seed}",
            flush=True,
        )
        alone = one_worker(federation, data, _teller(f"one worker with all {len(data.train)} samples", rounds))
        found: list[Round] = []

        def told(entry: Round) -> None:
            found.append(entry)
            if entry.number:
                absent = sorted(set(range(federation.workers)) - set(entry.workers))
                without = f", without {', '.join(map(str, absent))}" if absent else ""
                print(
                    f"round {entry.number}/{rounds}: accuracy {entry.accuracy:.1%}, loss {entry.loss:.3f}, weights "
                    f"{entry.digest}{without}; one worker with all samples {alone[entry.number - 1]:.1%}",
                    flush=True,
                )

        print(f"starting {federation.workers} workers, each a process that loads its libraries", flush=True)
        weights = run_federation(federation, data, told, chips=chips, started=_starter(federation.workers))
        _write(folder, federation, weights, found, alone)
    return 0


def _federation(arguments: Namespace) -> Federation:
    given = given_training(arguments)
    rounds, local = arguments.rounds, arguments.local_epochs
    if "epochs" in given:
        raise ValueError(f"epochs must not be given, as they are rounds x local epochs: use --rounds={given['epochs']}")
    spec = TrainingSpec(**given, epochs=rounds * local)
    return Federation(
        spec=spec,
        workers=arguments.workers,
        rounds=rounds,
        local_epochs=local,
        kind=arguments.partition,
        drop=arguments.drop,
    )


def _teller(what: str, rounds: int) -> Callable[[int, float], None]:
    return lambda number, accuracy: print(f"{what}, round {number}/{rounds}: accuracy {accuracy:.1%}", flush=True)


def _starter(workers: int) -> Callable[[int], None]:
    """Tells of some ten steps on the way to all workers."""

    def started(count: int) -> None:
        if count % -(-workers // 10) == 0 or count == workers:
            print(f"{count} of {workers} workers are ready", flush=True)

    return started


def _write(
    folder: Path, federation: Federation, weights: list[np.ndarray], found: list[Round], alone: list[float]
) -> None:
    """Report, weights that ``--load`` takes, and a picture."""
    report: dict[str, Any] = {
        "federation": asdict(federation),
        "rounds": [asdict(entry) for entry in found],
        "one_worker_accuracy": alone,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    Checkpoint.start(federation.spec, weights).save(folder / "weights.npz")
    for path in (folder / "report.json", folder / "weights.npz", _picture(folder, found, alone)):
        print(f"written: {path}")


def _picture(folder: Path, found: list[Round], alone: list[float]) -> Path:
    """Accuracy by round, of the mean and of one worker with all samples."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: PLC0415

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    numbers = [entry.number for entry in found]
    panel.plot(numbers, [entry.accuracy for entry in found], "o-", color="#1f5fa8", label="mean of the workers")
    panel.plot(numbers, [found[0].accuracy, *alone], "s--", color="#d9731a", label="one worker with all samples")
    panel.set(xlabel="round", ylabel="accuracy on the test samples", ylim=(0, 1.02))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.yaxis.set_major_formatter(PercentFormatter(1))
    panel.legend(frameon=False, loc="lower right")
    panel.grid(alpha=0.3)
    path = folder / "accuracy.png"
    figure.savefig(path, dpi=120)
    return path

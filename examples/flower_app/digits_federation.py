# SPDX-License-Identifier: Apache-2.0
"""Server and client of a federation for Flower's own server and nodes: three workers learn digits together.

Each machine needs backspike with its extra ``federated``, and these files, which ``flwr run`` sends. A node's worker
is the one with the number of its ``partition-id``. Where ``BACKSPIKE_PORT`` is set on a node, its worker trains on the
chip at that serial port, to the same bits.
"""

import os
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from backspike.host.federated.federation import Federation, digest
from backspike.host.federated.flower_apps import ExactFedAvg, WorkerApp, arrays_of, weights_of
from backspike.host.training.checkpoint import Checkpoint
from backspike.host.training.golden_training import assess
from backspike.host.training.port_chip import chip_on_port
from backspike.host.training.training_spec import TrainingSpec

WORKERS, ROUNDS = 3, 2
SPEC = TrainingSpec(network="64-32-10", data="digits", samples=300, epochs=ROUNDS)
FEDERATION = Federation(spec=SPEC, workers=WORKERS, rounds=ROUNDS)


def on_port():
    """The chip of this machine's worker."""
    return chip_on_port(os.environ["BACKSPIKE_PORT"], 1_000_000, timeout=30.0, resend=0.1)


client = WorkerApp(FEDERATION, (on_port,) * WORKERS if "BACKSPIKE_PORT" in os.environ else ())()
server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """All rounds; the weights go to the file of the run's setting ``weights``, if there is one."""
    test = SPEC.dataset().test

    def evaluate(number, arrays):
        weights = weights_of(arrays)
        accuracy = assess(SPEC, SPEC.trainer(weights), test).accuracy
        print(f"round {number}/{ROUNDS}: accuracy {accuracy:.1%}, weights {digest(weights)}", flush=True)

    strategy = ExactFedAvg(SPEC.model.format, min_train_nodes=WORKERS, min_available_nodes=WORKERS)
    found = strategy.start(grid, arrays_of(SPEC.weights()), num_rounds=ROUNDS, evaluate_fn=evaluate)
    if path := context.run_config["weights"]:
        Checkpoint.start(SPEC, weights_of(found.arrays)).save(Path(str(path)))

# SPDX-License-Identifier: Apache-2.0
"""``backspike memory``: the bytes that a training sample moves between chip and memory, without a simulation."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from backspike.cli.options import add_chip_options, given_chip, positive
from backspike.spec.config import ChipConfig, mesh_shape

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "The phases of a network that does not fit the chip, and the bytes of a training sample by class."
EXTRA = None


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("network", metavar="NETWORK", help="layers, such as 784-128-10 or 1x28x28-c16k3s2p1-a2-10")
    add_chip_options(parser, steps=False)
    parser.add_argument("--steps", type=positive, default=4, metavar="N", help="time steps (default 4)")
    parser.add_argument("--rule", default="bptt", metavar="NAME", help="learning rule (default bptt)")
    parser.add_argument("--bias", action="store_true", help="every neuron has a bias")
    parser.add_argument("--momentum", type=int, choices=(0, 1), default=1, help="0: no velocities (default 1)")
    parser.add_argument("--batch", type=positive, default=16, metavar="N", help="samples of a batch (default 16)")
    parser.add_argument(
        "--nonzero",
        type=float,
        default=0.3,
        metavar="SHARE",
        help="share of errors that are not 0 (default 0.3)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what is shown to a file too")


def run(arguments: Namespace) -> int:
    """Print the program and its bytes; returns the exit code."""
    from backspike.golden.network import Network, Training  # noqa: PLC0415 - --help comes at once
    from backspike.golden.rules import Rule  # noqa: PLC0415
    from backspike.host.compiler.capacity import CapacityError  # noqa: PLC0415
    from backspike.host.compiler.phases.cut import compile_program  # noqa: PLC0415
    from backspike.host.driver.checks import check_gradients  # noqa: PLC0415
    from backspike.host.memory.formula import expected_counts, node_traffic, training_traffic  # noqa: PLC0415
    from backspike.host.memory.traffic import Traffic  # noqa: PLC0415

    if not 0 <= arguments.nonzero <= 1:
        raise ValueError(f"nonzero must be 0 to 1, not {arguments.nonzero!r}")
    rule = Rule.parse(arguments.rule)
    network = rule.adapted(Network.parse(arguments.network, steps=arguments.steps, bias=arguments.bias))
    config, batch = _chip(arguments, rule.frame_steps(network.steps)), arguments.batch
    columns: dict[str, Traffic] = {}
    values: dict[str, Any] = {"network": str(network), "batch": batch, "program": None}
    try:
        program = compile_program(network, Training(rate=0.25), config, rule=rule, batch=batch)
        check_gradients(network, config, rule, batch)
    except CapacityError as error:
        print(f"in phases: {error}")
    else:
        print(program.summary())
        counts = expected_counts(program, batch, arguments.nonzero)
        columns["in phases"] = training_traffic(program, batch, counts)
        values["program"] = program.to_dict()
    weights = config.cores * config.weights
    columns["memory node"] = node_traffic(network, weights, batch, momentum=config.momentum, nonzero=arguments.nonzero)
    print(f"\nbytes of a training sample, batches of {batch}, {arguments.nonzero:.0%} of the errors not 0")
    print(f"{'':<12}" + "".join(f"{name:>16}" for name in columns))
    for name in (*Traffic().to_dict(), "total"):
        print(f"{name:<12}" + "".join(f"{getattr(traffic, name) / batch:>16,.1f}" for traffic in columns.values()))
    if arguments.json:
        values["bytes"] = {name: traffic.to_dict() for name, traffic in columns.items()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(values, indent=2) + "\n")
    return 0


def _chip(arguments: Namespace, frame: int) -> ChipConfig:
    columns, rows = mesh_shape(4 if arguments.cores is None else arguments.cores)
    given = {"lanes": arguments.lanes} if arguments.lanes is not None else {}
    given |= {"momentum": bool(arguments.momentum), "steps": max(4, frame) if frame > 1 else 1}
    return ChipConfig.from_dict({"columns": columns, "rows": rows, **given, **given_chip(arguments)})

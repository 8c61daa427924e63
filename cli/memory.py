# SPDX-License-Identifier: Apache-2.0
"""``backspike memory``: the bytes that a training sample moves between chip and memory, without a simulation."""

from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backspike.cli.options import add_chip_options, given_chip, positive
from backspike.cli.output import check_files, write_json
from backspike.spec.config import ChipConfig, mesh_shape

if TYPE_CHECKING:
    from backspike.golden.network import Network

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = "The phases of a network that does not fit the chip, and the bytes of a training sample by class."
EXTRA = None

_CACHES = 40_000_000, 20_000_000
"""Bytes of the cache of an A100, and half of it: each half of that chip keeps what its own cores use."""

_NEGLIGIBLE = 100_000
"""Bytes of a sample below which nobody would look for savings."""


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
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="also the bytes of the same step on a GPU, by PyTorch's operators and a model of a cache; needs PyTorch",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what is shown to a file too")


def run(arguments: Namespace) -> int:
    """Print the program and its bytes; returns the exit code."""
    from backspike.golden.network import Network, Training  # noqa: PLC0415 - --help comes at once
    from backspike.golden.rules import Rule  # noqa: PLC0415
    from backspike.golden.sources import is_chain  # noqa: PLC0415
    from backspike.host.compiler.capacity import CapacityError  # noqa: PLC0415
    from backspike.host.compiler.frames import rule_sizes  # noqa: PLC0415
    from backspike.host.compiler.phases.cut import compile_program  # noqa: PLC0415
    from backspike.host.driver.checks import check_gradients  # noqa: PLC0415
    from backspike.host.memory.formula import expected_counts, node_traffic, training_traffic  # noqa: PLC0415
    from backspike.host.memory.traffic import Traffic  # noqa: PLC0415

    check_files(arguments, "json")
    if not 0 <= arguments.nonzero <= 1:
        raise ValueError(f"nonzero must be 0 to 1, not {arguments.nonzero!r}")
    rule = Rule.parse(arguments.rule)
    network = rule.adapted(Network.parse(arguments.network, steps=arguments.steps, bias=arguments.bias))
    if arguments.gpu:
        _check_gpu(str(rule), chain=is_chain(network))
    config, batch = _chip(arguments, rule_sizes(rule, network.steps)), arguments.batch
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
    values["bytes"] = {name: traffic.to_dict() for name, traffic in columns.items()}
    if arguments.gpu:
        ours = {name: traffic.total / batch for name, traffic in columns.items()}
        values["gpu"] = _gpu(network, batch, ours, momentum=config.momentum)
    if arguments.json:
        write_json(arguments.json, values)
    return 0 if values["program"] else 2


def _check_gpu(rule: str, *, chain: bool) -> None:
    if not chain:
        raise ValueError("gpu must be left out with residual connections and maximum pooling: they are not modelled")
    if rule != "bptt":
        raise ValueError(f"gpu must be left out with rule {rule}: what is modelled is bptt")
    if not find_spec("torch"):
        raise ValueError("gpu needs PyTorch, which is not installed: use pip install 'backspike[gpu]'")


def _gpu(network: "Network", batch: int, ours: dict[str, float], *, momentum: bool) -> list[dict[str, Any]]:
    """Print the bytes of GPUs beside ours, and by how much ours are less."""
    from backspike.host.memory.gpu_trace import gpu_traffic  # noqa: PLC0415 - needs PyTorch

    print("\nthe same step on a GPU, as modelled with PyTorch's operators and a cache, bytes of a sample")
    print(f"{'numbers, cache':<16}{'bytes':>14}" + "".join(f"{name + ' less by':>22}" for name in ours))
    found = []
    for numbers, size in product(("fp32", "fp16"), _CACHES):
        moved = gpu_traffic(network, batch, numbers=numbers, cache=size, momentum=momentum)
        total = sum(moved.values()) / batch
        shares = {name: None if max(total, own) < _NEGLIGIBLE else 1 - own / total for name, own in ours.items()}
        texts = ("both negligible" if share is None else f"{share:.0%}" for share in shares.values())
        label = f"{numbers}, {size // 1_000_000} MB"
        print(f"{label:<16}{total:>14,.1f}" + "".join(f"{text:>22}" for text in texts))
        found.append({"numbers": numbers, "cache": size, **moved, "less": shares})
    return found


def _chip(arguments: Namespace, sizes: dict[str, int]) -> ChipConfig:
    columns, rows = mesh_shape(4 if arguments.cores is None else arguments.cores)
    given = {"lanes": arguments.lanes} if arguments.lanes is not None else {}
    given |= {"momentum": bool(arguments.momentum), **sizes}
    return ChipConfig.from_dict({"columns": columns, "rows": rows, **given, **given_chip(arguments)})

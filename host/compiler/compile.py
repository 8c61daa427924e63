# SPDX-License-Identifier: Apache-2.0
"""From a network, its training and a chip to a ``Plan``: placement, table contents, packets.

plan = compile_network(network, training, config)
packets = plan.load_packets(weights)
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from backspike.golden.network import Network, Training
from backspike.golden.rules import BPTT, Rule
from backspike.host.compiler.capacity import (
    CapacityError,
    check_layers,
    check_rule,
    check_size,
    check_training,
    scaled_training,
)
from backspike.host.compiler.capacity_advice import capacity_advice
from backspike.host.compiler.core_assignment import assign_cores
from backspike.host.compiler.cost_model import Density, layer_densities
from backspike.host.compiler.frames import once_a_sample
from backspike.host.compiler.geometry import Core
from backspike.host.compiler.greedy_fill import greedy_fill
from backspike.host.compiler.memory_layout import lay_out
from backspike.host.compiler.partition import Partition, Piece
from backspike.host.compiler.plan import Plan
from backspike.host.compiler.slices import Slice
from backspike.host.compiler.strategies import balanced, path, shuffled
from backspike.spec.checks import check_flag, check_integer
from backspike.spec.config import ChipConfig

__all__ = ["check_chip", "check_fit", "check_kinds", "compile_network", "feedback_kind"]


def compile_network(
    network: Network,
    training: Training,
    config: ChipConfig,
    *,
    strategy: Literal["balanced", "shuffled"] | Sequence[Piece] = "balanced",
    cores: int | None = None,
    seed: int = 0,
    density: Density | Sequence[Density] | None = None,
    loss: Literal["rate", "external"] = "rate",
    rule: Rule = BPTT,
    feedback_seed: int = 0,
    batch: int = 16,
    input_errors: bool = False,
) -> Plan:
    """Place a network on a chip.

    Parameters
    ----------
    network : Network
        What is to be trained.
    training : Training
        Constants of the loss and of the update.
    config : ChipConfig
        The chip.
    strategy : "balanced", "shuffled" or sequence of Piece
        The least estimated load of the busiest core, a random placement, or this one. Results of the chip do not depend
        on it, only time does.
    cores : int or None
        Number of cores to use, the first ones of a path from core (0, 0); ``None``: all.
    seed : int
        Of ``"shuffled"``.
    density : Density, sequence of Density or None
        Shares of non-zeros for the estimate, for all layers or for each; ``measure_densities`` finds them.
    loss : "rate" or "external"
        The squared error of the spike rate on chip, or errors from the host.
    rule : Rule
        The learning rule. Its frames are what the chip holds of a sample; a sample may have any number of them.
    feedback_seed : int
        Of the random feedback of a rule that has it, and of noise, as in the ``Trainer``.
    batch : int
        Samples of a batch, of which learned feedback takes the mean, as in the ``Trainer``.
    input_errors : bool
        Whether the host gets the errors of the inputs, to give them to another part of a network.

    Returns
    -------
    Plan
        What to write into the chip, and where results are.

    Raises
    ------
    CapacityError
        The network does not fit; the message says what would.
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range, or network and chip do not belong together.
    """
    check_kinds(network, training, config, rule)
    if loss not in ("rate", "external"):
        raise ValueError(f"loss must be 'rate' or 'external', not {loss!r}")
    if loss == "external" and once_a_sample(rule):
        raise ValueError(f"loss must be 'rate' with rule {rule}, whose errors go back once a sample, not {loss!r}")
    if not isinstance(strategy, str | list | tuple) or strategy == "":
        raise TypeError(f"strategy must be 'balanced', 'shuffled' or a list of Piece, not {strategy!r}")
    if isinstance(strategy, str) and strategy not in ("balanced", "shuffled"):
        raise ValueError(f"strategy must be 'balanced', 'shuffled' or a list of Piece, not {strategy!r}")
    if not isinstance(strategy, str):
        for piece in strategy:
            if not isinstance(piece, Piece):
                raise TypeError(f"strategy must be a list of Piece, not {piece!r}")
    seed, feedback_seed = check_integer("seed", seed), check_integer("feedback_seed", feedback_seed, 0)
    batch = check_integer("batch", batch, 1)
    if check_flag("input_errors", input_errors) and rule.feedback != "weights":
        raise ValueError(f"input_errors must be False with rule {rule}, whose inputs get no errors, not True")
    densities = layer_densities(network, density)
    cores = _core_count(cores, config)
    check_chip(network, training, config, rule)
    check_size(network)
    check_layers(network, config, rule)
    network = rule.adapted(network)
    if isinstance(strategy, str):
        partition = Partition(network, config, densities, input_errors=input_errors, **feedback_kind(rule))
        layers = _place(partition, partial(shuffled, seed=seed) if strategy == "shuffled" else _balanced, cores)
    else:
        layers = lay_out(network, config, list(strategy), **feedback_kind(rule))
    return Plan(network, training, config, layers, loss, densities, rule, feedback_seed, batch, input_errors)


def feedback_kind(rule: Rule) -> dict[str, bool]:
    """How the rule brings errors to hidden layers."""
    return {"feedback": rule.feedback != "weights", "learned": rule.feedback == "learned"}


def check_fit(network: Network, training: Training, config: ChipConfig, rule: Rule = BPTT) -> None:
    """Refuse in a moment what ``compile_network`` refuses, in the same words; it still has to find the placement.

    Parameters
    ----------
    network, training, config, rule
        As for ``compile_network``.

    Raises
    ------
    CapacityError
        The network does not fit; the message says what would.
    ValueError
        Network and chip do not belong together.
    """
    check_chip(network, training, config, rule)
    check_size(network)
    check_layers(network, config, rule)
    partition = Partition(network, config, layer_densities(network, None), **feedback_kind(rule))
    full = greedy_fill(partition, config.cores, float("inf"))
    if isinstance(full, int):
        raise CapacityError(capacity_advice(partition, config.cores, full))


def _balanced(partition: Partition, cores: Sequence[Core]) -> list[Piece]:
    return assign_cores(partition, balanced(partition, cores), cores)


def _core_count(cores: int | None, config: ChipConfig) -> int:
    if cores is None:
        return config.cores
    cores = check_integer("cores", cores)
    if not 1 <= cores <= config.cores:
        raise ValueError(f"cores must be 1 to {config.cores} on this chip, not {cores!r}")
    return cores


def check_kinds(network: Network, training: Training, config: ChipConfig, rule: Rule) -> None:
    """``TypeError`` where what a compiler gets is something else."""
    for name, value, kind in (
        ("network", network, Network),
        ("training", training, Training),
        ("config", config, ChipConfig),
        ("rule", rule, Rule),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")


def check_chip(network: Network, training: Training, config: ChipConfig, rule: Rule) -> None:
    """Refuse network, training and rule that do not belong to the chip, whatever its size.

    Raises
    ------
    TypeError, ValueError, CapacityError
        As ``compile_network``.
    """
    if network.format != config.format:
        raise ValueError(f"network.format must be the chip's, {config.format}, not {network.format}")
    check_rule(network, config, rule)
    check_training(training, config)
    scaled_training(network, training, rule)


def _place(
    partition: Partition, place: Callable[[Partition, list[Core]], list[Piece]], cores: int
) -> list[list[Slice]]:
    """Slices by layer. Where tables of routes overflow with all cores, fewer cores (and so fewer slices) are tried."""
    network, config = partition.network, partition.config
    failures: list[CapacityError] = []
    for count in range(cores, 0, -1):
        chosen = path(config.columns, config.rows, chain=config.chain)[:count]
        try:
            pieces = place(partition, chosen)
        except CapacityError:
            if not failures:
                raise
            break
        try:
            return lay_out(network, config, pieces, feedback=partition.feedback, learned=partition.learned)
        except CapacityError as error:
            failures.append(error)
    raise failures[0]

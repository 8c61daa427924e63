# SPDX-License-Identifier: Apache-2.0
"""From a network, its training and a chip to a ``Plan``: placement, table contents, packets.

plan = compile_network(network, training, config)
packets = plan.load_packets(weights)
"""

from functools import partial

from backspike.golden.network import Network, Training
from backspike.host.compiler.capacity import CapacityError, check_layers, check_training
from backspike.host.compiler.capacity_advice import advice
from backspike.host.compiler.core_assignment import arrange
from backspike.host.compiler.cost_model import Density, layer_densities
from backspike.host.compiler.greedy_fill import fill
from backspike.host.compiler.memory_layout import lay_out
from backspike.host.compiler.partition import Cuts, Piece
from backspike.host.compiler.plan import Plan
from backspike.host.compiler.strategies import balanced, path, shuffled
from backspike.spec.config import LIMITS, ChipConfig

__all__ = ["CapacityError", "Density", "Piece", "Plan", "check_fit", "compile_network"]


def compile_network(network, training, config, *, strategy="balanced", cores=None, seed=0, density=None, loss="rate"):
    """Place a network on a chip.

    Parameters
    ----------
    network, training: ``golden.network.Network`` and ``Training``
    config: the chip, a ``ChipConfig``
    strategy: ``"balanced"`` (the least estimated load of the busiest core), ``"shuffled"`` (a random placement),
        or a list of ``Piece``. Results of the chip do not depend on it, only time does
    cores: number of cores to use, the first ones of a path from core (0, 0); ``None``: all
    seed: of ``"shuffled"``
    density: shares of non-zeros for the work estimate: a ``Density``, one for each layer (``measure_densities`` finds
        them), or ``None``
    loss: ``"rate"``, the squared error of the spike rate on chip, or ``"external"``: errors from the host

    Raises
    ------
    CapacityError: the network does not fit; the message says what would
    TypeError, ValueError: a parameter of the wrong kind, or out of range, or network and chip do not belong together
    """
    for name, value, kind in (
        ("network", network, Network),
        ("training", training, Training),
        ("config", config, ChipConfig),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")
    if loss not in ("rate", "external"):
        raise ValueError(f"loss must be 'rate' or 'external', not {loss!r}")
    if not isinstance(strategy, str | list | tuple) or strategy == "":
        raise TypeError(f"strategy must be 'balanced', 'shuffled' or a list of Piece, not {strategy!r}")
    if isinstance(strategy, str) and strategy not in ("balanced", "shuffled"):
        raise ValueError(f"strategy must be 'balanced', 'shuffled' or a list of Piece, not {strategy!r}")
    if not isinstance(strategy, str):
        for piece in strategy:
            if not isinstance(piece, Piece):
                raise TypeError(f"strategy must be a list of Piece, not {piece!r}")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed must be an integer, not {seed!r}")
    densities = layer_densities(network, density)
    cores = _core_count(cores, config)
    _check_chip(network, training, config)
    check_layers(network, config)
    if isinstance(strategy, str):
        place = {
            "balanced": partial(_arranged, densities=densities),
            "shuffled": partial(shuffled, densities=densities, seed=seed),
        }[strategy]
        layers = _place(network, config, place, cores)
    else:
        layers = lay_out(network, config, list(strategy))
    return Plan(network, training, config, layers, loss, densities)


def check_fit(network: Network, training: Training, config: ChipConfig) -> None:
    """Refuse in a moment what ``compile_network`` refuses, in the same words; it still has to find the placement."""
    _check_chip(network, training, config)
    check_layers(network, config)
    cuts = Cuts(network, config, layer_densities(network, None))
    full = fill(cuts, config.cores, float("inf"))
    if isinstance(full, int):
        raise CapacityError(advice(cuts, config.cores, full))


def _arranged(network, config, cores, densities):
    return arrange(network, balanced(network, config, cores, densities), cores, densities)


def _core_count(cores, config):
    if cores is None:
        return config.cores
    if not isinstance(cores, int) or isinstance(cores, bool):
        raise TypeError(f"cores must be an integer or None, not {cores!r}")
    if not 1 <= cores <= config.cores:
        raise ValueError(f"cores must be 1 to {config.cores} on this chip, not {cores!r}")
    return cores


def _check_chip(network, training, config):
    if network.format != config.format:
        raise ValueError(f"network.format must be the chip's, {config.format}, not {network.format}")
    if network.steps > config.steps:
        steps = network.steps
        larger = f", or a chip with steps={steps}" if steps <= LIMITS["steps"][1] else ""
        raise CapacityError(
            f"the network has {steps} steps and the chip holds {config.steps}: use a network of at most "
            f"{config.steps} steps{larger}"
        )
    check_training(training, config)


def _place(network, config, place, cores):
    """Slices by layer. Where tables of peers overflow with all cores, fewer cores (and so fewer slices) are tried."""
    failure = None
    for count in range(cores, 0, -1):
        chosen = path(config.columns, config.rows, chain=config.chain)[:count]
        try:
            pieces = place(network, config, chosen)
        except CapacityError:
            if failure is None:
                raise
            break
        try:
            return lay_out(network, config, pieces)
        except CapacityError as error:
            failure = failure or error
    raise failure

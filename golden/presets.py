# SPDX-License-Identifier: Apache-2.0
"""Training constants that carry over from one network and data set to another; docs/defaults.md has the measurements.

The update by default is Lion's. Its steps have one length, whatever the scale of the gradients: what is left to choose
is that length, and how often the steps are made.
"""

import math
from dataclasses import replace

from backspike.golden.constants import Update
from backspike.golden.layers import Layer
from backspike.golden.network import Conv, Network, Training
from backspike.spec.checks import check_integer, check_number

__all__ = ["SPIKING", "default_epochs", "default_rate", "default_schedule", "default_training", "smallest_rate"]

SPIKING = 0.15
"""Share of the neurons of a hidden layer that spike at a step, with weights of ``initial.balanced_weights``."""

_DENSITY, _UPDATES = 0.25, 1000
"""What is taken of data that nobody knows: share of inputs that spike at a step, and updates of the whole training."""

_WALK = 0.18
"""How far the updates of a whole training, as a random walk, move a potential, in thresholds."""

_MOMENTUM = 0.875


def smallest_rate(network: Network) -> float:
    """The smallest rate that the network's format holds."""
    return 2.0**network.format.lsb


def default_epochs(samples: int, batch: int = 16) -> int:
    """20 epochs, or as many as make 600 updates of few samples."""
    updates = -(-check_integer("samples", samples, 1) // check_integer("batch", batch, 1))
    return max(20, -(-600 // updates))


def default_rate(
    network: Network,
    *,
    batch: int = 16,
    momentum: float | None = None,
    update: Update | None = None,
    updates: int | None = None,
    density: float | None = None,
) -> float:
    """The rate by the rule of ``default_training``, which may be too small for the format; 0 with momentum 1.

    Parameters
    ----------
    network : Network
        What is to be trained.
    batch : int
        Samples of a batch, at least 1.
    momentum : float or None
        Of the update, 0 to 1; ``None``: as ``default_training`` says.
    update : "momentum", "lion", "sign" or None
        Kind of the update; ``None``: as ``default_training`` says.
    updates : int or None
        Updates of the whole training, at least 1; ``None``: 1,000.
    density : float or None
        Share of the inputs that spike at a step, or the mean square of inputs that are integers; ``None``: a quarter.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """
    batch = check_integer("batch", batch, 1)
    updates = check_integer("updates", _UPDATES if updates is None else updates, 1)
    density = check_number("density", _DENSITY if density is None else density, 0)
    if _kind(update, momentum) == "momentum":
        return _momentum_rate(network, batch, _MOMENTUM if momentum is None else momentum)
    reached = [
        _reaching(layer) * (SPIKING * len(taken) if taken else density)
        for layer, taken in zip(network.layers, network.taken, strict=True)
        if layer.learns
    ]
    active = max(1.0, sum(reached) / len(reached))
    theta = network.layers[-1].neuron.theta
    return 2.0 ** round(math.log2(_WALK * theta / math.sqrt(active * updates)))


def _kind(update: Update | None, momentum: float | None) -> Update:
    """The update that is meant."""
    if update is None:
        return "lion" if momentum is None else "momentum"
    return update


def _reaching(layer: Layer) -> int:
    """Inputs that reach a neuron."""
    return layer.in_channels * layer.kernel**2 * layer.pool**2


def _momentum_rate(network: Network, batch: int, momentum: float) -> float:
    """The rate where the velocity itself is subtracted, which grows with inputs, samples and steps."""
    if any(isinstance(layer, Conv) for layer in network.layers):
        pool = max(layer.pool for layer in network.layers)
        sizes = math.ceil(math.log2(network.inputs) / 2) + math.floor(math.log2(batch * network.steps)) - 1
        exponent = sizes + math.floor(math.log2(pool))
    else:
        sizes = math.floor(math.log2(network.inputs * batch * network.steps))
        exponent = sizes - 6 + 2 * max(0, len(network.layers) - 2)
    return 2.0**-exponent * (1 - momentum)


def default_training(
    network: Network,
    *,
    batch: int = 16,
    momentum: float | None = None,
    rate: float | None = None,
    loss_scale: float | None = None,
    update: Update | None = None,
    decay: float = 1.0,
    updates: int | None = None,
    density: float | None = None,
) -> Training:
    """Constants for the rate loss: errors within -1 to 1, and powers of two wherever that is possible.

    With ``lion`` and ``sign`` a weight moves by the rate at each update. U updates in random directions, of the weights
    of the inputs that spike at a step, move a potential by ``rate * sqrt(active * U)``: the rate makes that 0.18 of
    the threshold, rounded to a power of two. ``active`` is the number of spikes that reach a neuron at a step, the mean
    over the layers: the inputs' share is ``density``, that of hidden layers 0.15.

    With ``momentum`` the step grows with the gradient, and the rate falls with the number of inputs, samples and steps,
    in powers of two: 2**-9 for 64 inputs, 4 steps and batches of 16. It is in proportion to ``1 - momentum``: 2**-6
    without momentum, which a chip without velocity memory needs. Each hidden layer after the first quarters it. With
    convolutions, and ``initial.balanced_weights``, it falls with the square root of the number of inputs, and not with
    that of the layers: 2**-11 for 64 inputs, 2**-13 for 784. A pooling halves it: the weights behind one are ``1 /
    pool**2`` of the mathematical ones, their gradient is ``pool**2`` of the mathematical one.

    Where the rule's rate is below the format's smallest number, it is that number.

    Parameters
    ----------
    network : Network
        What is to be trained.
    batch : int
        Samples of a batch, at least 1.
    momentum : float or None
        Of the update, 0 to 1; ``None``: 63/64 with ``lion`` and ``sign``, 7/8 with ``momentum``.
    rate : float or None
        Learning rate, more than 0; ``None``: by the rule.
    loss_scale : float or None
        Scale of the rate loss, more than 0; ``None``: 1 / T.
    update : "momentum", "lion", "sign" or None
        Kind of the update; ``None``: ``lion``, or ``momentum`` where a momentum is given.
    decay : float
        Share of a weight that an update keeps, 0 to 1.
    updates, density
        As for ``default_rate``.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """
    update = _kind(update, momentum)
    if rate is None:
        rule = default_rate(network, batch=batch, momentum=momentum, update=update, updates=updates, density=density)
        rate = max(rule, smallest_rate(network))
    if momentum is None and update == "momentum":
        momentum = _MOMENTUM
    scale = 1 / network.steps if loss_scale is None else loss_scale
    return Training(rate=rate, update=update, momentum=momentum, decay=decay, loss_scale=scale)


def default_schedule(
    network: Network,
    epochs: int,
    *,
    batch: int = 16,
    momentum: float | None = None,
    rate: float | None = None,
    loss_scale: float | None = None,
    update: Update | None = None,
    decay: float = 1.0,
    updates: int | None = None,
    density: float | None = None,
) -> list[Training]:
    """The ``Training`` of each epoch: ``default_training``, with a rate that falls in the second half.

    It falls by powers of two, to a sixteenth in the last epoch, but not below the format's smallest number.

    Parameters
    ----------
    network, batch, momentum, rate, loss_scale, update, decay, updates, density
        As for ``default_training``.
    epochs : int
        Epochs of the whole training.
    """
    first = default_training(
        network,
        batch=batch,
        momentum=momentum,
        rate=rate,
        loss_scale=loss_scale,
        update=update,
        decay=decay,
        updates=updates,
        density=density,
    )
    divisors = [2 ** max(0, round(8 * n / max(1, epochs - 1) - 4)) for n in range(epochs)]
    least = min(first.rate, smallest_rate(network))
    return [replace(first, rate=max(first.rate / divisor, least)) for divisor in divisors]

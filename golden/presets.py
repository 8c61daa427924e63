# SPDX-License-Identifier: Apache-2.0
"""Training constants that are known to work. The measurements behind them are in docs/numbers.md."""

import math
from dataclasses import replace

from backspike.golden.constants import Update
from backspike.golden.network import Conv, Network, Training
from backspike.spec.checks import check_integer

__all__ = ["default_rate", "default_schedule", "default_training", "smallest_rate"]


_MOMENTUM = 0.875
_SIGN_RATE = 2.0**-10


def smallest_rate(network: Network) -> float:
    """The smallest rate that the network's format holds."""
    return 2.0**network.format.lsb


def default_rate(
    network: Network, *, batch: int = 16, momentum: float | None = None, update: Update = "momentum"
) -> float:
    """The rate by the rule of ``default_training``, which may be too small for the format; 0 with momentum 1.

    Parameters
    ----------
    network : Network
        What is to be trained.
    batch : int
        Samples of a batch, at least 1.
    momentum : float or None
        Of the update, 0 to 1; ``None``: 7/8.
    update : "momentum", "lion" or "sign"
        Kind of the update; the steps of the last two have one length whatever the network, 2**-10.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """
    batch = check_integer("batch", batch, 1)
    if update != "momentum":
        return _SIGN_RATE
    if any(isinstance(layer, Conv) for layer in network.layers):
        pool = max(layer.pool for layer in network.layers)
        sizes = math.ceil(math.log2(network.inputs) / 2) + math.floor(math.log2(batch * network.steps)) - 1
        exponent = sizes + math.floor(math.log2(pool))
    else:
        exponent = math.floor(math.log2(network.inputs * batch)) - 4 + 2 * max(0, len(network.layers) - 2)
    return 2.0**-exponent * (1 - (_MOMENTUM if momentum is None else momentum))


def default_training(
    network: Network,
    *,
    batch: int = 16,
    momentum: float | None = None,
    rate: float | None = None,
    loss_scale: float | None = None,
    update: Update = "momentum",
    decay: float = 1.0,
) -> Training:
    """Constants for the rate loss: errors within -1 to 1, and powers of two wherever that is possible.

    The gradient grows with the number of inputs that spike, so the rate falls with the input size, in powers of two:
    2**-9 for 64 inputs, 2**-12 for 784, with batches of 16. It is in proportion to ``1 - momentum``: 2**-6 and 2**-9
    without momentum, which a chip without velocity memory needs. Each hidden layer after the first quarters it.

    With convolutions, and ``initial.balanced_weights``, the rate falls with the square root of the input size and with
    the number of steps, not with that of the layers: 2**-11 for 64 inputs, 2**-13 for 784, with 4 steps and batches of
    16. A pooling halves it: the weights behind one are ``1 / pool**2`` of the mathematical ones, their gradient is
    ``pool**2`` of the mathematical one.

    Where the rule's rate is below the format's smallest number, it is that number.

    Parameters
    ----------
    network : Network
        What is to be trained.
    batch : int
        Samples of a batch, at least 1.
    momentum : float or None
        Of the update, 0 to 1; ``None``: 7/8, with ``lion`` and ``sign`` 63/64.
    rate : float or None
        Learning rate, more than 0; ``None``: by the rule, with ``lion`` and ``sign`` 2**-10.
    loss_scale : float or None
        Scale of the rate loss, more than 0; ``None``: 1 / T.
    update : "momentum", "lion" or "sign"
        Kind of the update.
    decay : float
        Share of a weight that an update keeps, 0 to 1.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range.
    """
    if rate is None:
        rule = default_rate(network, batch=batch, momentum=momentum, update=update)
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
    update: Update = "momentum",
    decay: float = 1.0,
) -> list[Training]:
    """The ``Training`` of each epoch: ``default_training``, the last fifth at a quarter of its rate.

    With convolutions the rate falls in the second half, by powers of two, to a sixteenth in the last epoch. It does not
    fall below the format's smallest number.

    Parameters
    ----------
    network, batch, momentum, rate, loss_scale, update, decay
        As for ``default_training``.
    epochs : int
        Epochs of the whole training.
    """
    first = default_training(
        network, batch=batch, momentum=momentum, rate=rate, loss_scale=loss_scale, update=update, decay=decay
    )
    if any(isinstance(layer, Conv) for layer in network.layers):
        divisors = [2 ** max(0, round(8 * n / max(1, epochs - 1) - 4)) for n in range(epochs)]
    else:
        divisors = [1 if epoch < epochs - epochs // 5 else 4 for epoch in range(epochs)]
    least = min(first.rate, smallest_rate(network))
    return [replace(first, rate=max(first.rate / divisor, least)) for divisor in divisors]

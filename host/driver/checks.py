# SPDX-License-Identifier: Apache-2.0
"""Checks of what users hand to the driver."""

import numpy as np

from backspike.golden.network import Network, Training
from backspike.host.compiler.compile import CapacityError, check_fit
from backspike.host.compiler.geometry import terms
from backspike.spec.config import LIMITS, ChipConfig

__all__ = ["check_labels", "check_run", "check_skipping", "check_spikes"]


def check_run(network: Network, training: Training, config: ChipConfig, *, batch: int, skipping: bool = True) -> None:
    """Refuse in a moment a training that compiler or driver would refuse later, before a chip is at hand.

    Parameters
    ----------
    network, training, config: as for ``compile_network``
    batch: samples between two updates
    skipping: whether the engines are to skip zeros

    Raises
    ------
    CapacityError: the network does not fit, or the chip's gradients do not hold so many samples
    TypeError, ValueError: network and chip do not belong together, or the engines always skip
    """
    check_fit(network, training, config)
    check_skipping(config, skipping)
    each = max(terms(layer, network.steps) for layer in network.layers)
    most = config.batch_terms // each
    if batch > most:
        more = f", or batch_terms={batch * each}" if batch * each <= LIMITS["batch_terms"][1] else ""
        raise CapacityError(
            f"batch is {batch} and the chip's gradients hold {most} samples of this network: use batch={most}{more}"
        )


def check_skipping(config: ChipConfig, skipping: bool) -> None:
    """Refuse to switch skipping off where it cannot be."""
    if not isinstance(skipping, bool):
        raise TypeError(f"skipping must be True or False, not {skipping!r}")
    if config.dense_only and not skipping:
        raise ValueError("skipping must be True, not False, as the engines of a dense_only chip always skip")


def check_spikes(network, spikes):
    """Input spikes as ``uint8 [T, B, N]``; ``ValueError`` for another shape, no sample, or values besides 0 and 1."""
    spikes = np.asarray(spikes)
    steps, inputs = network.steps, network.inputs
    if spikes.ndim != 3 or spikes.shape[0] != steps or spikes.shape[2] != inputs:
        raise ValueError(f"spikes must have shape ({steps}, samples, {inputs}), not {spikes.shape}")
    if spikes.shape[1] == 0:
        raise ValueError(f"spikes must hold at least one sample, not shape {spikes.shape}")
    bad = (spikes != 0) & (spikes != 1)
    if bad.any():
        index = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(f"spikes must be 0 or 1, not {spikes[index].item()!r} at {index}")
    return spikes.astype(np.uint8)


def check_labels(network, labels, samples):
    """Labels as a list of ``samples`` integers; ``TypeError`` or ``ValueError`` for what is no output's number."""
    labels = np.asarray(labels)
    if labels.shape != (samples,):
        raise ValueError(f"labels must have shape ({samples},), one per sample, not {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {labels.dtype}")
    bad = (labels < 0) | (labels >= network.outputs)
    if bad.any():
        index = int(np.argwhere(bad)[0][0])
        raise ValueError(f"labels must be 0 to {network.outputs - 1}, not {labels[index].item()!r} of sample {index}")
    return labels.tolist()

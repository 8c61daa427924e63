# SPDX-License-Identifier: Apache-2.0
"""Checks of what users hand to the driver."""

import numpy as np

__all__ = ["check_labels", "check_spikes"]


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

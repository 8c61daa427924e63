# SPDX-License-Identifier: Apache-2.0
"""Checks of what users hand to the driver."""

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.network import Network, Training
from backspike.golden.rules import BPTT, Rule
from backspike.host.compiler.capacity import CapacityError, gradient_terms
from backspike.host.compiler.compile import check_fit
from backspike.host.compiler.frames import all_trained, once_a_sample
from backspike.host.compiler.phases.cut import check_program
from backspike.spec.checks import check_flag
from backspike.spec.config import LIMITS, ChipConfig

__all__ = ["check_gradients", "check_labels", "check_run", "check_skipping", "check_spikes", "check_trained"]


def check_run(
    network: Network,
    training: Training,
    config: ChipConfig,
    *,
    batch: int,
    skipping: bool = True,
    rule: Rule = BPTT,
    phases: bool = True,
) -> None:
    """Refuse in a moment a training that compiler or driver would refuse later, before a chip is at hand.

    Parameters
    ----------
    network, training, config
        As for ``compile_program``.
    batch : int
        Samples between two updates.
    skipping : bool
        Whether the engines are to skip zeros.
    rule : Rule
        As for ``compile_program``.
    phases : bool
        Whether a network that does not fit may run in phases.

    Raises
    ------
    CapacityError
        The network does not fit, or the chip's gradients do not hold so many samples.
    TypeError, ValueError
        Network and chip do not belong together, the engines always skip, or the rule has no batches of this size.
    """
    rule.check_batch(batch)
    (check_program if phases else check_fit)(network, training, config, rule)
    check_skipping(config, skipping)
    check_gradients(network, config, rule, batch)


def check_gradients(network: Network, config: ChipConfig, rule: Rule, batch: int) -> None:
    """Refuse, with ``CapacityError``, a batch of more samples than the chip's gradients hold."""
    each = max(gradient_terms(network, rule))
    most = config.batch_terms // each
    if batch > most:
        more = f", or batch_terms={batch * each}" if batch * each <= LIMITS["batch_terms"][1] else ""
        raise CapacityError(
            f"batch is {batch} and the chip's gradients hold {most} samples of this network: use batch={most}{more}"
        )


def check_skipping(config: ChipConfig, skipping: bool) -> None:
    """Refuse to switch skipping off where it cannot be."""
    if config.dense_only and not check_flag("skipping", skipping):
        raise ValueError("skipping must be True, not False, as the engines of a dense_only chip always skip")


def check_spikes(network: Network, spikes: ArrayLike) -> np.ndarray:
    """Input spikes as ``uint8 [T, B, N]``; ``ValueError`` for another shape, no sample, or values besides 0 and 1."""
    given = np.asarray(spikes)
    steps, inputs = network.steps, network.inputs
    if given.ndim != 3 or given.shape[0] != steps or given.shape[2] != inputs:
        raise ValueError(f"spikes must have shape ({steps}, samples, {inputs}), not {given.shape}")
    if given.shape[1] == 0:
        raise ValueError(f"spikes must hold at least one sample, not shape {given.shape}")
    bad = (given != 0) & (given != 1)
    if bad.any():
        index = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(f"spikes must be 0 or 1, not {given[index].item()!r} at {index}")
    return given.astype(np.uint8)


def check_labels(network: Network, labels: ArrayLike, samples: int) -> list[int]:
    """Labels as a list of ``samples`` integers; ``TypeError`` or ``ValueError`` for what is no output's number."""
    given = np.asarray(labels)
    if given.shape != (samples,):
        raise ValueError(f"labels must have shape ({samples},), one per sample, not {given.shape}")
    if not np.issubdtype(given.dtype, np.integer):
        raise TypeError(f"labels must be integers, not {given.dtype}")
    bad = (given < 0) | (given >= network.outputs)
    if bad.any():
        index = int(np.argwhere(bad)[0][0])
        raise ValueError(f"labels must be 0 to {network.outputs - 1}, not {given[index].item()!r} of sample {index}")
    return [int(label) for label in given]


def check_trained(rule: Rule, frames: int, trained: ArrayLike | None) -> np.ndarray:
    """Which of a sample's frames are trained, as bool ``[frames]``; ``None`` stands for those of a rule without choice.

    Raises
    ------
    TypeError
        ``trained`` is no array of bool.
    ValueError
        It has another shape, or not as many frames as the rule trains.
    """
    if trained is None and rule.trained is None:
        return all_trained(rule, frames)
    if trained is None:
        raise ValueError(f"trained must say which {rule.trained} of {frames} frames rule {rule} trains, not None")
    given = np.asarray(trained)
    if given.dtype != np.bool_:
        raise TypeError(f"trained must be an array of bool, not {given.dtype}")
    if given.shape != (frames,):
        raise ValueError(f"trained must have shape ({frames},), one for each frame, not {given.shape}")
    if rule.trained is not None and given.sum() != rule.trained:
        raise ValueError(f"trained must be {rule.trained} frames with rule {rule}, not {int(given.sum())}")
    if once_a_sample(rule) and not np.array_equal(given, all_trained(rule, frames)):
        raise ValueError(
            f"trained must be None with rule {rule}, whose errors go back once a sample, not {given.tolist()}"
        )
    return given

# SPDX-License-Identifier: Apache-2.0
"""Weights that bring errors from the last layer to each hidden layer: random ones (DFA), or learnt ones (OPZO).

OPZO estimates how each output depends on each neuron: noise moves the neuron's threshold up or down, and what the
output does then is correlated with the noise. Ours takes the output's delta for the output, and adds the correlation
once a batch; arXiv 2407.12516 takes the output at each step.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from backspike.golden.arithmetic import Arithmetic
from backspike.golden.forward import Trace
from backspike.golden.network import Network
from backspike.golden.neuron import NOISE
from backspike.golden.rules import Rule

__all__ = ["Feedback", "advance"]

_KEPT = 0.99  # of a learnt matrix after each batch
_GAIN = 0.16
_SPREAD = 1.0  # fixed feedback is uniform within +- this, over the square root of the outputs


def advance(states: np.ndarray) -> np.ndarray:
    """The next states of generators of 16 bits, none of them 0 (xorshift with shifts 7, 9, 8; period 65,535).

    Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8, 2003.
    """
    states = states ^ states << 7 & 0xFFFF
    states = states ^ states >> 9
    return states ^ states << 8 & 0xFFFF


class Feedback:
    """The matrices of a rule, and the noise from which they learn.

    Parameters
    ----------
    network : Network
        What is trained.
    rule : Rule
        With fixed or learned feedback.
    seed : int
        Of fixed matrices, and of the noise.
    batch : int
        Samples of a batch.
    arithmetic : Arithmetic
        How results are rounded.

    Raises
    ------
    ValueError
        With so many samples in a batch, what noise teaches is less than any number.

    Attributes
    ----------
    batch : int
        Samples of a batch.
    learned : bool
        Whether the matrices learn.
    kept, rate : float
        0.99 and c of ``learn``.
    matrices : list of array of float64 [outputs, N]
        One for each hidden layer; at first 0 where they are learned.
    states : list of array of int64 [N]
        Of each hidden layer's generators, one for each neuron.
    """

    def __init__(self, network: Network, rule: Rule, *, seed: int, batch: int, arithmetic: Arithmetic) -> None:
        generator = np.random.default_rng((seed, 1))
        hidden, outputs = network.layers[:-1], network.outputs
        self._arithmetic, self.batch, self.learned = arithmetic, batch, rule.feedback == "learned"
        bound = 0.0 if self.learned else _SPREAD / np.sqrt(outputs)
        self.matrices = [
            network.format.round(generator.uniform(-bound, bound, (outputs, layer.outputs))) + 0.0 for layer in hidden
        ]
        self.states = [generator.integers(1, 1 << 16, layer.outputs) for layer in hidden]
        rate = _GAIN / (NOISE * network.steps * batch)
        self.kept, self.rate = arithmetic.constant(_KEPT), arithmetic.constant(rate)
        if self.learned and not self.rate:
            raise ValueError(f"batch must be less in {network.format}, where {rate:g} rounds to zero, not {batch!r}")

    def noise(self, steps: int, samples: int) -> list[np.ndarray]:
        """What moves the thresholds of the next samples, by hidden layer: +1 or -1, [T, B, N].

        It is the low bit of each generator, which then goes on; so for each step of each sample, in order.
        """
        result = []
        for number in range(len(self.states)):
            signs = np.empty((samples * steps, len(self.states[number])))
            for index in range(samples * steps):
                signs[index] = np.where(self.states[number] & 1, 1.0, -1.0)
                self.states[number] = advance(self.states[number])
            result.append(signs.reshape(samples, steps, -1).transpose(1, 0, 2))
        return result

    def learn(self, noise: Sequence[np.ndarray], trace: Trace, deltas: np.ndarray) -> None:
        """``M = round(0.99 M + c round(P))``, P as ``correlations`` has it.

        Parameters
        ----------
        noise, trace, deltas
            As for ``correlations``.
        """
        for number, total in enumerate(self.correlations(noise, trace, deltas)):
            correlation = self._arithmetic.combine(total=total)
            terms = ((self.kept, self.matrices[number]), (self.rate, correlation))
            self.matrices[number] = self._arithmetic.combine(*terms)

    def correlations(self, noise: Sequence[np.ndarray], trace: Trace, deltas: np.ndarray) -> list[Any]:
        """P of each hidden layer: the sum of ``delta_i z_j`` over steps and samples where m_j = 1, not rounded.

        Outside of its mask a neuron spikes as it would without noise, and gets no errors.

        Parameters
        ----------
        noise : sequence of array [T, B, N]
            As ``noise`` gave it.
        trace : Trace
            Of the forward pass with it.
        deltas : array of float64 [T, B, outputs]
            Of the last layer.
        """
        values, totals = deltas.reshape(-1, deltas.shape[2]), []
        for signs, layer in zip(noise, trace.layers, strict=False):
            left = np.where(layer.masks, signs, 0.0).reshape(-1, signs.shape[2])
            total = self._arithmetic.correlate([(left, slice(0, len(left)))], values, 1)
            totals.append(self._arithmetic.map(total, np.transpose))
        return totals

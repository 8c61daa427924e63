# SPDX-License-Identifier: Apache-2.0
"""What an arithmetic may do in one go, in place of the steps in numpy that say what it is."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from backspike.golden import exact
from backspike.golden.constants import Training
from backspike.golden.layers import Layer
from backspike.golden.operands import Operand
from backspike.golden.rules import Rule

if TYPE_CHECKING:
    from backspike.golden.forward import LayerTrace
    from backspike.golden.neuron import State

__all__ = ["Passes"]


class Passes(ABC):
    """Passes over a layer, with the bits of the functions that ask for them.

    Each is ``None`` where it cannot be exact: the function then goes on in numpy.
    """

    @abstractmethod
    def run_layer(
        self, layer: Layer, weight: np.ndarray, spikes: np.ndarray, noise: np.ndarray | None, state: "State | None"
    ) -> "LayerTrace | None":
        """``forward.run_layer``."""

    @abstractmethod
    def layer_back(
        self, layer: Layer, traced: "LayerTrace", error: np.ndarray, rule: Rule, trained: np.ndarray | None
    ) -> np.ndarray | None:
        """``learning.layer_back``."""

    @abstractmethod
    def pass_back(self, layer: Layer, weight: np.ndarray, deltas: np.ndarray, masks: np.ndarray) -> np.ndarray | None:
        """``errors.pass_back``."""

    @abstractmethod
    def correlated(self, layer: Layer, given: np.ndarray, deltas: np.ndarray, operand: Operand) -> exact.Exact | None:
        """``gradients.correlated``."""

    @abstractmethod
    def update(
        self, weight: np.ndarray, velocity: np.ndarray, gradient: exact.Exact, constants: Training
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """``update.updated``."""

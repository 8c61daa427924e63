# SPDX-License-Identifier: Apache-2.0
"""A network as a PyTorch module, whose forward and backward passes are the chip's, bit for bit.

This file needs PyTorch; ``Model.to_torch`` loads it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from backspike.golden import learning
from backspike.golden.arithmetic import Arithmetic, Float64
from backspike.golden.constants import Training
from backspike.golden.engines import bit_exact
from backspike.golden.exact import Exact
from backspike.golden.trainer import Trainer
from backspike.host.training.training_spec import TrainingSpec

__all__ = ["ChipNetwork"]


class ChipNetwork(torch.nn.Module):
    """Output spikes [T, B, outputs] of input spikes [T, B, inputs], in float64.

    The passes take the parameters rounded to the chip's numbers, and give gradients for them as they are: an optimizer
    of PyTorch can move them by less than a step of the format. Gradients are those of the learning rule, exact sums.
    None goes back to the inputs, as on the chip.

    Parameters
    ----------
    spec : TrainingSpec
        What the network is, and its learning rule.
    weights : sequence of array
        Of each layer, in the order of its ``shape``: rows (input channel, kernel y, kernel x), then the bias; columns
        are output channels.
    exact : bool
        Whether the passes are the chip's; otherwise they are in float64, and nothing is rounded.
    classes : tuple of str or None
        Names of the classes, which are kept for ``Model.from_torch``.

    Attributes
    ----------
    weights : torch.nn.ParameterList
        The weights of each layer; those of a maximum pooling stay.

    Raises
    ------
    ValueError
        The rule goes back once a sample, from the labels, so that no gradient of a step can be given.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        weights: Sequence[np.ndarray],
        *,
        exact: bool = True,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__()
        rule = spec.learning_rule
        if rule.backward != "surrogate" or rule.step_updates or rule.feedback == "learned":
            raise ValueError(f"rule must have gradients of each step, such as bptt, sltt or ottt, not {rule}")
        self.spec, self.exact, self.classes = spec, exact, classes
        arithmetic: Arithmetic[Any] = bit_exact(spec.model.format) if exact else Float64()
        self._golden = Trainer(
            spec.model, Training(rate=1.0), weights=weights, rule=rule, feedback_seed=spec.seed, arithmetic=arithmetic
        )
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64), requires_grad=layer.learns)
            for layer, weight in zip(spec.model.layers, weights, strict=True)
        )

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """The output spikes, 0.0 or 1.0."""
        result: torch.Tensor = _Passes.apply(self, spikes, *self.weights)
        return result

    def loss(self, spikes: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The chip's rate loss of output spikes: its gradient is the error that the chip finds, summed over a batch."""
        rule = self.spec.learning_rule
        steps = 1 if rule.per_step else rule.frame_steps(self.spec.steps)
        wanted = steps * torch.nn.functional.one_hot(labels, spikes.shape[2])
        frames = spikes.reshape(-1, steps, *spikes.shape[1:]).sum(dim=1)
        return self.spec.error_scale / 2 * ((frames - wanted) ** 2).sum()

    def rounded(self) -> list[np.ndarray]:
        """The weights of each layer, rounded to the chip's numbers."""
        return [self.spec.model.format.round(weight.detach().numpy()) + 0.0 for weight in self.weights]


class _Passes(torch.autograd.Function):
    """The golden model's forward pass; its backward pass and the gradients."""

    @staticmethod
    def forward(ctx: Any, module: ChipNetwork, spikes: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        ctx.golden = module._golden
        ctx.used = module.rounded() if module.exact else [weight.detach().numpy().copy() for weight in weights]
        inputs = spikes.detach().numpy().astype(np.uint8)
        ctx.trace = learning.forward(ctx.golden.network, ctx.used, inputs, ctx.golden.arithmetic)
        return torch.from_numpy(ctx.trace.layers[-1].spikes.astype(np.float64))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        golden: Trainer = ctx.golden
        network, rule = golden.network, golden.rule
        deltas, _ = learning.backward(
            network,
            ctx.used,
            ctx.trace,
            golden.training,
            golden.arithmetic,
            errors=gradients[0].numpy(),
            rule=rule,
            feedback=golden.feedback.matrices if golden.feedback else (),
        )
        sums = learning.accumulate(network, ctx.trace, deltas, golden.arithmetic, rule=rule)
        return None, None, *(torch.from_numpy(_values(total) / rule.one(network)) for total in sums)


def _values(total: np.ndarray | Exact) -> np.ndarray:
    """Sums as float64."""
    return np.sum(total.parts, axis=0) if isinstance(total, Exact) else np.array(total)

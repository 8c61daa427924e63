# SPDX-License-Identifier: Apache-2.0
"""Batch norms of PyTorch networks, for which NIR has no node: folded into the layers before them."""

import copy
from typing import Any

__all__ = ["fold_batch_norm"]


def fold_batch_norm(net: Any) -> Any:
    """A copy of a ``torch.nn.Module`` in which each batch norm is part of the convolution or linear layer before it.

    What it does is what the network does after ``eval()``: with the mean and variance of the training.

    Parameters
    ----------
    net : torch.nn.Module
        Whose batch norms each follow a ``Conv2d`` or a ``Linear`` in a ``Sequential``, also SpikingJelly's.

    Raises
    ------
    ValueError
        A batch norm follows something else; the message names it.
    """
    import torch  # noqa: PLC0415 - an optional package

    net = copy.deepcopy(net).eval()
    norms = torch.nn.modules.batchnorm._BatchNorm
    for path, part in list(net.named_modules()):
        if not isinstance(part, torch.nn.Sequential):
            continue
        kept: dict[str, Any] = {}
        for name, module in part.named_children():
            before = next(reversed(kept.values()), None)
            if isinstance(module, norms):
                if not isinstance(before, torch.nn.Conv2d | torch.nn.Linear):
                    where = ".".join(filter(None, (path, name)))
                    raise ValueError(f"batch norm {where!r} must follow a Conv2d or a Linear, not {before!r}")
                _fold(torch, before, module)
            else:
                kept[name] = module
        for name in [name for name, _ in part.named_children() if name not in kept]:
            delattr(part, name)
    for path, part in net.named_modules():
        if isinstance(part, norms):
            raise ValueError(f"batch norm {path!r} must be in a Sequential, behind a Conv2d or a Linear")
    return net


def _fold(torch: Any, layer: Any, norm: Any) -> None:
    """Multiply a batch norm into a layer, in place."""
    with torch.no_grad():
        factor = (norm.running_var + norm.eps).rsqrt()
        factor = factor if norm.weight is None else factor * norm.weight
        shift = -norm.running_mean * factor
        shift = shift if norm.bias is None else shift + norm.bias
        bias = shift if layer.bias is None else layer.bias * factor + shift
        layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias = torch.nn.Parameter(bias)

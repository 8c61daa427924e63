# SPDX-License-Identifier: Apache-2.0
"""Batches for networks that snnTorch has made of a NIR graph."""

from typing import Any

__all__ = ["keep_batches"]


def keep_batches(net: Any) -> Any:
    """The network, whose layers ``Flatten`` now leave the samples of a batch apart.

    Shapes of NIR have no dimension for samples, so that a ``Flatten`` from dimension 0 means the first one of a sample.
    snnTorch's importer (1.0.0) takes it for that of the batch. Without this, such a network takes one sample at a time.

    Parameters
    ----------
    net : torch.nn.Module
        From ``snntorch.import_nir.import_from_nir``, as it came; it is changed itself.
    """
    from torch import nn  # noqa: PLC0415 - an optional package

    for module in net.modules():
        if isinstance(module, nn.Flatten):
            module.start_dim += module.start_dim >= 0
            module.end_dim += module.end_dim >= 0
    return net

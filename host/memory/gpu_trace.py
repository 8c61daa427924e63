# SPDX-License-Identifier: Apache-2.0
"""Bytes of DRAM that a training step of a network takes on a GPU, by PyTorch's operators and a model of its cache.

No GPU is needed: the operators run on PyTorch's device ``meta``, where tensors have shapes and no contents.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from backspike.golden.layers import Conv, Layer
from backspike.golden.network import Network
from backspike.host.memory.cache import Array, Cache

__all__ = ["gpu_traffic"]

_NUMBERS = {"fp32": torch.float32, "fp16": torch.float16}
_UNREAD = {"avg_pool2d_backward": 1}
"""Arguments of which an operator needs the shape alone."""


def gpu_traffic(network: Network, batch: int, *, numbers: str, cache: int, momentum: bool) -> dict[str, int]:
    """Bytes of a training step of so many samples: forward, backward through all time steps, update.

    Layers run one after the other for all time steps at once, and neurons are one kernel each way: it reads currents
    and writes spikes and potentials; back it reads errors and potentials and writes errors. It is the second step that
    is counted.

    Parameters
    ----------
    network : Network
        The layers.
    batch : int
        Samples.
    numbers : str
        ``"fp32"`` or ``"fp16"``: of all tensors, weights and velocities too.
    cache : int
        Bytes of the cache.
    momentum : bool
        Whether the update has velocities.

    Returns
    -------
    dict of str to int
        ``"read"`` and ``"written"`` bytes.
    """
    model, trace = Cache(cache), _Trace()
    trace.cache = model
    parameters = [
        torch.empty(shape, dtype=_NUMBERS[numbers], device="meta", requires_grad=True)
        for layer in network.layers
        for shape in _shapes(layer)
    ]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.875 if momentum else 0.0, foreach=True)
    for _ in range(2):
        before = model.read, model.written
        _step(network, batch, parameters, optimizer, trace)
    return {"read": model.read - before[0], "written": model.written - before[1]}


def _shapes(layer: Layer) -> Iterator[tuple[int, ...]]:
    """Of its weights, and of its bias if there is one."""
    if isinstance(layer, Conv):
        yield layer.out_channels, layer.in_channels, layer.kernel, layer.kernel
    else:
        yield layer.out_channels, layer.inputs
    if layer.bias:
        yield (layer.out_channels,)


def _step(
    network: Network, batch: int, parameters: list[torch.Tensor], optimizer: torch.optim.Optimizer, trace: "_Trace"
) -> None:
    """One training step, on spikes and targets that are new."""
    dtype, left, steps = parameters[0].dtype, iter(parameters), network.steps
    x = torch.empty((steps * batch, network.inputs), dtype=dtype, device="meta")
    target = torch.empty((batch, network.outputs), dtype=dtype, device="meta")
    with trace:
        for layer in network.layers:
            weight = next(left)
            bias = next(left) if layer.bias else None
            if isinstance(layer, Conv):
                x = x.reshape(-1, layer.in_channels, layer.in_height, layer.in_width)
                if layer.pool > 1:
                    x = functional.avg_pool2d(x, layer.pool)
                x = functional.conv2d(x, weight, bias, layer.stride, layer.padding)
            else:
                x = functional.linear(x.reshape(steps * batch, -1), weight, bias)
            x = _Neurons.apply(x, trace)
        rate = x.reshape(steps, batch, -1).mean(dim=0)
        functional.mse_loss(rate, target).backward()
        optimizer.step()
        optimizer.zero_grad()


class _Neurons(torch.autograd.Function):
    """A kernel for all time steps of a layer's neurons, and one back."""

    @staticmethod
    def forward(context: Any, currents: torch.Tensor, trace: "_Trace") -> torch.Tensor:
        spikes, potentials = torch.empty_like(currents), torch.empty_like(currents)
        trace.kernel([currents], [spikes, potentials])
        context.save_for_backward(potentials)
        context.trace = trace
        return spikes

    @staticmethod
    def backward(context: Any, errors: torch.Tensor) -> tuple[torch.Tensor, None]:
        (potentials,) = context.saved_tensors
        result = torch.empty_like(errors)
        context.trace.kernel([errors, potentials], [result])
        return result, None


class _Trace(TorchDispatchMode):
    """Streams the tensors of every operator through a cache."""

    cache: Cache

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[int, tuple[int, StorageWeakRef]] = {}
        self._names = itertools.count()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution_backward":
            self._convolution_backward(args, out)
        elif name.startswith("_foreach"):
            self._foreach(args, out)
        elif not name.startswith(("empty", "new_empty")):
            given = [arg for n, arg in enumerate(args) if n != _UNREAD.get(name)]
            self._operator(func, [*given, *(kwargs or {}).values()], args, out)
        return out

    def _operator(self, func: Any, given: list[Any], args: tuple[Any, ...], out: Any) -> None:
        """Views move nothing; what is changed in place is written as well as read."""
        reads = _tensors(given)
        changed = [
            arg
            for arg, schema in zip(args, func._schema.arguments, strict=False)
            if isinstance(arg, torch.Tensor) and schema.alias_info is not None and schema.alias_info.is_write
        ]
        inside = {_storage(tensor) for tensor in reads}
        made = [tensor for tensor in _tensors(out) if _storage(tensor) not in inside]
        if made or changed:
            self.kernel(reads, [*made, *changed])

    def _convolution_backward(self, args: tuple[Any, ...], out: Any) -> None:
        """A kernel for the errors of the inputs, and one for the gradients."""
        errors, inputs, weights = args[:3]
        of_inputs, of_weights, of_bias = out
        if of_inputs is not None:
            self.kernel([errors, weights], [of_inputs])
        self.kernel([errors, inputs], [tensor for tensor in (of_weights, of_bias) if tensor is not None])

    def _foreach(self, args: tuple[Any, ...], out: Any) -> None:
        """One tensor of each list after the other."""
        lists = [arg for arg in args if isinstance(arg, list | tuple)]
        for group in zip(*lists, strict=True):
            self.kernel(_tensors(group), [group[0]] if out is None else [])
        if out is not None:
            self.kernel([], _tensors(out))

    def kernel(self, reads: Iterable[torch.Tensor], writes: Iterable[torch.Tensor]) -> None:
        """A kernel that reads and writes these tensors."""
        self._forget()
        self.cache.stream(self._arrays(reads), self._arrays(writes))

    def _arrays(self, tensors: Iterable[torch.Tensor]) -> list[Array]:
        """Each of them once."""
        found = {self._name(tensor): tensor.numel() * tensor.element_size() for tensor in tensors}
        return [Array(name, size) for name, size in found.items()]

    def _name(self, tensor: torch.Tensor) -> int:
        storage = tensor.untyped_storage()
        key = _storage(tensor)
        if key not in self._live:
            self._live[key] = next(self._names), StorageWeakRef(storage)
        return self._live[key][0]

    def _forget(self) -> None:
        """Tensors that are gone leave the cache."""
        for key, (name, reference) in list(self._live.items()):
            if reference.expired():
                self.cache.free(name)
                del self._live[key]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]

# SPDX-License-Identifier: Apache-2.0
"""Networks as text: ``784-128-10``, or ``1x28x28-c16k3s2p1-a2-c32k3p1-64-10`` with convolutions.

Items are joined by ``-``. The first is the input, a number or a map ``CxHxW``; then each is a layer or a pooling:

* ``cNkK``, then ``sS`` and ``pP`` if they are not 1 and 0: a convolution with N kernels of K x K, stride S, padding P
* ``aP``: average pooling of P x P fields before the next layer
* ``N``: a fully connected layer of N neurons; behind a pooling, the kernel that covers the whole pooled map
"""

import re
from collections.abc import Sequence
from functools import partial

from backspike.golden.constants import Neuron
from backspike.golden.layers import Conv, Dense, Layer

__all__ = ["describe", "parse_layers"]

_NUMBER = r"[1-9][0-9]*"
_MAP = re.compile(f"({_NUMBER})x({_NUMBER})x({_NUMBER})", re.ASCII)
_CONV = re.compile(f"c({_NUMBER})k({_NUMBER})(?:s({_NUMBER}))?(?:p([0-9]+))?", re.ASCII)
_POOL = re.compile("a([2-9]|[1-9][0-9]+)", re.ASCII)
_DENSE = re.compile(_NUMBER, re.ASCII)
_RULE = (
    "sizes must be two or more items joined by '-': an input (784 or 1x28x28), then layers (128 or c16k3s2p1) "
    "and poolings before a layer (a2)"
)


def parse_layers(text: str, *, neuron: Neuron, bias: bool, last: Neuron | None = None) -> tuple[Layer, ...]:
    """The layers of a network.

    Parameters
    ----------
    text : str
        In the notation of this module.
    neuron : Neuron
        Constants of the neurons.
    bias : bool
        Whether all neurons have a bias.
    last : Neuron or None
        Constants of the last layer's neurons; ``None``: those of the others.

    Raises
    ------
    TypeError
        ``text`` is no string.
    ValueError
        ``text`` is not in the notation, or describes layers that do not fit.
    """
    if not isinstance(text, str):
        raise TypeError(f"sizes must be a string, not {text!r}")
    first, *words = text.split("-")
    given = _MAP.fullmatch(first)
    if not words or not (given or _DENSE.fullmatch(first)):
        raise ValueError(f"{_RULE}, not {text!r}")
    shape = (int(given[1]), int(given[2]), int(given[3])) if given else (int(first), 1, 1)
    pool = 1
    layers: list[Layer] = []
    for number, word in enumerate(words, start=1):
        if number == len(words):
            neuron = last or neuron
        if (match := _POOL.fullmatch(word)) and pool == 1 and word is not words[-1]:
            pool = int(match[1])
            continue
        try:
            layers.append(_layer(word, shape, pool, neuron, bias))
        except KeyError:
            raise ValueError(f"{_RULE}, not {text!r}: {word!r}") from None
        except ValueError as error:
            raise ValueError(f"{word} in {text}: {error}") from None
        shape, pool = layers[-1].out_map, 1
    return tuple(layers)


def _layer(word: str, shape: tuple[int, int, int], pool: int, neuron: Neuron, bias: bool) -> Layer:
    """The layer that a word describes behind a map; ``KeyError`` if the word describes none."""
    channels, height, width = shape
    conv = partial(Conv, in_channels=channels, in_height=height, in_width=width, pool=pool, neuron=neuron, bias=bias)
    if match := _CONV.fullmatch(word):
        count, kernel, stride, padding = match.groups()
        return conv(out_channels=int(count), kernel=int(kernel), stride=int(stride or 1), padding=int(padding or 0))
    if not _DENSE.fullmatch(word):
        raise KeyError(word)
    if pool == 1:
        return Dense(inputs=channels * height * width, outputs=int(word), neuron=neuron, bias=bias)
    if height != width:
        raise ValueError(f"the pooled map before a fully connected layer must be square, not {height} x {width}")
    return conv(out_channels=int(word), kernel=max(1, height // pool))


def describe(layers: Sequence[Layer]) -> str:
    """The notation of layers, without their neurons and biases."""
    first = layers[0]
    plain = isinstance(first, Dense)
    words = [str(first.inputs) if plain else "x".join(map(str, first.in_map))]
    for layer in layers:
        if layer.pool > 1:
            words.append(f"a{layer.pool}")
        if isinstance(layer, Dense) or (layer.pool > 1 and layer.whole):
            words.append(str(layer.out_channels))
            continue
        stride = f"s{layer.stride}" if layer.stride > 1 else ""
        padding = f"p{layer.padding}" if layer.padding else ""
        words.append(f"c{layer.out_channels}k{layer.kernel}{stride}{padding}")
    return "-".join(words)

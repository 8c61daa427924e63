# SPDX-License-Identifier: Apache-2.0
"""Networks as text: ``784-128-10``, or ``1x28x28-c16k3s2p1-a2-c32k3p1-64-10`` with convolutions.

Items are joined by ``-``. The first is the input, a number or a map ``CxHxW``; then each is a layer or a pooling:

* ``cNkK``, then ``sS`` and ``pP`` if they are not 1 and 0: a convolution with N kernels of K x K, stride S, padding P
* ``aP``: average pooling of P x P fields before the next layer
* ``mP``: maximum pooling of P x P fields, a layer of its own
* ``N``: a fully connected layer of N neurons; behind an average pooling, the kernel that covers the whole pooled map

A layer takes the spikes of the layer before. Behind it may stand ``@L``: it takes those of layer L; then ``+L``, as
often as needed: the spikes of layer L, of a map of the same size, are added to its inputs. Layers are counted from 1,
without average poolings: ``1x8x8-c8k3p1-c8k3p1-c8k3p1-c8k3p1+1-10`` has a block of two layers, and a shortcut past it.
"""

import re
from collections.abc import Sequence
from functools import partial

from backspike.golden.constants import Neuron
from backspike.golden.layers import Conv, Dense, Layer, MaxPool
from backspike.golden.sources import chain

__all__ = ["describe", "parse_layers"]

_NUMBER = r"[1-9][0-9]*"
_MAP = re.compile(f"({_NUMBER})x({_NUMBER})x({_NUMBER})", re.ASCII)
_CONV = re.compile(f"c({_NUMBER})k({_NUMBER})(?:s({_NUMBER}))?(?:p([0-9]+))?", re.ASCII)
_POOL = re.compile("a([2-9]|[1-9][0-9]+)", re.ASCII)
_MAX = re.compile("m([2-9]|[1-9][0-9]+)", re.ASCII)
_DENSE = re.compile(_NUMBER, re.ASCII)
_SOURCES = re.compile(f"([a-z0-9]+?)(?:@({_NUMBER}))?((?:\\+{_NUMBER})*)", re.ASCII)
_RULE = (
    "sizes must be two or more items joined by '-': an input (784 or 1x28x28), then layers (128 or c16k3s2p1), "
    "maximum poolings (m2) and average poolings before a layer (a2)"
)


def parse_layers(
    text: str, *, neuron: Neuron, bias: bool, last: Neuron | None = None
) -> tuple[tuple[Layer, ...], tuple[tuple[int, ...], ...]]:
    """The layers of a network, and the numbers from 0 of those whose spikes each takes, none for the first.

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
    sources: list[tuple[int, ...]] = []
    for number, word in enumerate(words, start=1):
        if number == len(words):
            neuron = last or neuron
        if (match := _POOL.fullmatch(word)) and pool == 1 and word is not words[-1]:
            pool = int(match[1])
            continue
        try:
            kind, taken = _taken(word, layers)
            layers.append(_layer(kind, layers[taken[0]].out_map if taken else shape, pool, neuron, bias))
        except KeyError:
            raise ValueError(f"{_RULE}, not {text!r}: {word!r}") from None
        except ValueError as error:
            raise ValueError(f"{word} in {text}: {error}") from None
        sources.append(taken)
        pool = 1
    return tuple(layers), tuple(sources)


def _taken(word: str, layers: Sequence[Layer]) -> tuple[str, tuple[int, ...]]:
    """A word without what says from where, and the numbers from 0 of the layers whose spikes it takes."""
    match = _SOURCES.fullmatch(word)
    if not match:
        raise KeyError(word)
    kind, base, added = match.groups()
    before = len(layers)
    named = [base or str(before), *added.split("+")[1:]]
    if not before and (base or added):
        raise ValueError("the first layer takes the inputs, and so must name no layer")
    for name in named if before else ():
        if not 1 <= int(name) <= before:
            raise ValueError(f"a layer before this one must be named, 1 to {before}, not {name}")
    taken = tuple(int(name) - 1 for name in named) if before else ()
    for number in taken:
        size, first = ("x".join(map(str, layers[n].out_map)) for n in (number, taken[0]))
        if size != first:
            raise ValueError(f"layers that are added must have equal maps, not {first} and {size}")
        if taken.count(number) > 1:
            raise ValueError(f"layer {number + 1} must be named once, and the layer before is taken without a name")
    return kind, taken


def _layer(word: str, shape: tuple[int, int, int], pool: int, neuron: Neuron, bias: bool) -> Layer:
    """The layer that a word describes behind a map; ``KeyError`` if the word describes none."""
    channels, height, width = shape
    conv = partial(Conv, in_channels=channels, in_height=height, in_width=width, pool=pool, neuron=neuron, bias=bias)
    if match := _CONV.fullmatch(word):
        count, kernel, stride, padding = match.groups()
        return conv(out_channels=int(count), kernel=int(kernel), stride=int(stride or 1), padding=int(padding or 0))
    if match := _MAX.fullmatch(word):
        if pool > 1:
            raise ValueError("an average pooling must stand before a layer that learns")
        return MaxPool(in_channels=channels, in_height=height, in_width=width, pool=int(match[1]))
    if not _DENSE.fullmatch(word):
        raise KeyError(word)
    if pool == 1:
        return Dense(inputs=channels * height * width, outputs=int(word), neuron=neuron, bias=bias)
    if height != width:
        raise ValueError(f"the pooled map before a fully connected layer must be square, not {height} x {width}")
    return conv(out_channels=int(word), kernel=max(1, height // pool))


def describe(layers: Sequence[Layer], sources: Sequence[tuple[int, ...]] | None = None) -> str:
    """The notation of layers and of what they take (``None``: of the layer before), but for neurons and biases."""
    first = layers[0]
    plain = isinstance(first, Dense)
    words = [str(first.inputs) if plain else "x".join(map(str, first.in_map))]
    for number, (layer, taken) in enumerate(zip(layers, sources or chain(len(layers)), strict=True)):
        if layer.pool > 1 and not isinstance(layer, MaxPool):
            words.append(f"a{layer.pool}")
        words.append(_word(layer) + _shown(number, taken))
    return "-".join(words)


def _word(layer: Layer) -> str:
    """The word of a layer alone."""
    if isinstance(layer, MaxPool):
        return f"m{layer.pool}"
    if isinstance(layer, Dense) or (layer.pool > 1 and layer.whole):
        return str(layer.out_channels)
    stride = f"s{layer.stride}" if layer.stride > 1 else ""
    padding = f"p{layer.padding}" if layer.padding else ""
    return f"c{layer.out_channels}k{layer.kernel}{stride}{padding}"


def _shown(number: int, taken: Sequence[int]) -> str:
    """What says from where a layer takes spikes: nothing, if that is the layer before."""
    if not taken:
        return ""
    base, *added = taken
    named = "" if base == number - 1 else f"@{base + 1}"
    return named + "".join(f"+{source + 1}" for source in added)

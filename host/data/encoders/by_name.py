# SPDX-License-Identifier: Apache-2.0
"""Encoders by name: ``NAME``, or ``NAME:NUMBER``, and ``+off`` behind it for inputs of small values too."""

from backspike.host.data.encoders.bits import Bits, Direct
from backspike.host.data.encoders.count import Count
from backspike.host.data.encoders.delta import Delta
from backspike.host.data.encoders.encoder import Encoder
from backspike.host.data.encoders.latency import Latency
from backspike.host.data.encoders.levels import Levels
from backspike.host.data.encoders.off import Off
from backspike.host.data.encoders.poisson import Poisson
from backspike.host.data.encoders.threshold import Threshold
from backspike.host.data.raw import RawData

__all__ = ["ENCODERS", "default_encoder", "encoder_named"]

ENCODERS: dict[str, type[Encoder]] = {
    kind.name: kind for kind in (Threshold, Count, Latency, Poisson, Levels, Delta, Bits, Direct)
}
"""By their names."""


def encoder_named(text: str) -> Encoder:
    """The encoder of a name; ``TypeError`` or ``ValueError`` where it is none."""
    if not isinstance(text, str):
        raise TypeError(f"encoder must be a string, not {text!r}")
    inner = text.removesuffix("+off")
    name, colon, number = inner.partition(":")
    if name not in ENCODERS or (colon and not (number.isascii() and number.isdecimal())):
        names = ", ".join(kind.name + (":N" if kind.numbers else "") for kind in ENCODERS.values())
        raise ValueError(f"encoder must be one of {names}, with +off behind it or not, not {text!r}")
    encoder = ENCODERS[name](int(number) if colon else None)
    return encoder if inner == text else Off(encoder)


def default_encoder(data: RawData) -> Encoder:
    """The encoder of data for which none is named: by threshold, of a table with ``+off``, and series in levels."""
    if data.kind == "series":
        return Levels()
    return Threshold() if len(data.shape) == 3 else Off(Threshold())

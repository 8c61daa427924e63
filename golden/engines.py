# SPDX-License-Identifier: Apache-2.0
"""Which program computes the bit-exact arithmetic: numpy, the reference, or compiled loops with the same bits."""

from typing import Literal, get_args

from backspike.golden.arithmetic import BitExact
from backspike.spec.formats import Format

__all__ = ["ENGINES", "Engine", "bit_exact"]

Engine = Literal["auto", "compiled", "numpy"]
"""``auto``: compiled where the package numba is there."""

ENGINES: tuple[Engine, ...] = get_args(Engine)


def bit_exact(number_format: Format, engine: Engine = "auto") -> BitExact:
    """The bit-exact arithmetic of an engine.

    Raises
    ------
    ValueError
        There is no such engine, or it needs a package that is missing.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    if engine != "numpy":
        try:
            from backspike.golden.compiled.arithmetic import CompiledExact  # noqa: PLC0415 - of an optional package

            return CompiledExact(number_format)
        except ImportError as error:
            if engine == "compiled":
                raise ValueError(
                    f"engine must be 'auto' or 'numpy' where numba cannot be imported ({error}), not 'compiled': "
                    "pip install 'backspike[fast]' brings it"
                ) from None
    return BitExact(number_format)

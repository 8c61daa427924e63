# SPDX-License-Identifier: Apache-2.0
"""Chips that train spiking neural networks: ``from backspike import Model``; see ``docs/python.md``.

The parts of the package are in the folders beside this one, and named ``backspike.golden`` and so on.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backspike.api import Model, Port, Simulated

__all__ = ["Model", "Port", "Simulated"]


def __getattr__(name: str) -> Any:
    """What ``backspike.api`` has, loaded when it is asked for: commands and parts of the package do not need it."""
    if name not in __all__:
        raise AttributeError(f"module 'backspike' has no attribute {name!r}")
    from backspike import api  # noqa: PLC0415

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

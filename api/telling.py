# SPDX-License-Identifier: Apache-2.0
"""What a training from Python tells: lines on the console, and calls after each epoch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backspike.host.training.training_log import TrainingLog

__all__ = ["Callback", "Telling"]

Callback = Callable[[dict[str, Any]], Any]
"""Called with an entry of the history; ``True`` where the training is to end."""


class Telling(TrainingLog):
    """A ``TrainingLog`` without a file.

    Parameters
    ----------
    progress : bool
        Whether there are lines on the console.
    callbacks : sequence of function
        Called after each epoch.
    """

    def __init__(self, progress: bool, callbacks: Sequence[Callback]) -> None:
        if not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
            raise TypeError(f"callbacks must be a list of functions, not {callbacks!r}")
        super().__init__()
        self._progress, self._callbacks = progress, callbacks
        self._stop = False

    def asked(self) -> bool:
        """Whether a callback has asked to end the training."""
        return self._stop

    def event(self, name: str, text: str | None = None, *, passing: bool = False, **values: Any) -> None:
        """A line on the console, and calls at the end of an epoch."""
        if text and self._progress and name != "batch":
            self.say(text)
        if name == "epoch":
            self._stop |= any([_asks(callback, values) for callback in self._callbacks])


def _asks(callback: Callback, values: dict[str, Any]) -> bool:
    """Whether a callback asks to end the training."""
    answer = callback(values)
    if answer is not None and not isinstance(answer, bool | np.bool_):
        raise TypeError(f"a callback must return True, False or nothing, not {answer!r}")
    return bool(answer)

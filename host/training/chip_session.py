# SPDX-License-Identifier: Apache-2.0
"""A network on a chip that is connected somehow.

The chip is an object with ``config``, its ``ChipConfig``, and ``run(operation)``, which runs an ``Operation`` of the
driver and returns its result.
"""

from backspike.host.compiler.compile import compile_network
from backspike.host.driver.driver import Driver, DriverError
from backspike.host.training.metrics import Score

__all__ = ["ChipFault", "ChipSession"]


class ChipFault(RuntimeError):
    """The chip, or the way to it, does not work. ``lost``: nothing can be sent to it any more."""

    def __init__(self, text, *, lost=False):
        super().__init__(text)
        self.lost = lost


class ChipSession:
    """A network on a chip: its driver, every problem of which is a ``ChipFault``.

    Parameters
    ----------
    chip: see the module
    course: ``Course``
    training: ``Training`` to begin with

    Raises
    ------
    TypeError, ValueError: course and chip do not fit together; ``CapacityError`` says what would
    """

    def __init__(self, chip, course, training):
        fmt = chip.config.format
        if course.model.format != fmt:
            raise ValueError(f"format of the network must be the chip's, {fmt}, not {course.model.format}")
        self.chip, self.course = chip, course
        self.plan = compile_network(course.model, training, chip.config, density=course.densities())
        self.driver = Driver(self.plan)

    def call(self, name, *arguments, **options):
        """Run a call of the driver; returns its result."""
        operation = None
        try:
            operation = getattr(self.driver, name)(*arguments, **options)
            return self.chip.run(operation)
        except (DriverError, TimeoutError) as error:
            raise ChipFault(str(error)) from error
        except (RuntimeError, OSError) as error:
            raise ChipFault(f"{name}: {error}", lost=True) from error
        finally:
            if operation:
                operation.cancel()

    def load(self, weights, velocities=None):
        """Load the network; velocities are 0 if they are not given, and not needed without momentum."""
        momentum = self.chip.config.momentum
        self.call("load", weights, velocities if momentum else None)

    def classify(self, spikes, labels, stop=lambda: False):
        """Classify samples: ``(Score, output spikes of each part)``; ``None`` where it was stopped."""
        score, parts = Score(self.course.steps), []
        for start in range(0, len(labels), self.course.batch):
            if stop():
                return None
            chosen = slice(start, start + self.course.batch)
            result = self.call("evaluate", spikes[:, chosen])
            parts.append(result.spikes)
            score += Score.of(result.counts, labels[chosen], self.course.steps)
        return score, parts

# SPDX-License-Identifier: Apache-2.0
"""Where a ``Model`` computes: in the golden model, on a simulated chip, on a chip at a serial port."""

import dataclasses
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from backspike.host.driver.checks import check_run
from backspike.host.training.chip_session import Chip
from backspike.host.training.port_chip import chip_on_port
from backspike.host.training.training_spec import TrainingSpec
from backspike.spec.checks import check_integer

__all__ = ["Backend", "Port", "Simulated", "check_backend"]


@dataclass(frozen=True)
class Simulated:
    """A chip that is generated for what is trained, and simulated: needs the extra ``sim``, and a C++ compiler.

    Simulations are thousands of times slower than chips. The first one of a chip builds a program, which takes a minute
    or more, and is kept.

    Parameters
    ----------
    cores : int
        Cores, in the most nearly square mesh.
    lanes : int
        Lanes of each engine.
    chip : dict
        Other fields of ``ChipConfig`` by name.
    """

    cores: int = 4
    lanes: int = 1
    chip: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_integer("cores", self.cores, 1)
        check_integer("lanes", self.lanes, 1)

    def open(self, spec: TrainingSpec) -> AbstractContextManager[Chip]:
        """The simulated chip for a training, while the context lasts."""
        from backspike.sim.remote.remote_chip import remote_chip  # noqa: PLC0415 - needs an extra
        from backspike.sim.run.scenario import Scenario  # noqa: PLC0415

        fields = {entry.name: getattr(spec, entry.name) for entry in dataclasses.fields(TrainingSpec)}
        sizes = {"cores": self.cores, "lanes": self.lanes, "chip": self.chip, "samples": 1, "tests": 1}
        config = Scenario(**fields | sizes).config
        fitted = spec.for_chip(config)  # what does not fit is refused before a program is built
        check_run(fitted.model, fitted.schedule()[0], config, batch=spec.batch, rule=spec.learning_rule)
        return remote_chip(config, seed=spec.seed)


@dataclass(frozen=True)
class Port:
    """A chip at a serial port: needs the extra ``fpga``.

    Parameters
    ----------
    port : str
        Name of the port, such as ``/dev/ttyUSB0``.
    baud : int
        Symbols per second, as the chip was built for.
    timeout : float
        Seconds after which a silent chip is given up.
    resend : float
        Seconds without an answer until something is sent again.
    """

    port: str
    baud: int = 1_000_000
    timeout: float = 30.0
    resend: float = 0.1

    def open(self, spec: TrainingSpec) -> AbstractContextManager[Chip]:
        """The chip at the port, while the context lasts."""
        return chip_on_port(self.port, self.baud, timeout=self.timeout, resend=self.resend)


Backend = Literal["golden"] | Simulated | Port
"""What a ``Model`` takes."""


def check_backend(backend: object) -> Backend:
    """The backend; ``TypeError`` or ``ValueError`` where it is none."""
    if backend == "golden":
        return "golden"
    if isinstance(backend, Simulated | Port):
        return backend
    text = "backend must be 'golden', Simulated(cores=4) or Port('/dev/ttyUSB0')"
    raise (ValueError if isinstance(backend, str) else TypeError)(f"{text}, not {backend!r}")

# SPDX-License-Identifier: Apache-2.0
"""A simulated chip behind a pseudo-terminal, which any program can open as it would open a board's serial port.

    python -m backspike.sim.serial.serial_chip /tmp/chip --columns 1 --rows 1 --flip 1e-4 --drop 1e-4
    # elsewhere: open_chip("/tmp/chip", 1_000_000, resend=1.0)

The simulation is some thousand times slower than a board, and times on the host's side must be longer accordingly.
"""

import argparse
import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backspike.hw.chip import Tile
from backspike.hw.serial import UartChip
from backspike.hw.verilog.emit import TILE_MODULE, to_verilog
from backspike.sim.verilator.runner import Built, build, default_seed, run
from backspike.spec.config import ChipConfig

__all__ = ["BAUD", "BIT_CYCLES", "build_serial_chip", "serial_chip"]

TOP = "backspike_uart_chip"
BIT_CYCLES = 4
BAUD = 1_000_000
_TIMEOUT = 0.005  # of the chip, in simulated seconds: 20,000 cycles


def build_serial_chip(config: ChipConfig, folder: Path) -> Built:
    """Build the simulation of a ``UartChip`` with bits of four clock cycles; returns what ``runner.build`` does."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    modules = {
        TILE_MODULE: Tile(config),
        TOP: UartChip(config, clock_hz=BIT_CYCLES * BAUD, baud=BAUD, tile_module=TILE_MODULE, timeout=_TIMEOUT),
    }
    sources = []
    for name, module in modules.items():
        sources.append(folder / f"{name}.v")
        sources[-1].write_text(to_verilog(module, name))
    return build(sources, TOP, folder / "build", blocks=(TILE_MODULE,) if config.cores > 1 else ())


@contextlib.contextmanager
def serial_chip(
    built: Built, port: Path | str, *, seed: int = 1, patience: float = 60.0, **damage: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Runs a simulation while the context lasts: ``(path of the port, what was seen)``.

    What was seen is a dict that is filled at the end: ``lamps``, those that were lit at any time (``"busy"``,
    ``"fault"``), and ``damages``, their number.

    Parameters
    ----------
    built : Built
        From :func:`build_serial_chip`.
    port : Path or str
        Path at which the pseudo-terminal appears (a symbolic link).
    seed : int
        Of the damage, and of the simulation's random contents.
    patience : float
        Seconds until the port must be there.
    **damage : object
        ``flip``, ``drop``, ``repeat``, ``cut``, ``cut_bytes`` as for :class:`~backspike.sim.serial.uart_line.Damage`,
        for each direction; ``vanish``: numbers of bytes from the host after which the port vanishes for a second.

    Raises
    ------
    RuntimeError
        The simulation ended by itself.
    """
    port = Path(port).absolute()
    stop = port.with_name(port.name + ".stop")
    stop.unlink(missing_ok=True)
    settings = json.dumps({"port": str(port), "stop": str(stop), "bit_cycles": BIT_CYCLES, **damage})
    problem: list[RuntimeError] = []
    seen: dict[str, Any] = {}

    def simulate() -> None:
        try:
            run(built, "backspike.sim.serial.bench_serial_chip", seed=seed, env={"BACKSPIKE_SERIAL": settings})
        except RuntimeError as error:
            problem.append(error)

    thread = threading.Thread(target=simulate, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + patience
        while not port.exists():
            if problem:
                raise problem[0]
            if time.monotonic() > end:
                raise RuntimeError(f"the simulated chip was not there after {patience:g} s")
            time.sleep(0.05)
        yield str(port), seen
    finally:
        stop.touch()
        thread.join()
        result = stop.read_text()
        stop.unlink()
    if problem:
        raise problem[0]
    seen.update(json.loads(result))


def main() -> None:
    """Simulate a chip until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the simulation must end with this process
    parser = argparse.ArgumentParser(
        prog="python -m backspike.sim.serial.serial_chip", description=main.__doc__, allow_abbrev=False
    )
    parser.add_argument("port", help="path of the pseudo-terminal to make")
    parser.add_argument("--folder", default="build/serial_chip", help="for what is built (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--chip", type=json.loads, default={}, help="other fields of ChipConfig, as JSON")
    for name in ("flip", "drop", "repeat", "cut"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="chance for each byte")
    options = vars(parser.parse_args())
    port, folder = options.pop("port"), options.pop("folder")
    mesh = {name: options.pop(name) for name in ("columns", "rows")}
    config = ChipConfig.from_dict(mesh | options.pop("chip"))
    built = build_serial_chip(config, folder)
    with contextlib.suppress(KeyboardInterrupt), serial_chip(built, port, seed=default_seed(), **options):
        print(f"{config} on {port}")
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()

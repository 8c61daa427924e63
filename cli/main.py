# SPDX-License-Identifier: Apache-2.0
"""The ``backspike`` command: its parser and its exit codes. The commands are in the files of their names."""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Any

from backspike.cli.interruption import Terminated, terminable

__all__ = ["COMMANDS", "main", "make_parser"]

COMMANDS = {
    "verilog": "write a chip as Verilog",
    "sim": "train a network on a simulated chip, and compare with the golden model",
    "bench": "measure networks on simulated chips",
    "boards": "list the FPGA boards",
    "bitstream": "turn a chip into a bitstream for an FPGA board",
    "synth": "area and clock of a chip's units",
    "asic": "area, delay and switching energy of a chip's units in standard cells",
    "train": "train a network on a chip over a serial port",
    "evaluate": "classify test samples on a chip over a serial port",
    "nir": "networks from and to files of other programs (NIR)",
    "memory": "bytes of a training sample, in the phases of a network that does not fit",
    "data": "show what was understood of data, and which network and chip fit them",
    "golden": "train the golden model alone; print accuracy, speed and activity",
    "federated": "workers with data of their own learn one network together, with Flower",
    "energy": "energy per training sample, from the counters of a report",
}
"""What each command does. Its file has ``DESCRIPTION``, ``EXTRA``, ``add_options(parser)`` and ``run(arguments)``."""


class _CommandParser(argparse.ArgumentParser):
    """Of a command: an option that it has not is told with its own usage, and with the option that is most like it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # called by the parser above it
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            like = difflib.get_close_matches(name, self._option_string_actions, 1)
            hint = f"; did you mean {like[0]}?" if like else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"backspike.cli.{command}")


def make_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser; only the command that is chosen is loaded and has its options.

    Nothing may be abbreviated: an option that is misspelled would be taken for another one.
    """
    parser = argparse.ArgumentParser(
        prog="backspike",
        description="Chips that train spiking neural networks by back-propagation.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"backspike {version('backspike')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_CommandParser)
    for name, text in COMMANDS.items():
        if name != chosen:
            commands.add_parser(name, help=text, allow_abbrev=False)
            continue
        module = _module(name)
        module.add_options(commands.add_parser(name, help=text, description=module.DESCRIPTION, allow_abbrev=False))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code.

    0 done; 1 chip and golden model differ, or a real chip does not work; 2 impossible request; 3 a tool or the
    simulation failed; 130 interrupted; 141 nobody reads the output any more; 143 terminated.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((word for word in given if not word.startswith("-")), None)
    prefix, extra = "backspike", None
    try:
        with terminable():
            parsed = make_parser(chosen).parse_args(given)
            prefix = f"backspike {parsed.command}"
            module = _module(parsed.command)
            extra = module.EXTRA
            code = module.run(parsed)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # Python flushes once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Terminated:
        problem, code = "terminated", 143
    except KeyboardInterrupt:
        problem, code = "interrupted", 130
    except ModuleNotFoundError as error:
        problem, code = str(error), 2
        if error.name and extra:
            problem = f"{error.name} is missing; install the package with its extra {extra!r}"
    except (RuntimeError, TimeoutError) as error:
        problem, code = str(error), getattr(error, "exit_code", 3)
    except (ValueError, TypeError, OSError) as error:
        problem, code = str(error), 2
    print(f"{prefix}: {problem}", file=sys.stderr)
    return code

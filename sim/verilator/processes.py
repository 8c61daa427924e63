# SPDX-License-Identifier: Apache-2.0
"""Commands that do not outlive the program that has started them, however that ends."""

import subprocess
from collections.abc import Sequence
from typing import Any

__all__ = ["run_command"]

# Waits for a word. Where the pipe ends without one, so has the program: the command's group is asked to end, which lets
# compilers remove half-written files, and killed where it does not.
_KEEPER = """
read -r word && exit
kill -s TERM -- "-$0"
for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -s 0 -- "-$0" || exit; sleep 0.1; done
kill -s KILL -- "-$0"
"""


def run_command(command: Sequence[str], *, limit: float | None = None, **options: Any) -> int:
    """Run a command and wait for its end.

    It runs in a session of its own, so that Ctrl-C reaches the caller alone. A shell watches the caller through a pipe:
    when the caller is interrupted, terminated or killed, everything that the command has started is ended, too.

    Parameters
    ----------
    command : list of str
    limit : float or None
        Seconds after which the command is ended.
    options : dict
        As for ``subprocess.Popen``: ``cwd``, ``env``, ``stdout``, ``stderr``.

    Returns
    -------
    int
        The exit code; the negative number of the signal that has ended the command, if one has.

    Raises
    ------
    TimeoutError
        The command has not ended within the limit.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    keeper = subprocess.Popen(
        ["sh", "-c", _KEEPER, str(process.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert keeper.stdin is not None
    try:
        code = process.wait(limit)
        keeper.stdin.write(b"done\n")
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{command[0]} has not ended within {limit:g} s") from None
    finally:
        keeper.stdin.close()
        process.wait()
        keeper.wait()
    return code

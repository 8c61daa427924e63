# SPDX-License-Identifier: Apache-2.0
"""Order of the tests, which of them share a process, and their seed."""

import os
import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script, where no test could interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as below nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

LONG = (
    "test_chip_training.py",
    "test_contract.py",
    "test_simulated_training.py",
    "test_benchmark.py",
    "test_engines.py",
    "test_serial_training.py",
    "test_uart.py",
    "test_updates.py",
    "test_core.py",
    "test_serial_chip.py",
    "test_elementwise.py",
)
"""Files with the longest tests, in that order: begun last, one would keep a single process busy at the end."""


def pytest_report_header():
    return f"seed of random stimuli: {os.environ.get('BACKSPIKE_SEED', '1')} (BACKSPIKE_SEED sets it)"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Sort the tests, and name groups for ``--dist loadgroup``: what shares fixtures stays in one process.

    A file is a group. Where its tests share nothing, as units that are built each on their own, or a fixture that is
    made for each of several chips, the tests of one such unit or chip are.
    """
    items.sort(key=_place)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _place(item):
    """Long files first; then other simulations; then the rest, in its order."""
    long = LONG.index(item.path.name) if item.path.name in LONG else len(LONG)
    return long, item.path.parent.name not in ("sim", "hw")


def _group(item):
    """The file; with the parameter that all its tests have, or the test, if tests of the file share no fixture."""
    file = str(item.path.relative_to(item.config.rootpath))
    shared = [
        name
        for name, definitions in item._fixtureinfo.name2fixturedefs.items()
        if definitions[-1].scope in ("module", "package") and definitions[-1].baseid == file
    ]
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if shared or item.path.name not in LONG:
        words = [file, *(str(parameters[name]) for name in shared if name in parameters)]
    else:
        words = [item.nodeid]
    return " ".join(words).translate({ord(character): "_" for character in "@[]"})  # which have a meaning for xdist

# SPDX-License-Identifier: Apache-2.0
"""``backspike memory``: what it says of networks and batches that the chip cannot run."""

import pytest

from backspike.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["64-10", "--batch=100000"],
            "in phases: batch is 100000 and the chip's gradients hold 16384 samples of this network: use batch=16384",
        ),
        (["64-100000000-10"], "in phases: layer 1 does not fit on 4 cores of 16,384 weights: use smaller layers"),
    ],
)
def test_memory_says_in_a_moment_why_there_are_no_phases(arguments, text, capsys):
    assert main(["memory", *arguments]) == 2
    told = capsys.readouterr().out
    assert told.startswith(text) and "memory node" in told and "in phases  " not in told

# SPDX-License-Identifier: Apache-2.0
"""What options give to a training."""

from argparse import ArgumentParser

import pytest

from backspike.cli.options import add_training_options, given_training


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (["--rule=ottt"], {"rule": "ottt"}),
        (["--rule=ottt-o"], {"rule": "ottt-o", "batch": 1, "update": "lion"}),
        (["--rule=ottt-o", "--update=sign"], {"rule": "ottt-o", "batch": 1, "update": "sign"}),
        (["--rule=ottt-o", "--momentum=0.5"], {"rule": "ottt-o", "batch": 1, "momentum": 0.5}),
    ],
)
def test_updates_after_each_step_have_defaults_of_their_own(options, given):
    parser = ArgumentParser()
    add_training_options(parser, samples="", tests="")
    assert given_training(parser.parse_args(options)) == given

# SPDX-License-Identifier: Apache-2.0
"""``backspike golden`` takes the defaults, and says why a network does not learn."""

from argparse import ArgumentParser

import pytest

from backspike.cli import golden


def told(capsys, *options):
    parser = ArgumentParser()
    golden.add_options(parser)
    assert golden.run(parser.parse_args(["--arithmetic=float64", "--hidden=16", *options])) == 0
    return capsys.readouterr().out


def test_what_keeps_the_network_from_learning_is_said(capsys):
    assert "  warning: " in told(capsys, "--rate=64", "--epochs=1", "--samples=200", "--tests=50")
    assert "  warning: " not in told(capsys, "--epochs=3", "--tests=50")


def test_few_samples_get_more_epochs(capsys):
    text = told(capsys, "--samples=400", "--tests=20")
    assert "  epoch 24: " in text and "epoch 25" not in text


def test_a_file_that_cannot_be_written_is_refused_before_the_training(capsys, tmp_path):
    with pytest.raises(OSError, match=f"^json must be a file that can be written, not '{tmp_path}': Is a directory$"):
        told(capsys, f"--json={tmp_path}")
    assert not capsys.readouterr().out

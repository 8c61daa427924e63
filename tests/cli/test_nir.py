# SPDX-License-Identifier: Apache-2.0
"""``backspike nir``: files in and out, and what is said about them."""

from pathlib import Path

import pytest

from backspike.cli.main import main
from backspike.host.training.checkpoint import read_spec

FILES = Path(__file__).parents[1] / "data" / "nir"


def test_import_says_what_became_of_each_node(tmp_path, capsys):
    given, save = FILES / "two_lif_neurons.nir", tmp_path / "two.npz"
    options = ["--steps=1000", "--reset=subtract", "--fire=>="]
    assert main(["nir", "import", str(given), f"--save={save}", *options]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{given}: network 1-1-1, in steps of 0.0001",
        "layer 0: linear1 + lif1: dense, 1 inputs, 1 neurons",
        "  leak 0.99, threshold 1, reset less the threshold, fires at u >= threshold",
        "  rounded to the format: largest move of a weight 2.14e-06 thresholds; leak +0.000234, threshold +0",
        "layer 1: linear2 + lif2: dense, 1 inputs, 1 neurons",
        "  leak 0.99, threshold 20, reset less the threshold, fires at u >= threshold",
        "  rounded to the format: largest move of a weight 1.07e-07 thresholds; leak +0.000234, threshold +0",
        "layer 0: rounding adds or takes 254 spikes, beside 128, in 16 samples",
        "layer 1: rounding adds or takes 0 spikes, beside 0, in 16 samples",
        f"{save}: weights and network, T = 1000, for --load",
    ]
    assert [layer.neuron.soft for layer in read_spec(save).model.layers] == [True, True]


def test_export_and_import_again(tmp_path, capsys):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    main(["nir", "import", str(FILES / "lif_norse.nir"), f"--save={first}", "--dt=1e-3"])
    capsys.readouterr()
    assert main(["nir", "export", str(first), "--dt=1e-3"]) == 0
    told = capsys.readouterr().out
    assert told == (
        f"{tmp_path / 'a.nir'}: network 1-1, in steps of 0.001\na reader must know what NIR has no word for: T = 4, "
        "hard reset, neurons fire above the threshold\n"
    )
    assert main(["nir", "import", str(tmp_path / "a.nir"), f"--save={second}", "--dt=1e-3"]) == 0
    assert read_spec(first).model.layers[0].neuron.rounded(read_spec(first).model.format) == (
        read_spec(second).model.layers[0].neuron.rounded(read_spec(first).model.format)
    )


@pytest.mark.parametrize(
    "words, text",
    [
        (["import", "{}/braille_noDelay_bias_zero.nir"], "node 'lif1.w_rec' is part of a loop"),
        (["import", "{}/README.md"], "is not a NIR file that the package nir can read"),
        (["import", "{}/none.nir"], "none.nir is not a file"),
        (["import", "{}/lif_norse.nir", "--dt=0.1"], "node '1': dt must be at most its smallest tau, 0.0024999"),
        (["export", "{}/lif_norse.nir", "--save=x.h5"], "save must end in .nir, not 'x.h5': use --save x.h5.nir"),
        (["import", "{}/lif_norse.nir", "--save={}/README.npz.txt"], "save must end in .npz"),
        (["export", "{}/README.md", "--save={}/lif_norse.nir"], "lif_norse.nir exists: use --overwrite"),
    ],
)
def test_what_is_wrong_is_said(words, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["nir", *(word.format(FILES) for word in words)]) == 2
    assert text in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""Bytes of a training step on a GPU, from PyTorch's operators: counts by hand, and those of docs/memory.md."""

import re

import pytest

from backspike.cli.main import main
from backspike.golden.network import Network

pytest.importorskip("torch", reason="SKIPPED without PyTorch: nothing was traced")

from backspike.host.memory.gpu_trace import gpu_traffic

VGG = "3x32x32-c64k3p1-a2-c128k3p1-a2-c256k3p1-c256k3p1-a2-c512k3p1-c512k3p1-a2-c512k3p1-c512k3p1-a2-10"


def bytes_of(network, batch, cache, numbers="fp32", **options):
    moved = gpu_traffic(network, batch, numbers=numbers, cache=cache, **{"momentum": True, **options})
    return moved["read"], moved["written"]


def test_a_large_cache_leaves_what_is_new_in_each_step():
    """Inputs and targets are read; all else has stayed there since the step before, or is gone."""
    network = Network.parse("64-128-10", steps=4)
    assert bytes_of(network, 16, 1 << 30) == (4 * 16 * (4 * 64 + 10), 0)
    assert bytes_of(network, 16, 1 << 30, "fp16") == (2 * 16 * (4 * 64 + 10), 0)


def test_without_a_cache_every_operator_counts():
    """Of one dense layer, T = 1, by hand: in units of weights W, inputs I, outputs O of a batch, 4 bytes each.

    Forward reads I W, writes O; neurons read O, write O O; the loss and its way back are small. Neurons read O O and
    write O; gradients read O I and write W; the momentum reads and writes V, then adds G, then changes the weights.
    """
    batch, inputs, outputs = 8, 4096, 2048
    network = Network.parse(f"{inputs}-{outputs}", steps=1)
    read, written = bytes_of(network, batch, 1)
    w, i, o = inputs * outputs, batch * inputs, batch * outputs
    assert 4 * (6 * w + 2 * i + 5 * o) <= read <= 4 * (6 * w + 2 * i + 14 * o)
    assert 4 * (4 * w + 4 * o) <= written <= 4 * (4 * w + 12 * o)
    plain = bytes_of(network, batch, 1, momentum=False)
    assert (read - plain[0], written - plain[1]) == (4 * 3 * w, 4 * 2 * w)


@pytest.mark.parametrize(
    ("batch", "numbers", "cache", "megabytes"),
    [
        (16, "fp32", 40, 34.6),
        (16, "fp16", 40, 10.8),
        (16, "fp32", 20, 41.3),
        (16, "fp16", 20, 17.3),
        (32, "fp32", 40, 28.1),
        (32, "fp16", 40, 9.0),
    ],
)
def test_the_deep_network_of_the_page(batch, numbers, cache, megabytes):
    moved = bytes_of(Network.parse(VGG, steps=4), batch, cache * 1_000_000, numbers)
    assert sum(moved) / batch / 1e6 == pytest.approx(megabytes, abs=0.1)


def test_a_small_network_gets_no_percentage(capsys):
    assert main(["memory", "64-128-10", "--cores=1", "--weights=2368", "--gpu"]) == 0
    table = capsys.readouterr().out.split("the same step on a GPU")[1]
    assert len(re.findall("both negligible +both negligible$", table, re.MULTILINE)) == 4


def test_other_rules_are_refused(capsys):
    assert main(["memory", "64-128-10", "--rule=sltt", "--gpu"]) == 2
    assert "gpu must be left out with rule sltt: what is modelled is bptt" in capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""Bytes of a batch from the shapes: by hand for a small network, and for networks that are never simulated."""

import pytest

from backspike.golden.network import Network, Training
from backspike.host.compiler.phases.cut import compile_program
from backspike.host.memory.formula import Counted, evaluation_traffic, node_traffic, training_traffic
from backspike.host.memory.traffic import Traffic
from backspike.spec.config import ChipConfig

VGG = "3x32x32-c64k3p1-a2-c128k3p1-a2-c256k3p1-c256k3p1-a2-c512k3p1-c512k3p1-a2-c512k3p1-c512k3p1-a2-10"


def program(sizes, **options):
    fields = {name: options.pop(name) for name in ("columns", "rows", "weights", "momentum") if name in options}
    return compile_program(Network.parse(sizes), Training(rate=0.0625), ChipConfig(**fields), **options)


def test_bytes_of_two_layers_by_hand():
    """Layer 0 in two tiles of 10 outputs, layer 1 in one."""
    found = program("20-20-6", columns=1, rows=1, weights=200)
    assert [len(phase.tiles) for phase in found.phases] == [2, 1]
    batch, steps = 3, 4
    inputs, hidden = steps * 3, 2 * steps * 2  # bytes of a sample: 20 bits; twice 10 bits
    counted = Counted(asked=(0, 77), nonzero=(0, 50))
    assert training_traffic(found, batch, counted) == Traffic(
        weights=2 * (400 * 3 + 120 * 2),
        velocities=2 * (400 * 2 + 120 * 2),
        spikes=batch * (2 * inputs + hidden + hidden + 2 * inputs),
        masks=batch * 2 * hidden,
        errors=2 * (batch * hidden + 2 * 50),
        sums=0,
    )
    assert evaluation_traffic(found, batch) == Traffic(
        weights=2 * 520, spikes=batch * (2 * inputs + 2 * hidden), masks=batch * hidden
    )


def test_sums_of_errors_are_kept_until_the_last_tile():
    """Of three tiles the first writes the sums, the second reads and writes, the third reads."""
    found = program("4-20-6", columns=1, rows=1, weights=44)
    assert [len(phase.tiles) for phase in found.phases] == [2, 3]
    counted = Counted(asked=(0, 100), nonzero=(0, 0))
    assert training_traffic(found, 1, counted).sums == 4 * 12 * 100


def test_without_momentum_there_are_no_velocities():
    found = program("20-20-6", columns=1, rows=1, weights=200, momentum=False)
    assert training_traffic(found, 3, Counted(asked=(0, 0), nonzero=(0, 0))).velocities == 0


def test_a_network_that_fits_moves_its_inputs_alone():
    assert training_traffic(program("20-20-6"), 5, Counted(asked=(0,), nonzero=(0,))) == Traffic(spikes=5 * 4 * 3)


@pytest.mark.parametrize(
    ("weights", "batch", "megabytes"),
    [
        *((8192, 16, 8.11), (8192, 32, 5.23), (8192, 128, 3.06)),
        *((131072, 16, 7.03), (131072, 32, 4.14), (131072, 128, 1.98)),
    ],
)
def test_bytes_of_a_deep_convolutional_network(weights, batch, megabytes):
    found = node_traffic(Network.parse(VGG), 20 * weights, batch, momentum=True, nonzero=0.3)
    assert round(found.total / batch / 1e6, 2) == megabytes

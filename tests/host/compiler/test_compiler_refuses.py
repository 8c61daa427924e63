# SPDX-License-Identifier: Apache-2.0
"""What the compiler refuses, word by word, and that the remedies it names are ones."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backspike.golden.network import Network, Training
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.cost_model import Density
from backspike.host.compiler.partition import Piece
from backspike.host.compiler.strategies import path
from backspike.spec.config import ChipConfig, mesh_shape
from backspike.spec.formats import BINARY16, Format

TRAINING = Training(rate=0.5)


def compiled(sizes="6-5", training=TRAINING, options=None, steps=4, **config):
    return compile_network(Network.parse(sizes, steps=steps), training, ChipConfig(**config), **(options or {}))


@pytest.mark.parametrize(
    ("sizes", "config", "message"),
    [
        (
            "784-256-128-10",
            {"weights": 8192},
            "layer 0 needs 200,704 weights on 4 cores of 8,192: use at least 30 cores or weights=58800",
        ),
        (
            "784-256-128-10",
            {"weights": 1024, "columns": 8, "rows": 8, "fan_in": 64},
            "layer 0 needs 200,704 weights on 64 cores of 1,024: use weights=3920",
        ),
        (
            "64-64-64",
            {"weights": 4608, "columns": 1, "rows": 1},
            "layer 1 needs 4,096 weights on 1 core of 4,608 that hold the layers before it: use at least 2 cores or "
            "weights=8192",
        ),
        (
            "64-600-10",
            {"weights": 65536, "neurons": 128},
            "layer 0 needs 600 neurons on 4 cores of 128: use at least 5 cores or neurons=153",
        ),
        ("4000-10", {"weights": 131072}, "layer 0 does not fit on 4 cores of 64 tape words: use tape_words=125"),
        (
            "64-32-32-32-32-10",
            {"columns": 1, "rows": 1},
            "layer 4 does not fit on 1 core of 4 slices: use at least 2 cores or slices=5",
        ),
        (
            "64-600-10",
            {"weights": 8192, "neurons": 128},
            "layer 0 does not fit on 4 cores of 8,192 weights and 128 neurons: use at least 6 cores or weights=11136 "
            "and neurons=174",
        ),
        ("5000-10", {}, "layer 0 does not fit on 4 cores of 64 tape words: use tape_words=157"),
        (
            "1x28x28-c10k3-a2-c10k3-10",
            {"neurons": 1000},
            "layer 0 does not fit on 4 cores of 1,000 neurons and 64 tape words: use neurons=2028 and tape_words=277",
        ),
        (
            "1x28x28-c4k3p1-a2-64-10",
            {},
            "layer 0 does not fit on 4 cores of 256 neurons, 64 tape words and 4 slices: use neurons=3140, "
            "tape_words=413 and slices=5",
        ),
        (
            "20000-10",
            {},
            "layer 0 does not fit on 4 cores of 16,384 weights: use smaller layers, as no chip of so many cores can "
            "hold this network",
        ),
    ],
)
def test_capacity_advice(sizes, config, message):
    with pytest.raises(CapacityError, match=f"^{re.escape(message)}$"):
        compiled(sizes, **config)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.lists(st.integers(1, 300), min_size=2, max_size=4).map(lambda sizes: "-".join(map(str, sizes))),
        st.sampled_from(["1x12x12-c8k3p1-a2-c12k3p1-40-10", "2x16x16-c6k5s2p2-c10k3-a2-20-10", "3x9x9-c40k1-64-10"]),
    ),
    st.sampled_from([1, 2, 8]),
    st.integers(1, 4),
)
def test_each_remedy_is_enough(sizes, lanes, cores):
    network = Network.parse(sizes)
    columns, rows = mesh_shape(cores)
    chip = {
        "columns": columns,
        "rows": rows,
        "lanes": lanes,
        "weights": 2048,
        "neurons": 64,
        "tape_words": 12,
        "routes": 128,
    }
    try:
        compile_network(network, TRAINING, ChipConfig(**chip))
    except CapacityError as error:
        if more := re.search(r"at least (\d+) cores", str(error)):
            columns = next(n for n in range(1, 9) if n * 8 >= int(more[1]))
            larger = ChipConfig(**{**chip, "columns": columns, "rows": 8, "routes": 256})
            compile_network(network, TRAINING, larger)
        if changes := {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", str(error))}:
            compile_network(network, TRAINING, ChipConfig(**{**chip, **changes}))


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (
            CapacityError,
            {"training": Training(rate=0.5, momentum=0.5), "momentum": False},
            "momentum is 0.5 and the chip has no velocity memory: use momentum=0 in the training, or a chip with "
            "momentum=True",
        ),
        (
            CapacityError,
            {"training": Training(rate=0.5, update="lion"), "momentum": False},
            "update is 'lion', momentum is 0.984375 and the chip has no velocity memory: use update='sign' and "
            "momentum=0 in the training, or a chip with momentum=True",
        ),
        (
            CapacityError,
            {"training": Training(rate=0.5, update="sign"), "momentum": False},
            "update is 'sign', momentum is 0.984375 and the chip has no velocity memory: use momentum=0 in the "
            "training, or a chip with momentum=True",
        ),
        (
            CapacityError,
            {"steps": 5},
            "the network has 5 steps and the chip holds 4: use a network of at most 4 steps, or a chip with steps=5, "
            "or rule tbptt:1",
        ),
        (
            CapacityError,
            {"steps": 300},
            "the network has 300 steps and the chip holds 4: use a network of at most 4 steps, or rule tbptt:4",
        ),
        (
            ValueError,
            {"format": Format(exponent=4, mantissa=3)},
            "network.format must be the chip's, Format(exponent=4, mantissa=3), not Format(exponent=5, mantissa=10)",
        ),
        (
            ValueError,
            {"options": {"strategy": "best"}},
            "strategy must be 'balanced', 'shuffled' or a list of Piece, not 'best'",
        ),
        (TypeError, {"options": {"strategy": 3}}, "strategy must be 'balanced', 'shuffled' or a list of Piece, not 3"),
        (TypeError, {"options": {"strategy": [3]}}, "strategy must be a list of Piece, not 3"),
        (ValueError, {"options": {"loss": "mse"}}, "loss must be 'rate' or 'external', not 'mse'"),
        (ValueError, {"options": {"cores": 5}}, "cores must be 1 to 4 on this chip, not 5"),
        (TypeError, {"options": {"cores": 2.0}}, "cores must be an integer, not 2.0"),
        (TypeError, {"options": {"seed": "a"}}, "seed must be an integer, not 'a'"),
        (TypeError, {"options": {"density": 0.5}}, "density must be a Density, one for each layer, or None, not 0.5"),
        (
            ValueError,
            {"options": {"density": [Density()] * 3}},
            "density must have one Density for each of 1 layers, not 3",
        ),
        (TypeError, {"training": None}, "training must be a Training, not None"),
        (
            ValueError,
            {"options": {"strategy": [Piece(0, 2, 0, 0, 5)]}},
            "placement must use cores of the 2 x 2 mesh, not (2, 0)",
        ),
        (ValueError, {"options": {"strategy": [Piece(1, 0, 0, 0, 5)]}}, "placement must name layers 0 to 0, not 1"),
        (
            ValueError,
            {"options": {"strategy": [Piece(0, 0, 0, 0, 4)]}},
            "placement must hold all 5 channels of layer 0, not 4",
        ),
        (
            ValueError,
            {"options": {"strategy": [Piece(0, 0, 0, 0, 2), Piece(0, 1, 0, 3, 2)]}},
            "placement must hold every channel of layer 0 once, which 2 is not",
        ),
        (
            CapacityError,
            {"options": {"strategy": [Piece(0, 0, 0, n, 1) for n in range(5)]}},
            "core (0, 0) needs slices=5 and has 4: use more or other cores for these layers, or slices=5",
        ),
    ],
)
def test_arguments_are_checked(error, arguments, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        compiled(**arguments)


def test_too_many_consumers():
    pieces = [Piece(0, 0, 0, 0, 4), *(Piece(1, *core, n, 1) for n, core in enumerate(path(8, 8)))]
    with pytest.raises(CapacityError, match=r"^layer 1 is cut into 64 slices: use at most 63$"):
        compiled("6-4-64", options={"strategy": pieces}, columns=8, rows=8, routes=256)


def test_too_many_routes_are_avoided_with_fewer_cores():
    options = {"columns": 8, "rows": 8, "routes": 4, "weights": 32768}
    plan = compiled("200-128-64", **options)
    assert max(core["routes"] for core in plan.to_dict()["cores"]) <= 4
    pieces = [Piece(0, n, 0, n, 1) for n in range(4)] + [Piece(1, 0, 1, 0, 5)]
    message = "core (0, 1) needs routes=5 and has 4: use more or other cores for these layers, or routes=5"
    with pytest.raises(CapacityError, match=f"^{re.escape(message)}$"):
        compiled("6-4-5", options={"strategy": pieces}, **options)


def test_labels_and_outputs_fit_their_fields():
    chip = {"columns": 2, "rows": 1, "neurons": 16384, "weights": 131072, "lanes": 8, "list_depth": 4096}
    whole = {"strategy": [Piece(0, 0, 0, 0, 16384)]}
    with pytest.raises(CapacityError, match=r"^the last layer has 16,384 outputs in one slice: use at most 16,383$"):
        compiled("6-16384", options=whole, **chip)
    with pytest.raises(CapacityError, match=r"^the last layer's outputs fill 513 words of 32: use at most 512$"):
        compiled("6-16385", options={"strategy": [Piece(0, 0, 0, 0, 16000), Piece(0, 1, 0, 16000, 385)]}, **chip)


@pytest.mark.parametrize(
    ("sizes", "config", "message"),
    [
        (
            "4x10x10-c4k5-10",
            {"list_depth": 64},
            "an output pixel of layer 0 sees 100 inputs of one producer and the chip's lists have 64 entries: use a "
            "smaller kernel or pool, or list_depth=128",
        ),
        (
            "1x28x28-c4k3p1-a4-10",
            {"list_depth": 512},
            "an output pixel of layer 1 sees 784 inputs of one producer and the chip's lists have 512 entries: use a "
            "smaller kernel or pool, or list_depth=1024",
        ),
        (
            "100x8x8-c4k7-10",
            {},
            "an output pixel of layer 0 sees 4,900 inputs of one producer and the chip's lists have 1,024 entries: "
            "use a smaller kernel or pool",
        ),
        ("1x200x8-c4k3s2-10", {}, "layer 0 has in_height=200: use a network where it is at most 127"),
        ("1x20x20-c4k3s5-10", {}, "layer 0 has stride=5: use a network where it is at most 4"),
        ("1x17x17-a17-10", {}, "layer 0 has pool=17: use a network where it is at most 16"),
        (
            "1x20x20-c4k8-10",
            {},
            "layer 0 has kernel=8: use a network where it is at most 7, or the whole pooled map and at most 15",
        ),
        ("1x16x16-c4k16-10", {}, "layer 0 has kernel=16: use a network where it is at most 15"),
        (
            "1x28x28-c4k3p1-10",
            {"batch_terms": 3135},
            "a sample adds 3,136 terms to a gradient of layer 0 and the chip's sums hold 3,135: use batch_terms=3136 "
            "times the samples of a batch",
        ),
    ],
)
def test_what_no_placement_makes_fit(sizes, config, message):
    with pytest.raises(CapacityError, match=f"^{re.escape(message)}$"):
        compiled(sizes, **config)


def test_channels_of_a_slice_keep_to_the_lists():
    """Lists of 128 entries: a pooled 3 x 3 window has 36 inputs of a channel, and 9 outputs."""
    sizes, chip = "1x12x12-c8k3p1-a2-c30k3p1-10", {"list_depth": 128, "neurons": 2048}
    plan = compiled(sizes, **chip)
    assert max(part.channels for part in plan.layers[0]) == 3
    assert max(part.channels for part in plan.layers[1]) <= 14
    pieces = [Piece(0, 0, 0, 0, 4), Piece(0, 0, 0, 4, 4), Piece(1, 0, 0, 0, 30), Piece(2, 0, 0, 0, 10)]
    message = (
        "a slice of layer 0 has 4 channels and the chip's lists of 128 entries allow 3: use smaller slices or a "
        "larger list_depth"
    )
    with pytest.raises(CapacityError, match=f"^{re.escape(message)}$"):
        compiled(sizes, options={"strategy": pieces}, **chip)


def test_a_slice_has_one_group_less_than_the_table():
    chip = {"columns": 1, "rows": 1, "weights": 65536, "list_depth": 32, "fan_in": 256, "tape_words": 256}
    message = "a slice of layer 0 has 256 groups of inputs: use at most 255"
    with pytest.raises(CapacityError, match=f"^{re.escape(message)}$"):
        compiled("8192-5", **chip)
    assert len(compiled("8160-5", **chip).slices[0].groups) == 255


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([np.full((6, 5), 0.1)], f"weights of layer 0 must be finite numbers of {BINARY16}, not 0.1 at (0, 0)"),
        (
            [np.where(np.arange(30).reshape(6, 5) == 17, np.nan, 0)],
            f"weights of layer 0 must be finite numbers of {BINARY16}, not nan at (3, 2)",
        ),
        (
            [np.where(np.arange(30).reshape(6, 5) == 29, -np.inf, 0)],
            f"weights of layer 0 must be finite numbers of {BINARY16}, not -inf at (5, 4)",
        ),
        ([np.full((6, 5), 65536.0)], f"weights of layer 0 must be finite numbers of {BINARY16}, not 65536.0 at (0, 0)"),
        ([np.zeros((5, 6))], "weights of layer 0 must have shape (6, 5), not (5, 6)"),
        ([], "weights must have one array per layer, 1, not 0"),
    ],
)
def test_weights_are_checked(weights, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        compiled().load_packets(weights)


@pytest.mark.parametrize(
    ("error", "value", "message"),
    [
        (ValueError, 1.5, "masks must be at least 0 and at most 1, not 1.5"),
        (TypeError, "a", "masks must be a number, not 'a'"),
    ],
)
def test_densities_are_checked(error, value, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Density(masks=value)

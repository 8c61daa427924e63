# SPDX-License-Identifier: Apache-2.0
"""What holds of every plan, read back from the packets that load it."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backspike.golden.network import Conv, Dense, Network, Training
from backspike.golden.rules import BPTT, Rule
from backspike.golden.trainer import initial_weights
from backspike.host.compiler.capacity import CapacityError
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.partition import Piece
from backspike.spec.config import ChipConfig
from backspike.spec.tables import (
    DESCRIPTOR,
    DESCRIPTOR_STRIDE,
    EXPECTATIONS,
    EXPECTATIONS_STRIDE,
    FAN_IN,
    FAN_IN_STRIDE,
    ROUTE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)

TRAINING = Training(rate=0.5)
FEEDBACK = Rule(name="direct", feedback="fixed")


@st.composite
def networks(draw):
    """Dense layers, or convolutions with dense layers behind them."""
    bias, steps = st.booleans(), draw(st.integers(1, 4))
    layers, shape = [], (draw(st.integers(1, 90)), 1, 1)
    if draw(st.booleans()):
        shape = draw(st.integers(1, 3)), draw(st.integers(2, 8)), draw(st.integers(2, 8))
        for _ in range(draw(st.integers(1, 3))):
            pool = draw(st.sampled_from([n for n in (1, 1, 2, 3) if shape[1] % n == shape[2] % n == 0]))
            kernel = draw(st.integers(1, min(3, shape[1] // pool, shape[2] // pool)))
            layers.append(
                Conv(
                    in_channels=shape[0],
                    in_height=shape[1],
                    in_width=shape[2],
                    pool=pool,
                    kernel=kernel,
                    stride=draw(st.integers(1, 3)),
                    padding=draw(st.integers(0, kernel - 1)),
                    out_channels=draw(st.integers(1, 20)),
                    bias=draw(bias),
                )
            )
            shape = layers[-1].out_map
    for _ in range(draw(st.integers(1, 3))):
        layers.append(Dense(inputs=int(np.prod(shape)), outputs=draw(st.integers(1, 90)), bias=draw(bias)))
        shape = layers[-1].out_map
    return Network(layers=layers, steps=steps)


@st.composite
def plans(draw):
    network = draw(networks())
    config = ChipConfig(
        columns=draw(st.integers(1, 3)),
        rows=draw(st.integers(1, 3)),
        lanes=draw(st.sampled_from([1, 2, 4, 8])),
        slots=draw(st.integers(2, 8)),
        slices=draw(st.integers(2, 16)),
        weights=draw(st.sampled_from([2048, 16384])),
        neurons=draw(st.sampled_from([256, 2048])),
        list_depth=draw(st.sampled_from([32, 64, 1024])),
    )
    options = {
        "strategy": draw(st.sampled_from(["balanced", "shuffled"])),
        "seed": draw(st.integers(0, 9)),
        "cores": draw(st.integers(1, config.cores)),
        "loss": draw(st.sampled_from(["rate", "external"])),
        "rule": draw(st.sampled_from([BPTT, FEEDBACK] if len(network.layers) > 1 else [BPTT])),
    }
    try:
        return compile_network(network, TRAINING, config, **options)
    except CapacityError:
        assume(False)


class Loaded:
    """The cores' memories after loading; refuses to write an address twice."""

    def __init__(self, plan, weights):
        self.memory = defaultdict(dict)
        for packet in plan.load_packets(weights):
            own = self.memory[packet.x, packet.y, Region(packet.tag["region"])]
            for address, word in enumerate(packet.payload[1:], start=packet.payload[0]):
                assert address not in own
                own[address] = word

    def get(self, fields, core, region, address):
        own = self.memory[*core, region]
        return fields.unpack(sum(own[address + k] << 32 * k for k in range(fields.word_count)))

    def descriptor(self, part):
        return self.get(DESCRIPTOR, part.core, Region.DESCRIPTOR, part.index * DESCRIPTOR_STRIDE)

    def groups(self, part):
        d = self.descriptor(part)
        return [self._group(part, d["fan_in_base"] + k) for k in range(d["fan_in"])]

    def behind(self, part):
        """Groups that only get errors."""
        d = self.descriptor(part)
        return [self._group(part, d["fan_in_base"] + k) for k in range(d["fan_in"], d["groups"])]

    def _group(self, part, entry):
        return self.get(FAN_IN, part.core, Region.FAN_IN, entry * FAN_IN_STRIDE)

    def need(self, part):
        return self.get(EXPECTATIONS, part.core, Region.EXPECTATION, part.index * EXPECTATIONS_STRIDE)

    def routes(self, part, which):
        d = self.descriptor(part)
        return [self.get(ROUTE, part.core, Region.ROUTE, d[f"{which}_base"] + k) for k in range(d[which])]


CHECK = settings(max_examples=80, deadline=None, derandomize=True)


@CHECK
@given(plans())
def test_every_address_exists_and_is_written_once(plan):
    config = plan.config
    sizes = {
        Region.WEIGHT: config.weights,
        Region.DESCRIPTOR: DESCRIPTOR_STRIDE * config.slices,
        Region.EXPECTATION: EXPECTATIONS_STRIDE * config.slices,
        Region.FAN_IN: config.fan_in * FAN_IN_STRIDE,
        Region.ROUTE: config.routes,
        Region.TAPE: TAPE_SLOT_STRIDE * config.slots,
    }
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    for (x, y, region), words in loaded.memory.items():
        assert x < config.columns
        assert y < config.rows
        assert max(words) < sizes[region]
    blocks = config.neurons // config.lanes
    ends = {
        "neuron": config.neurons,
        "block": blocks,
        "delta": -(-blocks // 32) + config.slices,
        "weight": config.weights // config.lanes,
        "tape": config.tape_words,
    }
    taken = Counter()
    for part in plan.slices:
        d = loaded.descriptor(part)
        pixels = d["out_width"] * d["out_height"]
        spans = {
            "neuron": (d["block_base"] * config.lanes, pixels * part.channels),
            "block": (d["block_base"], pixels * d["blocks"]),
            "delta": (d["delta_base"], -(-pixels * d["blocks"] // 32)),
            "weight": (d["weight_base"], d["weight_words"]),
        }
        for name, (base, count) in spans.items():
            taken.update((name, part.core, base + k) for k in range(count))
        words = set()
        for group in loaded.behind(part):
            own = {("tape", part.core, group["tape"] + k) for k in range(-(-group["channels"] // 32))}
            assert not words & own
            words |= own
            first = group["row_base"]
            taken.update(("weight", part.core, first + k) for k in range(group["channels"] * d["blocks"]))
        for group in loaded.groups(part):
            bits = group["channels"] * (1 if group["constant"] else d["in_width"] * d["in_height"])
            own = [("tape", part.core, group["tape"] + k) for k in range(-(-bits // 32))]
            taken.update(own)
            if not group["constant"]:  # words of the layer before it may be of both kinds of groups
                words -= set(own)
        taken.update(words)
    assert max(taken.values()) == 1
    assert all(address < ends[name] for name, _, address in taken)


def origins(plan, layer):
    """By core and neuron number, the golden model's number of each input of a layer; the host's by their place."""
    network = plan.network
    if layer == 0:
        first = network.layers[0]
        order = np.arange(network.inputs).reshape(first.in_map).transpose(1, 2, 0).ravel()
        return dict(enumerate(order.tolist()))
    before = network.layers[layer - 1]
    numbers = np.arange(before.outputs).reshape(before.out_map).transpose(1, 2, 0)
    return {
        (part.core, part.neuron_base + n): number
        for part in plan.layers[layer - 1]
        for n, number in enumerate(numbers[:, :, part.first : part.first + part.channels].ravel().tolist())
    }


@CHECK
@given(plans())
def test_every_weight_is_where_the_tables_say(plan):
    """Follows every tap of every group, with weights that are all different, to the golden model's row."""
    weights, number = [], 0
    for layer in plan.network.layers:
        count = int(np.prod(layer.shape))
        weights.append(np.ldexp(np.arange(number, number + count) % 2048 + 1.0, -8).reshape(layer.shape))
        number += count
    loaded = Loaded(plan, weights)
    for part in plan.slices:
        d, lanes, memory = loaded.descriptor(part), plan.config.lanes, loaded.memory[*part.core, Region.WEIGHT]
        layer, inputs, rows = plan.network.layers[part.layer], origins(plan, part.layer), []
        sent = 0
        for g in loaded.groups(part):
            taps = [(ky, kx) for ky in range(layer.kernel) for kx in range(layer.kernel)]
            for ky, kx in [(0, 0)] if g["constant"] else taps:
                for channel in range(g["channels"]):
                    if g["constant"]:
                        row = layer.shape[0] - 1
                    else:  # the channel of its bit at the first pixel
                        place = sent + channel if part.layer == 0 else ((g["x"], g["y"]), g["neuron"] + channel)
                        row = inputs[place] // (layer.in_height * layer.in_width)
                        row = (row * layer.kernel + ky) * layer.kernel + kx
                    base = g["row_base"] + ky * g["row_stride"] + kx * g["tap_stride"] + channel * d["blocks"]
                    stored = [memory[(base + n // lanes) * lanes + n % lanes] for n in range(d["blocks"] * lanes)]
                    expected = weights[part.layer][row, part.first : part.first + part.channels]
                    assert np.array_equal(plan.config.format.decode(stored[: part.channels]), expected)
                    assert not any(stored[part.channels :])
                    rows.append(row)
            sent += g["channels"]
        assert sorted(rows) == list(range(layer.shape[0]))
        assert d["weight_words"] == len(rows) * d["blocks"]
        assert (d["blocks"] - 1) * lanes + d["last_lanes"] == part.channels
    memory = {core: loaded.memory[*core, Region.WEIGHT] for core in plan.cores}
    read = {
        core: {packet.payload[0] + k for packet in packets for k in range(packet.tag["count"])}
        for core, packets in plan.weight_reads().items()
    }
    for part in plan.slices:
        assert not read[part.core] & fed_back(plan, part)
        read[part.core] |= fed_back(plan, part)
    assert read == {core: set(words) for core, words in memory.items()}
    assert all(np.array_equal(a, b) for a, b in zip(plan.decode_weights(memory), weights, strict=True))


def fed_back(plan, part):
    """Addresses of what brings errors of a slice to hidden layers."""
    lanes = plan.config.lanes
    return set(range(part.feedback_base * lanes, (part.feedback_base + part.feedback_words) * lanes))


@CHECK
@given(plans())
def test_each_hidden_neuron_has_its_feedback(plan):
    """Follows every bit of the groups that only get errors to its owner, and to the word that brings it there."""
    loaded, matrices = Loaded(plan, initial_weights(plan.network, 0)), plan.feedback
    hidden = len(plan.layers) - 1
    owners = [origins(plan, number + 1) for number in range(hidden)]
    for part in plan.slices:
        d, lanes, memory = loaded.descriptor(part), plan.config.lanes, loaded.memory[*part.core, Region.WEIGHT]
        found, arriving = [], {}
        for number, own in enumerate(plan.layers[:-1]):
            for producer in own:
                for route in loaded.routes(producer, "targets"):
                    if (route["x"], route["y"], route["slice"]) == (*part.core, part.index):
                        for k in range(producer.outputs):
                            arriving[route["word"] + k // 32, k % 32] = (
                                number,
                                (producer.core, producer.neuron_base + k),
                            )
        for g in loaded.behind(part):
            assert g["constant"]
            for n in range(g["channels"]):
                number, owner = arriving[g["tape"] + n // 32, n % 32]
                assert owner == ((g["x"], g["y"]), g["neuron"] + n)
                neuron, base = owners[number][owner], g["row_base"] + n * d["blocks"]
                stored = [memory[(base + k // lanes) * lanes + k % lanes] for k in range(d["blocks"] * lanes)]
                expected = matrices[number][part.first : part.first + part.channels, neuron]
                assert np.array_equal(plan.config.format.decode(stored[: part.channels]), expected)
                assert not any(stored[part.channels :])
                found.append((number, neuron))
        wanted = range(hidden) if plan.rule == FEEDBACK and part.layer == hidden else ()
        assert sorted(found) == [(k, n) for k in wanted for n in range(plan.network.layers[k].outputs)]
        assert d["errors"] == (2 if found else part.layer > 0 and plan.rule == BPTT)


@CHECK
@given(plans())
def test_each_bit_of_a_group_has_its_place_and_owner(plan):
    """The bits of all groups are all inputs, once, in the order of the producer's words, pixel by pixel."""
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    for part in plan.slices:
        layer, inputs, found = plan.network.layers[part.layer], origins(plan, part.layer), []
        pixels, at = layer.in_height * layer.in_width, None
        for g in loaded.groups(part):
            if g["constant"]:
                assert g["channels"] == 1
                continue
            owner = "host" if part.layer == 0 else (g["x"], g["y"])
            first = len(found) if part.layer == 0 else g["neuron"]
            count = g["channels"] * pixels
            numbers = [inputs[first + n if part.layer == 0 else (owner, first + n)] for n in range(count)]
            if pixels > 1:
                channels = [number // pixels for number in numbers[: g["channels"]]]
                assert numbers == [c * pixels + p for p in range(pixels) for c in channels]
            if at is not None:
                assert g["tape"] == at  # words of producers lie one behind the other
            at = g["tape"] + -(-count // 32)
            found += numbers
        assert sorted(found) == list(range(layer.inputs))


@CHECK
@given(plans())
def test_the_engines_lists_hold_every_window(plan):
    loaded, most = Loaded(plan, initial_weights(plan.network, 0)), plan.config.list_depth
    for part in plan.slices:
        d, layer = loaded.descriptor(part), plan.network.layers[part.layer]
        seen = [g["channels"] * (1 if g["constant"] else layer.kernel**2 * layer.pool**2) for g in loaded.groups(part)]
        assert max(seen) <= most
        assert layer.kernel**2 * d["blocks"] <= most
        assert d["replay"] == (sum(seen) <= most)
        assert [d[name] for name in ("kernel", "stride", "padding", "pool")] == [
            layer.kernel,
            layer.stride,
            layer.padding,
            layer.pool,
        ]
        assert [d[name] for name in ("in_height", "in_width", "out_height", "out_width")] == [
            layer.in_height,
            layer.in_width,
            layer.out_height,
            layer.out_width,
        ]


@CHECK
@given(plans())
def test_what_a_slice_needs_is_what_the_others_send(plan):
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    spikes, credits, markers, host_words = Counter(), Counter(), Counter(), []
    for part in plan.slices:
        for route in loaded.routes(part, "targets"):
            words = [route["word"] + k for k in range(-(-part.outputs // 32))]
            if route["host"]:
                assert part in plan.layers[-1]
                host_words += words
            spikes.update((route["x"], route["y"], route["slice"], word) for word in words if not route["host"])
        for route in loaded.routes(part, "sources"):
            if route["host"]:
                assert (part.layer, route["slice"]) == (0, part.index)
            else:
                credits[route["x"], route["y"], route["slice"]] += 1
                markers[route["x"], route["y"], route["slice"]] += loaded.descriptor(part)["errors"] > 0
    assert sorted(host_words) == list(range(len(host_words)))
    last, inputs = len(plan.layers) - 1, plan.network.inputs
    for part in plan.slices:
        need, d, key = loaded.need(part), loaded.descriptor(part), (part.x, part.y, part.index)
        external = part.layer == last and plan.loss == "external"
        arriving = {word: count for (*at, word), count in spikes.items() if tuple(at) == key}
        seen = []
        for g in loaded.groups(part):
            if not g["constant"]:
                bits = g["channels"] * d["in_height"] * d["in_width"]
                seen += [g["tape"] + k for k in range(-(-bits // 32))]
        for g in loaded.behind(part):
            words = [g["tape"] + k for k in range(-(-g["channels"] // 32))]
            seen += [word for word in words if word not in seen]
        if part.layer:
            assert arriving == dict.fromkeys(seen, 1)
        else:
            assert not arriving
            assert seen == [part.tape_base + k for k in range(-(-inputs // 32))]
        assert need == {
            "inputs": len(seen),
            "steps": plan.network.steps,
            "credits": credits[key],
            "errors_done": markers[key] + external,
            "label": part.layer == last and not external,
            "tape": part.tape_base,
            "shared": (*part.core, part.index) in plan.shared,
        }
        assert (d["loss"], d["steps"]) == (need["label"], plan.network.steps)


@CHECK
@given(plans())
def test_biases_spike_in_every_slot(plan):
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    expected = {core: {} for core in plan.cores}
    for part in plan.slices:
        constant = [g["tape"] for g in loaded.groups(part) if g["constant"]]
        assert len(constant) == plan.network.layers[part.layer].bias
        for slot in range(plan.config.slots):
            expected[part.core].update(
                (slot * TAPE_SLOT_STRIDE + step * TAPE_STRIDE + word, 1)
                for word in constant
                for step in range(plan.network.steps)
            )
    assert expected == {core: loaded.memory[*core, Region.TAPE] for core in plan.cores}


def test_inputs_of_a_dense_slice_are_split_where_the_list_is_short():
    """Two producers of 45 and 35 outputs, 3 blocks: with lists of 32 entries, 32 + 13 and 32 + 3."""
    network = Network(layers=[Dense(inputs=70, outputs=80), Dense(inputs=80, outputs=5, bias=True)], steps=1)
    pieces = [Piece(0, 0, 0, 0, 45), Piece(0, 1, 0, 45, 35), Piece(1, 0, 1, 0, 5)]

    def groups(window):
        plan = compile_network(network, TRAINING, ChipConfig(list_depth=window, lanes=2), strategy=pieces)
        names = ("tape", "channels", "row_base", "neuron", "constant")
        return [tuple(int(g[name]) for name in names) for g in plan.fan_in(plan.layers[1][0])]

    assert groups(64) == [(0, 45, 0, 0, 0), (2, 35, 135, 0, 0), (4, 1, 240, 0, 1)]
    assert groups(32) == [
        (0, 32, 0, 0, 0),
        (1, 13, 96, 32, 0),
        (2, 32, 135, 0, 0),
        (3, 3, 231, 32, 0),
        (4, 1, 240, 0, 1),
    ]


def test_strides_of_a_convolution():
    """Three blocks of 2 lanes, groups of 2 and 1 channels: kernel taps are 2 * 3 and 1 * 3 words apart."""
    layers = [
        Conv(in_channels=1, in_height=4, in_width=4, kernel=1, out_channels=3),
        Conv(in_channels=3, in_height=4, in_width=4, kernel=2, stride=2, out_channels=6, bias=True),
        Dense(inputs=24, outputs=2),
    ]
    pieces = [Piece(0, 0, 0, 0, 2), Piece(0, 1, 0, 2, 1), Piece(1, 0, 1, 0, 6), Piece(2, 1, 1, 0, 2)]
    plan = compile_network(Network(layers=layers, steps=1), TRAINING, ChipConfig(lanes=2), strategy=pieces)
    found = [[g[name] for name in ("row_base", "row_stride", "tap_stride")] for g in plan.fan_in(plan.layers[1][0])]
    assert found == [[0, 12, 6], [24, 6, 3], [36, 0, 0]]
    assert [g["row_stride"] for g in plan.fan_in(plan.layers[0][0])] == [0]
    assert plan.layers[2][0].groups[0].channels == 24
    assert plan.layers[1][0].neuron_base == 0
    assert plan.layers[1][0].outputs == 24


def test_placements_differ_and_repeat():
    network, config = Network.parse("64-128-10"), ChipConfig()
    options = [{}, {"cores": 1}, *({"strategy": "shuffled", "seed": seed} for seed in range(4))]
    found = [compile_network(network, TRAINING, config, **each).to_dict()["slices"] for each in options]
    assert all(a != b for k, a in enumerate(found) for b in found[:k])
    again = [compile_network(network, TRAINING, config, **each).to_dict()["slices"] for each in options]
    assert found == again


def test_given_pieces():
    pieces = [Piece(0, 1, 0, 0, 3), Piece(0, 1, 0, 3, 2), Piece(1, 0, 1, 0, 4)]
    plan = compile_network(Network.parse("6-5-4"), TRAINING, ChipConfig(), strategy=pieces)
    assert [(s.core, s.index, s.layer, s.first, s.channels) for s in plan.slices] == [
        ((0, 1), 0, 1, 0, 4),
        ((1, 0), 0, 0, 0, 3),
        ((1, 0), 1, 0, 3, 2),
    ]
    assert plan.hops == 2
    lines = plan.summary().splitlines()
    assert lines[0] == "6-5-4, T = 4: 3 slices on 2 cores, 2.0 hops, balance 0.49"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "core weights neurons words fan_in routes cycles forward errors gradients deltas port_in port_out"
        " layer:channels",
        "0,1 20/16384 4/256 2/64 2/32 3/64 42 32 10 5 32 12 10 1:0-3",
        "1,0 30/16384 5/256 2/64 2/32 4/64 44 44 0 4 40 33 2 0:0-2, 0:3-4",
    ]
    assert lines[2].index("20/16384") + 8 == lines[1].index("weights") + 7


def test_a_plan_as_json_values():
    """Forward: 4 steps of 6 * 0.2 terms and one potential, for 5 outputs; 2 cycles for each delta."""
    plan = compile_network(Network.parse("6-5"), TRAINING, ChipConfig(columns=1, rows=1))
    load = {
        "forward": 44,
        "errors": 0,
        "gradients": 4,
        "deltas": 40,
        "backward": 44,
        "port_in": 12,
        "port_out": 2,
        "cycles": 44,
    }
    memories = {"weights": 30, "neurons": 5, "tape_words": 1, "fan_in": 1, "slices": 1, "routes": 2}
    assert plan.to_dict() == {
        "network": "6-5",
        "steps": 4,
        "rule": "bptt",
        "frame": 4,
        "loss": "rate",
        "hops": 0.0,
        "mesh": [1, 1],
        "memories": {"weights": 16384, "neurons": 256, "tape_words": 64, "fan_in": 32, "slices": 4, "routes": 64},
        "cycles": 44,
        "balance": 1.0,
        "link": 12,
        "slices": [{"core": [0, 0], "index": 0, "layer": 0, "first": 0, "channels": 5, "outputs": 5}],
        "cores": [{"core": [0, 0], **memories, "load": load}],
    }


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_momentum_zero_needs_no_velocity_memory(momentum):
    network, config = Network.parse("6-5"), ChipConfig(momentum=False)
    training = Training(rate=0.5, momentum=momentum)
    if momentum:
        with pytest.raises(CapacityError):
            compile_network(network, training, config)
    else:
        compile_network(network, training, config)

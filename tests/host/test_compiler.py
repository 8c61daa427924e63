# SPDX-License-Identifier: Apache-2.0
"""What holds of every plan, read back from the packets that load it."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backspike.golden.network import Dense, Network, Training
from backspike.golden.trainer import initial_weights
from backspike.host.arrangement import arrange, flits
from backspike.host.compiler import CapacityError, Density, Piece, compile_network
from backspike.host.placement import balanced, path
from backspike.host.protocol import CHUNK_HIGH, CHUNK_LOW, DESCRIPTOR, NEED, PEER, TAPE_STRIDE, Region
from backspike.hw.config import ChipConfig

TRAINING = Training(rate=0.5)


@st.composite
def plans(draw):
    sizes = draw(st.lists(st.integers(1, 90), min_size=2, max_size=4))
    biases = draw(st.lists(st.booleans(), min_size=3, max_size=3))
    layers = [Dense(inputs=a, outputs=b, bias=bias) for (a, b), bias in zip(pairwise(sizes), biases, strict=False)]
    network = Network(layers=layers, steps=draw(st.integers(1, 4)))
    config = ChipConfig(
        columns=draw(st.integers(1, 3)), rows=draw(st.integers(1, 3)), lanes=draw(st.sampled_from([1, 2, 4, 8])),
        slots=draw(st.integers(2, 4)), slices=draw(st.integers(2, 16)), weights=draw(st.sampled_from([2048, 16384])),
        neurons=draw(st.sampled_from([64, 256])),
    )  # fmt: skip
    options = {
        "strategy": draw(st.sampled_from(["balanced", "shuffled"])),
        "seed": draw(st.integers(0, 9)),
        "cores": draw(st.integers(1, config.cores)),
        "loss": draw(st.sampled_from(["rate", "external"])),
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
        return self.get(DESCRIPTOR, part.core, Region.DESCRIPTOR, part.index * 16)

    def need(self, part):
        return self.get(NEED, part.core, Region.NEED, part.index)

    def peers(self, part, which):
        d = self.descriptor(part)
        return [self.get(PEER, part.core, Region.PEER, d[f"{which}_base"] + k) for k in range(d[which])]


CHECK = settings(max_examples=60, deadline=None, derandomize=True)


@CHECK
@given(plans())
def test_every_address_exists_and_is_written_once(plan):
    config = plan.config
    sizes = {
        Region.WEIGHT: config.weights, Region.DESCRIPTOR: 16 * config.slices, Region.NEED: config.slices,
        Region.CHUNK_LOW: config.tape_words, Region.CHUNK_HIGH: config.tape_words, Region.PEER: config.peers,
        Region.TAPE: TAPE_STRIDE * config.slots,
    }  # fmt: skip
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    for (x, y, region), words in loaded.memory.items():
        assert x < config.columns
        assert y < config.rows
        assert max(words) < sizes[region]
    spans = {
        "block_base": ("blocks", config.neurons // config.lanes), "tape_base": ("tape_words", config.tape_words),
        "delta_base": ("delta_words", -(-config.neurons // config.lanes // 32) + config.slices),
        "weight_base": ("weight_words", config.weights // config.lanes),
    }  # fmt: skip
    for base, (size, limit) in spans.items():
        taken = Counter()
        for part in plan.slices:
            d = loaded.descriptor(part)
            taken.update((part.core, d[base] + k) for k in range(d[size]))
        assert max(taken.values()) == 1
        assert max(address for _, address in taken) < limit


@CHECK
@given(plans())
def test_every_weight_is_where_the_tables_say(plan):
    """Follows the layer's inputs through CHUNK_LOW and the lanes, with weights that are all different."""
    weights, number = [], 0
    for dense in plan.network.layers:
        count = int(np.prod(dense.shape))
        weights.append(np.ldexp(np.arange(number, number + count) % 2048 + 1.0, -8).reshape(dense.shape))
        number += count
    loaded = Loaded(plan, weights)
    for part in plan.slices:
        d, lanes, memory = loaded.descriptor(part), plan.config.lanes, loaded.memory[*part.core, Region.WEIGHT]
        row = 0
        for word in range(d["tape_base"], d["tape_base"] + d["tape_words"]):
            low = loaded.get(CHUNK_LOW, part.core, Region.CHUNK_LOW, word)
            for bit in range(low["count"]):
                base = low["row_base"] + bit * d["blocks"]
                stored = [memory[(base + n // lanes) * lanes + n % lanes] for n in range(d["blocks"] * lanes)]
                expected = weights[part.layer][row, part.first : part.first + part.outputs]
                assert np.array_equal(plan.config.format.decode(stored[: part.outputs]), expected)
                assert not any(stored[part.outputs :])
                row += 1
        assert row == part.rows == len(weights[part.layer])
        assert (d["blocks"] - 1) * lanes + d["last_lanes"] == part.outputs
    memory = {core: loaded.memory[*core, Region.WEIGHT] for core in plan.cores}
    read = {
        core: {packet.payload[0] + k for packet in packets for k in range(packet.tag["count"])}
        for core, packets in plan.weight_reads().items()
    }
    assert read == {core: set(words) for core, words in memory.items()}
    assert all(np.array_equal(a, b) for a, b in zip(plan.decode_weights(memory), weights, strict=True))


@CHECK
@given(plans())
def test_errors_go_to_the_neuron_that_fed_the_input(plan):
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    for producers, consumers in pairwise(plan.layers):
        owners = [
            (part.core, loaded.descriptor(part)["block_base"] * plan.config.lanes + n)
            for part in producers
            for n in range(part.outputs)
        ]
        assert len(set(owners)) == len(owners)
        for part in consumers:
            d, found = loaded.descriptor(part), []
            for word in range(d["tape_base"], d["tape_base"] + part.external_words):
                low = loaded.get(CHUNK_LOW, part.core, Region.CHUNK_LOW, word)
                high = loaded.get(CHUNK_HIGH, part.core, Region.CHUNK_HIGH, word)
                found += [((high["x"], high["y"]), high["neuron"] + bit) for bit in range(low["count"])]
            assert found == owners


@CHECK
@given(plans())
def test_what_a_slice_needs_is_what_the_others_send(plan):
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    spikes, credits, markers, host_words = Counter(), Counter(), Counter(), []
    for part in plan.slices:
        for peer in loaded.peers(part, "targets"):
            words = [peer["word"] + k for k in range(-(-part.outputs // 32))]
            if peer["host"]:
                assert part in plan.layers[-1]
                host_words += words
            spikes.update((peer["x"], peer["y"], peer["slice"], word) for word in words if not peer["host"])
        for peer in loaded.peers(part, "sources"):
            if peer["host"]:
                assert (part.layer, peer["slice"]) == (0, part.index)
            else:
                credits[peer["x"], peer["y"], peer["slice"]] += 1
                markers[peer["x"], peer["y"], peer["slice"]] += loaded.descriptor(part)["errors"]
    assert sorted(host_words) == list(range(len(host_words)))
    last, inputs = len(plan.layers) - 1, plan.network.inputs
    for part in plan.slices:
        need, d, key = loaded.need(part), loaded.descriptor(part), (part.x, part.y, part.index)
        external = part.layer == last and plan.loss == "external"
        arriving = {word: count for (*at, word), count in spikes.items() if tuple(at) == key}
        if part.layer:
            assert arriving == {d["tape_base"] + k: 1 for k in range(part.external_words)}
        else:
            assert not arriving
            assert part.external_words == -(-inputs // 32)
        assert need == {
            "inputs": part.external_words * plan.network.steps,
            "credits": credits[key],
            "markers": markers[key] + external,
            "label": part.layer == last and not external,
        }
        assert d["tape_words"] == part.external_words + plan.network.layers[part.layer].bias
        assert (d["loss"], d["errors"], d["steps"]) == (need["label"], part.layer > 0, plan.network.steps)


@CHECK
@given(plans())
def test_biases_spike_in_every_slot(plan):
    loaded = Loaded(plan, initial_weights(plan.network, 0))
    for part in plan.slices:
        d, tape = loaded.descriptor(part), loaded.memory[*part.core, Region.TAPE]
        own = {word for word in range(d["tape_base"], d["tape_base"] + d["tape_words"]) if word in tape}
        bias = plan.network.layers[part.layer].bias
        assert own == ({d["tape_base"] + d["tape_words"] - 1} if bias else set())
        assert all(tape[slot * TAPE_STRIDE + word] == 1 for word in own for slot in range(plan.config.slots))


def test_placements_differ_and_repeat():
    network, config = Network.parse("64-128-10"), ChipConfig()
    options = [{}, {"cores": 1}, *({"strategy": "shuffled", "seed": seed} for seed in range(4))]
    found = [compile_network(network, TRAINING, config, **each).to_dict()["slices"] for each in options]
    assert all(a != b for k, a in enumerate(found) for b in found[:k])
    again = [compile_network(network, TRAINING, config, **each).to_dict()["slices"] for each in options]
    assert found == again


def test_work_is_spread_over_the_cores():
    plan = compile_network(Network.parse("784-256-10"), TRAINING, ChipConfig(columns=4, rows=4, weights=32768))
    shares = [core["weights"] for core in plan.to_dict()["cores"]]
    assert len(shares) >= 12
    assert max(shares) < 1.3 * np.mean(shares)


def test_arranging_shortens_the_ways_and_keeps_the_pieces():
    network, config = Network.parse("784-256-128-10"), ChipConfig(columns=5, rows=4, weights=32768)
    cores, density = path(5, 4), Density()
    before = balanced(network, config, cores, density)
    after = arrange(network, before, cores, density)
    pairs = [[(p, q) for p in own for q in own if q.layer == p.layer + 1] for own in (before, after)]
    ways = [sum(flits(network, p, q, density) * (abs(p.x - q.x) + abs(p.y - q.y)) for p, q in own) for own in pairs]
    assert ways[1] < 0.9 * ways[0]
    assert [(p.layer, p.first, p.outputs) for p in after] == [(p.layer, p.first, p.outputs) for p in before]
    moved = {((p.x, p.y), (q.x, q.y)) for p, q in zip(before, after, strict=True)}
    assert len(moved) == len({core for core, _ in moved}) == len({core for _, core in moved})


def test_given_pieces():
    pieces = [Piece(0, 1, 0, 0, 3), Piece(0, 1, 0, 3, 2), Piece(1, 0, 1, 0, 4)]
    plan = compile_network(Network.parse("6-5-4"), TRAINING, ChipConfig(), strategy=pieces)
    assert [(s.core, s.index, s.layer, s.first, s.outputs) for s in plan.slices] == [
        ((0, 1), 0, 1, 0, 4),
        ((1, 0), 0, 0, 0, 3),
        ((1, 0), 1, 0, 3, 2),
    ]
    assert plan.hops == 2
    assert plan.summary() == (
        "6-5-4, T = 4: 3 slices on 2 cores, 2.0 hops\n"
        "  core         weights     neurons     words     peers  layer:outputs\n"
        "0,1           20/16384       4/256      2/64      3/64  1:0-3\n"
        "1,0           30/16384       5/256      2/64      4/64  0:0-2, 0:3-4"
    )


def test_a_plan_as_json_values():
    plan = compile_network(Network.parse("6-5"), TRAINING, ChipConfig(columns=1, rows=1))
    assert plan.to_dict() == {
        "network": "6-5", "steps": 4, "loss": "rate", "hops": 0.0,
        "slices": [{"core": [0, 0], "index": 0, "layer": 0, "first": 0, "outputs": 5}],
        "cores": [{"core": [0, 0], "slices": 1, "weights": 30, "neurons": 5, "tape_words": 1, "peers": 2}],
    }  # fmt: skip


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_momentum_zero_needs_no_velocity_memory(momentum):
    network, config = Network.parse("6-5"), ChipConfig(momentum=False)
    training = Training(rate=0.5, momentum=momentum)
    if momentum:
        with pytest.raises(CapacityError):
            compile_network(network, training, config)
    else:
        compile_network(network, training, config)

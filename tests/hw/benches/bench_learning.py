# SPDX-License-Identifier: Apache-2.0
"""Cocotb bench of the whole chip: the same bits however the network is placed, and whatever the host does.

The chip's configuration comes as JSON from ``BACKSPIKE_CHIP``.
"""

import json
import os
from dataclasses import replace

import cocotb
import numpy as np

from backspike.golden.network import Dense, MaxPool, Network, Neuron, Training
from backspike.golden.presets import default_training
from backspike.golden.rules import BPTT, Rule
from backspike.host.data.load import load
from backspike.hw.shapes import Shapes
from backspike.spec.config import ChipConfig
from tests.support.session import Session, random_samples

CONFIG = ChipConfig.from_dict(json.loads(os.environ.get("BACKSPIKE_CHIP", "{}")))
SEED = getattr(cocotb, "RANDOM_SEED", 1)
test = cocotb.test(timeout_time=200, timeout_unit="ms")
one_core = cocotb.test(timeout_time=200, timeout_unit="ms", skip=CONFIG.cores > 1)


async def session(dut, **options):
    return await Session(dut, CONFIG, seed=SEED, **options).start()


def lively(sizes, seed, **options):
    """A network, its training constants, and weights large enough that all layers spike and learn at once."""
    network = Network.parse(sizes, format=CONFIG.format, **options)
    generator = np.random.default_rng(seed)
    weights = []
    for layer in network.layers:
        if isinstance(layer, MaxPool):
            weights.append(layer.weights)
            continue
        scale = 3 / np.sqrt(layer.shape[0])
        weights.append(network.format.round(generator.normal(0.15 * scale, scale, layer.shape)) + 0.0)
    return network, replace(default_training(network, batch=4, momentum=0.0), rate=2.0**-5), weights


@test
async def same_bits_for_any_placement(dut):
    """One network on 1, 2, 4, 9 cores (as many as there are) and on shuffled placements: the same weights."""
    chip = await session(dut)
    network, training, weights = lively("40-50-33-10", SEED, bias=True, reset="hard")
    spikes, labels = random_samples(network, 6, SEED)
    finals = []
    places = [{"cores": cores} for cores in (1, 2, 4, 9) if cores <= CONFIG.cores]
    places += [{"strategy": "shuffled", "seed": SEED + k} for k in range(2)]
    for place in places:
        await chip.load(network, training, weights=weights, **place)
        for start in (0, 3):
            await chip.train(spikes[:, start : start + 3], labels[start : start + 3])
        finals.append([network.format.encode(weight).tolist() for weight in await chip.call("read_weights")])
    assert all(final == finals[0] for final in finals)
    assert any((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"


@test
async def same_bits_with_pauses(dut):
    """The host pauses at random on both sides of the link."""
    network, training, weights = lively("40-50-10", SEED + 1)
    spikes, labels = random_samples(network, 4, SEED + 1)
    chip = await session(dut, idle=0.6)
    await chip.load(network, training, weights=weights)
    await chip.train(spikes, labels)
    await chip.evaluate(spikes)


@test
async def skipping_pays_and_changes_nothing(dut):
    """The default task with skipping on and off."""
    chip = await session(dut)
    network = Network.parse("64-128-10")
    data = load("digits")
    spikes, labels = data.train[:8].spikes, data.train.labels[:8]
    busy = {}
    finals = []
    for skipping in (True, False):
        await chip.load(network, default_training(network, momentum=0.0), seed=1)
        await chip.call("set_skipping", skipping)
        await chip.call("reset_counters")
        await chip.train(spikes, labels)
        busy[skipping] = await chip.total("fp_busy", "fp_terms", "wg_busy", "wg_terms")
        finals.append([network.format.encode(weight).tolist() for weight in await chip.call("read_weights")])
    await chip.call("set_skipping", True)
    assert finals[0] == finals[1]
    assert busy[True][1::2] == busy[False][1::2], "the number of useful terms does not depend on skipping"
    dut._log.info(f"FP busy cycles with skipping {busy[True][0]}, without {busy[False][0]}")
    # A job is one step of a sample in one slice. It loads a description first, and ends with an empty pipeline.
    jobs = len(labels) * network.steps * len(chip.plan.slices)
    loading = (Shapes(CONFIG).descriptor_words + 2) * jobs
    assert busy[False][0] - loading >= 2.5 * (busy[True][0] - loading)
    if CONFIG.lanes == 1:
        fp_busy, fp_terms, wg_busy, wg_terms = busy[True]
        assert fp_busy <= fp_terms + 56 * jobs
        assert wg_terms >= 0.7 * wg_busy


@test
async def networks_are_loaded_at_run_time(dut):
    """One chip, many networks: shapes, neurons, steps, loss scale, momentum."""
    chip = await session(dut)
    variants = [
        ("12-10", {"steps": 1, "strict": True}, {}),
        ("33-7-1", {"steps": 3, "reset": "soft", "reset_value": 1.0, "kappa": 0.9, "theta": 0.75}, {"momentum": 0.5}),
        (
            "5-64-3-9",
            {"steps": 4, "reset": "hard", "width": 0.6, "bias": True, "kappa_back": 0.25, "amplitude": 1.5},
            {"momentum": 0.875, "loss_scale": 0.3},
        ),
        ("70-1-2", {"steps": 2, "reset": "hard", "kappa": 0.0}, {"rate": 0.4}),
    ]
    for number, (sizes, options, constants) in enumerate(variants):
        network, training, weights = lively(sizes, SEED + number, **options)
        usable = {name: value for name, value in constants.items() if CONFIG.momentum or name != "momentum"}
        await chip.load(network, replace(training, **usable), weights=weights)
        for batch, count in enumerate((2, CONFIG.slots + 3)):  # also more samples than can be in flight
            await chip.train(*random_samples(network, count, SEED + 10 * number + batch, density=0.5))
        await chip.evaluate(random_samples(network, 3, SEED, density=0.5)[0])


@one_core
async def spikes_of_layers_are_added(dut):
    """Fully connected layers that take the spikes of several layers; the compiler refuses several cores."""
    chip = await session(dut)
    network, training, weights = lively("40-33-33-33+1-10+1+2", SEED + 3, bias=True)
    for place in ({"cores": 1}, {"strategy": "shuffled", "seed": SEED}):
        await chip.load(network, training, weights=weights, **place)
        for batch in range(2):
            await chip.train(*random_samples(network, CONFIG.slots + 1, SEED + batch, density=0.4))
        await chip.evaluate(random_samples(network, 2, SEED, density=0.4)[0])


@one_core
async def residual_maps_and_maximum_pooling_train(dut):
    """Shortcuts past layers and by a kernel of their own, maximum pooling of inputs, of a layer and of a sum."""
    chip = await session(dut)
    variants = [
        ("1x8x8-c3k3p1-c3k3p1-m2+1-c5k3p1-c5k1@3-a2-10+4", {"steps": 3, "bias": True}),
        ("2x8x8-m2-c4k3p1-c4k3p1-m2+2-6", {"steps": 2, "reset": "hard"}),
    ]
    for number, (text, options) in enumerate(variants):
        network, training, weights = lively(text, SEED + number, **options)
        for place in ({"cores": 1}, {"strategy": "shuffled", "seed": SEED + number}):
            await chip.load(network, training, weights=weights, **place)
            for batch in range(2):
                await chip.train(*random_samples(network, 3, SEED + batch, density=0.4))
        await chip.evaluate(random_samples(network, 2, SEED, density=0.4)[0])


@test
async def convolutions_train(dut):
    """Kernels, strides, padding, pooling, maps behind maps, flattened maps, biases; balanced and shuffled.

    A list of the spikes that a pixel of the last network's first layer sees would not fit into the engine's memory.
    """
    chip = await session(dut)
    variants = [
        ("1x8x8-c4k3p1-10", {"steps": 2}),
        ("2x7x5-c5k3s2p1-c6k2-7", {"steps": 3, "bias": True, "reset": "hard"}),
        ("1x12x12-c6k3p1-a2-c7k3p1-a3-5", {"steps": 2, "bias": True}),
        ("3x6x6-c4k5p2-c3k1-c4k3s3-9-4", {"steps": 4}),
        (f"{CONFIG.list_depth // 16}x5x6-c3k4-10", {"steps": 2, "bias": True}),
    ]
    for number, (text, options) in enumerate(variants):
        network, training, weights = lively(text, SEED + number, **options)
        for place in ({}, {"strategy": "shuffled", "seed": SEED + number}):
            await chip.load(network, training, weights=weights, **place)
            for batch in range(2):
                await chip.train(*random_samples(network, 3, SEED + 10 * number + batch))
            assert all(part.replay for part in chip.plan.slices) == (number < len(variants) - 1)
        await chip.evaluate(random_samples(network, 2, SEED)[0])


@test
async def layers_may_differ(dut):
    """Neurons of each layer with constants of their own."""
    chip = await session(dut)
    layers = (
        Dense(inputs=20, outputs=31, neuron=Neuron(theta=0.5, reset="hard", kappa=0.75), bias=True),
        Dense(inputs=31, outputs=12, neuron=Neuron(theta=1.5, width=3.0, reset="soft", strict=True)),
        Dense(inputs=12, outputs=5, neuron=Neuron(theta=0.25, width=1.0, kappa=1.0)),
    )
    network = Network(layers=layers, steps=4, format=CONFIG.format)
    generator = np.random.default_rng(SEED)
    weights = [network.format.round(generator.normal(0.1, 0.4, layer.shape)) + 0.0 for layer in layers]
    await chip.load(network, Training(rate=2.0**-5, loss_scale=0.25), weights=weights)
    for batch in range(2):
        await chip.train(*random_samples(network, 3, SEED + batch))


@test
async def updates_are_data(dut):
    """Lion, the sign of the velocity, momentum and weight decay on the same weights, one after the other."""
    chip = await session(dut)
    network, training, weights = lively("14-9-5", SEED + 7, steps=2)
    variants = [{"update": "sign", "momentum": 0.0, "decay": 0.75}, {"decay": 0.5}]
    if CONFIG.momentum:
        variants += [
            {"update": "lion", "decay": 0.75},
            {"update": "lion", "momentum": 0.5, "lookahead": 0.25},
            {"momentum": 0.5, "decay": 0.875},
            {"update": "sign", "momentum": 0.5},
        ]
    await chip.load(network, training, weights=weights)
    for number, constants in enumerate(variants):
        chip.golden.training = replace(training, **{"momentum": None} | constants)
        await chip.call("change_training", chip.golden.training)
        for batch in range(2):
            await chip.train(*random_samples(network, 3, SEED + 10 * number + batch, density=0.5))


@test
async def evaluation_between_training(dut):
    """Evaluation samples and gradients that add up over several calls leave training as it was."""
    chip = await session(dut)
    network, training, weights = lively("40-24-10", SEED + 3)
    spikes, labels = random_samples(network, 5, SEED + 3)
    await chip.load(network, training, weights=weights)
    await chip.call("train_batch", spikes[:, :2], labels[:2], update=False)
    await chip.evaluate(spikes)
    await chip.call("train_batch", spikes[:, 2:], labels[2:], update=False)
    await chip.call("update")
    chip.golden.train_batch(spikes, labels)
    await chip.same_weights()


@test
async def training_goes_on_elsewhere(dut):
    """Weights and velocities that were read go on in another placement, with another rate, as if nothing had been."""
    chip = await session(dut)
    network, training, weights = lively("40-24-10", SEED + 5)
    training = replace(training, momentum=0.5 if CONFIG.momentum else 0.0)
    spikes, labels = random_samples(network, 9, SEED + 5)
    await chip.load(network, training, weights=weights)
    await chip.train(spikes[:, :3], labels[:3])
    golden, kept = chip.golden, [await chip.call("read_weights"), None]
    if CONFIG.momentum:
        kept[1] = await chip.call("read_velocities")
        assert all(velocity.any() for velocity in kept[1])
    await chip.load(network, training, weights=weights, strategy="shuffled", seed=SEED)
    chip.golden = golden
    await chip.call("load", *kept)
    await chip.train(spikes[:, 3:6], labels[3:6])
    golden.training = replace(training, rate=training.rate / 4)
    await chip.call("change_training", golden.training)
    await chip.train(spikes[:, 6:], labels[6:])


@test
async def rules_that_train_in_frames(dut):
    """Any number of steps, a few of which the chip holds: all of them are trained, or some that the host draws."""
    chip = await session(dut)
    names = [("sltt", 3), ("sltt-k:2", 5), ("tbptt:1", 2), ("tbptt:2", 4), ("sltt", 20)]
    names = [(name, steps) for name, steps in names if CONFIG.steps > 1 or name != "tbptt:2"]
    if CONFIG.operand_bits > 1:
        names += [("ottt", 4), ("ottt", 20), ("ottt-o", 3)]
    for number, (name, steps) in enumerate(names):
        rule, draw = Rule.parse(name), np.random.default_rng(SEED + number)
        options = {"steps": steps, "bias": True, "reset": ("hard", "soft")[number % 2]}
        network, training, weights = lively("20-24-17-5", SEED + number, **options)
        await chip.load(network, training, weights=weights, rule=rule, strategy="shuffled", seed=SEED + number)
        for batch, count in enumerate((1, 1, 1) if rule.step_updates else (2, CONFIG.slots + 1)):
            samples = random_samples(network, count, SEED + 10 * number + batch, density=0.5)
            await chip.train(*samples, trained=rule.draw(network, draw))
        assert all((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"
        await chip.evaluate(random_samples(network, 2, SEED)[0])


async def _in_phases(dut, sizes):
    """Train a network as on a chip that holds a fourth of its weights."""
    chip, rule = await session(dut), BPTT if CONFIG.steps > 1 else Rule.parse("sltt")
    network, training, weights = lively(sizes, SEED, steps=min(CONFIG.steps, 4) if CONFIG.steps > 1 else 3, bias=True)
    rows = max(layer.shape[0] for layer in network.layers)
    most = max(sum(weight.size for weight in weights) // (4 * CONFIG.cores), rows * CONFIG.lanes, 32)
    within = replace(CONFIG, weights=-(-most // CONFIG.lanes) * CONFIG.lanes)
    program = await chip.load_in_phases(network, training, within, weights=weights, rule=rule)
    dut._log.info(program.summary())
    await chip.train(*random_samples(network, CONFIG.slots + 1, SEED, density=0.5))
    assert all((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"
    return program


@test
async def networks_in_phases(dut):
    """More weights than the chip has, in tiles: the same bits, and the bytes of the formula."""
    program = await _in_phases(dut, "20-24-17-5")
    assert any(len(phase.tiles) > 1 for phase in program.phases)


@test
async def maps_in_phases(dut):
    """Convolutions with padding, stride and pooling."""
    await _in_phases(dut, "1x6x6-c4k3p1-c6k3s2p1-a3-12-5")


@test
async def errors_go_back_once_a_sample(dut):
    """Neurons that never spike, that do in each step, and others, in all layers; clamped where they are hidden."""
    if CONFIG.operand_bits == 1:
        return
    chip, rule = await session(dut), Rule.parse("dsr")
    for steps in (8, 20):
        network, training, weights = lively("20-24-17-5", SEED + steps, steps=steps, bias=True)
        for weight in weights:
            weight[:, 0], weight[:, 1] = 2.0, -2.0
        await chip.load(network, training, weights=weights, rule=rule, strategy="shuffled", seed=SEED + steps)
        samples = [random_samples(network, count, SEED + count, density=0.5) for count in (2, CONFIG.slots + 1)]
        counts = [layer.spikes.sum(axis=0) for layer in chip.golden.forward(samples[0][0]).layers]
        assert all(0 in count and steps in count for count in counts)
        assert all(len(np.unique(count)) > 4 for count in counts[:-1])
        for spikes, labels in samples:
            await chip.train(spikes, labels)
        assert all((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"
        await chip.evaluate(random_samples(network, 2, SEED)[0])


@test
async def ternary_spikes_go_back(dut):
    """Neurons that never spike, that do in each step, and others; in frames behind those of the spikes."""
    if not CONFIG.ternary:
        return
    chip = await session(dut)
    for steps, back_steps in ((8, 4), (3, 9)):
        rule = Rule.parse(f"spide:{back_steps}")
        network, training, weights = lively("20-24-17-5", SEED + steps, steps=steps, bias=True)
        for weight in weights:
            weight[:, 0], weight[:, 1] = 2.0, -2.0
        samples = [random_samples(network, count, SEED + count, density=0.5) for count in (2, CONFIG.slots + 1)]
        for place in ({}, {"strategy": "shuffled", "seed": SEED + steps}):
            await chip.load(network, training, weights=weights, rule=rule, **place)
            counts = [layer.spikes.sum(axis=0) for layer in chip.golden.forward(samples[0][0]).layers]
            assert all(0 in count and steps in count for count in counts)
            for spikes, labels in samples:
                await chip.train(spikes, labels)
            assert all((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"
            await chip.evaluate(random_samples(network, 2, SEED)[0])


@test
async def maps_in_frames(dut):
    """Convolutions whose steps come one by one."""
    chip = await session(dut)
    network, training, weights = lively("2x7x5-c5k3s2p1-c6k2-7", SEED, steps=6, bias=True)
    counted = ("ottt", "dsr") if CONFIG.operand_bits > 1 else ()
    for name in ("sltt", *counted, *(("spide:3",) if CONFIG.ternary else ())):
        await chip.load(network, training, weights=weights, rule=Rule.parse(name))
        for batch in range(2):
            await chip.train(*random_samples(network, 3, SEED + batch))


@test
async def errors_straight_from_the_last_layer(dut):
    """Fixed random weights bring them to each hidden layer, in frames of one step and of all."""
    chip = await session(dut)
    step = replace(Rule.parse("dfa"), operand="trace" if CONFIG.operand_bits == 7 else "spike")
    variants = [("20-24-17-9-5", 3, step), ("20-40-7", 2, step)]
    if CONFIG.steps > 1:
        variants.append(("12-14-11-6", CONFIG.steps, Rule(name="dfa-frames", feedback="fixed")))
    for number, (sizes, steps, rule) in enumerate(variants):
        network, training, weights = lively(sizes, SEED + number, steps=steps, bias=number != 1)
        place = {"strategy": "shuffled", "seed": SEED + number, "feedback_seed": SEED + number}
        await chip.load(network, training, weights=weights, rule=rule, **place)
        for batch, count in enumerate((2, CONFIG.slots + 1)):
            await chip.train(*random_samples(network, count, SEED + 10 * number + batch, density=0.5))
        assert all((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"
        await chip.evaluate(random_samples(network, 2, SEED)[0])


@test
async def feedback_learns_from_noise(dut):
    """In several placements: the noise of a neuron is the same wherever it is."""
    if not CONFIG.noise:
        return
    chip = await session(dut)
    rule = replace(Rule.parse("opzo"), operand="trace" if CONFIG.operand_bits == 7 else "spike")
    for number, (sizes, steps) in enumerate((("20-24-17-9-5", 3), ("20-40-7", 2))):
        network, training, weights = lively(sizes, SEED + number, steps=steps, bias=number != 1)
        for place in ({}, {"strategy": "shuffled", "seed": SEED + number}):
            await chip.load(network, training, weights=weights, rule=rule, feedback_seed=SEED, batch=2, **place)
            for batch, count in enumerate((2, CONFIG.slots + 1)):
                await chip.train(*random_samples(network, count, SEED + 10 * number + batch, density=0.5))
            await chip.sum_up(*random_samples(network, 3, SEED, density=0.5))
            assert all(matrix.any() for matrix in chip.golden.feedback.matrices), "nothing was learned"
            await chip.evaluate(random_samples(network, 2, SEED)[0])


@test
async def maps_get_errors_of_the_last_layer(dut):
    """Convolutions, whose neurons are inputs of one pixel there; the last layer may see pooled maps."""
    chip = await session(dut)
    rule = replace(Rule.parse("dfa"), operand="trace" if CONFIG.operand_bits == 7 else "spike")
    for number, text in enumerate(("2x7x5-c5k3s2p1-c6k2-7", "1x8x8-c4k3p1-a4-c5k2")):
        network, training, weights = lively(text, SEED + number, steps=2, bias=True)
        for place in ({}, {"strategy": "shuffled", "seed": SEED + number}):
            await chip.load(network, training, weights=weights, rule=rule, **place)
            await chip.train(*random_samples(network, 3, SEED + number))
        assert all((a != b).any() for a, b in zip(chip.golden.weights, weights, strict=True)), "nothing was learned"


@test
async def same_bits_in_frames_of_any_length(dut):
    """With a loss of each step, and errors that do not go back in time."""
    chip = await session(dut)
    network, training, weights = lively("20-24-17-5", SEED, steps=4, bias=True)
    spikes, labels = random_samples(network, 5, SEED, density=0.5)
    finals, rule = [], Rule.parse("sltt")
    for frame in (1, 2, 4):
        if frame <= CONFIG.steps:
            await chip.load(network, training, weights=weights, rule=rule.framed(frame))
            await chip.train(spikes, labels)
            finals.append([network.format.encode(weight).tolist() for weight in await chip.call("read_weights")])
    assert all(final == finals[0] for final in finals)


@test
async def errors_from_the_host(dut):
    """Any loss: the host computes the errors from the output spikes."""
    chip = await session(dut)
    network, training, weights = lively("16-20-6", SEED + 4, bias=True)
    spikes, _ = random_samples(network, 4, SEED + 4)
    await chip.load(network, training, weights=weights, loss="external")
    errors = network.format.round(np.random.default_rng(SEED).normal(0, 0.3, (network.steps, 4, 6)))
    await chip.train_with_errors(spikes, errors)


@test
async def saturation_is_flagged(dut):
    """Weights at the largest number saturate potentials, and the flag tells."""
    chip = await session(dut)
    network = Network.parse("8-4-3", format=CONFIG.format)
    top = network.format.max_finite
    weights = [np.full(layer.shape, top) for layer in network.layers]
    await chip.load(network, default_training(network, momentum=0.0), weights=weights)
    await chip.call("reset_counters")
    assert not any(core["saturated"] for core in (await chip.call("read_control")).values())
    await chip.evaluate(np.ones((network.steps, 2, 8), dtype=np.uint8))
    assert any(core["saturated"] for core in (await chip.call("read_control")).values())
    assert chip.golden.saturated

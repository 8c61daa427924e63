# SPDX-License-Identifier: Apache-2.0
"""Bench of the packet contract: random packets on a core and on the model, and everything that comes of it compared."""

from random import Random

import cocotb
from cocotb.clock import Clock

from backspike.spec.config import ChipConfig
from backspike.spec.packets import INPUT_KINDS, Kind, Packet
from tests.support.packet_play import Play, TracedCore, describe
from tests.support.packet_sequences import Sequence
from tests.support.shrink import shrink

_SMALL = {
    "columns": 1,
    "rows": 1,
    "slots": 2,
    "steps": 2,
    "slices": 4,
    "fan_in": 8,
    "routes": 16,
    "batch_terms": 1 << 14,
}
CHIPS = {
    "general": ChipConfig(**_SMALL, lanes=1, weights=320, neurons=32, tape_words=7, list_depth=64),
    "step": ChipConfig(**_SMALL | {"steps": 1, "slots": 4}, weights=320, neurons=32, tape_words=7, list_depth=64),
    "operands": ChipConfig(
        **_SMALL | {"steps": 1, "slots": 3, "batch_terms": 1 << 16},
        weights=320,
        neurons=32,
        tape_words=9,
        list_depth=64,
        operand_bits=7,
        noise=True,
    ),
    "ternary": ChipConfig(
        **_SMALL | {"steps": 1, "slots": 3, "batch_terms": 1 << 16},
        **{"lanes": 2, "weights": 384, "neurons": 32, "tape_words": 7, "dense_only": True},
        **{"operand_bits": 7, "ternary": True},
    ),
    "dense": ChipConfig(**_SMALL | {"slots": 3}, lanes=2, weights=384, neurons=32, tape_words=7, dense_only=True),
}
PLAYS = 12
STORIES = 18


def units():
    return {name: TracedCore(config) for name, config in CHIPS.items()}


async def play(dut, name, config, actions, seed, stalls):
    """The error that comes of these actions, or None; and whether all could be compared."""
    run = Play(dut, name, config, stalls)
    run.bench.random.seed(f"{seed} play")
    try:
        await run.run(actions)
    except AssertionError as error:
        return error, True
    return None, run.compared


async def play_all(dut, name, config, plays):
    """So many sequences on a core. The first that fails is told as short as it gets."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    compared = 0
    for number in range(plays):
        seed = f"{cocotb.RANDOM_SEED} {name} {number}"
        random = Random(seed)
        sequence = Sequence(config, random, random.choice(("rate", "step", "external", "feedback")))
        stalls = random.choice((0.0, 0.0, 0.3, 0.7))
        prelude, actions = sequence.prelude(), sequence.actions(STORIES)
        error, complete = await play(dut, name, config, prelude + actions, seed, stalls)
        compared += complete
        cocotb.log.info(f"sequence {number} of {len(actions)} actions: {error or 'as the model'}")
        if error is None:
            continue

        async def fails(part, prelude=prelude, seed=seed, stalls=stalls):
            return (await play(dut, name, config, prelude + part, seed, stalls))[0] is not None

        short = await shrink(actions, fails)
        error = (await play(dut, name, config, prelude + short, seed, stalls))[0] or error
        told = [action[0] if action[0] == "rest" else f"after {action[1]}: {describe(action[2])}" for action in short]
        raise AssertionError(f"sequence {number}: {error}\n" + "\n".join(told))
    assert compared > plays // 2, f"only {compared} of {plays} sequences could be compared"


@cocotb.test()
@cocotb.parametrize(name=list(CHIPS))
async def whatever_comes(dut, name):
    """Every sequence has the effect that it has in the model, or something of it is dropped with a cause."""
    await play_all(dut, name, CHIPS[name], PLAYS)


def _sample(sequence, slot, label=None):
    """SPIKES of a training sample, in order, and LABEL in front of them."""
    part, last = sequence.plan.layers[0][0], sequence.last
    inputs = [
        Packet(
            Kind.SPIKES,
            {"slice": part.index, "slot": slot, "step": step, "word": part.tape_base + word, "train": 1},
            (0x5A5A5A5A >> step & sequence.inputs[part.tape_base + word], 0),
        )
        for step in range(sequence.config.steps)
        for word in range(part.external_words)
    ]
    if label is not None:
        inputs.insert(0, Packet(Kind.LABEL, {"slice": last.index, "slot": slot, "label": label}))
    return inputs


def _now(*packets):
    return [("send", 0, packet.words()) for packet in packets]


async def _told(dut, name, tell, seed=1):
    """Play what ``tell(sequence)`` gives, as it must be; returns the packets that the core sent."""
    sequence = Sequence(CHIPS[name], Random(seed))
    run = Play(dut, name, CHIPS[name])
    await run.run(sequence.prelude() + tell(sequence))
    return run.packets


@cocotb.test()
@cocotb.parametrize(name=["general", "dense"])
async def an_update_right_behind_a_sample(dut, name):
    """The sample is done first, though only its first step had begun to arrive; the core comes to rest."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())

    def tell(sequence):
        updates = [
            Packet(Kind.UPDATE, {"slice": part.index, "clear": 0, "velocities": 0}) for part in sequence.plan.slices
        ]
        sample = _sample(sequence, 0, 1)
        return [
            *_now(*sample, updates[0], updates[0]),  # the second one has no effect while the first one waits
            ("rest",),
            *_now(*updates),
            ("rest",),
            *_now(*sequence.plan.restart_packets()),
            ("rest",),
        ]

    packets = await _told(dut, name, tell)
    assert sum(words[0] & 15 == Kind.UPDATED for words in packets) == 3 + 1 + 3
    assert [words[0] & 15 for words in packets].count(Kind.FAULT) == 1


@cocotb.test()
@cocotb.parametrize(name=["general", "dense"])
async def a_second_label_at_any_time(dut, name):
    """It is dropped while one waits; afterwards it is for the next sample, and changes no delta that is in work."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())

    def tell(sequence):
        actions = []
        for gap in range(0, 900, 13):
            label = Packet(Kind.LABEL, {"slice": sequence.last.index, "slot": 0, "label": 2})
            actions += [*_now(*_sample(sequence, 0, 1)), ("send", gap, label.words()), ("rest",)]
            actions += [*_now(*sequence.plan.restart_packets()), ("rest",)]
        return actions

    faults = [words[0] & 15 for words in await _told(dut, name, tell)].count(Kind.FAULT)
    assert 5 < faults < 900 // 13 - 5, "both are met: a label that waits, and one that is taken"


@cocotb.test()
@cocotb.parametrize(name=["general", "dense"])
async def inputs_that_come_again_or_belong_to_nobody(dut, name):
    """They are dropped, and the step waits for the word that is missing."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())

    def tell(sequence):
        first, second, *others = _sample(sequence, 0)
        foreign = Packet(Kind.SPIKES, first.tag | {"word": second.tag["word"] + 1}, (1, 1))
        label = Packet(Kind.LABEL, {"slice": sequence.last.index, "slot": 0, "label": 1})
        return [*_now(label, first, first, foreign), ("rest",), *_now(first, second, *others), ("rest",)]

    packets = await _told(dut, name, tell)
    assert [words[0] & 15 for words in packets].count(Kind.FAULT) == 3


@cocotb.test()
@cocotb.parametrize(name=["general", "dense"])
async def frames_go_on_with_a_sample(dut, name):
    """The last packet of step 0 says so, whatever came before; a restart between two frames changes no potential."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())

    def frame(sequence, slot, first, second):
        """Of evaluation: its first packet, its second, which is the last one of step 0, and others like the first."""
        packets = _sample(sequence, slot)
        kinds = [first, second, *[first] * (len(packets) - 2)]
        pairs = zip(kinds, packets, strict=True)
        return _now(*(Packet(kind, p.tag | {"train": 0}, p.payload) for kind, p in pairs))

    def tell(sequence):
        actions, begin, more = [], Kind.SPIKES, Kind.MORE
        for number, kinds in enumerate(((begin, begin), (more, more), (begin, more), (more, begin), (more, more))):
            actions += [*frame(sequence, number % sequence.config.slots, *kinds), ("rest",)]
        actions += [*_now(*sequence.plan.restart_packets()), ("rest",)]
        return [*actions, *frame(sequence, 0, more, more), ("rest",)]

    packets = await _told(dut, name, tell)
    outputs = [Kind(words[0] & 15) for words in packets if words[0] & 15 in INPUT_KINDS and words[0] >> 10 & 1]
    steps = CHIPS[name].steps
    kinds = [Kind.SPIKES, Kind.MORE, Kind.MORE, Kind.SPIKES, Kind.MORE, Kind.MORE]
    assert outputs[steps:] == [kind for kind in kinds for _ in range(steps)]  # behind those of the prelude
    assert not [words for words in packets if words[0] & 15 == Kind.FAULT]


@cocotb.test()
@cocotb.parametrize(name=["general", "dense"])
async def errors_while_the_core_erases(dut, name):
    """They are dropped, and no sum is left over: the gradients are those of the model."""
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())

    def tell(sequence):
        actions, neurons = [], sequence.last.neuron_base
        for gap in range(0, 400, 37):
            error = Packet(Kind.ERROR, {"neuron": neurons, "step": 0, "slot": 0}, (1 << 30, 5))
            actions += [*_now(*sequence.plan.restart_packets()), ("send", gap, error.words()), ("rest",)]
        return actions + _now(*_sample(sequence, 0, 1))

    packets = await _told(dut, name, tell)
    assert [words[0] & 15 for words in packets].count(Kind.FAULT) > 2

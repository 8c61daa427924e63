# SPDX-License-Identifier: Apache-2.0
"""Random packets for one core: legal ones, nearly legal ones, and garbage, in random order and timing.

Tables describe a network at all times, or the core without one: what a core does with tables that contradict each other
is not in the contract.
"""

from dataclasses import replace
from random import Random
from typing import Literal

import numpy as np

from backspike.golden.network import Conv, Dense, Network, Neuron, Training
from backspike.golden.rules import BPTT, Rule
from backspike.host.compiler.compile import compile_network
from backspike.host.compiler.plan import Plan
from backspike.host.compiler.weight_map import write_packets
from backspike.spec.config import ChipConfig
from backspike.spec.packets import HEADER, HOST_KINDS, INPUT_KINDS, TAGS, Kind, Packet
from backspike.spec.tables import EXPECTATIONS, EXPECTATIONS_STRIDE, Region

__all__ = ["Sequence", "plan_for"]

_REST = ("rest",)


def plan_for(config: ChipConfig, loss: str = "rate") -> Plan:
    """A small network of three layers, convolutions where there are engines for them, all on one core."""
    once = loss == "step" and config.operand_bits > 1  # errors go back once a sample
    ternary = loss == "rate" and config.ternary
    between_layers = Neuron(width=2.0) if once or ternary else Neuron(reset="hard", width=2.0)
    first = (
        Dense(inputs=37, outputs=5, bias=True)
        if config.dense_only
        else Conv(in_channels=2, in_height=4, in_width=5, out_channels=3, kernel=3, stride=2, padding=1, bias=True)
    )
    between = first.outputs
    layers = [first, Dense(inputs=between, outputs=6, neuron=between_layers), Dense(inputs=6, outputs=4, bias=True)]
    network = Network(layers=layers, steps=5 if once or ternary else config.steps, format=config.format)
    step = Rule.parse("sltt").framed(config.steps)
    how: Literal["learned", "fixed"] = "learned" if config.noise else "fixed"
    rule = {"step": step, "feedback": replace(step, feedback=how)}.get(loss, BPTT)
    kinds = {"external": {"update": "lion", "momentum": 0.75, "lookahead": 0.25, "decay": 0.5}}
    update = kinds.get(loss, {"momentum": 0.5}) if config.momentum else {}
    training = Training(rate=2.0**-4, loss_scale=0.5, **update)
    if config.operand_bits > 1:
        direct = "opzo" if config.noise else "dfa"
        names = {"step": "dsr", "feedback": direct} | ({"rate": "spide:3"} if ternary else {})
        rule = Rule.parse(names.get(loss, "ottt"))
    loss = "external" if loss == "external" else "rate"
    return compile_network(network, training, config, loss=loss, rule=rule, input_errors=loss == "external")


class Sequence:
    """Actions for :class:`~tests.support.packet_play.Play`.

    Parameters
    ----------
    config: ChipConfig of the core
    random: where everything random comes from
    loss: of the network, "rate", "step" or "external"; "feedback": as "step", and errors go straight to each layer
    """

    def __init__(self, config: ChipConfig, random: Random, loss: str = "rate"):
        self.config, self.random, self.plan = config, random, plan_for(config, loss)
        self.last, self.loss = self.plan.layers[-1][0], loss
        self.slot, self.lazy = 0, random.random()
        if random.random() < 0.5:
            self.plan.shared = {(0, 0, part.index) for part in self.plan.slices if random.random() < 0.7}
        self.inputs = {}  # by tape word: bits that are inputs
        for part in self.plan.slices:
            layer = self.plan.network.layers[part.layer]
            for group in (group for group in part.groups if group.origin is not None):
                for k in range(group.words):
                    left = group.channels * layer.in_height * layer.in_width - 32 * k
                    self.inputs[group.tape + k] = (1 << min(left, 32)) - 1
            for group in part.feedback:
                for k in range(group.words):
                    self.inputs[group.tape + k] = (1 << min(group.channels - 32 * k, 32)) - 1

    def prelude(self) -> list:
        """A network is loaded, with weights everywhere and no gradients; each neuron has a potential."""
        fmt, config = self.config.format, self.config
        draw = np.random.default_rng(self.random.getrandbits(32))
        regions = [(Region.WEIGHT, draw.normal(0.3, 0.7, config.weights))]
        regions += [(Region.VELOCITY, draw.normal(0, 0.1, config.weights))] if config.momentum else []
        packets = self.plan.table_packets()
        if config.noise:
            states = [self.random.randrange(1, 1 << 16) for _ in range(config.neurons)]
            packets += write_packets(0, 0, Region.NOISE, 0, states)
        for region, values in regions:
            words = [int(pattern) for pattern in fmt.encode(fmt.round(values))]
            for start in range(0, len(words), 14):
                packets.append(Packet(Kind.WRITE, {"region": region}, (start, *words[start : start + 14])))
        actions = [*self._now(packets), _REST, *self._now(self._inputs(Kind.SPIKES, train=0)), _REST]
        self.slot = 0
        return [*actions, *self._now(self.plan.restart_packets() + self._updates(clear=1)), _REST]

    def _now(self, packets):
        return [("send", 0, packet.words()) for packet in packets]

    def actions(self, count: int) -> list:
        """So many short stories, some of them told at the same time; not where errors of one could meet another."""
        actions, alone = [], self.loss == "external"
        for number in range(count):
            if number % 6 == 5:
                actions += self._again()
            elif alone or self.random.random() < 0.5:
                actions.append(_REST)
            if self.plan.learned and actions[-1:] == [_REST] and self.random.random() < 0.5:
                # Nobody but the driver knows that all gradients are there
                actions += [*self._now(self._behind(clear=int(self.random.random() < 0.3))), _REST]
            stories = [self._story() for _ in range(1 if alone else self.random.choice((1, 1, 2)))]
            actions += self._timed(self._merged(stories))
        return actions

    def _again(self):
        """The core starts anew: at rest, and sometimes at once."""
        self.slot = 0
        actions = [_REST] if self.random.random() < 0.8 else []
        actions += self._now(self.plan.restart_packets() + self._updates(clear=1))
        return actions + ([_REST] if self.random.random() < 0.9 else [])

    def _updates(self, clear):
        own = [
            Packet(Kind.UPDATE, {"slice": part.index, "clear": clear, "velocities": clear}) for part in self.plan.slices
        ]
        return own + self._behind(clear)

    def _behind(self, clear):
        """Of the slices that stand for the update of feedback."""
        return [
            Packet(Kind.UPDATE, {"slice": part.indices[-1], "clear": clear, "velocities": clear})
            for part in self.plan.slices
            if part.learned
        ]

    def _merged(self, stories):
        """Packets of all of them, each in its order."""
        merged = []
        while stories:
            story = self.random.choice(stories)
            if story:
                merged.append(story.pop(0))
            else:
                stories.remove(story)
        return merged

    def _timed(self, packets):
        """Most right behind each other, some later. Bits that are no inputs are 0."""
        random, most = self.random, self.random.choice((0, 3, 60, 400))
        for packet in packets:
            words = packet.words() if isinstance(packet, Packet) else packet
            if isinstance(packet, Packet) and packet.kind in INPUT_KINDS:
                bits = self.inputs.get(packet.tag["word"], 0)
                words = [words[0], *(word & bits for word in words[1:])]
            yield "send", random.randint(0, most) if random.random() < self.lazy else 0, words

    def _story(self):
        random = self.random
        story = random.choices(
            (self._sample, self._spoiled, self._update, self._stray, self._access, self._garbage),
            (8, 6, 3, 5, 3, 2),
        )[0]
        return story()

    def _sample(self):
        """A frame, its label or its errors; steps and words in any order that producers may give them in."""
        random, slot = self.random, self.slot
        train = int(random.random() < 0.8)
        kinds = [kind for kind in INPUT_KINDS if kind != Kind.BACK or self.config.ternary]
        inputs = self._inputs(random.choice(kinds), train)
        if random.random() < 0.3:
            random.shuffle(inputs)
        if not train:
            return inputs
        if self.loss != "external":
            label = Packet(Kind.LABEL, {"slice": self.last.index, "slot": slot, "label": random.randrange(4)})
            inputs.insert(random.choice((0, len(inputs), random.randint(0, len(inputs)))), label)
            return inputs
        return inputs + self._errors(slot)

    def _inputs(self, kind, train):
        """Of a frame in the next slot, in order."""
        random, part, slot = self.random, self.plan.layers[0][0], self.slot
        shared = (0, 0, part.index) in self.plan.shared
        self.slot = (slot + 1) % self.config.slots
        return [
            Packet(
                kind,
                {"slice": part.index, "slot": slot, "step": step, "word": part.tape_base + word, "train": train},
                tuple(self._bits() & self.inputs[part.tape_base + word] for _ in range(2)),
                host=random.randrange(2) if shared else int(random.random() < 0.02),
            )
            for step in range(self.config.steps)
            for word in range(part.external_words)
        ]

    def _bits(self):
        return self.random.getrandbits(32) & self.random.getrandbits(32)

    def _errors(self, slot):
        """Errors that the host gives to the last layer, and that these were all."""
        random, part = self.random, self.last
        errors = [self._error(part.neuron_base + random.randrange(part.outputs), slot) for _ in range(3)]
        return [*errors, Packet(Kind.ERRORS_DONE, {"slice": part.index, "slot": slot})]

    def _error(self, neuron, slot):
        random = self.random
        value = random.randrange(-1 << 50, 1 << 50)
        words = tuple(value >> 32 * k & 0xFFFFFFFF for k in range(random.choice((2, 3))))
        return Packet(Kind.ERROR, {"neuron": neuron, "step": random.randrange(self.config.steps), "slot": slot}, words)

    def _spoiled(self):
        """A sample of which something is missing, comes twice, in another order, or changed; or in another slot.

        Errors stay where they are: what comes of one behind its ERRORS_DONE is not in the contract.
        """
        random, story = self.random, self._sample()
        if random.random() < 0.2:
            self.slot = random.randrange(self.config.slots)
        for _ in range(random.choice((1, 1, 2))):
            places = [n for n, packet in enumerate(story) if packet.kind not in (Kind.ERROR, Kind.ERRORS_DONE)]
            place, other = random.choice(places), random.choice(places)
            match random.randrange(5):
                case 0 if len(places) > 1:
                    story.pop(place)
                case 1:
                    story.insert(other, story[place])
                case 2:
                    story[place], story[other] = story[other], story[place]
                case 3:
                    story.insert(place, self._update()[0])
                case _:
                    story[place] = self._changed(story[place])
        return story

    def _changed(self, packet):
        """The same packet with another field, such as a step that the chip has not; or of the other kind."""
        random = self.random
        if packet.kind in INPUT_KINDS and random.random() < 0.2:
            return Packet(random.choice(INPUT_KINDS), packet.tag, packet.payload, host=packet.host)
        name = random.choice([name for name in packet.tag if name != "neuron"])
        value = random.choice((packet.tag[name] ^ 1, random.randrange(1 << TAGS[packet.kind].fields[name])))
        return Packet(packet.kind, packet.tag | {name: value}, packet.payload, host=packet.host)

    def _update(self):
        random = self.random
        slices = [part.index for part in self.plan.slices]
        clear = random.random() < 0.3
        tag = {"clear": int(clear), "velocities": int(clear and random.random() < 0.5)}
        chosen = slices if random.random() < 0.4 else [random.choice([*slices, 15])]
        return [Packet(Kind.UPDATE, {"slice": index, **tag}) for index in chosen]

    def _stray(self):
        """What the network's packets are made of, out of place."""
        random, config = self.random, self.config
        place = {"slice": random.randrange(config.slices), "slot": random.randrange(config.slots)}
        kinds = Kind.LABEL, Kind.CREDIT, random.choice(INPUT_KINDS), Kind.ERRORS_DONE
        kind = random.choices(kinds, (8, 8, 8, 1))[0]
        if kind == Kind.LABEL:
            return [Packet(kind, {**place, "label": random.randrange(5)})] * random.choice((1, 2))
        if kind == Kind.CREDIT:
            return [Packet(kind, {**place, "from_x": 0, "from_y": 0})] * random.choice((1, 2))
        if kind == Kind.ERRORS_DONE:
            return [Packet(kind, place)]
        step, word = random.randrange(config.steps), random.randrange(config.tape_words)
        tag = {**place, "step": step, "word": word, "train": random.randrange(2)}
        return [Packet(kind, tag, (self._bits(), self._bits()), host=random.randrange(2))]

    def _access(self):
        """READs and WRITEs of what is there, and of what is not."""
        random, config = self.random, self.config
        count, region = random.randint(1, 15), random.choice(list(Region))
        address = random.randrange(config.weights + 8)
        if region == Region.COUNTER or random.random() < 0.5:
            return [Packet(Kind.READ, {"region": region, "count": count}, (address % 40,))]
        match region:
            case Region.WEIGHT:
                values = np.random.default_rng(random.getrandbits(32)).normal(0.2, 0.5, min(count, 14))
                words = [int(word) for word in config.format.encode(config.format.round(values))]
            case Region.EXPECTATION:
                part = random.choice(self.plan.slices)
                need = self.plan.expectations(part) | random.choice(({}, {"inputs": 0}, {"steps": 0}, {"steps": 31}))
                address, words = part.index * EXPECTATIONS_STRIDE, EXPECTATIONS.words(**need)
                self.slot = 0
            case Region.CONTROL:
                address, words = random.choice((0, 2, 1)), [random.randrange(2)]
            case Region.VELOCITY | Region.DESCRIPTOR | Region.FAN_IN | Region.ROUTE | Region.TAPE:
                return [random.choice(self.plan.table_packets())]
            case _:
                words = [0] * min(count, 14)
        return [Packet(Kind.WRITE, {"region": region}, (address, *words))]

    def _garbage(self):
        """No packets, or wrong ones."""
        random = self.random
        match random.randrange(3):
            case 0:
                code = random.choice([kind for kind in range(16) if kind not in HOST_KINDS])
                return [
                    [HEADER.pack(kind=code, x=0, y=0, host=0, tag=random.getrandbits(21)), *range(random.randrange(4))]
                ]
            case 1:
                kind = random.choice((*INPUT_KINDS, Kind.ERROR, Kind.LABEL, Kind.CREDIT, Kind.UPDATE, Kind.READ))
                wrong = {**dict.fromkeys(INPUT_KINDS, (0, 1, 3, 20)), Kind.ERROR: (0, 1, 4, 17), Kind.READ: (0, 2)}.get(
                    kind, (1, 2)
                )
                tag = dict.fromkeys(TAGS[kind].fields, 0) | ({"count": 1} if kind == Kind.READ else {})
                many = random.randrange(2) if kind in INPUT_KINDS else 0
                return [Packet(kind, tag, tuple(range(random.choice(wrong))), host=many).words()]
        kind = random.choice((Kind.LABEL, Kind.CREDIT, Kind.ERRORS_DONE, Kind.UPDATE))
        tag = dict.fromkeys(TAGS[kind].fields, 0) | {"slice": random.randrange(self.config.slices, 16)}
        return [Packet(kind, tag)]

# SPDX-License-Identifier: Apache-2.0
"""Bench of the slot table: a model beside it, with random packets and random jobs, compared in every cycle."""

import cocotb

from backspike.hw.core.schedule.slots import SlotTable
from backspike.hw.shapes import Shapes
from backspike.spec.config import ChipConfig
from backspike.spec.packets import NO_LABEL
from backspike.spec.tables import EXPECTATIONS
from tests.support.unit import Bench

_CONFIGS = {
    "slots_2x1": ChipConfig(slots=2, slices=1, steps=5, neurons=16),
    "slots_3x3": ChipConfig(slots=3, slices=3, steps=1, neurons=16, operand_bits=7, ternary=True),
    "slots_8x4": ChipConfig(slots=8, slices=4, steps=16, neurons=16),
    "slots_2x16": ChipConfig(slots=2, slices=16, steps=2, neurons=32),
}


def units():
    return {name: SlotTable(Shapes(config)) for name, config in _CONFIGS.items()}


WAITS = "no_input", "no_credit", "no_errors"


class Slot:
    """A sample in flight, in words of the protocol."""

    def __init__(self, steps):
        self.stage = "filling"
        self.inputs = [0] * steps
        self.words = set()  # (step, word) that came
        self.markers = self.owed = 0
        self.train = self.more = self.back = None  # no inputs have come
        self.label = None  # not come
        self.last_label = 0


class Model:
    """What a slice knows of its slots."""

    def __init__(self, slots, need):
        self.need = need
        self.slots = [Slot(need["steps"]) for _ in range(slots)]
        self.forward = self.backward = 0  # slots whose turn it is
        self.step = 0  # of the sample whose turn it is in the feed-forward thread
        self.running = False

    def takes(self, k, step, word, updating):
        """By kind of packet, apart from errors."""
        slot, need = self.slots[k], self.need
        wanted = (
            word - need["tape"] in range(need["inputs"]) and step < need["steps"] and (step, word) not in slot.words
        )
        return {
            "inputs": slot.stage == "filling" and wanted and not (updating and step == 0),
            "marker": not need["label"] and slot.markers < need["errors_done"],
            "label": bool(need["label"]) and slot.label is None,
            "credit": slot.owed > 0,
            "shared": bool(need["shared"]),
            "update": not updating,
        }

    @property
    def startable(self):
        slot = self.slots[self.forward]
        return slot.stage == "filling" and 0 < self.need["inputs"] == slot.inputs[self.step]

    @property
    def ready_forward(self):
        return self.startable and not self.needs_credit

    @property
    def needs_credit(self):
        return self.startable and self.step == 0 and self.slots[self.forward].owed > 0

    @property
    def needs_input(self):
        slot = self.slots[self.forward]
        return slot.stage == "filling" and slot.inputs[self.step] < self.need["inputs"]

    @property
    def ready_backward(self):
        slot = self.slots[self.backward]
        known = slot.label is not None if self.need["label"] else slot.markers == self.need["errors_done"]
        return slot.stage == "backward" and (not slot.train or known)

    @property
    def needs_errors(self):
        return self.slots[self.backward].stage == "backward" and not self.ready_backward

    @property
    def idle(self):
        free = all(slot.stage == "filling" for slot in self.slots)
        return not self.running and self.step == 0 and free and not self.startable


class Run:
    """Random life of all slices: at most one packet, one forward and one backward event in a cycle."""

    def __init__(self, dut, name):
        self.config = config = _CONFIGS[name]
        self.shapes = Shapes(config)
        self.bench, self.random = (bench := Bench(dut, name, SlotTable(self.shapes))), bench.random
        self.models, self.laps = [], {}  # by slice; of tape words, as a core keeps them
        self.updates, self.label = 0, None  # that the backward thread has taken
        self.threads = {"forward": None, "backward": None}  # slice in work
        self.begun = False  # the backward thread has taken the label or markers
        self.jobs = {"forward": 0, "backward": 0, "early": 0, "owing": 0}
        self.arriving = None  # slot, step of inputs that came in the cycle before; counted now, and none come with them
        self.waits = dict.fromkeys(WAITS)  # what the slots of the cycle before wait for; None: not known
        self.waited = dict.fromkeys(WAITS, 0)

    async def start(self):
        """EXPECTATIONS of all slices, then erase what the memory of the counts held before."""
        await self.bench.start()
        for n in range(self.config.slices):
            await self.write_need(n, self.random_need())
        await self.erase()

    def random_need(self):
        random = self.random
        steps = random.randint(1, self.config.steps)
        return {
            "inputs": random.randint(1, 4),
            "steps": steps,
            "credits": random.choice((0, 2, 2 * steps, 3 * steps)),
            "errors_done": random.randint(1, 3),
            "label": random.randrange(2),
        }

    async def write_need(self, n, need):
        """All slices start anew. Each has tape words of its own."""
        need = {"tape": n * (self.config.tape_words // self.config.slices), "shared": self.random.randrange(2), **need}
        self.bench.set("need_slice", n)
        self.bench.set("updates", 0)
        self.updates = 0
        for part, word in enumerate(EXPECTATIONS.words(**need)):
            self.bench.set("need_tape", part)
            self.bench.set("need", word)
            await self.bench.pulse("need_write")
        needs = [model.need for model in self.models]
        needs[n : n + 1] = [need]
        self.models = [Model(self.config.slots, need) for need in needs]

    async def erase(self):
        """As the backward thread of a core does after a restart."""
        bench, address = self.bench, self.shapes.erase_address()
        bench.set("event__brings", 0)
        bench.set("erase", 1)
        bench.set("closed", 1)
        for number in range(1 << address.size):
            bench.set("erase_address", number)
            self.ask(*self.anywhere())
            await bench.step()
            assert [name for name, taken in bench.get("event__takes").items() if taken and name != "shared"] == [
                "update"
            ]
        bench.set("erase", 0)
        bench.set("closed", 0)
        self.laps.clear()
        self.label = None
        self.waits = dict.fromkeys(WAITS)

    def anywhere(self):
        random = self.random
        return (
            random.randrange(self.config.slices),
            random.randrange(self.config.slots),
            random.randrange(1 << self.shapes.step),
            random.randrange(self.config.tape_words),
        )

    def ask(self, *place):
        """A slice, slot, step and tape word."""
        self.asked = place
        self.bench.set("event__place", dict(zip(("slice", "slot", "step", "word"), place, strict=True)))
        self.bench.set("arrived", self.laps.get(place[1:], 0))

    def taken(self):
        """What would be taken for the place that is asked for."""
        n, *place = self.asked
        return self.models[n].takes(*place, self.updates >> n & 1) | {"error": True}

    def packet(self):
        """Decide on a packet; returns what it changes in the model."""
        random, bench = self.random, self.bench
        n, k, step, word = self.anywhere()
        model = self.models[n]
        if random.random() < 0.8:  # inputs that somebody waits for
            k, step = model.forward, model.step
            words = range(model.need["tape"], model.need["tape"] + model.need["inputs"])
            missing = [word for word in words if (step, word) not in model.slots[k].words]
            word = random.choice(missing if missing and random.random() < 0.8 else words)
        if random.random() < 0.01:
            self.updates = random.getrandbits(self.config.slices) & random.getrandbits(self.config.slices)
            bench.set("updates", self.updates)
        self.ask(n, k, step, word)
        takes = self.taken()
        slot, label = model.slots[k], random.randrange(NO_LABEL + 1)
        choices = []
        if takes["inputs"] and not self.arriving:
            choices += ["inputs"] * 5
        late = random.random() < 0.8  # so that the backward thread has to wait
        choices += ["credit", None]
        if not late:
            choices += [name for name in ("marker", "label") if takes[name] or random.random() < 0.2]
        event, train = random.choice(choices), random.randrange(2)
        more = train ^ label & 1
        bench.set("event__brings", {event: 1} if event else 0)
        bench.set("event__train", train)
        bench.set("event__more", more)
        back = more & (label >> 1)
        if self.config.ternary:
            bench.set("event__back", back)
        bench.set("event__label", label)

        def apply():
            self.arriving = None
            if not event or not takes[event]:
                return
            if event == "inputs":
                self.arriving = slot, step
                if step == 0:
                    slot.train, slot.more, slot.back = train, more, back
                slot.words.add((step, word))
                self.laps[k, step, word] = bench.bits("lap")
            elif event == "marker":
                slot.markers += 1
            elif event == "label":
                slot.label = slot.last_label = label
            elif event == "credit":
                slot.owed -= 1

        return apply

    def thread(self, name):
        """Decide what a thread does; returns what it changes in the model."""
        bench, random = self.bench, self.random
        bench.set(f"{name}__start", 0)
        bench.set(f"{name}__done", 0)
        n = self.threads[name]
        if n is None:
            n = random.randrange(self.config.slices)
            bench.set(f"{name}__slice", n)
            ready = getattr(self.models[n], f"ready_{name}")
            return (lambda: self._take(name, n)) if ready and self._begin(name, n) else lambda: None
        if random.random() < 0.7:
            return lambda: None
        slot = self.models[n].slots[getattr(self.models[n], name)]
        if name == "backward" and slot.train and not self.begun:
            bench.set("backward__start", 1)
            return lambda: self._consume(slot)
        bench.set(f"{name}__done", 1)
        return lambda: self._done(name, n, slot)

    def _begin(self, name, n):
        if self.random.random() < 0.5:
            return False
        if name == "forward":
            self.bench.set("forward__start", 1)
        return True

    def _take(self, name, n):
        self.threads[name] = n
        model = self.models[n]
        if name == "forward":
            slot, model.running = model.slots[model.forward], True
            self.jobs["early"] += min(slot.inputs) < model.need["inputs"]
            self.jobs["owing"] += model.step > 0 and slot.owed > 0
            if model.step == 0:
                slot.owed = model.need["credits"]
        self.begun = False if name == "backward" else self.begun

    def _consume(self, slot):
        self.label = slot.label
        slot.stage, slot.label, slot.markers, self.begun = "learning", None, 0, True

    def _done(self, name, n, slot):
        model = self.models[n]
        self.threads[name] = None
        self.jobs[name] += 1
        if name == "forward":
            model.running, model.step = False, (model.step + 1) % model.need["steps"]
            if model.step:
                return
            slot.stage = "backward"
        else:
            slot.stage, slot.inputs, slot.words = "filling", [0] * model.need["steps"], set()
        setattr(model, name, (getattr(model, name) + 1) % self.config.slots)

    def _waits(self):
        """What the threads of a core wait for, if they have no job."""
        forward, backward, credit, inputs, errors = (
            any(getattr(model, name) for model in self.models)
            for name in ("ready_forward", "ready_backward", "needs_credit", "needs_input", "needs_errors")
        )
        free = not any(model.running for model in self.models)
        return {
            "no_input": free and inputs and not forward and not credit,
            "no_credit": free and credit and not forward,
            "no_errors": errors and not backward,
        }

    def compare(self):
        bench, models = self.bench, self.models
        for name, expected in self.waits.items():
            assert expected is None or bench.bits(name) == expected, name
            self.waited[name] += expected or 0
        self.waits = self._waits()
        free = not any(model.running for model in models)
        for name, may in (("forward", free), ("backward", True)):
            ready = sum(int(may and getattr(model, f"ready_{name}")) << n for n, model in enumerate(models))
            assert bench.bits(f"{name}__ready") == ready, name
            model = models[bench.given[f"{name}__slice"] >> bench.inputs[f"{name}__slice"][0]]
            slot = model.slots[getattr(model, name)]
            job = bench.get(f"{name}__job")
            assert job["slot"] == getattr(model, name)
            if name == "forward":
                assert job["step"] == model.step
                assert slot.more is None or job["more"] == slot.more
            if slot.train is not None:
                assert job["train"] == slot.train
                assert not self.config.ternary or job["back"] == slot.back
        assert self.label is None or bench.bits("backward_label") == self.label
        assert bench.bits("idle") == sum(int(model.idle) << n for n, model in enumerate(models))
        assert bench.get("event__takes") == self.taken()

    async def cycle(self):
        changes = [self.thread("forward"), self.thread("backward"), self.packet()]
        await self.bench.step()
        self.compare()
        if self.arriving:
            slot, step = self.arriving
            slot.inputs[step] += 1
        # None is taken in the cycle in which the last ones are.
        for change in (changes[2], *changes[:2]):
            change()

    def pause(self):
        for port in ("event__brings", "forward__start", "forward__done", "backward__start", "backward__done"):
            self.bench.set(port, 0)

    async def give(self, event, *place, **content):
        """A packet for a place (slice, slot, step, tape word) where it is taken; returns whether it is."""
        self.ask(*place)
        for port, value in content.items():
            self.bench.set(port, value)
        await self.bench.step()
        accepted = self.bench.get("event__takes")[event]
        if accepted and event == "inputs":
            self.laps[place[1:]] = self.bench.bits("lap")
        self.bench.set("event__brings", {event: accepted})
        await self.bench.step()
        self.bench.set("event__brings", 0)
        await self.bench.step()
        return accepted

    async def restart(self, n):
        """An EXPECTATIONS entry is written amid the samples of the other slices, and then the memories are erased."""
        self.pause()
        if self.arriving:
            slot, step = self.arriving
            slot.inputs[step], self.arriving = slot.inputs[step] + 1, None
        await self.write_need(n, self.random_need())
        await self.erase()


@cocotb.test()
@cocotb.parametrize(name=list(_CONFIGS))
async def life_of_the_slots(dut, name):
    run = Run(dut, name)
    await run.start()
    for cycle in range(9000):
        await run.cycle()
        if cycle % 4500 == 4499:
            while set(run.threads.values()) != {None}:
                await run.cycle()
            await run.restart(run.random.randrange(run.config.slices))
    config, jobs = run.config, run.jobs
    assert jobs["forward"] > 250 and jobs["backward"] > 100, jobs
    assert config.steps == 1 or min(jobs["early"], jobs["owing"]) > 20, jobs
    assert config.slices > 4 or all(run.waited.values()), run.waited  # of many slices, one is ready mostly


@cocotb.test()
async def most_inputs(dut):
    """As many packets for a step as a tape has words; a label that is not there is known too."""
    run = Run(dut, "slots_2x1")
    await run.start()
    bench, most = run.bench, run.config.tape_words
    await run.write_need(0, {"inputs": most, "steps": 1, "credits": 63, "errors_done": 1, "label": 1})
    await run.erase()
    for word in range(most):
        assert not bench.bits("forward__ready")
        assert await run.give("inputs", 0, 0, 0, word, event__train=1)
        assert not await run.give("inputs", 0, 0, 0, word, event__train=1)
    assert await run.give("label", 0, 0, 0, 0, event__label=NO_LABEL)
    assert bench.bits("forward__ready")
    for port in ("forward__start", "forward__done"):
        await bench.pulse(port)
    await bench.step(2)
    assert bench.bits("backward__ready")
    assert bench.bits("no_input") and not bench.bits("no_credit") and not bench.bits("no_errors")
    assert not await run.give("label", 0, 0, 0, 0, event__label=1)
    await bench.pulse("backward__start")
    assert await run.give("label", 0, 0, 0, 0, event__label=2)
    assert bench.bits("backward_label") == NO_LABEL


@cocotb.test()
async def needs_beyond_the_chip(dut):
    """A slice that needs what this chip cannot count, or nothing, takes no inputs and starts nothing."""
    run = Run(dut, "slots_3x3")
    await run.start()
    bench, most = run.bench, run.config.tape_words
    right = {"inputs": 1, "steps": 1, "credits": 0, "errors_done": 0, "label": 1}
    wrong = (
        {"inputs": 0},
        {"inputs": 2 * most},
        {"inputs": 2 * most + 1},
        {"inputs": 1 << 13 | 1},
        {"steps": 0},
        {"steps": 3},
        {"steps": 16},
        {"steps": 17},
        {"steps": 31},
    )
    for n in (0, 2):
        await run.write_need(n, right | {"inputs": 0})
    for change in ({}, *wrong, {"inputs": most}):
        await run.write_need(1, right | change)
        await run.erase()
        takes = change not in wrong
        first = run.models[1].need["tape"]
        run.ask(1, 0, 0, first)
        await bench.step(3)
        assert bench.get("event__takes")["inputs"] == bench.bits("no_input") == takes, change
        await run.give("inputs", 1, 0, 0, first)
        await bench.step(2)
        assert bench.bits("forward__ready") == (2 if change == {} else 0), change


@cocotb.test()
async def steps_of_a_sample(dut):
    """Steps start in order, whatever comes first; a complete one takes no more until the slot is free again.

    The counts begin again for the slot's next sample, of which only step 0 waits for the credit.
    """
    run = Run(dut, "slots_2x1")
    await run.start()
    bench = run.bench
    await run.write_need(0, {"inputs": 2, "steps": 3, "credits": 1, "errors_done": 1, "label": 1})
    await run.erase()

    async def accepted(slot):
        """Steps of which the slot takes the second of two inputs."""
        steps = []
        for step in range(8):
            run.ask(0, slot, step, 1)
            await bench.step()
            steps += [step] * bench.get("event__takes")["inputs"]
        return steps

    for sample in range(5):
        slot = sample % 2
        assert await accepted(slot) == [0, 1, 2]
        for step, word in ((2, 0), (1, 1), (2, 1), (1, 0), (0, 0)):
            assert await run.give("inputs", 0, slot, step, word, event__train=0)
            assert not await run.give("inputs", 0, slot, step, word, event__train=0)
        await bench.step(2)
        assert await accepted(slot) == [0]
        assert [bench.bits(name) for name in ("forward__ready", "idle", *WAITS)] == [0, 1, 1, 0, 0]
        assert await run.give("inputs", 0, slot, 0, 1)
        await bench.step(2)
        if sample > 1:
            assert [bench.bits(name) for name in ("forward__ready", "idle", *WAITS)] == [0, 0, 0, 1, 0]
            assert await run.give("credit", 0, slot, 7, 0)
        for step in range(3):
            job = bench.get("forward__job")
            assert bench.bits("forward__ready") and job["step"] == step
            assert job["slot"] == slot and not bench.bits("idle")
            await bench.pulse("forward__start")
            await bench.step(3)
            assert [bench.bits(name) for name in ("forward__ready", "idle", *WAITS)] == [0] * 5
            await bench.pulse("forward__done")
            await bench.step(1)
        assert bench.bits("backward__ready") and not bench.bits("idle") and await accepted(slot) == []
        await bench.pulse("backward__done")
        await bench.step()
        assert bench.bits("idle") and not bench.bits("backward__ready")


@cocotb.test()
async def waiting_for_one_slice_hides_nothing(dut):
    """A slice that may start hides what the others wait for, and credits hide inputs; errors are another thread's."""
    run = Run(dut, "slots_3x3")
    await run.start()
    bench = run.bench
    for n in range(3):
        await run.write_need(n, {"inputs": 1, "steps": 1, "credits": 1, "errors_done": 1, "label": 0})
    await run.erase()

    async def waits(event=None, slot=0, **content):
        if event:
            await run.give(event, 1, slot, 0, run.models[1].need["tape"], **content)
        await bench.step(3)
        return [bench.bits(name) for name in WAITS]

    assert await waits() == [1, 0, 0]
    assert await waits("inputs", event__train=1) == [0, 0, 0]
    bench.set("forward__slice", 1)
    await bench.pulse("forward__start")
    assert await waits() == [0, 0, 0]  # the thread has a job
    await bench.pulse("forward__done")
    assert await waits() == [1, 0, 1]
    for slot in (1, 2):
        await waits("inputs", slot)
        for port in ("forward__start", "forward__done"):
            await bench.pulse(port)
    bench.set("backward__slice", 1)
    assert await waits("marker") == [1, 0, 0]
    await bench.pulse("backward__start")
    assert await waits() == [1, 0, 0]
    await bench.pulse("backward__done")
    assert await waits() == [1, 0, 1]
    assert await waits("inputs") == [0, 1, 1]
    assert await waits("credit") == [0, 0, 1]

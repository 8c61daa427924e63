# SPDX-License-Identifier: Apache-2.0
"""Bench of the slot table: a model beside it, with random packets and random jobs, compared in every cycle."""

import cocotb

from backspike.host.protocol import NEED, NO_LABEL
from backspike.hw.config import ChipConfig
from backspike.hw.core.slots import SlotTable
from backspike.hw.shapes import Shapes
from backspike.sim.unit import Bench

_CONFIGS = {
    "slots_2x1": ChipConfig(slots=2, slices=1), "slots_3x3": ChipConfig(slots=3, slices=3),
    "slots_8x4": ChipConfig(slots=8, slices=4), "slots_2x16": ChipConfig(slots=2, slices=16)}


def units():
    return {name: SlotTable(Shapes(config)) for name, config in _CONFIGS.items()}


WAITS = "no_input", "no_credit", "no_errors"


class Slot:
    """A sample in flight, in words of the protocol."""

    def __init__(self):
        self.stage = "filling"
        self.inputs = self.markers = self.owed = self.train = 0
        self.label = None  # not come
        self.last_label = 0


class Model:
    """What a slice knows of its slots."""

    def __init__(self, slots):
        self.need = {"inputs": 0, "credits": 0, "markers": 0, "label": 0}
        self.slots = [Slot() for _ in range(slots)]
        self.forward = self.backward = 0  # slots whose turn it is

    def accepts(self, slot):
        return self.slots[slot].stage == "filling" and self.slots[slot].inputs != self.need["inputs"]

    @property
    def ready_forward(self):
        slot = self.slots[self.forward]
        complete = self.need["inputs"] and slot.inputs == self.need["inputs"]
        return bool(slot.stage == "filling" and complete and not slot.owed)

    @property
    def needs_credit(self):
        slot = self.slots[self.forward]
        complete = self.need["inputs"] and slot.inputs == self.need["inputs"]
        return bool(slot.stage == "filling" and complete and slot.owed)

    @property
    def needs_input(self):
        return self.accepts(self.forward)

    @property
    def ready_backward(self):
        slot = self.slots[self.backward]
        known = slot.label is not None if self.need["label"] else slot.markers == self.need["markers"]
        return slot.stage == "backward" and (not slot.train or known)

    @property
    def needs_errors(self):
        return self.slots[self.backward].stage == "backward" and not self.ready_backward


class Run:
    """Random life of all slices: at most one packet, one forward and one backward event in a cycle."""

    def __init__(self, dut, name):
        self.config = config = _CONFIGS[name]
        self.bench, self.random = (bench := Bench(dut, name, SlotTable(Shapes(config)))), bench.random
        self.models = [Model(config.slots) for _ in range(config.slices)]
        self.threads = {"forward": None, "backward": None}  # slice in work
        self.begun = False  # the backward thread has taken the label or markers
        self.jobs = {"forward": 0, "backward": 0}
        self.waits = dict.fromkeys(WAITS)  # what the slots of the cycle before wait for; None: not known
        self.waited = dict.fromkeys(WAITS, 0)

    async def start(self):
        await self.bench.start()
        for n, model in enumerate(self.models):
            model.need = {"inputs": self.random.randint(1, 4), "credits": self.random.randrange(3),
                          "markers": self.random.randint(1, 3), "label": self.random.randrange(2)}
            await self.write_need(n, model.need)

    async def write_need(self, n, need):
        self.bench.set("need_slice", n)
        self.bench.set("need", NEED.pack(**need))
        await self.bench.pulse("need_write")
        self.models[n] = Model(self.config.slots)
        self.models[n].need = need
        self.waits = dict.fromkeys(WAITS)

    def packet(self):
        """Decide on a packet; returns what it changes in the model."""
        random, bench = self.random, self.bench
        n, k = random.randrange(self.config.slices), random.randrange(self.config.slots)
        model = self.models[n]
        slot, label = model.slots[k], random.randrange(NO_LABEL + 1)
        choices = []
        if model.accepts(k):
            choices += ["inputs"] * 3
        if slot.markers < model.need["markers"] and not model.need["label"]:
            choices.append("marker")
        if slot.label is None and model.need["label"]:
            choices.append("label")
        choices += ["credit", None]
        event, train = random.choice(choices), random.randrange(2)
        bench.set("event_slice", n)
        bench.set("event_slot", k)
        bench.set("event", {event: 1} if event else 0)
        bench.set("event_train", train)
        bench.set("event_label", label)
        self.asked = n, k

        def apply():
            if event == "inputs":
                slot.inputs, slot.train = slot.inputs + 1, train
            elif event == "marker":
                slot.markers += 1
            elif event == "label":
                slot.label = slot.last_label = label
            elif event == "credit":
                slot.owed = max(slot.owed - 1, 0)

        return apply

    def thread(self, name):
        """Decide what a thread does; returns what it changes in the model."""
        bench, random = self.bench, self.random
        bench.set(f"{name}_start", 0)
        bench.set(f"{name}_done", 0)
        n = self.threads[name]
        if n is None:
            n = random.randrange(self.config.slices)
            bench.set(f"{name}_slice", n)
            ready = getattr(self.models[n], f"ready_{name}")
            return (lambda: self._take(name, n)) if ready and self._begin(name, n) else lambda: None
        if random.random() < 0.7:
            return lambda: None
        slot = self.models[n].slots[getattr(self.models[n], name)]
        if name == "backward" and slot.train and not self.begun:
            bench.set("backward_start", 1)
            return lambda: self._consume(slot)
        bench.set(f"{name}_done", 1)
        return lambda: self._done(name, n, slot)

    def _begin(self, name, n):
        if self.random.random() < 0.5:
            return False
        if name == "forward":
            self.bench.set("forward_start", 1)
        return True

    def _take(self, name, n):
        self.threads[name] = n
        model = self.models[n]
        if name == "forward":
            slot = model.slots[model.forward]
            slot.stage, slot.owed = "forward", model.need["credits"]
        self.begun = False if name == "backward" else self.begun

    def _consume(self, slot):
        slot.stage, slot.label, slot.markers, self.begun = "learning", None, 0, True

    def _done(self, name, n, slot):
        model = self.models[n]
        self.threads[name] = None
        self.jobs[name] += 1
        setattr(model, name, (getattr(model, name) + 1) % self.config.slots)
        if name == "forward":
            slot.stage = "backward"
        else:
            slot.stage, slot.inputs = "filling", 0

    def _waits(self):
        """What the threads of a core wait for, if they have no job."""
        forward, backward, credit, inputs, errors = (
            any(getattr(model, name) for model in self.models)
            for name in ("ready_forward", "ready_backward", "needs_credit", "needs_input", "needs_errors"))
        return {"no_input": inputs and not forward and not credit, "no_credit": credit and not forward,
                "no_errors": errors and not backward}

    def compare(self):
        bench, models = self.bench, self.models
        for name, expected in self.waits.items():
            assert expected is None or bench.bits(name) == expected, name
            self.waited[name] += expected or 0
        self.waits = self._waits()
        for name in ("forward", "backward"):
            ready = sum(int(getattr(model, f"ready_{name}")) << n for n, model in enumerate(models))
            assert bench.bits(f"ready_{name}") == ready, name
            model = models[bench.given[f"{name}_slice"] >> bench.inputs[f"{name}_slice"][0]]
            slot = model.slots[getattr(model, name)]
            assert bench.bits(f"{name}_slot") == getattr(model, name)
            if slot.inputs:
                assert bench.bits(f"{name}_train") == slot.train
            if name == "backward" and slot.last_label:
                assert bench.bits("backward_label") == slot.last_label
        idle = sum(int(all(slot.stage == "filling" for slot in model.slots)) << n for n, model in enumerate(models))
        assert bench.bits("idle") == idle
        n, k = self.asked
        assert bench.bits("accepts") == models[n].accepts(k)


@cocotb.test()
@cocotb.parametrize(name=list(_CONFIGS))
async def life_of_the_slots(dut, name):
    run = Run(dut, name)
    await run.start()
    for cycle in range(6000):
        changes = [run.thread("forward"), run.thread("backward"), run.packet()]
        await run.bench.step()
        run.compare()
        # A label or marker that comes in the cycle in which the last ones are taken would be lost; none can.
        for change in (changes[2], *changes[:2]):
            change()
        if cycle % 2000 == 1999:  # a restart in the middle of the work of others
            n = run.random.randrange(run.config.slices)
            if n not in run.threads.values():
                for port in ("event", "forward_start", "forward_done", "backward_start", "backward_done"):
                    run.bench.set(port, 0)
                await run.write_need(n, {"inputs": 2, "credits": 1, "markers": 1, "label": 0})
    assert min(run.jobs.values()) > 200, run.jobs
    assert run.config.slices > 4 or min(run.waited.values()) > 20, run.waited  # of many slices, one is ready mostly


@cocotb.test()
async def most_inputs(dut):
    """As many packets for a sample as NEED can say; a label that is not there is known too."""
    run = Run(dut, "slots_2x1")
    await run.start()
    bench, most = run.bench, (1 << 14) - 1
    await run.write_need(0, {"inputs": most, "credits": 63, "markers": 1, "label": 1})
    for port, value in (("event_slice", 0), ("event_slot", 0), ("event", {"inputs": 1}), ("event_train", 1)):
        bench.set(port, value)
    for _ in range(most):
        assert not bench.bits("ready_forward")
        await bench.step()
        assert bench.bits("accepts")
    bench.set("event", {"label": 1})
    bench.set("event_label", NO_LABEL)
    await bench.step()
    assert bench.bits("ready_forward") and not bench.bits("accepts")
    bench.set("event", 0)
    for port in ("forward_start", "forward_done"):
        await bench.pulse(port)
    await bench.step(2)
    assert bench.bits("ready_backward") and bench.bits("backward_label") == NO_LABEL
    assert bench.bits("no_input") and not bench.bits("no_credit") and not bench.bits("no_errors")


@cocotb.test()
async def waiting_for_one_slice_hides_nothing(dut):
    """A slice that may start hides what the others wait for, and credits hide inputs; errors are another thread's."""
    run = Run(dut, "slots_3x3")
    await run.start()
    bench = run.bench
    for n in range(3):
        await run.write_need(n, {"inputs": 1, "credits": 1, "markers": 1, "label": 0})

    async def waits(**event):
        for port, value in ({"event": 0} | event).items():
            bench.set(port, value)
        await bench.step()
        bench.set("event", 0)
        await bench.step(3)
        return [bench.bits(name) for name in WAITS]

    assert await waits() == [1, 0, 0]
    assert await waits(event={"inputs": 1}, event_slice=1, event_slot=0, event_train=1) == [0, 0, 0]
    bench.set("forward_slice", 1)
    await bench.pulse("forward_start")
    assert await waits() == [1, 0, 0]
    await bench.pulse("forward_done")
    assert await waits() == [1, 0, 1]
    for slot in (1, 2):
        await waits(event={"inputs": 1}, event_slice=1, event_slot=slot)
        for port in ("forward_start", "forward_done"):
            await bench.pulse(port)
    bench.set("backward_slice", 1)
    assert await waits(event={"marker": 1}, event_slice=1, event_slot=0) == [1, 0, 0]
    await bench.pulse("backward_start")
    assert await waits() == [1, 0, 0]
    await bench.pulse("backward_done")
    assert await waits() == [1, 0, 1]
    assert await waits(event={"inputs": 1}, event_slice=1, event_slot=0) == [0, 1, 1]
    assert await waits(event={"credit": 1}, event_slice=1, event_slot=0) == [0, 0, 1]

# SPDX-License-Identifier: Apache-2.0
"""The whole program: after reset, and then for ever: take packets in, answer the host, do the next job."""

from backspike.host.protocol import COUNTERS, Kind, Region
from backspike.hw.core.regions import region_sizes
from backspike.hw.sequential.assembler import ZERO, Label
from backspike.hw.sequential.instructions import Op
from backspike.hw.sequential.memory_map import LONG
from backspike.hw.sequential.program.backward import add_backward, add_notify
from backspike.hw.sequential.program.base import Program
from backspike.hw.sequential.program.base import Registers as R
from backspike.hw.sequential.program.forward import add_forward
from backspike.hw.sequential.program.jobs import begin_job
from backspike.hw.sequential.program.receive import add_receive
from backspike.hw.sequential.program.spikes import add_list_spikes
from backspike.hw.sequential.program.update import add_update

__all__ = ["make_program"]


def make_program(config):
    """The program of a core of this configuration: an assembler, whose ``code`` are the words of its instructions."""
    p = Program(config)
    jobs = {name: Label(name) for name in ("backward", "update", "forward")}
    _start(p)
    _main(p, jobs)
    for add, label in ((add_backward, jobs["backward"]), (add_update, jobs["update"]), (add_forward, jobs["forward"])):
        add(p, label)
    add_list_spikes(p)
    add_notify(p)
    for add_routine in (p.add_key, p.add_busy, p.add_saturated, p.add_claim):
        add_routine()
    add_receive(p)
    return p


def _start(p):
    """Nothing is known of registers and memory: no slice takes inputs, counters are 0."""
    p.emit(Op.AND, ZERO, ZERO, 0)
    at = R.TEMP
    p.move(at, p.map.packet)
    with p.repeat(at, "!=", p.map.descriptors):
        p.store(ZERO, at)
        p.add(at, at, 1)
    for region, size in region_sizes(p.config).items():
        p.store(min(size, 0xFFFF), ZERO, p.map.sizes + region)
    p.put(1, "erase")


def _main(p, jobs):
    found = Label("found")
    job = R.END
    p.place(p.main)
    p.get(R.TEMP, "erase")
    with p.when(R.TEMP, "!=", 0):
        _erase(p)
    p.move(job, 0)
    p.move(R.SLICE, 0)
    p.move(R.AT_SLICE, p.map.slices)
    with p.repeat(R.SLICE, "!=", p.config.slices):
        _find(p, job, jobs, found)
        p.add(R.SLICE, R.SLICE, 1)
        p.add(R.AT_SLICE, R.AT_SLICE, p.map.slice_words)
    p.place(found)
    p.put(ZERO, "idle")
    with p.when(job, "==", 0):
        p.put(1, "idle")
    answer = Label("answer")
    arrived = Label("arrived")
    p.branch(Op.ARRIVED, arrived)
    p.jump(answer)
    p.place(arrived)
    p.call(p.receive, R.RECEIVED)
    p.jump(p.main)
    p.place(answer)
    _report_fault(p)
    _reply(p)
    p.branch_if(job, "==", 0, p.main)
    begin_job(p)
    p.emit(Op.JUMP, ZERO, job)


def _erase(p):
    """Error sums, and the counts of what has come for slots, are 0."""
    at, left = R.LOCAL[:2]
    p.put(ZERO, "erase")
    p.move(at, p.map.errors)
    with p.repeat(at, "!=", p.map.errors + p.map.error_words):
        p.store(ZERO, at)
        p.add(at, at, 1)
    p.move(at, p.map.slots)
    with p.repeat(at, "!=", p.map.slots + p.config.slices * p.config.slots * p.map.slot_words):
        for name in ("credits", "markers"):
            p.store_slot(ZERO, at, name)
        p.move(left, p.config.steps)
        with p.repeat(left, "!=", 0):
            p.sub(left, left, 1)
            p.add(R.TEMP, at, left)
            p.store(ZERO, R.TEMP, p.map.arrivals)
        p.add(at, at, p.map.slot_words)


def _find(p, job, jobs, found):
    """job = address of what can be done for SLICE: first the backward job, then the update, then a step forward."""
    for find, name in ((_backward_waits, "backward"), (_update_waits, "update"), (_step_waits, "forward")):
        nothing = Label(f"no {name} job")
        find(p, nothing)
        p.move(job, jobs[name])
        p.jump(found)
        p.place(nothing)


def _backward_waits(p, nothing):
    """Go to ``nothing`` unless the slice has a sample whose errors or label have come, or which is not for training."""
    value, other = R.LOCAL[:2]
    ready = Label("a backward job")
    p.load_slice(R.SLOT, R.AT_SLICE, "backward_slot")
    p.at_slot(R.AT_SLOT, R.SLICE, R.SLOT)
    p.load_slot(value, R.AT_SLOT, "beyond")
    p.branch_if(value, "==", 0, nothing)
    p.load_slot(value, R.AT_SLOT, "train")
    p.branch_if(value, "==", 0, ready)
    p.load_slot(value, R.AT_SLOT, "known")
    p.branch_if(value, "!=", 0, ready)
    p.load_slice(value, R.AT_SLICE, "markers")
    p.load_slice(other, R.AT_SLICE, "label")
    p.either(value, value, other)
    p.branch_if(value, "!=", 0, nothing)
    p.place(ready)


def _update_waits(p, nothing):
    """Go to ``nothing`` unless an UPDATE has come, and no sample of the slice has gone beyond its inputs."""
    at, end, value = R.LOCAL[:3]
    p.load_slice(value, R.AT_SLICE, "pending")
    p.branch_if(value, "==", 0, nothing)
    p.load_slice(value, R.AT_SLICE, "step")
    p.branch_if(value, "!=", 0, nothing)
    p.at_slot(at, R.SLICE, ZERO)
    p.add(end, at, p.config.slots * p.map.slot_words)
    with p.repeat(at, "!=", end):
        p.load_slot(value, at, "beyond")
        p.branch_if(value, "!=", 0, nothing)
        p.add(at, at, p.map.slot_words)


def _step_waits(p, nothing):
    """Go to ``nothing`` unless the inputs of the slice's next step have come; a first step waits for credits, too."""
    value, step, bit = R.LOCAL[:3]
    ready = Label("a forward job")
    p.load_slice(value, R.AT_SLICE, "inputs")
    p.branch_if(value, "==", 0, nothing)
    p.load_slice(R.SLOT, R.AT_SLICE, "forward_slot")
    p.at_slot(R.AT_SLOT, R.SLICE, R.SLOT)
    p.load_slot(value, R.AT_SLOT, "beyond")
    p.branch_if(value, "!=", 0, nothing)
    p.load_slice(step, R.AT_SLICE, "step")
    p.bit(bit, step)
    p.load_slot(value, R.AT_SLOT, "complete")
    p.both(value, value, bit)
    p.branch_if(value, "==", 0, nothing)
    p.branch_if(step, "!=", 0, ready)
    p.load_slot(value, R.AT_SLOT, "paid")
    p.branch_if(value, "!=", 0, ready)
    p.load_slice(value, R.AT_SLICE, "credits")
    p.branch_if(value, "!=", 0, nothing)
    p.place(ready)


def _report_fault(p):
    cause, low, high, scratch = R.LOCAL[:4]
    p.get(cause, "fault")
    with p.when(cause, "!=", 0):
        p.header(low, high, Kind.FAULT, host=1, cause=cause, sender=True, scratch=scratch)
        p.begin_packet(low, high)
        for name in ("fault_low", "fault_high"):
            p.get(scratch, name)
            p.put_half(scratch)
        p.end_packet()
        p.put(ZERO, "fault")


def _reply(p):
    """The words that a READ asked for, two in a packet."""
    region, address, low, high, scratch, number, *_ = R.LOCAL
    with p.loop("reply") as after:
        p.get(scratch, "reading")
        p.branch_if(scratch, "==", 0, after)
        p.get(region, "read_region")
        p.header(low, high, Kind.DATA, host=1, region=region, sender=True, scratch=scratch)
        p.begin_packet(low, high)
        p.get(address, "read_address")
        p.put_half(address)
        p.put_half(ZERO)
        p.move(number, 2)
        with p.repeat(number, "!=", 0):
            _fetch(p, region, address, low, high)
            p.put_half(low)
            p.put_half(high)
            p.add(address, address, 1)
            p.sub(number, number, 1)
            p.get(scratch, "reading")
            p.sub(scratch, scratch, 1)
            p.put(scratch, "reading")
            with p.when(scratch, "==", 0):
                p.move(number, 0)
        p.put(address, "read_address")
        p.end_packet()


def _fetch(p, region, address, low, high):
    """low, high = word that the host reads."""
    config, memory = p.config, p.map
    fetched = Label("fetched")
    p.move(high, 0)
    numbers = {Region.WEIGHT: memory.weights, **({Region.VELOCITY: memory.velocities} if config.momentum else {})}
    for number_region, base in numbers.items():
        with p.when(region, "==", int(number_region)):
            p.load(low, address, base)
            p.jump(fetched)
    at = R.TEMP
    for gradient_region, first in ((Region.GRADIENT, 0), (Region.GRADIENT_HIGH, 2)):
        with p.when(region, "==", int(gradient_region)):
            p.multiply(at, address, memory.gradient_words)
            for k, part in ((first, low), (first + 1, high)):
                if k < memory.gradient_words:
                    p.load(part, at, memory.gradients + k)
                else:  # its sign
                    p.load(part, at, memory.gradients + memory.gradient_words - 1)
                    p.right(part, part, 15)
                    p.sub(part, ZERO, part)
            p.jump(fetched)
    with p.when(region, "==", int(Region.COUNTER)):
        with p.when(address, "==", COUNTERS.index("cycles")):
            p.elapsed(low, high, "cleared")
            p.jump(fetched)
        p.left(at, address, 1)
        p.load(low, at, memory.counters)
        p.load(high, at, memory.counters + 1)
        p.jump(fetched)
    p.move(low, 0)
    with p.when(address, "==", 0):  # region CONTROL
        p.get(low, "skip_off")
        p.get(at, "idle")
        with p.when(at, "==", 0):
            p.either(low, low, 2)
        saturated = p.counter("saturated")
        p.load(at, ZERO, saturated)
        with p.when(at, "!=", 0):
            p.either(low, low, 4)
        p.load(at, ZERO, saturated + LONG - 1)
        with p.when(at, "!=", 0):
            p.either(low, low, 4)
    p.place(fetched)

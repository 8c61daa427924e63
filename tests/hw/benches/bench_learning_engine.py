# SPDX-License-Identifier: Apache-2.0
"""Bench of back-propagation and weight gradient: the error sums of all masked inputs, the gradients of all spikes."""

from collections import defaultdict
from copy import copy

import cocotb
import numpy as np

from backspike.hw.arith.numbers import product_model, to_fixed_model
from backspike.hw.engines.learning import LearningEngine
from backspike.hw.shapes import WORD, Shapes
from tests.support.codec import Codec
from tests.support.engine_run import EngineRun
from tests.support.jobs import DENSE, KINDS
from tests.support.jobs import LANES as PLAIN
from tests.support.unit import Memory, Sink, long_test

LANES = [*PLAIN, "operands"]
COUNTS = ("bp_terms", "bp_row", "bp_result", "wg_terms", "wg_row")
CONV = {"height": 6, "width": 6, "kernel": 3, "stride": 1, "padding": 1, "pool": 1}


def expected_errors(job):
    """Results in the order of the engine: groups, steps, inputs; sums of zero are not sent.

    Inputs of constant groups are at each output pixel, with a result for each.
    """
    seen = defaultdict(list)  # by group, pixel of a constant group and input: (output pixel, weight address)
    for g, n, pixel, address in job.pairs():
        seen[g, pixel * job.groups[g]["constant"], n].append((pixel, address))
    lane, block = np.arange(job.outputs) % job.config.lanes, np.arange(job.outputs) // job.config.lanes
    weights = np.stack(job.weights)
    results = []
    for g, group in enumerate(job.groups):
        bits = np.stack([group["bits"][: job.steps]] * (job.pixels if group["constant"] else 1), axis=1)
        for t, place, n in np.argwhere(bits):
            total = 0
            for pixel, address in seen[g, place, n]:
                hit = np.flatnonzero(job.nonzero[t, pixel])
                total += int(
                    sum(
                        product_model(
                            weights[lane[hit], address + block[hit]], job.deltas[t, pixel, hit], job.config.format
                        )
                    )
                )
            if total:
                target = {"x": group["x"], "y": group["y"], "neuron": group["neuron"] + n, "step": t}
                results.append({"target": target, "sum": total})
    return results


def _with_bits(job, bits):
    """The job with other input bits, a table for each group."""
    other = copy(job)
    other.groups = [dict(group, bits=own) for group, own in zip(job.groups, bits, strict=True)]
    return other


class Run(EngineRun):
    """The job's bits are the spikes; the masks are others."""

    ENGINE, PREFIX = LearningEngine, "learning"

    async def do(self, job, errors=1, masks=None, skip_off=0):
        """Run a job and compare everything; returns the terms that the lanes have to do, and the cycles.

        Without ``errors`` there are masks as well, which must not count; nor do those of constant inputs.
        """
        bench, self.shapes = self.bench, job.shapes
        self.forget(self._count, self._write)
        self.counts = dict.fromkeys(COUNTS, 0)
        masks = [job.random_bits(group["bits"].shape[1], masks) for group in job.groups]
        asked = [group["behind"] if job.feedback else not group["constant"] for group in job.groups]
        masked = _with_bits(job, [bits * bool(errors and own) for bits, own in zip(masks, asked, strict=True)])
        own = [group["bits"] * (not group["behind"]) for group in job.groups]
        if job.learning:  # noise of masked inputs alone; each of these has a term
            behind = [
                (group["bits"], bits if group["behind"] else None)
                for group, bits in zip(job.groups, masks, strict=True)
            ]
            job = _with_bits(job, [bits if own is None else bits & own for bits, own in behind])
            own = [bits if own is None else own for bits, own in behind]
        spiking = _with_bits(job, own)
        self.parts = {"gradients": job.shapes.gradient_low, "highs": job.shapes.gradient_high}
        self.banks = {
            part: [[bench.random.getrandbits(bits) for _ in bank] for bank in job.weights]
            for part, bits in self.parts.items()
        }
        gradients = self.expected_gradients(spiking, [group["bits"] for group in job.groups])
        Memory.behind(bench, "memory__fan_in", [job.group_table()])
        self._tape(_with_bits(job, masks).tape(), job.tape())
        Memory.behind(bench, "memory__bitmaps", [job.bitmaps()])
        if job.shapes.traced:
            Memory.behind(bench, "memory__presynaptic", [job.presynaptic()])
        for k, (weights, deltas) in enumerate(zip(job.weights, job.delta_banks(), strict=True)):
            self._operands(k, weights, deltas)
            for part, banks in self.banks.items():
                Memory.behind(bench, f"memory__{part}_{k}", [banks[k]])
        sink = Sink(bench, "results", self.idle)
        self.set_job(job, errors=errors, active_steps=job.active_steps(), skip_off=skip_off)
        cycles = await self.work()
        for _ in range(12):
            await bench.step()
            assert not any(bench.bits(name) for name in ("busy", "bp_busy", "results__valid"))
            assert not any(
                bench.bits(f"memory__new_{part}_{k}__enable") for part in self.parts for k in range(self.config.lanes)
            )
        about = (job.shape, job.channels, job.blocks)
        assert sink.items == expected_errors(masked), about
        assert self._gradients() == gradients, about
        self._check_counts(masked, spiking, skip_off, len(sink.items))
        pairs = zip(masked.groups, spiking.groups, strict=True)
        either = _with_bits(job, [one["bits"] | other["bits"] for one, other in pairs])
        # A list of deltas is played for a masked input and a spike at a time; without lists, for one input.
        terms = max(self.counts["bp_terms"], self.counts["wg_terms"])
        return terms if self.kind == "pixels" else either.useful_terms(), cycles

    def _tape(self, masks, spikes):
        """Both words of an address; what only one of them has, or none, is garbage."""
        bits = self.bench.random.getrandbits
        Memory.behind(
            self.bench,
            "memory__tape",
            [lambda address: masks.get(address, bits(WORD)) | spikes.get(address, bits(WORD)) << WORD],
        )

    def _operands(self, k, weights, deltas):
        """Weight and delta of lane k, each at its address."""
        bench, place = self.bench, self.bench.outputs[f"memory__operands_{k}__address"][1]
        width, bits = self.config.format.width, bench.random.getrandbits
        delta_address = Codec(place.shape["delta"].shape).pack

        def read(address):
            at = place.unpack(address)
            weight = int(weights[at["weight"]]) if at["weight"] < len(weights) else bits(width)
            return weight | int(deltas.get(delta_address(at["delta"]), bits(width))) << width

        Memory.behind(bench, f"memory__operands_{k}", [read])

    def _check_counts(self, masked, spiking, skip_off, results):
        """An input is found in each step that is looked at, a constant one at each output pixel."""
        steps = np.flatnonzero(spiking.nonzero.any(axis=(1, 2)) | bool(skip_off))

        def found(job):
            return sum(
                int(group["bits"][steps].sum()) * (job.pixels if group["constant"] else 1) for group in job.groups
            )

        assert self.counts == {
            "bp_terms": masked.useful_terms(),
            "bp_row": found(masked),
            "bp_result": results,
            "wg_terms": spiking.useful_terms(),
            "wg_row": found(spiking),
        }

    def expected_gradients(self, job, noise):
        """Old gradients plus exact sums of deltas times operands, modulo the width of the memory.

        ``noise``: bits of each group, of which those that learn have operands of +1 and -1.
        """
        fixed = to_fixed_model(job.deltas, job.config.format).astype(object)
        banks = self._gradients()
        for g, n, pixel, address in job.pairs():
            for t in np.flatnonzero(job.groups[g]["bits"][: job.steps, n]):
                operand = 2 * int(noise[g][t, n]) - 1 if job.groups[g]["behind"] else job.operand(g, n)
                for output in np.flatnonzero(job.nonzero[t, pixel]):
                    lane, block = output % job.config.lanes, output // job.config.lanes
                    banks[lane][address + block] += fixed[t, pixel, output] * operand
        return [[value % (1 << self.shapes.gradient_sum) for value in bank] for bank in banks]

    def _gradients(self):
        """What the low and high parts of each lane stand for, unsigned."""
        low, whole = self.shapes.gradient_low, 1 << self.shapes.gradient_sum
        return [
            [(part + (high - (part >> low - 1) << low)) % whole for part, high in zip(*both, strict=True)]
            for both in zip(*self.banks.values(), strict=True)
        ]

    def _count(self):
        for name in COUNTS:
            self.counts[name] += self.bench.bits(name)
        assert not self.bench.bits("bp_busy") or self.bench.bits("busy")

    def _write(self):
        """The write port of each lane's bank: what is read in the same cycle is the old content."""
        bench = self.bench
        for part, banks in self.banks.items():
            for k, bank in enumerate(banks):
                port = f"memory__new_{part}_{k}__"
                if bench.bits(port + "enable"):
                    bank[bench.bits(port + "address")] = bench.bits(port + "data")


units = Run.units


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES, idle=[0.0, 0.3, 0.9])
async def random_jobs(dut, kind, lanes, idle):
    """Several groups, constant ones among them, sparse and full rows, any number of steps; results wait at times."""
    run = await Run.begin(dut, kind, lanes, idle)
    for n in range(5):
        job = run.job(blocks=1 if n == 0 else None)
        await run.do(job, errors=n != 3, skip_off=int(n == 2 and kind == "pixels"))


@cocotb.test()
async def strides_padding_and_pooling(dut):
    run = await Run.begin(dut, "pixels", 1)
    await run.do_odd_shapes()


@cocotb.test()
@cocotb.parametrize(
    kind=KINDS, lanes=LANES, densities=[(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1), (1, 1, 0), (1, 1, 0.1)]
)
async def few_and_many_terms(dut, kind, lanes, densities):
    """Only masks, only spikes, both, none; without deltas all sums are zero, and none is sent."""
    run = await Run.begin(dut, kind, lanes, 0.2)
    spikes, masks, deltas = densities
    for skip_off in (0, 1) if kind == "pixels" else (0,):
        job = run.job(
            spikes=spikes, deltas=deltas, shape=DENSE, channels=[32, None, 5], last_lanes=1, blocks=2, steps=1
        )
        await run.do(job, masks=masks, skip_off=skip_off)


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES)
async def without_errors(dut, kind, lanes):
    """A slice that sends no errors: its masks count for nothing."""
    run = await Run.begin(dut, kind, lanes)
    await run.do(run.job(spikes=0.3, deltas=0.5, shape=DENSE, channels=[20, None, 33], blocks=3), 0, 1.0)
    await run.do(run.job(), 1)
    await run.do(run.job(), 0)


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES, idle=[0.0, 0.5])
async def inputs_that_only_get_errors(dut, kind, lanes, idle):
    """Groups behind the slice's inputs, which get the errors in their place; some learn from noise."""
    run = await Run.begin(dut, kind, lanes, idle)
    for n, feedback in enumerate(([40], [33, 5], [1], [64, 3])):
        plain = {"shape": DENSE, "channels": [20, None] if n else [20]} if n < 2 else {}
        job = run.job(feedback=feedback[: run.config.fan_in - 2], deltas=0.5 if n == 0 else None, **plain)
        await run.do(job, skip_off=int(n == 2 and kind == "pixels"))
        await run.do(run.job(blocks=1))


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES, idle=[0.0, 0.9], inputs=[1, 3])
async def one_gradient_again_and_again(dut, kind, lanes, idle, inputs):
    """Few gradients, to which each step adds, while terms queue up behind results that are not taken."""
    run = await Run.begin(dut, kind, lanes, idle)
    for masks, blocks in ((0.0, 1), (0.5, 1), (1.0, 1), (1.0, 2)):
        job = run.job(spikes=0.9, deltas=0.9, shape=DENSE, channels=[inputs], blocks=blocks, steps=run.config.steps)
        await run.do(job, masks=masks)


@cocotb.test()
@cocotb.parametrize(lanes=LANES)
async def pixels_of_one_gradient(dut, lanes):
    """All inputs of a pooling field, and all pixels, meet the same weight."""
    run = await Run.begin(dut, "pixels", lanes)
    shape = {"height": 6, "width": 6, "kernel": 1, "stride": 1, "padding": 0, "pool": 2}
    await run.do(run.job(spikes=0.8, deltas=0.7, shape=shape, channels=[1], blocks=1, last_lanes=1), masks=0.3)


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES, deltas=[0.1, 0.4])
async def few_cycles_are_lost(dut, kind, lanes, deltas):
    """Utilisation of the lanes: useful terms of (lanes x cycles), from start to end; dense, and a kernel of 3 x 3."""
    run = await Run.begin(dut, kind, lanes)
    width = run.config.lanes
    for shape, size, blocks in ((DENSE, 60, 30), (CONV, 7, 7))[: 2 if kind == "pixels" else 1]:
        job = run.job(
            spikes=0.2,
            deltas=deltas,
            shape=shape,
            channels=[size],
            blocks=min(blocks, 4096 // width // 64),
            last_lanes=run.config.lanes,
            steps=min(4, run.config.steps),
        )
        terms, cycles = await run.do(job, masks=0.3)
        used = terms / cycles / width
        dut._log.info("%s: utilisation %.3f of %d lanes, kernel %d", kind, used, width, shape["kernel"])
        if width == 1 and deltas == 0.4:
            assert used > (0.8 if kind == "pixels" else 0.85)


@cocotb.test()
@cocotb.parametrize(kind=KINDS, lanes=LANES)
async def largest_sums_are_exact(dut, kind, lanes):
    """All weights and deltas the largest number."""
    run = await Run.begin(dut, kind, lanes)
    config = run.config
    for sign in (0, 1 << config.format.width - 1):
        job = run.job(
            spikes=1.0,
            deltas=1.0,
            shape=DENSE,
            channels=[4],
            last_lanes=run.config.lanes,
            steps=1,
            blocks=min(Shapes(config).block_depth, config.list_depth),
        )
        largest = int(config.format.encode(config.format.max_finite))
        job.weights = [np.full_like(bank, largest | sign) for bank in job.weights]
        job.deltas = np.full_like(job.deltas, largest)
        await run.do(job, masks=1.0)


@long_test
@cocotb.parametrize(kind=KINDS)
async def ends_of_the_largest_memories(dut, kind):
    run = await Run.begin(dut, kind, "largest")
    await run.do_largest({"height": 127, "width": 127, "kernel": 1, "stride": 1, "padding": 0, "pool": 1}, blocks=1)

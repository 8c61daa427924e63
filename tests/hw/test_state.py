# SPDX-License-Identifier: Apache-2.0
"""The bits of a chip's state are those of its memories."""

import pytest
from amaranth.hdl import Shape

from backspike.hw.core.memory.memories import Memories
from backspike.hw.ram import Ram
from backspike.hw.shapes import WORD, Shapes
from backspike.hw.state import state_bits
from backspike.spec.config import ChipConfig

SIZES = {"neurons": 128, "tape_words": 16, "weights": 4096}
CHIPS = [
    ChipConfig(steps=4, slots=2, **SIZES),
    ChipConfig(steps=1, slots=4, operand_bits=7, **SIZES),
    ChipConfig(steps=1, slots=4, operand_bits=7, noise=True, ternary=True, **SIZES),
    ChipConfig(steps=2, slots=8, momentum=False, batch_terms=1 << 12, **SIZES),
]
OF = {
    "neuron": ("potentials", "noise", "history", "error_sums", "deltas_0", "charges"),
    "input": ("masks", "laps", "operands"),
    "weight": ("weights_0", "gradients_0", "highs_0", "velocities_0"),
}


@pytest.mark.parametrize("config", CHIPS, ids=str)
def test_state_is_what_the_memories_hold(config):
    """Bitmaps have a word more for each slice, and descriptions lie behind the spikes: these are counted by hand."""
    shapes = Shapes(config)
    parts = Memories(shapes).elaborate(None)._named_submodules
    rams = {name: part[0] for name, part in parts.items() if isinstance(part[0], Ram)}
    bits = {name: ram.depth * Shape.cast(ram.data).width for name, ram in rams.items()}
    found = {what: sum(bits.get(name, 0) for name in names) for what, names in OF.items()}
    found["neuron"] += config.neurons << shapes.step_address
    found["input"] += WORD * config.tape_words * config.steps * config.slots
    counts = {"neuron": config.neurons, "input": WORD * config.tape_words, "weight": config.weights}
    assert state_bits(config) == {what: found[what] / count for what, count in counts.items()}

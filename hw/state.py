# SPDX-License-Identifier: Apache-2.0
"""Bits that a chip keeps for each neuron, input and weight: what a learning rule costs in memory."""

from amaranth.hdl import Shape

from backspike.hw.core.update.neuron import history_layout, potential_layout
from backspike.hw.shapes import WORD, Shapes
from backspike.spec.config import ChipConfig

__all__ = ["state_bits"]


def state_bits(config: ChipConfig) -> dict[str, float]:
    """Bits of all memories but tables, by what there is one of.

    Parameters
    ----------
    config : ChipConfig
        A chip that was generated for the rule.

    Returns
    -------
    dict of float
        ``neuron``: its potentials and the generator of its noise; spike, mask and error sum of each step of the frames
        in its slots; delta of each step, and whether it is zero. ``input``: spike and mask of each step of the frames
        in its slots, its share of the lap of a tape word, and its operand if that is more than a spike. ``weight``:
        weight, velocity and gradient.
    """
    shapes = Shapes(config)
    steps = 1 << shapes.step_address
    held = steps * config.slots
    potential, history, error = (
        Shape.cast(layout).width for layout in (potential_layout(shapes), history_layout(shapes), shapes.error_word())
    )
    return {
        "neuron": potential
        + shapes.noise
        + (shapes.number if shapes.back else 0)
        + held * (history + error)
        + steps * (shapes.number + 1),
        "input": held * (2 + 1 / WORD) + (config.operand_bits if shapes.traced else 0),
        "weight": shapes.number * (1 + config.momentum) + shapes.gradient_sum,
    }

# SPDX-License-Identifier: Apache-2.0
"""What a slot of the chip holds of a sample, and which of a sample's frames are trained."""

import numpy as np

from backspike.golden.rules import OPERAND_BITS, Rule

__all__ = ["all_trained", "frame_steps", "once_a_sample", "rule_sizes"]


def once_a_sample(rule: Rule) -> bool:
    """Whether errors go back after the last step alone, from counts of spikes in all of them."""
    return rule.backward != "surrogate"


def frame_steps(rule: Rule, steps: int) -> int:
    """Steps of a frame on the chip, of a sample with so many.

    As ``Rule.frame_steps``, but one with a rule whose errors go back once a sample: counts go on from frame to frame.
    """
    return 1 if once_a_sample(rule) else rule.frame_steps(steps)


def all_trained(rule: Rule, frames: int) -> np.ndarray:
    """Which of so many frames of a sample a rule without choice trains: all, the last, or none, bool [frames].

    None where errors go back in frames of their own, behind them.
    """
    trained = np.full(frames, not once_a_sample(rule))
    trained[-1] = rule.backward != "ternary"
    return trained


def rule_sizes(rule: Rule, steps: int) -> dict[str, int]:
    """Fields of ``ChipConfig`` that a rule needs, for samples of so many steps.

    All steps of a sample, or those of a frame and more slots; operands; noise; ternary spikes.
    """
    options: dict[str, int] = {} if rule.operand == "spike" else {"operand_bits": OPERAND_BITS}
    if rule.feedback == "learned":
        options["noise"] = True
    if rule.backward == "ternary":
        options["ternary"] = True
    if rule.frame is None and not once_a_sample(rule):
        return {"steps": max(4, steps), **options}
    return {"steps": frame_steps(rule, steps), "slots": 4, **options}

# SPDX-License-Identifier: Apache-2.0
"""Frames in flight: what has come for them, what they wait for, and what a packet may bring."""

from copy import copy
from dataclasses import dataclass, field

from backspike.spec.config import ChipConfig
from backspike.spec.packets import Kind
from backspike.spec.tables import EXPECTATIONS

__all__ = ["Slice", "Slot"]


@dataclass
class Slot:
    """A frame in flight.

    Attributes
    ----------
    stage: "filling" while inputs come and steps are done, "backward" when all are, "gradients" when its errors went out
    arrived: (step, tape word) of the inputs that came
    steps: how many are done
    kind, train: whether the frame begins a sample, and is for training: what the last inputs of step 0 said
    owed: credits that consumers owe
    markers, label: what came for the slot's next training frame
    """

    stage: str = "filling"
    arrived: set = field(default_factory=set)
    steps: int = 0
    kind: Kind | None = None
    train: int | None = None
    owed: int = 0
    markers: int = 0
    label: int | None = None

    def free(self) -> None:
        """The frame is done; what came for the next one stays."""
        self.stage, self.arrived, self.steps = "filling", set(), 0

    def copy(self) -> "Slot":
        """As it is now."""
        other = copy(self)
        other.arrived = set(self.arrived)
        return other


@dataclass
class Slice:
    """What a core knows of a slice's frames.

    Attributes
    ----------
    words: of its EXPECTATIONS entry, as they were written; need: its fields, and whether it takes anything, ``active``
    forward, backward: slots whose turn it is
    update: (clear, velocities) of an UPDATE that waits
    """

    config: ChipConfig
    words: tuple = (0, 0)
    slots: list = field(default_factory=list)
    forward: int = 0
    backward: int = 0
    update: tuple | None = None

    def __post_init__(self):
        self.write(0, 0)

    def write(self, part: int, word: int) -> None:
        """A word of the EXPECTATIONS entry; a slice without inputs, or with too many to count, is not active."""
        self.words = (word, self.words[1]) if part == 0 else (self.words[0], word)
        self.need = EXPECTATIONS.unpack(self.words[1] << 32 | self.words[0])
        words, steps = self.config.tape_words, self.config.steps
        counted = 0 < self.need["inputs"] < 1 << words.bit_length()
        self.need["active"] = counted and 0 < self.need["steps"] <= 1 << max(1, (steps - 1).bit_length())
        self.restart()

    def restart(self) -> None:
        """Forget all frames, and an update that waits."""
        self.slots = [Slot() for _ in range(self.config.slots)]
        self.forward = self.backward = 0
        self.update = None

    def copy(self) -> "Slice":
        """As it is now."""
        other = copy(self)
        other.slots = [slot.copy() for slot in self.slots]
        return other

    def takes(self, kind: Kind, tag: dict) -> bool:
        """Whether anybody waits for this packet now."""
        need = self.need
        if kind == Kind.UPDATE:
            return self.update is None
        slot = self.slots[tag["slot"]]
        if not need["active"]:
            return False
        if kind == Kind.CREDIT:
            return slot.owed > 0
        if kind == Kind.LABEL:
            return bool(need["label"]) and slot.label is None
        if kind == Kind.ERRORS_DONE:
            return not need["label"] and slot.markers < need["errors_done"]
        return self._takes_inputs(need, slot, tag["step"], tag["word"])

    def _takes_inputs(self, need, slot, step, word):
        """Each of its words once in each step; no first ones while an update waits, as that waits for the frames."""
        wraps = 1 << max(1, (self.config.tape_words - 1).bit_length())
        return (
            slot.stage == "filling"
            and step < need["steps"]
            and (word - need["tape"]) % wraps < need["inputs"]
            and (step, word) not in slot.arrived
            and not (self.update and step == 0)
        )

    def complete(self, slot: Slot, step: int) -> bool:
        """Whether all inputs of a step have come."""
        needed = self.need["inputs"]
        return len(slot.arrived) >= needed and sum(at == step for at, _ in slot.arrived) == needed

    @property
    def next_complete(self) -> bool:
        """The step that is next has its inputs."""
        slot = self.slots[self.forward]
        return self.need["active"] and slot.stage == "filling" and self.complete(slot, slot.steps)

    @property
    def startable(self) -> bool:
        """The next step may be done. Once a frame has begun, consumers have room."""
        slot = self.slots[self.forward]
        return self.next_complete and (slot.steps > 0 or not slot.owed)

    @property
    def ready_backward(self) -> bool:
        """A frame has all its errors, or its label, or is not for training."""
        slot, need = self.slots[self.backward], self.need
        known = slot.label is not None if need["label"] else slot.markers == need["errors_done"]
        return slot.stage == "backward" and (known or not slot.train)

    @property
    def finishing(self) -> bool:
        """A frame's gradients are what is left to do for it."""
        return self.slots[self.backward].stage == "gradients"

    @property
    def updatable(self) -> bool:
        """An update waits, and no frame has begun or could but for credits."""
        free = all(slot.stage == "filling" and not slot.steps for slot in self.slots)
        return self.update is not None and free and not self.next_complete

# SPDX-License-Identifier: Apache-2.0
"""The transaction that runs samples through the chip: inputs, labels, slots, output spikes, errors from the host."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from backspike.host.compiler.plan import Plan
from backspike.host.compiler.slices import Slice
from backspike.host.driver.operation import Script, Transaction
from backspike.spec.packets import INPUT_KINDS, NO_LABEL, Kind, Packet

__all__ = ["ErrorFunction", "SampleResult", "Samples", "pack_words", "unpack_word"]

ErrorFunction: TypeAlias = Callable[[int, np.ndarray], ArrayLike]
"""From a sample's number in the batch and its output spikes so far [t, N], up to the end of a frame that is trained, to
dLoss/ds of the steps of this frame [C, N]. Where a frame is the whole sample, both are [T, N]."""


@dataclass(frozen=True)
class SampleResult:
    """What came out.

    Parameters
    ----------
    spikes : array of uint8 [T, B, N]
        Output spikes, 0 or 1.
    """

    spikes: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Spikes of each output, [B, N]."""
        return self.spikes.sum(axis=0, dtype=np.int64)

    @property
    def predictions(self) -> np.ndarray:
        """The output with the most spikes (the first of equals), [B]."""
        return self.counts.argmax(axis=1)


def pack_words(bits: np.ndarray) -> np.ndarray:
    """Words of 32 bits, least significant first, of the last axis of an array of 0 and 1."""
    count = -(-bits.shape[-1] // 32)
    padded = np.zeros((*bits.shape[:-1], count * 32), dtype=np.uint8)
    padded[..., : bits.shape[-1]] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u4")


def unpack_word(word: int, count: int) -> np.ndarray:
    """The ``count`` low bits of a word as an array, least significant first."""
    return (word >> np.arange(count) & 1).astype(np.uint8)


class Samples(Transaction[None]):
    """Send samples as slots become free and collect the output spikes; see ``operation.Transaction``.

    A sample goes in frames, each in a slot of its own, one after the other. A label goes with the inputs of a frame
    that is trained. The last layer may then still be at work on the slot's frame before, but has taken that frame's
    label: a first-layer slot is free only after the errors that follow from it have come.

    Parameters
    ----------
    plan : Plan
        The network on the chip.
    spikes : array of uint8 [T, B, N]
        Inputs, 0 or 1, in the golden model's order.
    trained : array of bool [frames]
        Which frames of each sample are for training: those of the spikes, and such behind them that errors go back in.
    first_slot : int
        Slot of the first frame; those after it follow in turn.
    more : bool
        Whether the first frame goes on with the sample that was sent last, instead of beginning one.
    labels : sequence of int [B] or None
        Target neurons of the samples, for training with the loss on chip.
    errors : ErrorFunction or None
        For training with the external loss; what it returns is rounded to the format.
    input_masks : array of uint8 [T, B, N] or None
        Surrogate masks of the inputs, which ask for errors where the plan gives those of inputs to the host.

    Attributes
    ----------
    outputs, masks : array of uint8 [T, B, N]
        Output spikes and their surrogate masks so far.
    input_errors : dict of (int, int, int) to int
        By step, sample and number of the input: dLoss/ds of inputs so far, exact, in units of the square of the
        format's least significant bit; those that are not there are 0.
    """

    def __init__(
        self,
        plan: Plan,
        spikes: np.ndarray,
        trained: np.ndarray,
        *,
        first_slot: int,
        more: bool = False,
        labels: Sequence[int] | None = None,
        errors: ErrorFunction | None = None,
        input_masks: np.ndarray | None = None,
    ) -> None:
        self._plan, self._trained, self._labels, self._errors = plan, trained.tolist(), labels, errors
        self._frames, self._more = len(trained), more
        self._words = pack_words(spikes[..., plan.input_order])
        self._mask_words = None if input_masks is None else pack_words(input_masks[..., plan.input_order])
        self._count = spikes.shape[1] * self._frames
        self._slots, self._first_slot = plan.config.slots, first_slot
        self._first, self._last = plan.layers[0], plan.layers[-1]
        self._credits: list[set[tuple[int, int, int]]] = [set() for _ in range(self._slots)]
        self._in_flight: list[deque[int]] = [deque() for _ in range(self._slots)]
        self._due: deque[tuple[int, ErrorFunction]] = deque()
        self._unfinished = self._count
        # By output word: the golden model's numbers of the outputs in it
        self._places = [part.order[k : k + 32] for part in self._last for k in range(0, part.outputs, 32)]
        self._expected: dict[int, set[tuple[int, int]]] = {}
        self.outputs, self.masks = np.zeros((2, *spikes.shape[:2], plan.network.outputs), dtype=np.uint8)
        self.input_errors: dict[tuple[int, int, int], int] = {}
        self._latest = [0] * self._slots  # frame that was last sent in each slot

    def _slot(self, number: int) -> int:
        return (self._first_slot + number) % self._slots

    def _frame(self, number: int) -> tuple[int, int]:
        """The sample of a frame, and which of its frames it is."""
        return divmod(number, self._frames)

    def _trains(self, number: int) -> bool:
        return self._trained[number % self._frames]

    def _kind(self, number: int) -> Kind:
        part_of_sample = number % self._frames
        if part_of_sample * self._plan.frame >= len(self._words):
            return Kind.BACK
        return Kind.MORE if self._more or part_of_sample else Kind.SPIKES

    def packets(self) -> Script[None]:
        """Until all output spikes have come; ``settle`` then waits for the last slots."""
        number = 0
        while self._unfinished or self._due:
            if self._due:
                yield from self._error_packets(*self._due.popleft())
            elif number < self._count and not self._credits[self._slot(number)]:
                yield from self._input_packets(number)
                number += 1
            else:
                yield None

    def settle(self) -> Script[None]:
        """Yield ``None`` until every slot has been given back."""
        while any(self._credits):
            yield None

    def _input_packets(self, number: int) -> Iterator[Packet]:
        slot, frame, train = self._slot(number), self._plan.frame, self._trains(number)
        sample = number // self._frames
        self._credits[slot] = {(part.x, part.y, part.index) for part in self._first}
        self._in_flight[slot].append(number)
        self._latest[slot] = number
        self._expected[number] = {(step, word) for step in range(frame) for word in range(len(self._places))}
        if train and self._labels is not None:
            yield from (self._label_packet(slot, self._labels[sample], part) for part in self._last)
        for step, words in enumerate(self._inputs(number).tolist()):
            for k, payload in enumerate(map(tuple, words)):
                for to in self._plan.deliveries:
                    tag = {"slice": to.index, "slot": slot, "step": step, "word": to.tape + k, "train": train}
                    yield Packet(self._kind(number), tag, payload, to.x, to.y, int(to.shared))

    def _inputs(self, number: int) -> np.ndarray:
        """The words of a frame's inputs and of their masks, [step, word, 2]; 0 where errors go back."""
        frame, (sample, part_of_sample) = self._plan.frame, self._frame(number)
        result = np.zeros((frame, self._words.shape[2], 2), dtype=self._words.dtype)
        if self._kind(number) != Kind.BACK:
            steps = slice(part_of_sample * frame, (part_of_sample + 1) * frame)
            result[..., 0] = self._words[steps, sample]
            if self._mask_words is not None:
                result[..., 1] = self._mask_words[steps, sample]
        return result

    def _label_packet(self, slot: int, neuron: int, part: Slice) -> Packet:
        label = neuron - part.first
        label = label if 0 <= label < part.channels else NO_LABEL
        return Packet(Kind.LABEL, {"slice": part.index, "slot": slot, "label": label}, (), part.x, part.y)

    def _error_packets(self, number: int, function: ErrorFunction) -> Iterator[Packet]:
        """Errors where the surrogate mask is set and the error is not zero, then the markers."""
        slot, fmt, frame = self._slot(number), self._plan.config.format, self._plan.frame
        sample, part_of_sample = self._frame(number)
        shape = (frame, self._plan.network.outputs)
        end = (part_of_sample + 1) * frame
        so_far = self.outputs[:end, sample].copy()
        errors = np.asarray(function(sample, so_far), dtype=np.float64)
        if errors.shape != shape or not np.isfinite(errors).all():
            raise ValueError(f"errors must return finite numbers of shape {shape}, not {errors!r}")
        units = np.ldexp(fmt.round(errors), -fmt.lsb) * self.masks[end - frame : end, sample]
        for part in self._last:
            own = units[:, part.order]
            for step, n in np.argwhere(own).tolist():
                value = int(own[step, n]) << -fmt.lsb
                count = 2 if -1 << 63 <= value < 1 << 63 else 3
                payload = tuple(value >> 32 * k & 0xFFFFFFFF for k in range(count))
                tag = {"neuron": part.neuron_base + n, "step": step, "slot": slot}
                yield Packet(Kind.ERROR, tag, payload, part.x, part.y)
            yield Packet(Kind.ERRORS_DONE, {"slice": part.index, "slot": slot}, (), part.x, part.y)

    def accept(self, packet: Packet) -> bool:
        if packet.kind == Kind.CREDIT:
            return self._accept_credit(packet.tag)
        if packet.kind in INPUT_KINDS:
            return self._accept_spikes(packet.kind, packet.tag, *packet.payload)
        if packet.kind in (Kind.ERROR, Kind.ERRORS_DONE):
            return self._accept_error(packet)
        return False

    def _accept_credit(self, tag: Mapping[str, int]) -> bool:
        key = (tag["from_x"], tag["from_y"], tag["slice"])
        if tag["slot"] >= self._slots or key not in self._credits[tag["slot"]]:
            return False
        self._credits[tag["slot"]].remove(key)
        return True

    def _accept_error(self, packet: Packet) -> bool:
        """Errors of a frame's inputs come before the credits for its slot."""
        slot = packet.tag["slot"]
        number = self._latest[slot] if slot < self._slots and self._credits[slot] else None
        if not self._plan.input_errors or number is None or not self._trains(number):
            return False
        if packet.kind == Kind.ERRORS_DONE:
            return True
        neuron, step = packet.tag["neuron"], packet.tag["step"]
        if neuron >= self._plan.network.inputs or step >= self._plan.frame:
            return False
        bits = 32 * len(packet.payload)
        value = sum(word << 32 * k for k, word in enumerate(packet.payload))
        sample, part_of_sample = self._frame(number)
        place = part_of_sample * self._plan.frame + step, sample, int(self._plan.input_order[neuron])
        self.input_errors[place] = self.input_errors.get(place, 0) + value - (value >> bits - 1 << bits)
        return True

    def _accept_spikes(self, kind: Kind, tag: Mapping[str, int], spikes: int, masks: int) -> bool:
        """A slot's words come in the order of its frames, so that a word belongs to the first frame without it."""
        place = (tag["step"], tag["word"])
        if tag["slot"] >= self._slots or tag["slice"]:
            return False
        number = next((n for n in self._in_flight[tag["slot"]] if place in self._expected[n]), None)
        if number is None or kind != self._kind(number) or bool(tag["train"]) != self._trains(number):
            return False
        outputs = self._places[tag["word"]]
        if (spikes | masks) >> len(outputs):
            return False
        if kind == Kind.BACK and spikes:
            return False
        sample, part_of_sample = self._frame(number)
        self._expected[number].remove(place)
        if kind != Kind.BACK:
            step = part_of_sample * self._plan.frame + tag["step"]
            self.outputs[step, sample, outputs] = unpack_word(spikes, len(outputs))
            self.masks[step, sample, outputs] = unpack_word(masks, len(outputs))
        if not self._expected[number]:
            self._in_flight[tag["slot"]].remove(number)
            del self._expected[number]
            self._unfinished -= 1
            if self._errors is not None and self._trains(number):
                self._due.append((number, self._errors))
        return True

    def missing(self) -> str:
        words = sum(len(self._expected[n]) for queue in self._in_flight for n in queue)
        cores = [f"core ({x}, {y})" for x, y, _ in sorted(set().union(*self._credits))]
        parts = [f"{words} SPIKES packets"] * bool(words) + [f"CREDIT from {', '.join(cores)}"] * bool(cores)
        return ", ".join(parts)

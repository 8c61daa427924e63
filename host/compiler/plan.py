# SPDX-License-Identifier: Apache-2.0
"""A network placed on a chip: what to write into its tables and memories, and where results are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from backspike.golden.arithmetic import BitExact
from backspike.golden.feedback import Feedback
from backspike.golden.network import Network, Training
from backspike.golden.neuron import NOISE
from backspike.golden.rules import BPTT, Rule
from backspike.host.compiler.capacity import check_training, core_use, gradient_terms, scaled_training
from backspike.host.compiler.cost_model import Density
from backspike.host.compiler.frames import frame_steps, once_a_sample
from backspike.host.compiler.geometry import Core, input_order
from backspike.host.compiler.input_delivery import bystanders, input_deliveries
from backspike.host.compiler.neuron_constants import (
    clamp_interval,
    neuron_constants,
    noisy_thresholds,
)
from backspike.host.compiler.plan_report import mean_hops, plan_dict, plan_text
from backspike.host.compiler.slices import Host, Slice
from backspike.host.compiler.weight_map import WeightMap, read_packets, write_packets
from backspike.spec.config import ChipConfig
from backspike.spec.packets import Packet, Place
from backspike.spec.tables import (
    DESCRIPTOR,
    DESCRIPTOR_STRIDE,
    EXPECTATIONS,
    EXPECTATIONS_STRIDE,
    FAN_IN,
    FAN_IN_STRIDE,
    ROUTE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)

__all__ = ["Plan"]

_SHAPES = ("in_width", "in_height", "out_width", "out_height", "kernel", "stride", "padding", "pool")
_PLACES = (
    "fan_in_base",
    "blocks",
    "last_lanes",
    "block_base",
    "delta_base",
    "weight_base",
    "weight_words",
    "replay",
    "targets_base",
    "sources_base",
)


class Plan:
    """What ``compile_network`` returns.

    Attributes
    ----------
    network, training, config, loss, rule, batch
        As given to ``compile_network``, the network's neurons as the rule has them.
    frame, frames : int
        Steps of a frame, which is what a slot of the chip holds, and frames of a sample.
    back_frames : int
        Frames behind those, of a sample for training, in which ternary spikes go back.
    densities : tuple of Density
        Of each layer, for the estimates.
    layers : list of list of Slice
        Slices by layer, in order of their channels.
    slices : list of Slice
        All of them, in order of core and index.
    cores : list of (int, int)
        Cores in use, sorted.
    deliveries : list of Delivery
        Which slices of the first layer get the inputs in the same packets.
    shared : set of (int, int, int)
        Column, row and number of slices that take inputs for many cores.
    input_order : array of int64 [inputs]
        Golden numbers of the inputs in the order of the host's words.
    sample_terms : int
        Terms of one sample of the longest gradient sum, see ``ChipConfig.batch_terms``.
    feedback_seed, input_errors
        As given to ``compile_network``.
    feedback : list of array of float64 [outputs, N]
        Of each hidden layer, if the rule has feedback: what brings it errors of the last layer, at first.
    learned : bool
        Whether that learns.
    noise : list of array of int64 [N]
        Of each hidden layer, if it does: the generators of the noise, at first.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        config: ChipConfig,
        layers: list[list[Slice]],
        loss: Literal["rate", "external"],
        densities: tuple[Density, ...],
        rule: Rule = BPTT,
        feedback_seed: int = 0,
        batch: int = 16,
        input_errors: bool = False,
    ) -> None:
        self.network, self.training, self.config, self.layers, self.loss = network, training, config, layers, loss
        self.densities, self.rule, self.input_errors = densities, rule, input_errors
        self.frame = frame_steps(rule, network.steps)
        self.frames, self.back_frames = network.steps // self.frame, rule.back_steps
        self.slices = sorted((part for own in layers for part in own), key=lambda part: (part.core, part.index))
        self.cores = sorted({part.core for part in self.slices})
        self.deliveries = input_deliveries(config, layers[0])
        self.shared = {(*part.core, part.index) for each in self.deliveries if each.shared for part in each.slices}
        self.input_order = input_order(network.layers[0])
        self.sample_terms = max(gradient_terms(network, rule))
        self._scaled, self._operands = scaled_training(network, training, rule), rule.operands(network)
        self._weights = WeightMap(network, config, layers)
        self.feedback_seed, self.batch = feedback_seed, batch
        self.feedback, self.noise, self.learned = list[np.ndarray](), list[np.ndarray](), rule.feedback == "learned"
        if rule.feedback != "weights":
            start = Feedback(network, rule, seed=feedback_seed, batch=batch, arithmetic=BitExact(network.format))
            self.feedback, self.noise = start.matrices, start.states if self.learned else []
            self._update = {"decay": start.kept, "minus_rate": start.rate, "momentum": 0.0, "rest": 0.0}

    def descriptor(self, part: Slice) -> dict[str, int]:
        """Fields of ``tables.DESCRIPTOR`` of a slice."""
        layer = self.network.layers[part.layer]
        return {
            **{name: getattr(part, name) for name in _PLACES},
            **{name: getattr(layer, name) for name in _SHAPES},
            "fan_in": len(part.groups),
            "groups": len(part.groups) + len(part.feedback),
            "steps": self.frame,
            "soft": layer.neuron.soft,
            "errors": self._errors(part),
            "loss": self._loss(part),
            **neuron_constants(layer.neuron, self._scaled, self.config.format),
            "targets": len(part.targets),
            "sources": len(part.sources),
            **self._operand(part),
            **self._clamp(part),
            **self._noise(part),
        }

    def update_descriptor(self, part: Slice) -> dict[str, int]:
        """The same of the slice that stands for the update of a slice's feedback: M = round(kept M + rate round(P))."""
        numbers = {name: int(self.config.format.encode(value)) for name, value in self._update.items()}
        places = {"weight_base": part.feedback_base, "weight_words": part.feedback_words}
        return {**dict.fromkeys(DESCRIPTOR.fields, 0), **places, **numbers}

    def _noise(self, part: Slice) -> dict[str, int]:
        """The thresholds in frames for training, which noise moves in hidden layers, and whether feedback learns."""
        neuron, fmt = self.network.layers[part.layer].neuron, self.config.format
        alpha = NOISE if self.learned and part.layer < len(self.layers) - 1 else 0.0
        return {**noisy_thresholds(neuron, alpha, fmt), "learning": part.learned}

    def _operand(self, part: Slice) -> dict[str, int]:
        """What the gradients of a slice multiply deltas with: inputs that are no traces need no memory."""
        operand = self._operands[part.layer]
        return {
            "tape": part.tape_base,
            "tape_words": part.input_words if operand.leak else 0,
            "leak": operand.leak,
            "one": operand.one,
            "bias": operand.bias,
        }

    def _clamp(self, part: Slice) -> dict[str, int]:
        """Whether masks are those of a clamp, which the last layer has not, and then their bounds."""
        if self.rule.backward != "clamp":
            return {"sample": self.network.steps if once_a_sample(self.rule) else 0, "clamp": 0}
        last, neuron = part.layer == len(self.layers) - 1, self.network.layers[part.layer].neuron
        low, high = clamp_interval(self.config.format, neuron, self.network.steps, last=last)
        return {"sample": self.network.steps, "clamp": not last, "mask_low": low, "mask_high": high}

    def _errors(self, part: Slice) -> int:
        """Who gets errors of a slice, see ``tables.DESCRIPTOR``."""
        if self.feedback:
            return 2 * bool(part.feedback)
        return 1 if part.layer else 3 * self.input_errors

    def _loss(self, part: Slice) -> int:
        """Where the errors of a slice come from, see ``tables.DESCRIPTOR``."""
        if not self._label(part):
            return 0
        return 3 if once_a_sample(self.rule) else 2 if self.rule.per_step else 1

    def _label(self, part: Slice) -> bool:
        """Whether a slice gets labels, and finds its errors itself."""
        return self.loss == "rate" and part.layer == len(self.layers) - 1

    def expectations(self, part: Slice) -> dict[str, int]:
        """Fields of ``tables.EXPECTATIONS`` of a slice."""
        last = part.layer == len(self.layers) - 1
        consumers = len(part.consumers)
        senders = len(self.layers[-1]) if self.feedback and not last else consumers
        return {
            "inputs": part.external_words,
            "steps": self.frame,
            "credits": consumers,
            "errors_done": senders + (last and self.loss == "external"),
            "label": self._label(part),
            "tape": part.tape_base,
            "shared": (*part.core, part.index) in self.shared,
        }

    def fan_in(self, part: Slice) -> Iterator[dict[str, int]]:
        """Entries of the fan-in table of a slice, those that only get errors last: fields of ``FAN_IN``."""
        for number, group in enumerate((*part.groups, *part.feedback)):
            x, y = group.origin.core if isinstance(group.origin, Slice) else (0, 0)
            names = ("tape", "channels", "row_base", "tap_stride", "row_stride", "neuron")
            constant = group.origin is None or number >= len(part.groups)
            yield {**{name: getattr(group, name) for name in names}, "constant": constant, "x": x, "y": y}

    def routes(self, part: Slice) -> Iterator[dict[str, int]]:
        """Entries of the route table of a slice, targets first: fields of ``ROUTE``.

        A target's ``word`` is the receiving core's own tape word; ``noise`` says what it gets. The last layer's target
        is the host, with slice 0 and the words of all outputs of the layer counted in one sequence. A source that is
        the host has the slice's own index, so that its ``CREDIT`` says which slice gave it.
        """
        host = {"x": 0, "y": 0, "host": 1, "noise": 0}
        for target, word, noise in part.targets:
            if isinstance(target, Host):
                yield {**host, "slice": 0, "word": word}
            else:
                place = {"x": target.x, "y": target.y, "host": 0, "slice": target.index}
                yield {**place, "word": word, "noise": noise}
        for source in part.sources:
            if isinstance(source, Host):
                yield {**host, "slice": part.index, "word": 0}
            else:
                yield {"x": source.x, "y": source.y, "host": 0, "slice": source.index, "word": 0, "noise": 0}

    def table_packets(self) -> list[Packet]:
        """``WRITE`` packets of all tables and of the constant bias inputs."""
        packets = self.descriptor_packets()
        for part in self.slices:
            regions = [
                (Region.EXPECTATION, part.index * EXPECTATIONS_STRIDE, EXPECTATIONS.words(**self.expectations(part))),
                (Region.ROUTE, part.targets_base, [ROUTE.pack(**route) for route in self.routes(part)]),
            ]
            if part.learned:  # nothing comes for the slice that stands for an update
                regions.append((Region.EXPECTATION, part.indices[-1] * EXPECTATIONS_STRIDE, [0] * EXPECTATIONS_STRIDE))
            for number, group in enumerate(self.fan_in(part), start=part.fan_in_base):
                regions.append((Region.FAN_IN, number * FAN_IN_STRIDE, FAN_IN.words(**group)))
            regions += [
                (Region.TAPE, slot * TAPE_SLOT_STRIDE + step * TAPE_STRIDE + group.tape, [1])
                for group in part.groups
                if group.origin is None
                for slot in range(self.config.slots)
                for step in range(self.frame)
            ]
            for region, address, words in regions:
                packets += write_packets(part.x, part.y, region, address, words)
        return packets + self._forgetting_packets()

    def _forgetting_packets(self) -> list[Packet]:
        """``WRITE`` packets after which slices of a plan that was on the chip before take no inputs of this one."""
        own = {(*part.core, index) for part in self.slices for index in part.indices}
        return [
            packet
            for each in self.deliveries
            for core in bystanders(self.config, each)
            if (*core, each.index) not in own
            for packet in write_packets(
                *core, Region.EXPECTATION, each.index * EXPECTATIONS_STRIDE, [0] * EXPECTATIONS_STRIDE
            )
        ]

    def descriptor_packets(self) -> list[Packet]:
        """``WRITE`` packets of the descriptors, which alone depend on ``training``."""
        packets = []
        for part in self.slices:
            own = [self.descriptor(part), *([self.update_descriptor(part)] if part.learned else [])]
            for index, fields in zip(part.indices, own, strict=True):
                address = index * DESCRIPTOR_STRIDE
                packets += write_packets(part.x, part.y, Region.DESCRIPTOR, address, DESCRIPTOR.words(**fields))
        return packets

    def retrained(self, training: Training) -> "Plan":
        """The same placement with other constants of the training; the chip's memories need not be written again.

        Raises
        ------
        TypeError, ValueError, CapacityError
            As ``compile_network``.
        """
        check_training(training, self.config)
        placed = self.network, training, self.config, self.layers, self.loss, self.densities, self.rule
        return Plan(*placed, self.feedback_seed, self.batch, self.input_errors)

    def updates(self, *, clear: bool = False) -> list[list[tuple[int, int, int]]]:
        """Column, row and number of the slices that are updated, in parts: each waits for the one before.

        That of a feedback comes last: only its slice's own says that all gradients are there. Slices that do not learn
        are only cleared.
        """
        learning = [part for part in self.slices if clear or self.network.layers[part.layer].learns]
        own = [(part.x, part.y, part.index) for part in learning]
        behind = [(part.x, part.y, part.indices[-1]) for part in self.slices if part.learned]
        return [own, behind] if behind else [own]

    def restart_packets(self) -> list[Packet]:
        """``WRITE`` packets after which every slice waits for its first sample."""
        return [
            packet
            for part in self.slices
            for packet in write_packets(
                part.x,
                part.y,
                Region.EXPECTATION,
                part.index * EXPECTATIONS_STRIDE,
                EXPECTATIONS.words(**self.expectations(part)),
            )
        ]

    def load_packets(
        self,
        weights: Sequence[ArrayLike],
        feedback: Sequence[np.ndarray] | None = None,
        noise: Sequence[np.ndarray] | None = None,
    ) -> list[Packet]:
        """All ``WRITE`` packets of a network with these weights, and its feedback. Gradients are not cleared.

        Parameters
        ----------
        weights : sequence of array of float64
            One for each layer, as ``layer.shape``.
        feedback, noise : sequence of array or None
            As the attributes of the same names, which ``None`` stands for.

        Raises
        ------
        ValueError
            An array is missing or of another shape, or the chip's format cannot hold a number.
        """
        patterns = self.weight_packets(weights)
        back = self._weights.feedback_packets(self.feedback if feedback is None else feedback)
        return self.table_packets() + patterns + back + self._noise_packets(self.noise if noise is None else noise)

    def _noise_packets(self, noise: Sequence[np.ndarray]) -> list[Packet]:
        """``WRITE`` packets of the generators of hidden neurons."""
        packets = []
        for part in self.slices:
            if part.layer < len(noise):
                states = noise[part.layer][part.order]
                packets += write_packets(part.x, part.y, Region.NOISE, part.neuron_base, states)
        return packets

    def noise_reads(self) -> dict[Place, list[Packet]]:
        """``READ`` packets that fetch the generators of hidden neurons, by core."""
        reads: dict[Place, list[Packet]] = {}
        for part in self.slices:
            if self.learned and part.layer < len(self.layers) - 1:
                span = part.neuron_base, part.neuron_base + part.outputs
                reads.setdefault(part.core, []).extend(read_packets(part.x, part.y, Region.NOISE, *span))
        return reads

    def decode_noise(self, memory: Mapping[Place, Mapping[int, int]]) -> list[np.ndarray]:
        """The generators as ``noise``, from ``memory[(x, y)][address]``, the words of ``NOISE``."""
        result = [np.zeros_like(states) for states in self.noise]
        for part in self.slices:
            if part.layer < len(result):
                words = memory[part.core]
                result[part.layer][part.order] = [words[part.neuron_base + n] for n in range(part.outputs)]
        return result

    def feedback_reads(self, region: Region = Region.WEIGHT) -> dict[Place, list[Packet]]:
        """``READ`` packets that fetch all feedback, or its gradients or velocities, by core."""
        return self._weights.feedback_reads(region)

    def decode_feedback(self, memory: Mapping[Place, Mapping[int, int]]) -> list[np.ndarray]:
        """The feedback as ``feedback``, from ``memory[(x, y)][address]``, the words of ``WEIGHT`` or ``VELOCITY``."""
        return [self.config.format.decode(words) for words in self._weights.feedback_words(memory)]

    def decode_feedback_gradients(
        self, low: Mapping[Place, Mapping[int, int]], high: Mapping[Place, Mapping[int, int]]
    ) -> list[np.ndarray]:
        """The exact sums of the feedback, as ``decode_gradients``."""
        words = self._weights.feedback_words
        return [_wide(a, b) for a, b in zip(words(low), words(high), strict=True)]

    def weight_packets(self, weights: Sequence[ArrayLike]) -> list[Packet]:
        """Those of ``load_packets`` that write weights."""
        return self._weights.packets(weights)

    def velocity_packets(self, velocities: Sequence[ArrayLike]) -> list[Packet]:
        """``WRITE`` packets of the momentum's velocities, given as the weights of ``load_packets``."""
        return self._weights.packets(velocities, Region.VELOCITY)

    def weight_reads(self, region: Region = Region.WEIGHT) -> dict[Place, list[Packet]]:
        """``READ`` packets that fetch all of a region of weights, gradients or velocities, by core."""
        return self._weights.reads(region)

    def decode_weights(self, memory: Mapping[Place, Mapping[int, int]]) -> list[np.ndarray]:
        """Per layer, float64 values from ``memory[(x, y)][address]``, the words of ``WEIGHT`` or ``VELOCITY``."""
        return [self.config.format.decode(words) for words in self._weights.words(memory)]

    def decode_gradients(
        self, low: Mapping[Place, Mapping[int, int]], high: Mapping[Place, Mapping[int, int]]
    ) -> list[np.ndarray]:
        """Per layer, the exact sums as int64 in units of ``2**format.lsb``, from the words of both gradient regions.

        Those of layers that do not learn are 0, whatever the chip has added up for them.
        """
        words, layers = self._weights.words, self.network.layers
        return [_wide(a, b) * layer.learns for layer, a, b in zip(layers, words(low), words(high), strict=True)]

    @property
    def hops(self) -> float:
        """Mean distance between producing and consuming slices, in links; the host is not counted."""
        return mean_hops(self.slices)

    def core_use(self) -> dict[Core, dict[str, int]]:
        """What each used core needs, in the units of ``ChipConfig``: ``{(x, y): {"weights": ..., ...}}``."""
        return core_use(self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Mesh, cores, slices, memory use and estimated load as plain values, for JSON; see ``plan_dict``."""
        return plan_dict(self)

    def summary(self) -> str:
        """Plain text: one line per core with its slices, the share of each memory in use, and its estimated load."""
        return plan_text(self)


def _wide(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Integers of 64 bits from words of both gradient regions."""
    return (upper ^ 1 << 31) - (1 << 31) << 32 | lower

# SPDX-License-Identifier: Apache-2.0
"""The learning rules by name, as settings of one machine: how far errors go back in time, and what weights learn from.

    rule        errors go back            weights learn from          loss of
    bptt        through all steps         spikes                      the sample
    tbptt:C     through frames of C       spikes                      each frame
    sltt        within a step             spikes                      each step
    sltt-k:K    within K drawn steps      spikes                      each step
    ottt        within a step             traces of spikes            each step
    ottt-o      as ottt; an update after every step, batches of one sample
    dsr         once a sample             counts of spikes            the sample
    spide:TB    as ternary spikes, TB steps                           the sample
                                          counts of spikes
    dfa         within a step, from the last layer to each by fixed random weights
                                          traces of spikes            each step
    opzo        as dfa, by weights that learn from noise

Sources: SLTT (Meng et al., ICCV 2023, sections 4.1 and 4.2), OTTT (Xiao et al., NeurIPS 2022, section 4), DSR (Meng et
al., CVPR 2022, section 4), SPIDE (Xiao et al., Neural Networks 161, 2023, section 4), DFA (Nokland, NeurIPS 2016),
OPZO (Xiao et al., arXiv 2407.12516). docs/numbers.md says where they differ from ours.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np

from backspike.golden.constants import Neuron
from backspike.golden.integrating import check_clamp, check_ternary, integrating
from backspike.golden.layers import MaxPool
from backspike.golden.network import Network
from backspike.golden.neuron import NOISE
from backspike.golden.operands import LEAK_ONE, MAX_OPERAND, OPERAND_BITS, Operand, operands
from backspike.golden.sources import check_chain
from backspike.spec.checks import check_flag, check_integer

__all__ = ["BPTT", "NAMES", "Rule"]

NAMES = ("bptt", "tbptt:C", "sltt", "sltt-k:K", "ottt", "ottt-o", "dsr", "spide:TB", "dfa", "opzo")
"""What ``Rule.parse`` takes; the capitals stand for integers."""

_USUAL = {"tbptt": 4, "sltt-k": 2, "spide": 32}

_Given = Literal["spike", "trace", "count"]
_Backward = Literal["surrogate", "clamp", "ternary"]
_Feedback = Literal["weights", "fixed", "learned"]
_CHOICES = {"operand": get_args(_Given), "backward": get_args(_Backward), "feedback": get_args(_Feedback)}
_ONCE = {"operand": "count", "temporal": False, "per_step": False, "frame": None, "trained": None}
_NEEDED: dict[tuple[str, object], dict[str, object]] = {
    ("backward", "surrogate"): {"back_steps": 0},
    ("backward", "clamp"): {"back_steps": 0, "feedback": "weights", "step_updates": False, **_ONCE},
    ("backward", "ternary"): {"feedback": "weights", "step_updates": False, **_ONCE},
    ("operand", "trace"): {"temporal": False},
    ("step_updates", True): {"frame": 1, "trained": None},
    ("feedback", "learned"): {"step_updates": False},
}
"""What a setting of a rule needs of others."""


_BACK_STEPS = 4096
"""At most; errors of some hundred steps are through long before."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A learning rule. ``parse`` gives those that have a name.

    Parameters
    ----------
    name : str
        As ``parse`` takes it.
    frame : int or None
        Steps of a frame, which divide those of a sample: errors do not go from one frame to the one before it, and the
        loss is that of each frame. ``None``: all steps of the sample.
    per_step : bool
        Whether the loss is that of each step, not of each frame.
    temporal : bool
        Whether errors go back in time within a frame.
    trained : int or None
        Frames of a sample that are trained, drawn anew for each batch; ``None``: all.
    operand : "spike", "trace" or "count"
        What weights learn from. The trace leaks as the neuron does; inputs of the first layer are not traced.
    backward : "surrogate", "clamp" or "ternary"
        How errors pass a neuron: through the surrogate's window at each step; once a sample, where the mean input is
        within 0 and the threshold; as ternary spikes.
    back_steps : int
        Steps of the backward pass with ternary spikes, else 0.
    feedback : "weights", "fixed" or "learned"
        What brings errors to a hidden layer: the weights of the layer behind it; random ones from the last layer, which
        stay, or learn.
    step_updates : bool
        Whether the weights change after every step; batches have one sample then.

    Raises
    ------
    TypeError
        A parameter is of the wrong kind.
    ValueError
        A parameter is out of range, or does not go with another.
    """

    name: str = "bptt"
    frame: int | None = None
    per_step: bool = False
    temporal: bool = True
    trained: int | None = None
    operand: _Given = "spike"
    backward: _Backward = "surrogate"
    back_steps: int = 0
    feedback: _Feedback = "weights"
    step_updates: bool = False

    def __post_init__(self) -> None:
        for field, known in _CHOICES.items():
            if getattr(self, field) not in known:
                self._refuse(field, f"one of {', '.join(known)}")
        for field in ("per_step", "temporal", "step_updates"):
            check_flag(f"{field} of rule {self.name}", getattr(self, field))
        for field in ("frame", "trained"):
            if getattr(self, field) is not None:
                check_integer(f"{field} of rule {self.name}", getattr(self, field), 1)
        check_integer(f"back_steps of rule {self.name}", self.back_steps, int(self.backward == "ternary"), _BACK_STEPS)
        for (reason, setting), fields in _NEEDED.items():
            for field, value in fields.items():
                if getattr(self, reason) == setting and getattr(self, field) != value:
                    self._refuse(field, f"{value!r} with {reason} {setting!r}")
        if self.operand == "count" and self.backward == "surrogate":
            self._refuse("backward", "'clamp' or 'ternary' with operand 'count'")

    def _refuse(self, field: str, rest: str) -> None:
        raise ValueError(f"{field} of rule {self.name} must be {rest}, not {getattr(self, field)!r}")

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """The rule of a name such as ``"bptt"``, ``"tbptt:4"`` or ``"sltt-k:2"``.

        Raises
        ------
        TypeError
            ``text`` is no string.
        ValueError
            There is no such rule, or its number is missing or out of range.
        """
        if not isinstance(text, str):
            raise TypeError(f"rule must be a string, not {text!r}")
        kind, colon, number = text.partition(":")
        needs = {name.partition(":")[0]: ":" in name for name in NAMES}
        if kind not in needs:
            raise ValueError(f"rule must be one of {', '.join(NAMES)}, not {text!r}")
        if needs[kind] != bool(colon):
            hint = f"{kind}:{_USUAL[kind]}" if needs[kind] else kind
            raise ValueError(f"rule must be such as {hint!r}, not {text!r}")
        if colon and not (number.isascii() and number.isdigit() and int(number)):
            raise ValueError(
                f"rule must end in an integer from 1 on, such as {f'{kind}:{_USUAL[kind]}'!r}, not {text!r}"
            )
        value = int(number) if colon else None
        online: dict[str, Any] = {"frame": 1, "per_step": True, "temporal": False}
        traced: dict[str, Any] = {**online, "operand": "trace"}
        counted: dict[str, Any] = {"temporal": False, "operand": "count"}
        settings: dict[str, dict[str, Any]] = {
            "bptt": {},
            "tbptt": {"frame": value},
            "sltt": online,
            "sltt-k": {**online, "trained": value},
            "ottt": traced,
            "ottt-o": {**traced, "step_updates": True},
            "dsr": {**counted, "backward": "clamp"},
            "spide": {**counted, "backward": "ternary", "back_steps": value},
            "dfa": {**traced, "feedback": "fixed"},
            "opzo": {**traced, "feedback": "learned"},
        }
        return cls(name=text, **settings[kind])

    def framed(self, frame: int) -> "Rule":
        """The same rule in frames of other lengths; ``ValueError`` where that would be another rule."""
        if self.temporal or not self.per_step or self.operand != "spike" or self.trained is not None:
            raise ValueError(f"frame must be left to rule {self.name}, not {frame!r}; sltt takes any")
        return replace(self, frame=frame)

    def frame_steps(self, steps: int) -> int:
        """Steps of a frame, of a sample with so many."""
        return steps if self.frame is None else self.frame

    def frames(self, steps: int) -> int:
        """Frames of a sample with so many steps."""
        return steps // self.frame_steps(steps)

    def check(self, network: Network) -> None:
        """``ValueError`` where the rule cannot train the network."""
        steps, frame = network.steps, self.frame_steps(network.steps)
        if network.input_bits > 1 and self.operand != "spike":
            raise ValueError(
                f"rule {self.name} must have spikes as inputs, of which it keeps traces or counts, not integers of "
                f"{network.input_bits} bits: use encoder bits:{network.input_bits}, or rule sltt"
            )
        if steps % frame:
            fitting = max(n for n in range(1, frame + 1) if steps % n == 0)
            raise ValueError(
                f"rule {self.name} must have frames that divide the {steps} steps, not {frame!r}: {fitting} does"
            )
        if self.trained is not None and self.trained > self.frames(steps):
            raise ValueError(
                f"rule {self.name} must train at most the {self.frames(steps)} steps of a sample: use "
                f"{self.name.partition(':')[0]}:{self.frames(steps)}"
            )
        if self.backward != "surrogate":
            if steps > MAX_OPERAND:
                raise ValueError(f"rule {self.name} counts to {MAX_OPERAND}: use as many steps at most, not {steps!r}")
            for layer in network.layers:
                if self.backward == "clamp":
                    check_clamp(self.name, layer.neuron, steps, network.format)
                else:
                    check_ternary(self.name, layer.neuron)
        if self.feedback == "learned":
            most = network.format.max_finite / (1 + NOISE)
            for layer in network.layers[:-1]:
                if layer.neuron.theta > most:
                    raise ValueError(
                        f"rule {self.name} must have neurons with theta at most {most:g}, as noise adds to it, not "
                        f"{layer.neuron.theta!r}"
                    )
        self._check_layers(network)

    def _check_layers(self, network: Network) -> None:
        """``ValueError`` where the rule needs other layers."""
        if self.backward != "surrogate" or self.feedback != "weights":
            check_chain(self.name, network)
        if self.feedback != "weights" and len(network.layers) < 2:
            raise ValueError(
                f"rule {self.name} must have a hidden layer to bring errors to: {network} has none; use ottt"
            )

    def check_batch(self, samples: int) -> None:
        """``ValueError`` where the rule cannot train so many samples at once."""
        if self.step_updates and samples != 1:
            raise ValueError(
                f"batch must be 1 with rule {self.name}, which updates after each step, not {samples}: use batch=1, "
                f"or rule ottt"
            )

    def adapted(self, network: Network) -> Network:
        """The network with the neurons that the rule trains.

        Without errors that go back in time, ``kappa_back`` is 0. DSR and SPIDE train integrate-and-fire neurons
        (``kappa`` 1) that spike at half of what a spike takes from the potential, see ``integrating.integrating``.

        Raises
        ------
        ValueError
            The rule cannot train the network.
        """
        self.check(network)
        if self.temporal:
            return network

        def adapt(neuron: Neuron) -> Neuron:
            if self.backward == "surrogate":
                return replace(neuron, kappa_back=0.0)
            return integrating(neuron)

        layers = [
            layer if isinstance(layer, MaxPool) else replace(layer, neuron=adapt(layer.neuron))
            for layer in network.layers
        ]
        return replace(network, layers=layers)

    @lru_cache  # noqa: B019 - a few small immutable objects
    def one(self, network: Network) -> int:
        """What a spike adds to an operand: the largest power of two with which traces stay within 7 bits, else 1."""
        one = (MAX_OPERAND + 1) // 2 if self.operand == "trace" else 1
        leaks = {_leak(layer.neuron) for layer in network.layers[1:]}
        spikes = np.ones((network.steps, 1, 1), dtype=bool)
        while one > 1 and any(operands(spikes, leak=x, one=one, bits=OPERAND_BITS)[1].saturated for x in leaks):
            one //= 2
        return one

    def scale(self, network: Network) -> int:
        """How many times the mathematical ones gradients and velocities are.

        That is what a spike adds to a trace, or the steps back, whose ternary spikes are added up.
        """
        return self.back_steps or self.one(network)

    def operands(self, network: Network) -> tuple[Operand, ...]:
        """The ``Operand`` of each layer's inputs; its bound is that of their sum, where those of layers are added."""
        one = self.one(network)
        if self.operand == "spike":
            return tuple(Operand(most=len(taken) or network.largest_input) for taken in network.taken)
        if self.operand == "count":
            return (Operand(LEAK_ONE, 1, bias=network.steps, most=network.steps, once=True),) * len(network.layers)
        return tuple(
            Operand(_leak(layer.neuron), one, bias=one, most=MAX_OPERAND * len(taken))
            if taken
            else Operand(0, one, one, one)
            for layer, taken in zip(network.layers, network.taken, strict=True)
        )

    def draw(self, network: Network, generator: np.random.Generator) -> np.ndarray | None:
        """The frames of a batch that are trained, drawn from those of a sample: bool [frames]; ``None``: all."""
        if self.trained is None:
            return None
        frames = self.frames(network.steps)
        chosen = np.zeros(frames, dtype=bool)
        chosen[generator.permutation(frames)[: self.trained]] = True
        return chosen

    def __str__(self) -> str:
        return self.name


def _leak(neuron: Neuron) -> int:
    """The leak of the traces of a neuron's inputs."""
    return round(LEAK_ONE * neuron.kappa)


BPTT = Rule()
"""Back-propagation through time: the rule where no other is given."""

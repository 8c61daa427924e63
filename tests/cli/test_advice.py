# SPDX-License-Identifier: Apache-2.0
"""Refusals name values that work: what each one advises is done, until the request is accepted."""

import dataclasses
import re

import pytest

from backspike.golden.constants import Neuron
from backspike.host.compiler.compile import compile_network
from backspike.sim.run.scenario import PRESETS, Scenario
from backspike.spec.config import LIMITS, ChipConfig

ROUNDS = 5
CHIP = {field.name for field in dataclasses.fields(ChipConfig)} - {"columns", "rows", "lanes", "steps", "momentum"}
NEURON = [field.name for field in dataclasses.fields(Neuron)]
_NUMBER = r"-?[0-9][0-9.e+-]*[0-9]|[0-9]"


def _value(text):
    if text in ("True", "False"):
        return text == "True"
    return float(text) if re.search("[.e]", text) else int(text)


def advised(message):
    """Each change that a message proposes: a list of dicts of values by name, ``chip.NAME`` where it says so."""
    name = re.match(r"([\w.]+) ", message)[1]
    if "the nearest that do: " in message:
        return [{name: int(number)} for number in re.findall(r"\d+", message.split("nearest that do:")[1])]
    if found := re.search(r"a multiple of lanes \((\d+)\), not (\d+)", message):
        lanes, value = map(int, found.groups())
        return [{name: -(-value // lanes) * lanes}]
    if found := re.fullmatch(rf"{name} must be ([\d, ]+) or (\d+), not \S+", message):
        return [{name: int(number)} for number in (*found[1].split(", "), found[2])]
    if found := re.match(rf"{name} must be ({_NUMBER}) to ({_NUMBER})\b", message):
        return [{name: int(found[1])}, {name: int(found[2])}]
    if found := re.match(rf"{name} must be (?:at least|at most) ({_NUMBER})(?: and at most ({_NUMBER}))?", message):
        return [{name: _value(number)} for number in found.groups() if number is not None]
    changes = []
    for way in re.split(r",? or ", message.split(": use ", 1)[1] if ": use " in message else ""):
        pairs = {key: _value(value) for key, value in re.findall(r"(\w+)=([\w.]+)", way)}
        if found := re.fullmatch(r"at least (\d+) cores", way):
            pairs = {"cores": int(found[1])}
        elif found := re.fullmatch(r"at least (\S+)", way):
            pairs = {name: _value(found[1])}
        elif found := re.fullmatch(r"a network of at most (\d+) steps", way):
            pairs = {"steps": int(found[1])}
        elif way.startswith("a chip with "):
            pairs = {f"chip.{key}": value for key, value in pairs.items()}
        if pairs:
            changes.append(pairs)
    return changes


def changed(request, change):
    """The request with other values."""
    result = {**request, "chip": dict(request.get("chip", {})), "neuron": dict(request.get("neuron", {}))}
    for name, value in change.items():
        if name.startswith("chip.") or name in CHIP:
            result["chip"][name.removeprefix("chip.")] = value
        elif name in NEURON:
            result["neuron"][name] = value
        else:
            result[name] = value
    return result


def refusal(request):
    """What is said about a request; ``None`` where it is accepted."""
    try:
        scenario = Scenario(**request)
        scenario.check(phases=False)
        if scenario.model.layers[0].inputs <= 64 and scenario.cores <= 20:
            compile_network(scenario.model, scenario.training, scenario.config)  # accepts it, too
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def follow(request, message, rounds=ROUNDS):
    """Do all that is advised, one after the other and each on its own."""
    changes = advised(message)
    assert changes, f"nothing is advised that can be done: {message}"
    for change in changes:
        assert rounds, f"after {ROUNDS} rounds it says: {message}"
        after = changed(request, change)
        again = refusal(after)
        print(f"{message}\n  {change}: {again or 'accepted'}")
        assert again != message
        if again:
            follow(after, again, rounds - 1)


REQUESTS = [
    {"chip": {"batch_terms": 32}},
    {"batch": 100000},
    {"steps": 16, "batch": 5000},
    {"rule": "ottt-o"},
    {"steps": 300},
    {"steps": 0},
    {"chip": {"steps": 2}},
    {"lanes": 3},
    {"cores": 11},
    {"cores": 1000},
    {"lanes": 8, "chip": {"weights": 16383}},
    {"epochs": 10**9},
    {"samples": 10**9},
    {"momentum": 2.0},
    {"momentum": 0.9999},
    {"decay": 0.9999},
    {"update": "sign", "decay": 1.5},
    {"update": "lion", "rate": 1e-12},
    {"rate": 1e-12},
    {"rate": 1e12},
    {"loss_scale": 1e-12},
    {"neuron": {"kappa": 1e-9}},
    {"neuron": {"theta": 1e-9}},
    {"neuron": {"theta": 1e9}},
    {"neuron": {"width": 1e-9}},
    {"cores": 1, "network": "64-300-10"},
    {"cores": 2, "network": "64-2000-10"},
    {"cores": 6, "lanes": 4, "network": "64-700-300-10", "chip": {"weights": 4096}},
    {"network": "64-3000-10"},
    {"cores": 2, "network": "1x8x8-c24k3p1-c24k3p1-a2-10", "chip": {"list_depth": 64}},
    {"network": "1x8x8-c4k7p3-10", "chip": {"list_depth": 32, "neurons": 512}},
    {"network": "1x8x8-c4k3p1-10", "chip": {"batch_terms": 64, "neurons": 512}},
    {"network": "1x8x8-c4k3p1-10", "chip": {"dense_only": True, "neurons": 512}},
    {key: value for key, value in PRESETS["deep20"].items() if key not in ("chip", "data")} | {"cores": 4},
]
LIMIT_REQUESTS = [
    {"chip": {name: value}}
    for name, (low, high) in LIMITS.items()
    for value in (low - 1, high + 1)
    if name not in ("columns", "rows", "steps")
]


@pytest.mark.parametrize("request_", [*REQUESTS, *LIMIT_REQUESTS], ids=str)
def test_what_a_refusal_advises_works(request_, monkeypatch):
    monkeypatch.setattr(Scenario, "dataset", lambda self: None)  # any network fits any data here
    message = refusal(request_)
    assert message, "it must be refused"
    follow(request_, message)


@pytest.mark.parametrize(
    "network", ["64-999999-10", "64-99999999999999999999-10", "1x8x8-c99999999k3p1-10", "64-100000-10"]
)
def test_a_network_that_no_chip_of_so_many_cores_holds_is_refused_in_seconds(network):
    with pytest.raises(ValueError, match=r": use (at least \d+ cores or )?.*smaller layers"):
        Scenario(network=network).check(phases=False)

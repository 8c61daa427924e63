# SPDX-License-Identifier: Apache-2.0
"""Network, steps and chip that fit data, where nothing else is said."""

from typing import Any

from backspike.golden.network import Network
from backspike.golden.presets import default_training
from backspike.host.compiler.capacity import CapacityError
from backspike.host.data.encode import encode_data
from backspike.host.data.load import read
from backspike.host.data.summary import default_steps
from backspike.host.driver.checks import check_run
from backspike.spec.config import LIMITS, ChipConfig, mesh_shape

__all__ = ["fitted", "fitting_chip"]

_HIDDEN = "128"


def fitted(given: dict[str, Any], hidden: str | None = None) -> dict[str, Any]:
    """Fields of a ``TrainingSpec`` with network and steps that fit its data, where data are given and these are not.

    Parameters
    ----------
    given : dict
        Fields by name.
    hidden : str or None
        Hidden layers of the network, in its notation; ``None``: 128 neurons.
    """
    if "data" not in given or ("network" in given and "steps" in given):
        return given
    data = read(given["data"], given.get("classes"))
    steps = given.get("steps", default_steps(data))
    found = {"steps": steps, **given}
    if "network" not in given:
        dataset = encode_data(data, steps, given.get("encoder"))
        hidden = hidden or _HIDDEN
        flat = hidden.replace("-", "").isdigit()
        found["network"] = f"{dataset.inputs if flat else dataset.notation}-{hidden}-{len(dataset.classes)}"
    return found


def fitting_chip(network: Network, batch: int = 16) -> ChipConfig | str:
    """The smallest chip with the memories of ``make sim`` that trains a network, or a sentence why there is none."""
    words = -(-network.inputs // 32)
    tape = min(max(64, 1 << (words - 1).bit_length()), LIMITS["tape_words"][1])
    steps = min(max(4, network.steps), LIMITS["steps"][1])
    training = default_training(network)
    reason = ""
    for cores in range(1, LIMITS["columns"][1] * LIMITS["rows"][1] + 1):
        try:
            columns, rows = mesh_shape(cores)
        except ValueError:
            continue  # so many fill no mesh
        config = ChipConfig(columns=columns, rows=rows, tape_words=tape, steps=steps)
        try:
            check_run(network, training, config, batch=batch, phases=False)
        except CapacityError as error:
            reason = str(error)
            continue
        return config
    return reason

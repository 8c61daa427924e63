# SPDX-License-Identifier: Apache-2.0
"""The integrate-and-fire neurons of rules that go back once a sample, and which of them such a rule can train."""

from dataclasses import replace

from backspike.golden.constants import Neuron
from backspike.spec.formats import Format

__all__ = ["check_clamp", "check_ternary", "integrating"]


def integrating(neuron: Neuron) -> Neuron:
    """A neuron without leak that spikes at ``theta / 2``, and loses ``theta`` then.

    One that integrates already (``kappa`` 1, ``kappa_back`` 0, and a ``reset_value``) stays as it is.
    """
    if neuron.kappa == 1 and neuron.kappa_back == 0 and neuron.reset_value is not None:
        return neuron
    return replace(neuron, kappa=1.0, kappa_back=0.0, theta=neuron.theta / 2, reset_value=neuron.theta)


def check_clamp(name: str, neuron: Neuron, steps: int, number_format: Format) -> None:
    """``ValueError`` where ``clamp.clamp_masks`` cannot say what so many steps take from a neuron.

    Parameters
    ----------
    name : str
        Of the rule.
    neuron : Neuron
        As the network has it.
    steps : int
        Time steps T.
    number_format : Format
        Of stored numbers.
    """
    _check_soft(name, neuron)
    most = number_format.max_finite / steps
    if integrating(neuron).rr > most:
        raise ValueError(
            f"rule {name} must have neurons that lose at most {most:g}, a share of the largest number of "
            f"{number_format}, not {integrating(neuron).rr!r}"
        )


def check_ternary(name: str, neuron: Neuron) -> None:
    """``ValueError`` where ``ternary.ternary_backward`` has other constants than the neuron.

    Parameters
    ----------
    name : str
        Of the rule.
    neuron : Neuron
        As the network has it.
    """
    _check_soft(name, neuron)
    once = integrating(neuron)
    if (once.theta, once.rr) != (0.5, 1):
        raise ValueError(
            f"rule {name} must have neurons that spike at 0.5 and lose 1, which theta 1 gives, not at {once.theta!r} "
            f"losing {once.rr!r}"
        )
    if neuron.amplitude != 1:
        raise ValueError(f"rule {name} must have neurons with amplitude 1, not {neuron.amplitude!r}")


def _check_soft(name: str, neuron: Neuron) -> None:
    if not neuron.soft:
        raise ValueError(f"rule {name} must have neurons with a soft reset, not a hard one")

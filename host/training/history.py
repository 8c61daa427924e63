# SPDX-License-Identifier: Apache-2.0
"""The results of an epoch, the same from the golden model and from a chip."""

from typing import Any

from backspike.host.training.metrics import Metrics

__all__ = ["epoch_line", "history_entry"]


def history_entry(
    epoch: int, trained: Metrics, held: str, metrics: Metrics, *, rate: float, saturated: bool
) -> dict[str, Any]:
    """The results of an epoch.

    Parameters
    ----------
    epoch : int
        From 1 on.
    trained : Metrics
        Of its training samples, each before the update of its batch.
    held : "test" or "validation"
        The samples that were classified after it, if there are any.
    metrics : Metrics
        Of these.
    rate : float
        Of its updates.
    saturated : bool
        Whether any result so far was too large for the format.
    """
    entry: dict[str, Any] = {
        "epoch": epoch,
        "samples": trained.samples,
        "train_loss": trained.loss,
        "train_accuracy": trained.accuracy,
    }
    if metrics.samples:
        count = f"{held}s" if held == "test" else held
        entry |= {f"{held}_loss": metrics.loss, f"{held}_accuracy": metrics.accuracy, count: metrics.samples}
    return entry | {"rate": rate, "saturated": saturated}


def epoch_line(entry: dict[str, Any], epochs: int, held: str, metrics: Metrics) -> str:
    """The results as a line for people; the parameters are those of ``history_entry``."""
    line = f"epoch {entry['epoch']}/{epochs}: loss {entry['train_loss']:.3f}, accuracy {entry['train_accuracy']:.1%}"
    if metrics.samples:
        line += f"; {metrics.samples} {held} samples: loss {metrics.loss:.3f}, accuracy {metrics.accuracy:.1%}"
    return line + ("; numbers have saturated" if entry["saturated"] else "")

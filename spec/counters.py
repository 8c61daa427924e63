# SPDX-License-Identifier: Apache-2.0
"""The hardware counters."""

__all__ = ["COUNTERS", "LINK_COUNTERS", "counter_difference"]

COUNTERS = (
    "cycles",
    "fp_busy",
    "fp_terms",
    "fp_results",
    "fp_stalled",
    "bp_busy",
    "bp_terms",
    "bp_rows",
    "bp_results",
    "bp_stalled",
    "wg_busy",
    "wg_terms",
    "wg_rows",
    "wg_stalled",
    "delta_busy",
    "update_busy",
    "elementwise",
    "fp_no_input",
    "fp_no_credit",
    "no_errors",
    "saturated",
    "dropped",
    "packets_in",
    "packets_out",
    "router_flits",
    "router_stalled",
    "wg_carries",
)
"""Hardware counters of a core, 32 bits each, in the order of their addresses.

``busy`` are cycles with a job, ``terms`` useful terms of all lanes, ``results`` potentials and errors sent, ``rows``
masked inputs (BP) and non-zero deltas (WG) that were worked on, once for each group and word of inputs; ``stalled``
cycles in which a term was ready and had to wait: for the neuron update (FP), for the network (BP), for a gradient that
is being written (WG); ``wg_carries`` terms that reached the high part of a gradient. Cycles without a job: the feed-
forward thread waits for inputs (``fp_no_input``) or, with inputs, for a free slot at a consumer (``fp_no_credit``), the
backward thread for errors or a label (``no_errors``)."""

LINK_COUNTERS = ("words_in", "words_out", "packets_in", "packets_out", "dropped")
"""Hardware counters of the host link, 32 bits each."""

_MODULUS = 1 << 32


def counter_difference(before: int, after: int) -> int:
    """How far a hardware counter has gone on between two looks.

    Counters have 32 bits and wrap: one that counts cycles does so after 43 s at 100 MHz. The difference is right where
    fewer than 2**32 events lie between the looks.

    Parameters
    ----------
    before, after : int
        What the counter said, 0 to 2**32 - 1.

    Returns
    -------
    int
        Events between the looks, 0 to 2**32 - 1.
    """
    return (after - before) % _MODULUS

# SPDX-License-Identifier: Apache-2.0
"""The packet protocol as plain values, for tools that are not written in Python."""

from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.packets import HEADER, HOST_KINDS, MAX_PAYLOAD, NO_LABEL, TAGS, Cause, Kind, payload_range
from backspike.spec.tables import (
    DESCRIPTOR,
    DESCRIPTOR_STRIDE,
    EXPECTATIONS,
    FAN_IN,
    FAN_IN_STRIDE,
    ROUTE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)

__all__ = ["packet_map"]

_TABLES = {"expectations": EXPECTATIONS, "fan_in": FAN_IN, "route": ROUTE, "descriptor": DESCRIPTOR}


def packet_map():
    """Everything in ``spec/`` that is visible on the host link, as JSON values.

    ``strides`` are addresses from one slice, entry, step or slot to the next, where that is not 1.

    Fields are given as ``{name: {"offset": bits, "width": bits}}``, counted from the least significant bit.
    """
    return {
        "max_payload_words": MAX_PAYLOAD,
        "no_label": NO_LABEL,
        "header": _fields(HEADER),
        "kinds": {kind.name: _kind(kind) for kind in Kind},
        "regions": {region.name: int(region) for region in Region},
        "strides": {
            "DESCRIPTOR": DESCRIPTOR_STRIDE,
            "FAN_IN": FAN_IN_STRIDE,
            "TAPE_STEP": TAPE_STRIDE,
            "TAPE_SLOT": TAPE_SLOT_STRIDE,
        },
        "causes": {cause.name: int(cause) for cause in Cause},
        "tables": {name: {"words": table.word_count, "fields": _fields(table)} for name, table in _TABLES.items()},
        "core_counters": {name: address for address, name in enumerate(COUNTERS)},
        "link_counters": {name: address for address, name in enumerate(LINK_COUNTERS)},
    }


def _kind(kind):
    shortest, longest = payload_range(kind)
    return {
        "code": int(kind),
        "from_host": kind in HOST_KINDS,
        "payload_words": {"min": shortest, "max": longest},
        "tag": _fields(TAGS[kind]),
    }


def _fields(fields):
    offset, described = 0, {}
    for name, width in fields.fields.items():
        described[name] = {"offset": offset, "width": width}
        offset += width
    return described

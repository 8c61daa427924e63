# SPDX-License-Identifier: Apache-2.0
"""Parsing of received words, and the text of faults."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backspike.host.driver.packet_decoder import Fault, parse_packet
from backspike.spec.packets import TAGS, Cause, Kind, Packet, header, payload_range


@st.composite
def packets(draw):
    kind = draw(st.sampled_from(list(Kind)))
    tag = {name: draw(st.integers(0, (1 << width) - 1)) for name, width in TAGS[kind].fields.items()}
    low, high = payload_range(kind)
    payload = draw(st.lists(st.integers(0, (1 << 32) - 1), min_size=low, max_size=high))
    x, y, host = draw(st.integers(0, 7)), draw(st.integers(0, 7)), draw(st.integers(0, 1))
    return Packet(kind, tag, tuple(payload), x, y, host)


@settings(derandomize=True, deadline=None)
@given(packets())
def test_packets_survive_the_way_through_words(packet):
    assert parse_packet(packet.words()) == packet


CREDIT = header(Kind.CREDIT, slice=0, slot=0, from_x=0, from_y=0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "words must hold at least a header, not []"),
        ([0], "header must name a known kind, not 0x00000000"),
        ([15], "header must name a known kind, not 0x0000000f"),
        ([-1], "words must be 32-bit unsigned integers, not -1"),
        ([CREDIT, 1 << 32], "words must be 32-bit unsigned integers, not 4294967296"),
        ([CREDIT | 1 << 29], "header of CREDIT must have no unused bits set, not 0x20000004"),
        ([CREDIT | 1 << 28], "header of CREDIT must have no unused bits set, not 0x10000004"),
        ([CREDIT, 0], "CREDIT must have 0 payload words, not 1"),
        ([header(Kind.DATA, region=0, from_x=0, from_y=0, link=0), 0], "DATA must have 2 to 15 payload words, not 1"),
        ([header(Kind.ERROR, neuron=0, step=0, slot=0), 0], "ERROR must have 2 to 3 payload words, not 1"),
    ],
)
def test_malformed_packets_are_refused(words, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_packet(words)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            Fault(Cause.FIELD, (1, 2), CREDIT),
            "core (1, 2) dropped a CREDIT packet with slice=0, slot=0, from_x=0, from_y=0: cause FIELD",
        ),
        (Fault(Cause.KIND, None, 0xF), "the host link dropped a packet with header 0x0000000f: cause KIND"),
        (Fault(9, None, 0), "the host link dropped a packet with header 0x00000000: cause 9"),
    ],
)
def test_faults_in_words(fault, text):
    assert str(fault) == text

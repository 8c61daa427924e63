# SPDX-License-Identifier: Apache-2.0
"""The rules for drivers: complete, and the same in the documentation and in the JSON file."""

import json
from pathlib import Path

from backspike.hw.verilog.packet_map import packet_map
from backspike.spec.packets import HOST_KINDS, Cause, Kind, payload_range
from backspike.spec.rules import CAUSES, ORDER, RULES, protocol_page

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_every_kind_and_cause_has_its_rule():
    assert list(RULES) == list(Kind)
    assert list(CAUSES) == list(Cause)
    for kind, rule in RULES.items():
        assert rule.when and (rule.effect or kind not in HOST_KINDS)
        assert (rule.payload.split(";")[0] == "none") == (payload_range(kind) == (0, 0))


def test_the_page_is_made_from_the_rules():
    assert PAGE.read_text() == protocol_page(), "run: python -m backspike.spec.rules > docs/protocol.md"


def test_the_description_of_a_chip_has_the_rules():
    described = json.loads(json.dumps(packet_map()))
    assert described["order"] == list(ORDER)
    for kind, rule in RULES.items():
        assert described["kinds"][kind.name]["rule"] == vars(rule)
    assert described["causes"]["STATE"] == {"code": 5, "why": CAUSES[Cause.STATE]}
    assert described["strides"]["EXPECTATIONS"] == 2

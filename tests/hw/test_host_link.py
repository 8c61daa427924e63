# SPDX-License-Identifier: Apache-2.0
"""Host link: what passes, what is dropped, counted and reported."""

import re

import pytest

from backspike.hw.noc.host_link import HostLink
from backspike.hw.noc.packet_check import PacketCheck
from backspike.hw.noc.packet_gate import PacketGate
from backspike.hw.verilog.emit import to_verilog
from backspike.sim.verilator.runner import build, default_seed, run
from tests.support.host_packets import CONFIG


def test_packets(tmp_path):
    source = tmp_path / "host_link.v"
    source.write_text(to_verilog(HostLink(CONFIG), "host_link"))
    built = build([source], "host_link", tmp_path / "build")
    run(built, "tests.hw.benches.bench_host_link", seed=default_seed())


@pytest.mark.parametrize("component", [HostLink, PacketGate, PacketCheck])
def test_config_must_be_a_configuration(component):
    with pytest.raises(TypeError, match=f"^{re.escape('config must be a ChipConfig, not None')}$"):
        component(None)

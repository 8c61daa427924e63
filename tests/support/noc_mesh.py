# SPDX-License-Identifier: Apache-2.0
"""Meshes and chains of routers alone, with all local ports and the way to the host in a few wide ports, for benches."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.data import View
from amaranth.lib.wiring import Component, In, Out

from backspike.hw.noc.flit import FLIT
from backspike.hw.noc.mesh import connect_nodes, positions, to_host
from backspike.hw.noc.router import router_signature
from backspike.hw.verilog.ports import instance_of

__all__ = ["RouterMeshes", "mesh_name", "router_module"]


def router_module(config):
    """Verilog module of the chip's Router, to be converted on its own."""
    return "chain_router" if config.chain else "mesh_router"


def mesh_name(config):
    """What the names of a mesh's ports begin with."""
    return f"{'chain' if config.chain else 'mesh'}{config.columns}x{config.rows}"


class RouterMeshes(Component):
    """The routers of several chips in one simulation, and nothing else.

    Parameters
    ----------
    configs : list of ChipConfig
        Of different shapes.

    Members
    -------
    <mesh_name>_in_payload, _in_valid, _in_ready, _out_payload, _out_valid, _out_ready
        Streams into and out of a mesh, side by side: stream n is at the local port of node n; the last is the host's.
    <mesh_name>_flits, _stalled : Out(32 * cores)
        What each router has reported since reset.
    """

    def __init__(self, configs):
        self.configs = configs
        members = {}
        for config in configs:
            name, ports = mesh_name(config), config.cores + 1
            members |= {
                f"{name}_in_payload": In(FLIT.size * ports),
                f"{name}_in_valid": In(ports),
                f"{name}_in_ready": Out(ports),
                f"{name}_out_payload": Out(FLIT.size * ports),
                f"{name}_out_valid": Out(ports),
                f"{name}_out_ready": In(ports),
                f"{name}_flits": Out(32 * config.cores),
                f"{name}_stalled": Out(32 * config.cores),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        for config in self.configs:
            self._mesh(m, config)
        return m

    def _mesh(self, m, config):
        name = mesh_name(config)
        routers = {
            (x, y): instance_of(m, f"{name}_router_{x}_{y}", router_signature(config), router_module(config))
            for x, y in positions(config)
        }
        connect_nodes(m, config, routers)
        inward = [router.local_in for router in routers.values()] + [routers[0, 0].west_in]
        outward = [router.local_out for router in routers.values()] + [to_host(config, routers)]
        payload, valid = getattr(self, f"{name}_in_payload"), getattr(self, f"{name}_in_valid")
        ready = getattr(self, f"{name}_out_ready")
        for n, (into, out_of) in enumerate(zip(inward, outward, strict=True)):
            flit = View(FLIT, payload.word_select(n, FLIT.size))
            m.d.comb += [
                into.payload.data.eq(flit.data),
                into.payload.last.eq(flit.last),
                into.valid.eq(valid[n]),
                out_of.ready.eq(ready[n]),
            ]
        host = routers[0, 0].west_in
        with m.If(host.valid & host.ready & host.payload.last):
            m.d.sync += host.payload.round.eq(~host.payload.round)  # as the host link does it
        m.d.comb += [
            getattr(self, f"{name}_in_ready").eq(Cat(into.ready for into in inward)),
            getattr(self, f"{name}_out_payload").eq(
                Cat(Cat(out_of.payload.data, out_of.payload.last) for out_of in outward)
            ),
            getattr(self, f"{name}_out_valid").eq(Cat(out_of.valid for out_of in outward)),
        ]
        for part in ("flits", "stalled"):
            sums = [Signal(32, name=f"{name}_{part}_{n}") for n in range(len(routers))]
            m.d.comb += getattr(self, f"{name}_{part}").eq(Cat(sums))
            m.d.sync += [
                total.eq(total + getattr(router, part)) for total, router in zip(sums, routers.values(), strict=True)
            ]

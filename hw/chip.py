# SPDX-License-Identifier: Apache-2.0
"""The chip: a mesh or chain of equal tiles with the host link at its north-west corner."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import Component, In, Out, Signature, connect, flipped

from backspike.hw.noc.host_link import AxiStream, HostLink
from backspike.hw.noc.mesh import connect_nodes, positions, to_host
from backspike.hw.noc.router import Router, link_members
from backspike.hw.verilog.ports import instance_of
from backspike.spec.config import ChipConfig

__all__ = ["Chip", "Tile"]


def _tile_signature(config):
    return Signature({"x": In(3), "y": In(3), **link_members(config), "activity": Out(3)})


def _default_core(config):
    from backspike.hw.core import Core  # noqa: PLC0415 - loaded only where it is used

    return Core(config)


class Tile(Component):
    """One node of the mesh: a core and its router. All tiles of a chip are the same module.

    Parameters
    ----------
    config : ChipConfig
    core : callable
        Makes the core from the configuration; anything with the interface of ``hw.core.Core``, which is the default.

    Members
    -------
    x, y : In(3)
        Position in the mesh, constant.
    <port>_in : In(LinkStream)
    <port>_out : Out(LinkStream)
        For each neighbour: west, north, east, south; in a chain west and east.
    activity : Out(3)
        Engines at work: forward, backward, weight gradient.

    Raises
    ------
    TypeError: ``config`` is not a ``ChipConfig``, or ``core`` is not callable
    """

    def __init__(self, config, *, core=_default_core):
        _check(config, core)
        self.config = config
        self.core = core
        super().__init__(_tile_signature(config))

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core(self.config)
        m.submodules.router = router = Router(self.config)
        connect(m, core.tx, router.local_in)
        connect(m, router.local_out, core.rx)
        for name in link_members(self.config):
            connect(m, flipped(getattr(self, name)), getattr(router, name))
        # Constants, but not for a simulator that compiles the tile once for all cores: behind registers, the logic that
        # they reach is worked out only once in a clock cycle.
        x, y = Signal(3), Signal(3)
        m.d.sync += [x.eq(self.x), y.eq(self.y)]
        m.d.comb += [
            core.x.eq(x),
            core.y.eq(y),
            router.x.eq(x),
            router.y.eq(y),
            core.router_flits.eq(router.flits),
            core.router_stalled.eq(router.stalled),
            self.activity.eq(core.activity),
        ]
        return m


class Chip(Component):
    """The whole chip: ``config.columns`` x ``config.rows`` tiles and the host link.

    Parameters
    ----------
    config : ChipConfig
    tile_module : str or None
        None: tiles are submodules, for use inside another Amaranth design and for Amaranth's simulator. A name: tiles
        are instances of the Verilog module of that name, converted from ``Tile`` on its own, as
        :mod:`backspike.hw.verilog.emit` does. Both are the same circuit; the second is emitted once instead of
        once per core.
    core : callable
        As for ``Tile``.

    Members
    -------
    s_axis : In(AxiStream)
        Packets from the host.
    m_axis : Out(AxiStream)
        Packets to the host.
    activity : Out(3 * cores)
        Three bits of each core, core (x, y) at 3 * (y * columns + x).

    Raises
    ------
    TypeError: ``config`` is not a ``ChipConfig``, ``tile_module`` not a string, or ``core`` not callable
    """

    def __init__(self, config, *, tile_module=None, core=_default_core):
        _check(config, core)
        if tile_module is not None and not isinstance(tile_module, str):
            raise TypeError(f"tile_module must be a string or None, not {tile_module!r}")
        self.config = config
        self.tile_module = tile_module
        self.core = core
        super().__init__(
            {
                "s_axis": In(AxiStream),
                "m_axis": Out(AxiStream),
                "activity": Out(3 * config.cores),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.host_link = link = HostLink(self.config)
        connect(m, flipped(self.s_axis), link.s_axis)
        connect(m, link.m_axis, flipped(self.m_axis))
        tiles = {(x, y): self._tile(m, f"tile_{x}_{y}") for x, y in positions(self.config)}
        connect_nodes(m, self.config, tiles)
        connect(m, link.to_mesh, tiles[0, 0].west_in)
        connect(m, to_host(self.config, tiles), link.from_mesh)
        m.d.comb += self.activity.eq(Cat(tiles[position].activity for position in positions(self.config)))
        return m

    def _tile(self, m, name):
        """A new tile, as a submodule or as an instance: an object with the tile's members."""
        if self.tile_module is not None:
            return instance_of(m, name, _tile_signature(self.config), self.tile_module)
        m.submodules[name] = tile = Tile(self.config, core=self.core)
        return tile


def _check(config, core):
    if not isinstance(config, ChipConfig):
        raise TypeError(f"config must be a ChipConfig, not {config!r}")
    if not callable(core):
        raise TypeError(f"core must be callable, not {core!r}")

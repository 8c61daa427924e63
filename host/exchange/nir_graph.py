# SPDX-License-Identifier: Apache-2.0
"""The nodes of a NIR file in an order in which each stands behind those that it takes; loops are refused by name.

NIR is described in Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15, 8122 (2024).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["ordered", "read_graph"]

_Edge = tuple[str, str]


def read_graph(path: Path) -> Any:
    """The ``nir.NIRGraph`` in a file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not a NIR file.
    ModuleNotFoundError
        The package ``nir`` is missing.
    """
    import nir  # noqa: PLC0415 - an optional package

    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file")
    try:
        # Older files have shapes that this version of the package does not take; ours are checked in the import
        return nir.read(path, type_check=False)
    except (OSError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise ValueError(f"{path} is not a NIR file that the package nir can read: {error}") from None


def ordered(graph: Any) -> list[tuple[str, Any, list[str]]]:
    """Name, node and names of the nodes before it, of a ``nir.NIRGraph`` from the input on, but for class ``Output``.

    Of nodes that could be next, that of the first edge is. Graphs within the graph are opened: their nodes are named
    ``graph.node``.

    Raises
    ------
    ValueError
        There is a loop, a node that is not between input and output, or not one input and one output.
    """
    nodes, edges = _opened(graph)
    names = {
        kind: [name for name, node in nodes.items() if type(node).__name__ == kind] for kind in ("Input", "Output")
    }
    for kind, found in names.items():
        if len(found) != 1:
            raise ValueError(f"the graph must have one node of kind {kind}, not {len(found)}: {found}")
    if loop := _loop(edges):
        raise ValueError(
            f"node {loop[0]!r} is part of a loop ({' -> '.join([*loop, loop[0]])}): recurrent networks cannot be "
            f"expressed; train the network without the recurrent weights, such as with Leaky in place of RLeaky"
        )
    source, target = names["Input"][0], names["Output"][0]
    before: dict[str, list[str]] = {name: [] for name in nodes}
    for start, end in edges:
        before[end].append(start)
    reached = _reached(source, edges) & _reached(target, [(end, start) for start, end in edges])
    if unused := sorted(nodes.keys() - reached):
        raise ValueError(f"node {unused[0]!r} must lie between input and output: take it out of the graph")
    if len(before[target]) != 1:
        raise ValueError(f"node {target!r} must have one node before it, not {before[target]}: end with one layer")
    done = [source]
    while len(done) < len(nodes):
        done.append(next(end for _, end in edges if end not in done and set(before[end]) <= set(done)))
    return [(name, nodes[name], before[name]) for name in done if name != target]


def _reached(name: str, edges: Iterable[_Edge]) -> set[str]:
    """A node and all that edges lead to from it."""
    found, new = {name}, {name}
    while new:
        new = {end for start, end in edges if start in new} - found
        found |= new
    return found


def _opened(graph: Any) -> tuple[dict[str, Any], list[_Edge]]:
    """Nodes and edges of a graph and of the graphs in it, whose inputs and outputs are passed through."""
    nodes: dict[str, Any] = {}
    edges: list[_Edge] = []
    starts: dict[str, str] = {}
    ends: dict[str, str] = {}
    for name, node in graph.nodes.items():
        if type(node).__name__ != "NIRGraph":
            nodes[name] = node
            continue
        inner, inner_edges = _opened(node)
        ports = {
            kind: [own for own, each in inner.items() if type(each).__name__ == kind] for kind in ("Input", "Output")
        }
        for kind, found in ports.items():
            if len(found) != 1:
                raise ValueError(f"node {name!r}, a graph, must have one node of kind {kind}, not {len(found)}")
        first, last = ports["Input"][0], ports["Output"][0]
        heads = [end for start, end in inner_edges if start == first]
        tails = [start for start, end in inner_edges if end == last]
        if len(heads) != 1 or len(tails) != 1:
            raise ValueError(f"node {name!r}, a graph, must have one node behind its input and one before its output")
        starts[name], ends[name] = f"{name}.{heads[0]}", f"{name}.{tails[0]}"
        nodes |= {f"{name}.{own}": each for own, each in inner.items() if own not in (first, last)}
        edges += [(f"{name}.{a}", f"{name}.{b}") for a, b in inner_edges if a != first and b != last]
    outer = dict.fromkeys((str(a), str(b)) for a, b in graph.edges)  # some exporters write an edge twice
    edges += [(ends.get(a, a), starts.get(b, b)) for a, b in outer]
    for edge in edges:
        for name in edge:
            if name not in nodes:
                raise ValueError(f"the graph must have a node {name!r}, which an edge names")
    return nodes, edges


def _loop(edges: Iterable[_Edge]) -> list[str]:
    """The nodes of a loop, in order; empty where there is none."""
    after: dict[str, list[str]] = {}
    for start, end in edges:
        after.setdefault(start, []).append(end)
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for following in after.get(name, ()):
            if found := walk(following, [*path, name]):
                return found
        done.add(name)
        return []

    for name in after:
        if found := walk(name, []):
            return found
    return []

"""Topologies of chips as networkx graphs: grids, all to all, one switch, and switches joined by others."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import networkx as nx

from dieshot.simulator.errors import InputError, listed, nearest_name

# A shape and an example of it; the numbers are sides of a grid, chips, or groups and chips of a group.
SHAPES = {
    "ring": "ring:8",
    "mesh": "mesh:4x2",
    "torus": "torus:4x2",
    "full": "full:8",
    "switch": "switch:8",
    "tree": "tree:2x8",
    "fat-tree": "fat-tree:2x8",
    "dragonfly": "dragonfly:5x4",
}
GRIDS = {"ring", "mesh", "torus"}
SWITCH = -1  # the only switch, or the first of the switches that chips are joined to; others follow downwards
MOST_CHIPS = 1024


def chip_graph(topology: str, fs_per_mib: int, latency_fs: int) -> nx.DiGraph[int]:
    """Return the directed graph of `ring:8`, `mesh:4x2`, `torus:4x4x4`, `full:8`, `switch:8` or of several switches.

    `tree:2x8`: 2 switches of 8 chips below one more, each joined to it by a single link. `fat-tree:2x8`: below 8 more,
    each joined to all, so as much goes up as comes in. `dragonfly:5x4`: 5 groups of 4 switches of one chip, all joined
    to all in a group, and each pair of groups by a link between two of their switches in turn. Nodes are chips 0.. and
    switches -1, -2, ..; every edge has `fs_per_mib` (one direction) and `latency_fs` (of one edge), in a grid also
    `prefer` (see chips.parts.links.collective). InputError with the nearest name for anything else.
    """
    shape, sides = parse_topology(topology)
    graph: nx.DiGraph[int] = nx.DiGraph()
    if shape in GRIDS:
        for axis, side in enumerate(sides):
            stride = math.prod(sides[axis + 1 :])
            for node in range(math.prod(sides)):
                place = node // stride % side
                for step in (1, -1):
                    if shape != "mesh" or 0 <= place + step < side:
                        there = node + ((place + step) % side - place) * stride
                        # The last side goes first; half way round, even places go up and odd ones down.
                        prefer = len(sides) - 1 - axis, (place + (step < 0)) % 2
                        if there != node:
                            graph.add_edge(node, there, fs_per_mib=fs_per_mib, latency_fs=latency_fs, prefer=prefer)
        return graph
    for a, b in _pairs(shape, sides):
        graph.add_edge(a, b, fs_per_mib=fs_per_mib, latency_fs=latency_fs)
        graph.add_edge(b, a, fs_per_mib=fs_per_mib, latency_fs=latency_fs)
    return graph


def has_switches(topology: str) -> bool:
    """Return whether chips are joined to switches, not to each other."""
    return topology.partition(":")[0] not in GRIDS | {"full"}


def n_chips_of(topology: str) -> int:
    """Return the chips of a topology."""
    return math.prod(parse_topology(topology)[1])


def ring_order(topology: str) -> tuple[int, ...]:
    """Return the chips as a ring of them best follows the links: through a grid to and fro, else by number."""
    shape, sides = parse_topology(topology)
    order = [0]
    for side in sides if shape in GRIDS else (math.prod(sides),):
        order = [node * side + (k if i % 2 == 0 else side - 1 - k) for i, node in enumerate(order) for k in range(side)]
    return tuple(order)


def parse_topology(topology: str) -> tuple[str, tuple[int, ...]]:
    """Return the shape and its sides: one number of chips, two or three sides of a grid, groups and chips of each."""
    shape, _, size = topology.partition(":")
    if shape not in SHAPES:
        expected = f"{listed(SHAPES)}, with its size: {listed(SHAPES.values())}"
        raise InputError("unknown topology", key="--topology", value=topology, expected=expected,
                         nearest=nearest_name(shape, SHAPES))  # fmt: skip
    n_sides = {"mesh": (1, 2, 3), "torus": (2, 3), "tree": (2,), "fat-tree": (2,), "dragonfly": (2,)}.get(shape, (1,))
    sides = tuple(int(side) for side in size.split("x")) if re.fullmatch(r"\d{1,4}(x\d{1,4}){0,2}", size) else ()
    if len(sides) not in n_sides or min(sides) < 1 or not 2 <= math.prod(sides) <= MOST_CHIPS:
        expected = f"2 to {MOST_CHIPS} chips in all, such as {SHAPES[shape]}"
        raise InputError("not a size of a topology", key="--topology", value=topology, expected=expected)
    return shape, sides


def _pairs(shape: str, sides: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    n = math.prod(sides)
    if shape == "full":
        yield from ((a, b) for a in range(n) for b in range(a))
        return
    groups, size = (1, n) if shape == "switch" else sides
    switch_size = 1 if shape == "dragonfly" else size
    yield from ((chip, -1 - chip // switch_size) for chip in range(n))
    above = {"tree": 1, "fat-tree": size}.get(shape, 0)
    yield from ((-1 - group, -1 - groups - top) for group in range(groups) for top in range(above))
    if shape == "dragonfly":
        for first in range(-1, -1 - n, -size):
            yield from ((first - a, first - b) for a in range(size) for b in range(a))
        # The k-th other group, counted upwards from the own, is reached from the k-th switch.
        for g in range(groups):
            for h in range(g + 1, groups):
                yield -1 - g * size - (h - g - 1) % size, -1 - h * size - (g - h - 1) % groups % size

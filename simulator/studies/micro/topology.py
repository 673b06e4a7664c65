"""Topologies of chips as networkx graphs: ring, torus, fully connected, and one switch."""

from __future__ import annotations

import re

import networkx as nx

from dieshot.simulator.errors import InputError, listed, nearest_name

SHAPES = ("ring", "torus", "full", "switch")
SWITCH = -1
MOST_CHIPS = 1024


def chip_graph(topology: str, fs_per_mib: int, latency_fs: int) -> nx.DiGraph[int]:
    """Return the directed graph of `ring:8`, `torus:4x2`, `full:8` or `switch:8`.

    Nodes are chips 0.. and, in a switch, -1 for the switch. Every edge has `fs_per_mib` (one direction) and
    `latency_fs` (of one edge). InputError with the nearest name for anything else.
    """
    shape, sides = parse_topology(topology)
    graph: nx.DiGraph[int] = nx.DiGraph()
    for a, b in _pairs(shape, sides):
        graph.add_edge(a, b, fs_per_mib=fs_per_mib, latency_fs=latency_fs)
        graph.add_edge(b, a, fs_per_mib=fs_per_mib, latency_fs=latency_fs)
    return graph


def parse_topology(topology: str) -> tuple[str, tuple[int, ...]]:
    """Return the shape and its sides: one number of chips, or rows and columns of a torus."""
    shape, _, size = topology.partition(":")
    if shape not in SHAPES:
        expected = f"{listed(SHAPES)}, with its size: ring:8, torus:4x2, full:8, switch:8"
        raise InputError("unknown topology", key="--topology", value=topology, expected=expected,
                         nearest=nearest_name(shape, SHAPES))  # fmt: skip
    pattern = r"(\d{1,4})x(\d{1,4})" if shape == "torus" else r"(\d{1,4})"
    found = re.fullmatch(pattern, size)
    sides = tuple(int(side) for side in found.groups()) if found else ()
    n_chips = sides[0] * sides[-1] if len(sides) == 2 else sum(sides)
    if not sides or min(sides) < 1 or not 2 <= n_chips <= MOST_CHIPS:
        example = "torus:4x2" if shape == "torus" else f"{shape}:8"
        expected = f"2 to {MOST_CHIPS} chips in all, such as {example}"
        raise InputError("not a size of a topology", key="--topology", value=topology, expected=expected)
    return shape, sides


def _pairs(shape: str, sides: tuple[int, ...]) -> list[tuple[int, int]]:
    n = sides[0]
    if shape == "switch":
        return [(chip, SWITCH) for chip in range(n)]
    if shape == "full":
        return [(a, b) for a in range(n) for b in range(a)]
    if shape == "ring":
        return [(chip, (chip + 1) % n) for chip in range(n)]
    rows, columns = sides
    right = [(r * columns + c, r * columns + (c + 1) % columns) for r in range(rows) for c in range(columns)]
    down = [(r * columns + c, (r + 1) % rows * columns + c) for r in range(rows) for c in range(columns)]
    return [(a, b) for a, b in right + down if a != b]

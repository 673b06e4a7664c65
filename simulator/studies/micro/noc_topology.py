"""Topologies of networks on a die as networkx graphs, and their routes, each computed once.

Every route is a function of the router and the destination alone, and so is the class of virtual channels to take;
classes order the channels such that no cycle of packets can wait for each other (Dally and Seitz, 1987). Class 0 is
left for class 1 and never taken again, so packets that are past it may take what is free of both: class 1 is the way
out that is always there (Duato, 1993).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.errors import InputError, listed, nearest_name

Rows = NDArray[np.int64]
Hop = tuple[int, int, bool]  # next router, class of virtual channels, whether others will do as well
MOST_ROUTERS = 4096
ANY = -1
HERE = -1
EXAMPLES = {
    "mesh": "mesh:8x8",
    "torus": "torus:8x8",
    "ring": "ring:16",
    "crossbar": "crossbar:16",
    "fattree": "fattree:4,3",
    "dragonfly": "dragonfly:4,2,2",
}


@dataclass(frozen=True)
class Topology:
    """Routers 0.. as nodes of a directed graph, the router of every terminal, and the routes.

    next_router and vc_class (routers, terminals): neighbour on the way (HERE at the end) and class (ANY: all).
    takes_any (routers, terminals): whether others than the class will do, if a virtual channel is empty when taken.
    """

    graph: nx.DiGraph[int]
    terminals: Rows
    next_router: Rows
    vc_class: Rows
    takes_any: NDArray[np.bool_]
    n_classes: int
    sides: tuple[int, ...]

    @property
    def links(self) -> Rows:
        """Links (n, 2): router from, router to."""
        return np.array(list(self.graph.edges), np.int64).reshape(-1, 2)

    def routers_visited(self, source: int, destination: int) -> list[int]:
        """Return the routers from one terminal to another, both ends included."""
        path = [int(self.terminals[source])]
        while (following := int(self.next_router[path[-1], destination])) != HERE:
            path.append(following)
        return path


def topology(text: str) -> Topology:
    """Return the network of `mesh:8x8`, `torus:8x8` (any number of sides), `ring:16`, `crossbar:16`,
    `fattree:K,LEVELS` (k-ary n-tree) or `dragonfly:A,P,H` (routers a group, terminals and global links a router)."""
    shape, _, size = text.partition(":")
    if shape not in EXAMPLES:
        raise InputError("unknown topology", key="TOPOLOGY", value=text, expected=listed(EXAMPLES.values()),
                         nearest=nearest_name(shape, EXAMPLES))  # fmt: skip
    pattern = r"\d{1,4}(x\d{1,4})+" if shape in ("mesh", "torus") else r"\d{1,4}(,\d{1,4})*"
    sides = tuple(int(side) for side in re.split("[x,]", size)) if re.fullmatch(pattern, size) else ()
    n_sides = {"fattree": 2, "dragonfly": 3, "mesh": len(sides), "torus": len(sides)}.get(shape, 1)
    if len(sides) != n_sides or not sides or min(sides) < 1 or not 1 <= _n_routers(shape, sides) <= MOST_ROUTERS:
        expected = f"sizes such as {EXAMPLES[shape]}, at most {MOST_ROUTERS} routers or terminals"
        raise InputError("not the size of a network", key="TOPOLOGY", value=text, expected=expected)
    if shape in ("mesh", "torus", "ring"):
        return grid(sides, wraps=shape != "mesh")
    if shape == "crossbar":
        return _assemble([], [0] * sides[0], lambda router, destination: (HERE, ANY, True), 1, sides)
    return fat_tree(*sides) if shape == "fattree" else dragonfly(*sides)


def _n_routers(shape: str, sides: tuple[int, ...]) -> int:
    if shape == "fattree":
        k, levels = sides
        # A tree of one child is a chain of switches with one terminal: nothing to route.
        return max(levels * k ** (levels - 1), k**levels) if k > 1 and levels <= 12 else 0
    if shape == "dragonfly":
        a, p, h = sides
        return (a * h + 1) * a * p
    return math.prod(sides) if math.prod(sides) > 1 else 0


def grid(sides: tuple[int, ...], wraps: bool) -> Topology:
    """Return a mesh, a torus or (one side) a ring, one terminal a router, routed dimension by dimension.

    With wraps the shorter way is taken. Packets that still have to pass the edge of the dimension use class 0, those
    that may have passed it class 1, so that the wrap never closes a cycle (dateline). Those that cannot have passed it,
    being bound for the far half, keep the class that fewer others use on their way.
    """
    places = list(product(*(range(side) for side in reversed(sides))))
    steps = [math.prod(sides[:i]) for i in range(len(sides))]
    coordinates = [tuple(reversed(place)) for place in places]

    def shifted(router: int, axis: int, by: int) -> int:
        here = coordinates[router][axis]
        return router + ((here + by) % sides[axis] - here) * steps[axis]

    def hop(router: int, destination: int) -> Hop:
        for axis, side in enumerate(sides):
            x, to = coordinates[router][axis], coordinates[destination][axis]
            if x == to:
                continue
            ahead = (to - x) % side
            up = (2 * ahead < side or (2 * ahead == side and x % 2 == 0)) if wraps else to > x
            following = shifted(router, axis, 1 if up else -1)
            if not wraps:
                return following, ANY, True
            left, ended = (side - 1 - x, side - 1 - to) if up else (x, to)  # hops to the edge from here and from there
            crosses = left < ended
            stays_off = ended < -(-side // 2)
            vc_class = 0 if crosses or (stays_off and ended >= side // 4) else 1
            return following, vc_class, not crosses or left == 0
        return HERE, ANY, True

    edges = [
        (router, shifted(router, axis, by))
        for router, place in enumerate(coordinates)
        for axis, side in enumerate(sides)
        for by in (1, -1)
        if side > 1 and (wraps or 0 <= place[axis] + by < side)
    ]
    return _assemble(edges, list(range(len(places))), hop, 2 if wraps else 1, sides)


def fat_tree(k: int, levels: int) -> Topology:
    """Return a k-ary n-tree: k**levels terminals, levels * k**(levels - 1) switches of k ports down and k up.

    Up by the digits of the destination (so every destination has one root), down by the only way: no cycle.
    """
    width = k ** (levels - 1)

    def with_digit(word: int, digit: int, value: int) -> int:
        weight: int = k**digit
        return word + (value - word // weight % k) * weight

    def hop(router: int, destination: int) -> Hop:
        level, word = divmod(router, width)
        leaf = destination // k
        if word // k**level == leaf // k**level:
            if level == 0:
                return HERE, ANY, True
            return (level - 1) * width + with_digit(word, level - 1, leaf // k ** (level - 1) % k), ANY, True
        return (level + 1) * width + with_digit(word, level, destination // k**level % k), ANY, True

    up = [
        (level * width + word, (level + 1) * width + with_digit(word, level, value))
        for level in range(levels - 1)
        for word in range(width)
        for value in range(k)
    ]
    edges = up + [(b, a) for a, b in up]
    return _assemble(edges, [terminal // k for terminal in range(k**levels)], hop, 1, (k, levels))


def dragonfly(a: int, p: int, h: int) -> Topology:
    """Return a dragonfly of a * h + 1 groups, every two joined by one global link, routed minimally.

    Local links before the global one are class 0, those after it class 1 (Kim, Dally, Scott and Abts, 2008).
    """
    n_groups = a * h + 1

    def exit_to(group: int, other: int) -> int:
        return group * a + (other - group - 1) % n_groups // h

    def hop(router: int, destination: int) -> Hop:
        to = destination // p
        group, other = router // a, to // a
        if router == to:
            return HERE, ANY, True
        if group == other:
            return to, 1, True
        if router == exit_to(group, other):
            return exit_to(other, group), ANY, True
        return exit_to(group, other), 0, False

    groups = range(n_groups)
    edges = [(g * a + i, g * a + j) for g in groups for i in range(a) for j in range(a) if i != j]
    edges += [(exit_to(g, other), exit_to(other, g)) for g in groups for other in groups if g != other]
    return _assemble(edges, [terminal // p for terminal in range(n_groups * a * p)], hop, 2, (a, p, h))


def _assemble(
    edges: list[tuple[int, int]],
    terminals: list[int],
    hop: Callable[[int, int], Hop],
    n_classes: int,
    sides: tuple[int, ...],
) -> Topology:
    n_routers = max([max(edge) for edge in edges] + terminals) + 1
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(n_routers))
    graph.add_edges_from(edges)
    hops = [[hop(router, terminal) for terminal in range(len(terminals))] for router in range(n_routers)]
    table = np.array(hops, np.int64).reshape(n_routers, len(terminals), 3)
    next_router, vc_class, takes_any = (np.ascontiguousarray(table[:, :, i]) for i in range(3))
    return Topology(
        graph, np.array(terminals, np.int64), next_router, vc_class, takes_any.astype(np.bool_), n_classes, sides
    )

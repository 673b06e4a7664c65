"""The graph of what has to be scheduled, and the list scheduler that places the longest way first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import networkx as nx

from dieshot.chips.mapping.static.schedule import Schedule


@dataclass
class Tasks:
    """A directed acyclic graph of templates to place; `cost` is what each is thought to take (cycles)."""

    schedule: Schedule
    operator: int = 0
    graph: nx.DiGraph[int] = field(default_factory=nx.DiGraph)

    def add(self, place: Callable[[], object], cost: int, after: Iterable[int] = ()) -> int:
        """Add a task of the operator in hand; return its number."""
        number: int = self.graph.number_of_nodes()
        self.graph.add_node(number, place=place, cost=cost, operator=self.operator)
        self.graph.add_edges_from((before, number) for before in after)
        return number

    def place_all(self) -> None:
        """Place every task after those before it, of the ready ones that with the longest way to the end."""
        graph = self.graph
        way: dict[int, int] = {}
        for node in reversed(list(nx.topological_sort(graph))):
            way[node] = graph.nodes[node]["cost"] + max((way[each] for each in graph.successors(node)), default=0)
        waiting = {node: graph.in_degree(node) for node in graph}
        ready = [(-way[node], node) for node, count in waiting.items() if count == 0]
        heapq.heapify(ready)
        while ready:
            _, node = heapq.heappop(ready)
            task = graph.nodes[node]
            self.schedule.operator = task["operator"]
            task["place"]()
            for each in graph.successors(node):
                waiting[each] -= 1
                if waiting[each] == 0:
                    heapq.heappush(ready, (-way[each], each))

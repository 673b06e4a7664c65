"""Collectives link by link: transfers take the links of their route one after the other, several collectives at once.

Every link serves whoever reaches it first; what arrives at the same time is served in the order of the schedule.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import simpy

from dieshot.chips.parts.schedule import SWITCH, Plan, Transfer
from dieshot.simulator.engine.component import Component

MIB = 1 << 20


class LinkGraph(Protocol):
    """A networkx DiGraph of chips 0.. and perhaps SWITCH; edges carry `fs_per_mib` and `latency_fs` (int)."""

    @property
    def edges(self) -> Any:
        """The directed links, as networkx has them."""


class Lane:
    """One direction of a link (or one chip's adder): busy with one thing at a time, first come first served."""

    def __init__(self, fs_per_mib: int, latency_fs: int = 0) -> None:
        self.fs_per_mib = fs_per_mib
        self.latency_fs = latency_fs
        self.free_fs = 0
        self.busy_fs = 0
        self.bytes = 0

    def take(self, now_fs: int, bytes_: int, tail_fs: int = 0) -> tuple[int, int]:
        """Return when the first and the last byte leave; `tail_fs`: when the last byte is there to be sent."""
        start_fs = max(now_fs, self.free_fs)
        moving_fs = bytes_ * self.fs_per_mib // MIB
        self.free_fs = max(start_fs + moving_fs, tail_fs)
        self.busy_fs += moving_fs
        self.bytes += bytes_
        return start_fs, self.free_fs


class LinkNetwork:
    """The links of a graph and the routes through it, each found once: shortest, ties spread by the source."""

    def __init__(self, graph: LinkGraph) -> None:
        self.lanes: dict[tuple[int, int], Lane] = {
            (a, b): Lane(data["fs_per_mib"], data["latency_fs"]) for a, b, data in sorted(graph.edges(data=True))
        }
        nodes = sorted({node for edge in self.lanes for node in edge})
        self.n_chips = sum(node != SWITCH for node in nodes)
        self._neighbours = {node: [b for a, b in self.lanes if a == node] for node in nodes}
        self._distances: dict[int, dict[int, int]] = {}
        self._routes: dict[tuple[int, int], tuple[Lane, ...]] = {}

    def route(self, source: int, destination: int) -> tuple[Lane, ...]:
        """Return the links from source to destination; ValueError where nothing leads there."""
        key = (source, destination)
        if key not in self._routes:
            self._routes[key] = tuple(self.lanes[link] for link in self._links(source, destination))
        return self._routes[key]

    def _links(self, source: int, destination: int) -> Iterable[tuple[int, int]]:
        left = self._distance_to(destination)
        if source not in left:
            raise ValueError(f"no link leads from chip {source} to chip {destination}")
        here = source
        while here != destination:
            nearer = [b for b in self._neighbours[here] if left.get(b, len(left)) == left[here] - 1]
            nearer.sort(key=lambda node: (node - here) % (self.n_chips + 1))
            following = nearer[source % len(nearer)]
            yield here, following
            here = following

    def _distance_to(self, destination: int) -> dict[int, int]:
        """Return the number of links from every node that has a way to `destination`."""
        if destination not in self._distances:
            found, edge = {destination: 0}, [destination]
            while edge:
                before = [a for b in edge for a in self._neighbours if b in self._neighbours[a] and a not in found]
                found |= dict.fromkeys(before, found[edge[0]] + 1)
                edge = list(dict.fromkeys(before))
            self._distances[destination] = found
        return self._distances[destination]


@dataclass(frozen=True, slots=True)
class EndpointCosts:
    """What a transfer costs besides its links.

    send_fs: before its first byte leaves. add_fs_per_mib: the destination adds what came, one after the other.
    store_and_forward: whether what passes a node must be there in whole before it goes on, or goes on at once.
    """

    send_fs: int = 0
    add_fs_per_mib: int = 0
    store_and_forward: bool = False


class Collective(Component):
    """One collective on a network; `finish_fs` of every transfer, and the end of the process when all are there."""

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        network: LinkNetwork,
        plan: Plan,
        costs: EndpointCosts,
        start_fs: int = 0,
    ) -> None:
        self.network = network
        self.plan = plan
        self.costs = costs
        self.start_fs = start_fs
        self.begin_fs = [-1] * len(plan.transfers)
        self.finish_fs = [-1] * len(plan.transfers)
        self._adders = {rank: Lane(costs.add_fs_per_mib) for rank in range(plan.n_ranks)}
        self._missing = [len(transfer.after) for transfer in plan.transfers]
        self._followers: list[list[int]] = [[] for _ in plan.transfers]
        for i, transfer in enumerate(plan.transfers):
            for before in transfer.after:
                self._followers[before].append(i)
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Start every transfer as soon as those before it are there; end with the last."""
        yield self.env.timeout(self.start_fs)
        self._left = len(self.plan.transfers)
        self._all_there = self.env.event()
        for i, missing in enumerate(self._missing):
            if missing == 0:
                self.env.process(self._send(i))
        if self._left:
            yield self._all_there

    def _send(self, i: int) -> Generator[simpy.Event, Any, None]:
        transfer = self.plan.transfers[i]
        self.begin_fs[i] = int(self.env.now)
        if self.costs.send_fs:
            yield self.env.timeout(self.costs.send_fs)
        yield from self._pass_links(transfer)
        if transfer.reduces and transfer.destination != SWITCH and self.costs.add_fs_per_mib:
            _, end_fs = self._adders[transfer.destination].take(int(self.env.now), transfer.bytes)
            yield self.env.timeout(end_fs - int(self.env.now))
        self._deliver(i)

    def _pass_links(self, transfer: Transfer) -> Generator[simpy.Event, Any, None]:
        """Be at every link of the route when the first byte (the last, if stored before it goes on) is there."""
        tail_fs = 0
        for lane in self.network.route(transfer.source, transfer.destination):
            head_fs, end_fs = lane.take(int(self.env.now), transfer.bytes, tail_fs)
            tail_fs = end_fs + lane.latency_fs
            due_fs = tail_fs if self.costs.store_and_forward else head_fs + lane.latency_fs
            yield self.env.timeout(due_fs - int(self.env.now))
        yield self.env.timeout(tail_fs - int(self.env.now))

    def _deliver(self, i: int) -> None:
        self.finish_fs[i] = int(self.env.now)
        self._left -= 1
        for follower in self._followers[i]:
            self._missing[follower] -= 1
            if self._missing[follower] == 0:
                self.env.process(self._send(follower))
        if self._left == 0:
            self._all_there.succeed()

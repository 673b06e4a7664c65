"""Collectives link by link: transfers take the links of their route one after the other, several collectives at once.

Every link serves whoever reaches it first; what arrives at the same time is served in the order of the schedule. What
a link cannot carry yet waits in front of it, in buffers without end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import simpy

from dieshot.chips.parts.activity import Rows
from dieshot.chips.parts.links.schedule import SWITCH, Plan
from dieshot.kernels import collective as k
from dieshot.kernels.heap import push
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port
from dieshot.simulator.errors import InputError

MIB = 1 << 20


class LinkGraph(Protocol):
    """A networkx DiGraph of chips 0.. and switches -1, -2, ..; edges carry `fs_per_mib` and `latency_fs` (int).

    An edge may carry `prefer` (two ints): of equally short ways the least is taken.
    """

    @property
    def edges(self) -> Any:
        """The directed links, as networkx has them."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction of a link: what it is and what it has carried; busy with one byte at a time."""

    fs_per_mib: int
    latency_fs: int
    busy_fs: int
    bytes: int


@dataclass(frozen=True, slots=True)
class EndpointCosts:
    """What a transfer costs besides its links.

    send_fs: before its first byte leaves. add_fs_per_mib: the destination adds what came, one after the other.
    store_and_forward: whether what passes a node must be there in whole before it goes on, or goes on at once.
    """

    send_fs: int = 0
    add_fs_per_mib: int = 0
    store_and_forward: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """The transfers of one collective as rows for the kernel; `done` when all are there."""

    rows: Rows
    followers: Rows
    routes: Rows
    adders: Rows
    done: simpy.Event


class LinkNetwork(Component):
    """The links of a graph: times what is posted, transfer by transfer, up to whatever else may happen first."""

    def __init__(self, env: simpy.Environment, graph: LinkGraph) -> None:
        edges = sorted(graph.edges(data=True))
        self._lane_of = {(a, b): i for i, (a, b, _) in enumerate(edges)}
        self._lanes = np.zeros((len(edges), k.N_LANE), np.int64)
        for i, (a, b, data) in enumerate(edges):
            fs_per_mib, latency_fs = data["fs_per_mib"], data["latency_fs"]
            if not (1 <= fs_per_mib <= k.LARGEST_STEP and 0 <= latency_fs <= k.LIMIT):
                shown = f"{fs_per_mib} fs/MiB, {latency_fs} fs"
                expected = "1 to 2**42 fs/MiB (0.24 GB/s) and 0 to 2**62 fs"
                raise InputError(f"link {a} to {b} is too slow or too long", value=shown, expected=expected)
            self._lanes[i, [k.L_FS_PER_MIB, k.L_LATENCY]] = fs_per_mib, latency_fs
        self._leading: dict[int, list[int]] = {}
        for a, b in self._lane_of:
            self._leading.setdefault(b, []).append(a)
        self._prefer = {(a, b): data.get("prefer", (0, 0)) for a, b, data in edges}
        self._nearer: dict[int, dict[int, int]] = {}
        self._routes: dict[tuple[int, int], tuple[int, ...]] = {}
        self._state = np.zeros(k.N_STATE, np.int64)
        self._transfers = np.zeros((0, k.N_TRANSFER), np.int64)
        self._followers, self._path = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._left, self._heap = np.zeros(0, np.int64), np.zeros((0, 2), np.int64)
        self._batches: list[tuple[Batch, int]] = []
        self.posted = Port(env, 0)
        super().__init__(env, "links")

    @property
    def lanes(self) -> dict[tuple[int, int], Lane]:
        """What every directed link (from, to) has carried so far."""
        columns = [k.L_FS_PER_MIB, k.L_LATENCY, k.L_BUSY, k.L_BYTES]
        return {link: Lane(*self._lanes[i, columns].tolist()) for link, i in self._lane_of.items()}

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take what is posted and advance to the end of a collective, or to the next event of anybody else.

        Nobody can post before that, so looking ahead so far is exact.
        """
        receipt = self.posted.receive()
        under_way = 0
        while True:
            if under_way == 0 or receipt.processed:
                if not receipt.processed:
                    yield receipt
                batch: Any = receipt.value
                self._add(batch)
                under_way += 1
                receipt = self.posted.receive()
                continue
            now_fs = int(self.env.now)
            until_fs = max(int(min(self.env.peek(), k.LIMIT)), now_fs + 1)
            status = k.advance(
                until_fs, self._state, self._transfers, self._followers, self._path, self._lanes, self._left, self._heap
            )
            if status == k.TIME_TOO_LARGE:
                raise InputError("a transfer would end at or beyond 2**62 fs (4,600 s)", expected="fewer bytes")
            if status == k.GROUP_DONE:
                yield self.env.timeout(int(self._state[k.S_TIME]) - now_fs)
                done, first = self._batches[int(self._state[k.S_GROUP])]
                done.rows[:] = self._transfers[first : first + len(done.rows)]
                done.done.succeed()
                under_way -= 1
            else:
                yield receipt | self.env.timeout(max(until_fs, int(self._heap[0, 0])) - now_fs)

    def _add(self, batch: Batch) -> None:
        first, now_fs = len(self._transfers), int(self.env.now)
        # The batch counts from its own first row.
        batch.rows[:, k.T_FIRST] += len(self._path)
        batch.rows[:, k.T_FOLLOWER] += len(self._followers)
        batch.rows[:, k.T_GROUP] = len(self._left)
        batch.rows[batch.rows[:, k.T_ADDER] >= 0, k.T_ADDER] += len(self._lanes)
        free = (batch.rows[:, k.T_MISSING] == 0) & (batch.rows[:, k.T_HOPS] != k.JOIN)
        batch.rows[free, k.T_BEGIN] = now_fs
        n_heap = int(self._state[k.S_HEAP])
        self._heap = np.concatenate([self._heap, np.zeros((len(batch.rows), 2), np.int64)])
        for i in np.flatnonzero(free).tolist():
            n_heap = push(self._heap, n_heap, now_fs + int(batch.rows[i, k.T_SEND]), first + i)
        self._state[k.S_HEAP] = n_heap
        self._transfers = np.concatenate([self._transfers, batch.rows])
        self._followers = np.concatenate([self._followers, batch.followers + first])
        self._path = np.concatenate([self._path, batch.routes])
        self._lanes = np.concatenate([self._lanes, batch.adders])
        self._left = np.append(self._left, np.count_nonzero(batch.rows[:, k.T_HOPS] != k.JOIN))
        self._batches.append((batch, first))

    def route(self, source: int, destination: int) -> tuple[int, ...]:
        """Return the links (as `links` numbers them) from source to destination: shortest, ties as below.

        ValueError where nothing leads there.
        """
        key = (source, destination)
        if key not in self._routes:
            self._routes[key] = tuple(self._lane_of[link] for link in self.links(source, destination))
        return self._routes[key]

    def latency_fs(self, source: int, destination: int) -> int:
        """Return how long a byte is on the way on idle links."""
        return int(self._lanes[list(self.route(source, destination)), k.L_LATENCY].sum())

    def links(self, source: int, destination: int) -> Iterable[tuple[int, int]]:
        """Yield the links (from, to) of the route."""
        nearer = self._nearer_to(destination)
        here = source
        while here != destination:
            if here not in nearer:
                raise ValueError(f"no link leads from chip {source} to chip {destination}")
            following = nearer[here]
            yield here, following
            here = following

    def _nearer_to(self, destination: int) -> dict[int, int]:
        """Return the next node on the way to `destination` from every node that has one.

        Of equally short ways the preferred come first (in a grid one axis after the other, and half way round a ring
        even and odd places go different ways); of what is left, destinations take turns.
        """
        if destination not in self._nearer:
            distance, edge = {destination: 0}, [destination]
            choices: dict[int, list[int]] = {}
            while edge:
                found: list[int] = []
                for b in edge:
                    for a in self._leading.get(b, ()):
                        if a not in distance:
                            distance[a] = distance[b] + 1
                            found.append(a)
                        if distance[a] == distance[b] + 1:
                            choices.setdefault(a, []).append(b)
                edge = found
            self._nearer[destination] = {a: self._choose(a, sorted(bs), destination) for a, bs in choices.items()}
        return self._nearer[destination]

    def _choose(self, here: int, choices: list[int], destination: int) -> int:
        first = min(self._prefer[here, node] for node in choices)
        left = [node for node in choices if self._prefer[here, node] == first]
        return left[destination % len(left)]


class Collective(Component):
    """One collective on a network; `begin_fs` and `finish_fs` of every transfer when the process has ended."""

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        network: LinkNetwork,
        plan: Plan,
        costs: EndpointCosts,
        start_fs: int = 0,
    ) -> None:
        self.start_fs = start_fs
        self.network = network
        self.begin_fs: list[int] = []
        self.finish_fs: list[int] = []
        self._n_transfers = len(plan.transfers)
        self._batch = _batch(env, network, plan, costs)
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Start every transfer as soon as those before it are there; end with the last."""
        yield self.env.timeout(self.start_fs)
        if self._n_transfers:
            self.network.posted.send(self._batch)
            yield self._batch.done
        rows = self._batch.rows[: self._n_transfers]
        self.begin_fs, self.finish_fs = (rows[:, column].tolist() for column in (k.T_BEGIN, k.T_FINISH))


def _batch(env: simpy.Environment, network: LinkNetwork, plan: Plan, costs: EndpointCosts) -> Batch:
    """Write the transfers of a plan down as the kernel has them, then what several of them wait for together."""
    after = [t.after for t in plan.transfers]
    uses = Counter(map(id, after))
    joined = {id(each): each for each in after if len(each) > 1 < uses[id(each)]}
    joins = {key: len(after) + i for i, key in enumerate(joined)}
    after = [(joins[id(each)],) if id(each) in joins else each for each in after] + list(joined.values())
    followers: list[list[int]] = [[] for _ in after]
    for i, each in enumerate(after):
        for before in each:
            followers[before].append(i)
    rows = np.zeros((len(after), k.N_TRANSFER), np.int64)
    rows[:, k.T_SEND], rows[:, k.T_STORED], rows[:, k.T_HOPS] = costs.send_fs, costs.store_and_forward, k.JOIN
    rows[:, k.T_MISSING], rows[:, k.T_FOLLOWERS] = _lengths(after), _lengths(followers)
    rows[:, k.T_FOLLOWER] = np.cumsum(rows[:, k.T_FOLLOWERS]) - rows[:, k.T_FOLLOWERS]
    path = _set_links(rows, network, plan, costs.add_fs_per_mib > 0)
    adders = np.zeros((plan.n_ranks if costs.add_fs_per_mib else 0, k.N_LANE), np.int64)
    adders[:, k.L_FS_PER_MIB] = costs.add_fs_per_mib
    flat = np.fromiter(chain.from_iterable(followers), np.int64)
    return Batch(rows, flat, path, adders, env.event())


def _set_links(rows: Rows, network: LinkNetwork, plan: Plan, adding: bool) -> Rows:
    """Set what each transfer carries over which links and to which adder; return the links of all routes."""
    path: list[int] = []
    places: dict[tuple[int, int], tuple[int, int]] = {}
    found: list[tuple[int, int, int, int]] = []
    for t in plan.transfers:
        pair = (t.source, t.destination)
        if pair not in places:
            links = network.route(*pair)
            places[pair] = len(path), len(links)
            path += links
        adder = t.destination if adding and t.reduces and t.destination != SWITCH else -1
        found.append((t.bytes, *places[pair], adder))
    rows[: len(found), [k.T_BYTES, k.T_FIRST, k.T_HOPS, k.T_ADDER]] = np.array(found, np.int64)
    return np.array(path, np.int64)


def _lengths(lists: Sequence[Sequence[int]]) -> Rows:
    return np.fromiter(map(len, lists), np.int64, len(lists))

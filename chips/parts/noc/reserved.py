"""Networks whose channels are reserved before use: circuits, compile-time schedules, multicast and reduction trees."""

from __future__ import annotations

import numpy as np

from dieshot.chips.parts.noc.network import Network, Rows
from dieshot.kernels import noc_path
from dieshot.kernels import noc_table as t
from dieshot.simulator.errors import InputError

WINDOW_CYCLES = 1 << 12  # how far ahead of a message's creation the schedule looks for slots


class ReservedNetwork:
    """A network without routers' arbitration: a hop is one register, `link_cycles` of wire and nothing else."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.hop_cycles = 1 + network.parameters.link_cycles
        self.free_cycle = np.zeros(len(network.channels), np.int64)

    def path(self, source: int, destination: int) -> list[int]:
        """Return the channels from a terminal to another, into the first router and out of the last included."""
        n = self.network.n_terminals
        channels, at = [source], int(self.network.wiring.terminals[source])
        while True:
            channel = int(self.network.routes[at * n + destination]) >> t.CLASS_BITS
            channels.append(channel)
            at = int(self.network.channels[channel, t.C_TO])
            if at < 0:
                return channels

    def reserve(self, routing: str, sources: Rows, packets: Rows) -> Rows:
        """Return rows (n, 2) of packets in the order given: first flit in, last flit out (cycles).

        routing: "circuit", or "static" for slots given at compile time; (-1, -1) where none was left within the window.
        packets as in Network.deliver, here by cycle of creation. InputError names a packet that is out of range.
        """
        known: dict[tuple[int, int], list[int]] = {}
        paths = []
        for pair in zip(sources.tolist(), packets[:, 1].tolist(), strict=True):
            if pair not in known:
                known[pair] = self.path(*pair)
            paths.append(known[pair])
        first = np.zeros(len(paths) + 1, np.int64)
        np.cumsum([len(each) for each in paths], out=first[1:])
        path = np.array([channel for each in paths for channel in each], np.int64)
        messages = np.ascontiguousarray(packets[:, [0, 2]])
        delivered = np.zeros((len(packets), 2), np.int64)
        if routing == "circuit":
            refused = noc_path.reserve_circuits(
                self.hop_cycles, self.free_cycle, messages, first, path, delivered
            )  # fmt: skip
        else:
            taken = np.full((len(self.free_cycle), WINDOW_CYCLES), -1, np.int64)
            refused = noc_path.schedule_slots(self.hop_cycles, taken, messages, first, path, delivered)
        if refused != noc_path.IN_ORDER:
            raise InputError(f"packet {refused}", key="cycle of creation", value=int(packets[refused, 0]),
                             expected=f"0 to {noc_path.LIMIT}, as every cycle that follows from it")  # fmt: skip
        return delivered

    def fork_tree(self, root: int, leaves: list[int]) -> Rows:
        """Return the union of the routes from a terminal to others: rows (n, 3) parent, child, channel, parents first.

        Nodes are routers, then terminals (routers + i). A second route to a router that one already reaches joins it.
        """
        n_routers = len(self.network.wiring.next_router)
        rows: list[tuple[int, int, int]] = []
        reached = {n_routers + root}
        for leaf in leaves:
            node = n_routers + root
            for channel in self.path(root, leaf):
                child = self._sink(channel)
                if child not in reached:
                    reached.add(child)
                    rows.append((node, child, channel))
                node = child
        return np.array(rows, np.int64).reshape(-1, 3)

    def join_tree(self, root: int, leaves: list[int]) -> Rows:
        """Return the union of the routes from terminals to one: rows (n, 3) parent, child, channel, deepest first.

        A route depends on router and destination alone, so those to one destination are a tree.
        """
        n_routers = len(self.network.wiring.next_router)
        depth: dict[tuple[int, int, int], int] = {}
        for leaf in leaves:
            path = self.path(leaf, root) if leaf != root else []
            child = n_routers + leaf
            for k, channel in enumerate(path):
                depth[self._sink(channel), child, channel] = len(path) - k
                child = self._sink(channel)
        return np.array(sorted(depth, key=lambda row: (-depth[row], row)), np.int64).reshape(-1, 3)

    def _sink(self, channel: int) -> int:
        to = int(self.network.channels[channel, t.C_TO])
        return to if to >= 0 else len(self.network.wiring.next_router) + channel - self.network.n_terminals

    def multicast(self, root: int, leaves: list[int], flits: int, start_cycle: int = 0) -> Rows:
        """Return for every leaf the cycle in which its last flit arrives."""
        n_routers = len(self.network.wiring.next_router)
        arrival = np.zeros(n_routers + self.network.n_terminals, np.int64)
        tree = self.fork_tree(root, leaves)
        _refuse(noc_path.multicast(
            start_cycle, flits, self.hop_cycles, n_routers + root, self.free_cycle, tree, arrival
        ))  # fmt: skip
        return arrival[n_routers + np.array(leaves, np.int64)] + flits - 1

    def reduce(self, root: int, leaves: list[int], flits: int, combine_cycles: int = 1, start_cycle: int = 0) -> int:
        """Return the cycle in which the root has the last flit combined of all leaves (itself, if one of them)."""
        n_routers = len(self.network.wiring.next_router)
        ready = np.zeros(n_routers + self.network.n_terminals, np.int64)
        n_inputs = np.zeros_like(ready)
        own = n_routers + np.array(leaves, np.int64)
        ready[own], n_inputs[own] = start_cycle, 1
        tree = self.join_tree(root, leaves)
        _refuse(noc_path.reduce_tree(
            flits, self.hop_cycles, combine_cycles, self.free_cycle, tree, n_inputs, ready
        ))  # fmt: skip
        combining = combine_cycles if n_inputs[n_routers + root] > 1 else 0
        return int(ready[n_routers + root]) + combining + flits - 1


def _refuse(edge: int) -> None:
    if edge != noc_path.IN_ORDER:
        raise InputError(f"edge {edge} of a tree", key="cycles", expected=f"0 to {noc_path.LIMIT} at every node")

"""A network on a die: its tables laid out once, packets through wormhole routers, circuits or a static schedule."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels import noc
from dieshot.kernels import noc_table as t
from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]
LATEST_CYCLE = 1 << 61
CACHE_LINE_BYTES = 64
MOST_FLITS = t.LOW
OUTCOMES = {
    t.STUCK: "packets wait for each other and none can move (deadlock)",
    t.OUT_OF_ORDER: "flits of a packet arrived out of order",
    t.TOO_LATE: "a cycle of creation or a length is out of range",
}


@dataclass(frozen=True)
class RouterParameters:
    """What every router and link of a network has; all delays in cycles."""

    n_vcs: int = 8
    buffer_flits: int = 8
    input_speedup: int = 2
    waits_for_tail_credit: bool = True
    link_cycles: int = 1
    crossbar_cycles: int = 1
    credit_cycles: int = 2

    def __post_init__(self) -> None:
        for name in ("n_vcs", "buffer_flits", "input_speedup", "link_cycles", "crossbar_cycles"):
            if getattr(self, name) < 1:
                raise InputError("not a count", key=name, value=getattr(self, name), expected="at least 1")
        if self.credit_cycles < 0:
            raise InputError("not a delay", key="credit_cycles", value=self.credit_cycles, expected="at least 0")
        if self.n_vcs > t.MOST_VCS:
            raise InputError("too many virtual channels", key="n_vcs", value=self.n_vcs, expected=f"1 to {t.MOST_VCS}")


@dataclass(frozen=True)
class Wiring:
    """Where terminals and links are and how packets go: arrays as in a topology.

    terminals (n): router. links (n, 2): router from, router to. next_router and vc_class (routers, terminals): the
    neighbour on the way (-1: this router's own terminal) and the class of virtual channels (-1: any). takes_any
    (routers, terminals): whether any virtual channel that is empty will do, as its class is then a way out.
    """

    terminals: Rows
    links: Rows
    next_router: Rows
    vc_class: Rows
    takes_any: NDArray[np.bool_]
    n_classes: int


@dataclass(frozen=True)
class Delivery:
    """What became of packets: rows (n, 3) of injection, tail's arrival and flits arrived; cycles, flits counted."""

    packets: Rows
    delivered: Rows
    status: int
    end_cycle: int
    ejected_flits: int
    flit_hops: int


class Network:
    """Wormhole routers joined by links. Terminals come first among the channels: those in, those out, then links."""

    def __init__(self, wiring: Wiring, parameters: RouterParameters) -> None:
        if parameters.n_vcs < wiring.n_classes:
            expected = f"at least {wiring.n_classes}, one a class that keeps the routes free of deadlock"
            raise InputError("too few virtual channels", key="n_vcs", value=parameters.n_vcs, expected=expected)
        if not 1 <= len(wiring.terminals) <= t.MOST_DESTINATIONS:
            raise InputError("not a number of terminals", key="terminals", value=len(wiring.terminals),
                             expected=f"1 to {t.MOST_DESTINATIONS}")  # fmt: skip
        self.wiring = wiring
        self.parameters = parameters
        self.n_terminals = len(wiring.terminals)
        self.vc_bits = (parameters.n_vcs - 1).bit_length()
        self.channels = self._lay_channels()
        self.routes, self.classes = self._lay_routes()

    def _lay_channels(self) -> Rows:
        w, p = self.wiring, self.parameters
        outside = np.full(self.n_terminals, -1, np.int64)
        sources = np.concatenate([outside, w.terminals, w.links[:, 0]])
        sinks = np.concatenate([w.terminals, outside, w.links[:, 1]])
        channels = np.zeros((len(sources), t.N_CHANNEL), np.int64)
        channels[:, t.C_FROM], channels[:, t.C_TO] = sources, sinks
        channels[:, t.C_OUT], n_outputs = _numbered(sources)
        index_in, n_inputs = _numbered(sinks)
        inner, led = sources >= 0, sinks >= 0
        channels[:, t.C_FREE], channels[:, t.C_BEST], channels[:, t.C_ASKER] = (1 << p.n_vcs) - 1, t.NEVER, -1
        channels[:, t.C_FIRST] = channels[:, t.C_OUT] * p.n_vcs
        channels[inner, t.C_LANES_IN] = n_inputs[sources[inner]] * p.input_speedup
        channels[inner, t.C_VCS_IN] = n_inputs[sources[inner]] * p.n_vcs
        channels[inner, t.C_VCS_OUT] = n_outputs[sources[inner]] * p.n_vcs
        channels[:, t.C_FIRST_IN] = index_in * p.n_vcs
        channels[led, t.C_TO_OUTPUTS] = n_outputs[sinks[led]]
        # A flit is one cycle on its way into a link; a terminal has no crossbar and takes a credit at once.
        channels[:, t.C_FLIT_CYCLES] = 1 + p.link_cycles + p.crossbar_cycles * inner
        channels[:, t.C_CREDIT_CYCLES] = 1 + p.link_cycles + p.credit_cycles * inner
        return channels

    def _lay_routes(self) -> tuple[Rows, Rows]:
        w, n, n_vcs = self.wiring, self.n_terminals, self.parameters.n_vcs
        link_of = np.full((len(w.next_router), len(w.next_router)), -1, np.int64)
        link_of[w.links[:, 0], w.links[:, 1]] = 2 * n + np.arange(len(w.links))
        router, terminal = np.indices(w.next_router.shape)
        channel = np.where(w.next_router < 0, n + terminal, link_of[router, w.next_router])
        if self.parameters.waits_for_tail_credit:
            # Only packets of the first class have but it; of the others a few virtual channels suffice as ways out.
            vc_class = np.where(w.takes_any, -1, w.vc_class)
            kept = max(1, n_vcs // (2 * w.n_classes))
            bounds = [0, *range(n_vcs - kept * (w.n_classes - 1), n_vcs + 1, kept)]
        else:
            vc_class = w.vc_class
            bounds = [each * n_vcs // w.n_classes for each in range(w.n_classes + 1)]
        everyone = (1 << n_vcs) - 1
        allowed = [everyone, *((1 << high) - (1 << low) for low, high in pairwise(bounds))]
        routes = (channel << t.CLASS_BITS) + vc_class + 1
        return np.ascontiguousarray(routes.ravel()), np.array(allowed, np.int64)

    def hops(self) -> Rows:
        """Return (terminals, terminals): routers on the way from one to the other."""
        n = self.n_terminals
        hops = np.ones((n, n), np.int64)
        at = np.repeat(self.wiring.terminals[:, None], n, axis=1)
        destinations = np.arange(n)
        while (moving := self.wiring.next_router[at, destinations] >= 0).any():
            at = np.where(moving, self.wiring.next_router[at, destinations], at)
            hops += moving
        return hops

    def deliver(self, sources: Rows, packets: Rows, measure_from: int, measure_to: int, stop_cycle: int) -> Delivery:
        """Send packets through the idle network until all those created in the window have arrived.

        sources (n): terminal, ascending; packets (n, 3): cycle of creation (ascending for each source), destination,
        flits. InputError if packets cannot be sent, RuntimeError if the network got stuck.
        """
        state = NetworkState(self, measure_from, measure_to)
        state.add(sources, packets)
        status = state.advance(stop_cycle)
        regs = state.regs
        return Delivery(
            packets, state.delivered, status, int(regs[t.R_CYCLE]), int(regs[t.R_EJECTED]), int(regs[t.R_FLIT_HOPS])
        )

    def check(self, sources: Rows, packets: Rows, first_cycle: int = 0) -> None:
        """Raise InputError for packets that cannot be sent from a cycle on; `sources` and `packets` as in `deliver`."""
        limits = (
            ("cycle of creation", packets[:, 0], first_cycle, LATEST_CYCLE),
            ("destination", packets[:, 1], 0, self.n_terminals - 1),
            ("flits", packets[:, 2], 1, MOST_FLITS),
            ("source", sources, 0, self.n_terminals - 1),
        )
        for name, column, least, most in limits:
            wrong = np.flatnonzero((column < least) | (column > most))
            if len(wrong):
                expected = f"{least} to {most}"
                raise InputError(f"packet {wrong[0]}", key=name, value=int(column[wrong[0]]), expected=expected)
        onward = np.diff(sources)
        if ((onward < 0) | ((onward == 0) & (np.diff(packets[:, 0]) < 0))).any():
            raise InputError("packets out of order", key="packets", expected="sorted by source, then cycle of creation")


class NetworkState:
    """A network between two cycles: what waits in its queues, is on its wires and is still to be sent.

    packets and delivered are rows as in `Delivery`; a packet keeps its row until all have arrived.
    """

    def __init__(self, network: Network, measure_from: int = 0, measure_to: int = LATEST_CYCLE + 1) -> None:
        p, n = network.parameters, network.n_terminals
        self.network = network
        self.settings = np.array([
            p.n_vcs, network.vc_bits, p.buffer_flits, p.input_speedup, p.waits_for_tail_credit, measure_from,
            measure_to, 0, n,
        ], np.int64)  # fmt: skip
        self.channels = c = network.channels.copy()
        self._lay_vcs()
        n_slots = 1 << int(c[:, [t.C_FLIT_CYCLES, t.C_CREDIT_CYCLES]].max()).bit_length()
        self.flits = np.zeros((n_slots, 1 + len(c), 2), np.int64)
        self.ejects = np.zeros((n_slots, 1 + n, 2), np.int64)
        self.credits = np.zeros((n_slots, 1 + len(c) * (p.input_speedup + 1)), np.int64)
        self.regs = np.zeros(t.N_REGS, np.int64)
        self.sources = np.zeros((n, t.N_SOURCE), np.int64)
        self.sources[:, t.S_DUE], self.sources[:, t.S_NEXT] = t.NEVER, t.NOBODY
        self.sources[:, t.S_VC] = p.n_vcs - 1
        self.last_packet = np.full(n, t.NOBODY, np.int64)
        self._begin_packets()

    def _lay_vcs(self) -> None:
        c, p, network = self.channels, self.network.parameters, self.network
        self.vcs = _aligned(len(c) << network.vc_bits, t.N_VC)
        self.vcs[:, t.V_TARGET], self.vcs[:, t.V_CREDITS] = -1, p.buffer_flits
        self.queues = np.zeros(len(self.vcs) * p.buffer_flits, np.int64)
        self.lists = np.zeros((t.N_LIST, len(self.vcs)), np.int64)
        self.lane_numbers = np.arange(p.n_vcs) % p.input_speedup
        channel, number = np.divmod(np.arange(len(c) * p.input_speedup), p.input_speedup)
        self.lanes = np.zeros((len(channel), t.N_LANE), np.int64)
        self.lanes[:, t.L_BEST] = t.NEVER
        self.lanes[:, t.L_LOCAL] = c[channel, t.C_FIRST_IN] // p.n_vcs * p.input_speedup + number

    def _begin_packets(self) -> None:
        self.packets, self.delivered = np.zeros((0, 3), np.int64), np.zeros((0, 3), np.int64)
        self.successor = np.zeros(0, np.int64)

    def add(self, sources: Rows, packets: Rows) -> Rows:
        """Add packets to be sent; return their rows. sources and packets as in `Network.deliver`.

        None may be created before the cycle reached, or before another of its source: InputError.
        """
        self.network.check(sources, packets, int(self.regs[t.R_CYCLE]))
        if self.regs[t.R_LIVE] == 0 and (self.sources[:, t.S_NEXT] == t.NOBODY).all():
            self._begin_packets()
        n, base = len(packets), len(self.packets)
        rows = base + np.arange(n)
        firsts = np.flatnonzero(np.diff(sources, prepend=-1))
        lasts = np.append(firsts[1:], n) - 1 if n else firsts
        nodes, successor = sources[firsts], rows + 1
        successor[lasts] = t.NOBODY
        waiting = self.sources[nodes, t.S_NEXT] != t.NOBODY
        behind = self.last_packet[nodes[waiting]]
        late = self.packets[behind, t.P_CREATED] > packets[firsts[waiting], t.P_CREATED]
        if late.any():
            raise InputError("packets out of order", key="packets", expected="later than those of their source before")
        self.packets = np.concatenate([self.packets, packets]) if base else packets
        self.delivered = np.concatenate([self.delivered, np.zeros((n, 3), np.int64)])
        self.successor = np.concatenate([self.successor, successor])
        self.successor[behind] = rows[firsts[waiting]]
        self.sources[nodes[~waiting], t.S_NEXT] = rows[firsts[~waiting]]
        self.sources[nodes[~waiting], t.S_DUE] = packets[firsts[~waiting], t.P_CREATED]
        self.last_packet[nodes] = rows[lasts]
        created = packets[:, t.P_CREATED]
        start, stop = self.settings[[t.F_MEASURE_FROM, t.F_MEASURE_TO]]
        self.regs[t.R_TO_MEASURE] += np.count_nonzero((created >= start) & (created < stop))
        return rows

    def advance(self, stop_cycle: int) -> int:
        """Move flits until all packets measured have arrived (DONE), at most to a cycle (STOPPED)."""
        self.settings[t.F_STOP] = stop_cycle
        status = noc.advance_network(
            self.settings, self.lane_numbers, self.channels, self.vcs, self.lanes, self.queues, self.flits,
            self.ejects, self.credits, self.lists, self.regs, self.network.routes, self.network.classes,
            self.sources, self.packets, self.successor, self.delivered,
        )  # fmt: skip
        if status in OUTCOMES:
            raise RuntimeError(f"network: {OUTCOMES[status]}, cycle {self.regs[t.R_CYCLE]}")
        return int(status)


def _numbered(owners: Rows) -> tuple[Rows, Rows]:
    """Return the index of every entry among those of its owner (-1: nobody's, index 0), and how many each has."""
    index = np.zeros(len(owners), np.int64)
    counts = np.zeros(int(owners.max()) + 1, np.int64)
    for i, owner in enumerate(owners.tolist()):
        if owner >= 0:
            index[i] = counts[owner]
            counts[owner] += 1
    return index, counts


def _aligned(n_rows: int, n_columns: int) -> Rows:
    """Return rows of zeros that begin with a cache line."""
    words = np.zeros(n_rows * n_columns + CACHE_LINE_BYTES // 8, np.int64)
    skipped = -words.ctypes.data % CACHE_LINE_BYTES // 8
    return words[skipped : skipped + n_rows * n_columns].reshape(n_rows, n_columns)

"""A network on a die: its tables laid out once, packets through wormhole routers, circuits or a static schedule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels import noc
from dieshot.kernels import noc_table as t
from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]
LATEST_CYCLE = 1 << 61
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
        if self.n_vcs % self.input_speedup and self.n_vcs > 1:
            expected = f"a multiple of the input speedup {self.input_speedup}"
            raise InputError("not a number of virtual channels", key="n_vcs", value=self.n_vcs, expected=expected)


@dataclass(frozen=True)
class Wiring:
    """Where terminals and links are and how packets go: arrays as in a topology.

    terminals (n): router. links (n, 2): router from, router to. next_router and vc_class (routers, terminals): the
    neighbour on the way (-1: this router's own terminal) and the class of virtual channels (-1: any).
    """

    terminals: Rows
    links: Rows
    next_router: Rows
    vc_class: Rows
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
        self.channels = self._lay_channels()
        self.routes = self._lay_routes()

    def _lay_channels(self) -> Rows:
        w, p = self.wiring, self.parameters
        outside = np.full(self.n_terminals, -1, np.int64)
        sources = np.concatenate([outside, w.terminals, w.links[:, 0]])
        sinks = np.concatenate([w.terminals, outside, w.links[:, 1]])
        channels = np.zeros((len(sources), t.N_CHANNEL), np.int64)
        channels[:, t.C_FROM], channels[:, t.C_TO] = sources, sinks
        channels[:, t.C_OUT], n_outputs = _numbered(sources)
        channels[:, t.C_IN], n_inputs = _numbered(sinks)
        inner = sources >= 0
        # A flit is one cycle on its way into a link; a terminal has no crossbar and takes a credit at once.
        channels[:, t.C_FLIT_CYCLES] = 1 + p.link_cycles + p.crossbar_cycles * inner
        channels[:, t.C_CREDIT_CYCLES] = 1 + p.link_cycles + p.credit_cycles * inner
        channels[inner, t.C_FROM_INPUTS] = n_inputs[sources[inner]]
        channels[sinks >= 0, t.C_TO_OUTPUTS] = n_outputs[sinks[sinks >= 0]]
        return channels

    def _lay_routes(self) -> Rows:
        w, n = self.wiring, self.n_terminals
        link_of = np.full((len(w.next_router), len(w.next_router)), -1, np.int64)
        link_of[w.links[:, 0], w.links[:, 1]] = 2 * n + np.arange(len(w.links))
        router, terminal = np.indices(w.next_router.shape)
        routes = np.empty((*w.next_router.shape, 3), np.int64)
        here = w.next_router < 0
        routes[:, :, 0] = np.where(here, n + terminal, link_of[router, w.next_router])
        share = self.parameters.n_vcs / w.n_classes
        anyone = w.vc_class < 0
        routes[:, :, 1] = np.where(anyone, 0, np.floor(w.vc_class * share))
        routes[:, :, 2] = np.where(anyone, self.parameters.n_vcs, np.floor((w.vc_class + 1) * share))
        return np.ascontiguousarray(routes.reshape(-1, 3))

    def _idle_vcs(self) -> Rows:
        c, p = self.channels, self.parameters
        channel, number = np.divmod(np.arange(len(c) * p.n_vcs), p.n_vcs)
        vcs = np.zeros((len(channel), t.N_VC), np.int64)
        vcs[:, t.V_TARGET], vcs[:, t.V_CREDITS] = -1, p.buffer_flits
        vcs[:, t.V_CHANNEL], vcs[:, t.V_NUMBER] = channel, number
        vcs[:, t.V_LOCAL] = c[channel, t.C_IN] * p.n_vcs + number
        vcs[:, t.V_LANE] = channel * p.input_speedup + number % p.input_speedup
        vcs[:, t.V_LANE_LOCAL] = c[channel, t.C_IN] * p.input_speedup + number % p.input_speedup
        return vcs

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
        self._check(sources, packets)
        p, c = self.parameters, self.channels
        n_slots = 1 << int(c[:, [t.C_FLIT_CYCLES, t.C_CREDIT_CYCLES]].max()).bit_length()
        vcs = self._idle_vcs()
        switch = np.zeros((len(c) * p.input_speedup, t.N_SWITCH), np.int64)
        switch[:, t.X_BEST] = -1
        regs = np.zeros(t.N_REGS, np.int64)
        regs[t.R_TO_MEASURE] = np.count_nonzero((packets[:, 0] >= measure_from) & (packets[:, 0] < measure_to))
        regs[t.R_TERMINALS] = self.n_terminals
        bounds = np.searchsorted(sources, np.arange(self.n_terminals + 1))
        nodes = np.zeros((self.n_terminals, 5), np.int64)
        nodes[:, t.S_NEXT], nodes[:, t.S_END] = bounds[:-1], bounds[1:]
        nodes[:, t.S_VC], nodes[:, t.S_CHANNEL] = p.n_vcs - 1, np.arange(self.n_terminals)
        delivered = np.zeros((len(packets), 3), np.int64)
        status = noc.advance_network(
            p.n_vcs, p.buffer_flits, p.input_speedup, int(p.waits_for_tail_credit), measure_from, measure_to,
            stop_cycle, c, self.routes, vcs, np.zeros(len(vcs), np.int64),
            np.zeros(len(vcs) * p.buffer_flits, np.int64), switch,
            np.zeros((len(c), 2 * p.n_vcs * int(c[:, t.C_FROM_INPUTS].max())), np.int64),
            np.zeros((len(c), t.N_ASKED), np.int64), np.zeros((len(c), t.N_GRANT), np.int64),
            np.zeros((n_slots, len(c), 2), np.int64), np.zeros((n_slots, 2), np.int64),
            np.zeros((n_slots, len(c) * (p.input_speedup + 1)), np.int64), regs, packets, nodes, delivered,
        )  # fmt: skip
        if status in OUTCOMES:
            raise RuntimeError(f"network: {OUTCOMES[status]}, cycle {regs[t.R_CYCLE]}")
        return Delivery(
            packets, delivered, status, int(regs[t.R_CYCLE]), int(regs[t.R_EJECTED]), int(regs[t.R_FLIT_HOPS])
        )

    def _check(self, sources: Rows, packets: Rows) -> None:
        limits = (
            ("cycle of creation", packets[:, 0], 0, LATEST_CYCLE),
            ("destination", packets[:, 1], 0, self.n_terminals - 1),
            ("flits", packets[:, 2], 1, MOST_FLITS),
            ("source", sources, 0, self.n_terminals - 1),
        )
        for name, column, least, most in limits:
            wrong = np.flatnonzero((column < least) | (column > most))
            if len(wrong):
                expected = f"{least} to {most}"
                raise InputError(f"packet {wrong[0]}", key=name, value=int(column[wrong[0]]), expected=expected)
        order = np.lexsort((packets[:, 0], sources))
        if (order != np.arange(len(order))).any():
            raise InputError("packets out of order", key="packets", expected="sorted by source, then cycle of creation")


def _numbered(owners: Rows) -> tuple[Rows, Rows]:
    """Return the index of every entry among those of its owner (-1: nobody's, index 0), and how many each has."""
    index = np.zeros(len(owners), np.int64)
    counts = np.zeros(int(owners.max()) + 1, np.int64)
    for i, owner in enumerate(owners.tolist()):
        if owner >= 0:
            index[i] = counts[owner]
            counts[owner] += 1
    return index, counts

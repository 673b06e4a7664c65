"""Plain wormhole routers, object by object and cycle by cycle: the twin of kernels/noc.py."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Flit:
    packet: int
    number: int
    is_tail: bool
    destination: int


@dataclass(eq=False)
class Lane:
    """One virtual channel: the queue at its far end, and what the near end knows of it."""

    channel: Channel
    number: int
    credits: int
    queue: deque[Flit] = field(default_factory=deque)
    target: Lane | None = None
    state: str = "idle"
    accept_pointer: int = 0
    grant_pointer: int = 0
    used: bool = False
    tail_sent: bool = False


class Channel:
    def __init__(self, source: int, sink: int, n_vcs: int, depth: int) -> None:
        self.source, self.sink = source, sink
        self.lanes = [Lane(self, number, depth) for number in range(n_vcs)]


class Router:
    def __init__(self, speedup: int) -> None:
        self.inputs: list[Channel] = []
        self.outputs: list[Channel] = []
        self.speedup = speedup
        self.grant_pointer: dict[Channel, int] = defaultdict(int)
        self.accept_pointer: dict[int, int] = defaultdict(int)
        self.turn: dict[int, int] = defaultdict(int)

    def lanes_in(self) -> list[Lane]:
        return [lane for channel in self.inputs for lane in channel.lanes]

    def lanes_out(self) -> list[Lane]:
        return [lane for channel in self.outputs for lane in channel.lanes]


def islip(requests: list[tuple[int, int]], n_in: int, n_out: int, grant: Any, accept: Any) -> dict[int, int]:
    """Return input: output of one iteration; grant and accept give the pointer of an output and of an input."""
    granted: dict[int, list[int]] = defaultdict(list)
    for out in sorted({out for _, out in requests}):
        asking = [i for i, wanted in requests if wanted == out]
        granted[min(asking, key=lambda i: (i - grant(out)) % n_in)].append(out)
    return {i: min(outs, key=lambda out: (out - accept(i)) % n_out) for i, outs in granted.items()}


class Network:
    """Delays in cycles: a flit in a link 1 + link, in the crossbar 1; a credit 1 + link, at a router + credit."""

    def __init__(self, wiring: Any, p: Any) -> None:
        self.p, self.wiring = p, wiring
        self.routers = [Router(p.input_speedup) for _ in wiring.next_router]
        n = len(wiring.terminals)
        self.into = [self._channel(-1, int(r)) for r in wiring.terminals]
        self.out_of = [self._channel(int(r), -1) for r in wiring.terminals]
        self.links = {(int(a), int(b)): self._channel(int(a), int(b)) for a, b in wiring.links}
        self.events: dict[int, list[tuple[str, Lane, Any]]] = defaultdict(list)
        self.last_vc = [p.n_vcs - 1] * n
        self.cycle = 0
        self.arrivals: dict[int, int] = {}
        self.injected: dict[int, int] = {}
        self.seen: list[tuple[int, int]] = []

    def _channel(self, source: int, sink: int) -> Channel:
        channel = Channel(source, sink, self.p.n_vcs, self.p.buffer_flits)
        if source >= 0:
            self.routers[source].outputs.append(channel)
        if sink >= 0:
            self.routers[sink].inputs.append(channel)
        return channel

    def run(self, sources: list[int], packets: list[list[int]], stop_cycle: int) -> None:
        """Send all packets, at most until `stop_cycle`."""
        waiting = [deque[Flit]() for _ in self.into]
        created = {i: packet[0] for i, packet in enumerate(packets)}
        for i, (source, (_, destination, length)) in enumerate(zip(sources, packets, strict=True)):
            waiting[source].extend(Flit(i, k, k + 1 == length, destination) for k in range(length))
        while len(self.arrivals) < len(packets) and self.cycle < stop_cycle:
            for kind, lane, flit in self.events.pop(self.cycle, []):
                self._credit(lane) if kind == "credit" else self._arrive(lane, flit)
            for node, queue in enumerate(waiting):
                if queue and created[queue[0].packet] <= self.cycle:
                    self._inject(node, queue)
            moves = [self._allocate(router) for router in self.routers]
            for router, (wins, grants) in zip(self.routers, moves, strict=True):
                self._update(router, wins, grants)
            self.cycle += 1

    def _arrive(self, lane: Lane, flit: Flit) -> None:
        if lane.channel.sink < 0:
            self.seen.append((flit.packet, flit.number))
            if flit.is_tail:
                self.arrivals[flit.packet] = self.cycle
            self._return_credit(lane)
            return
        lane.queue.append(flit)
        if lane.state == "idle":
            lane.state = "asking"

    def _return_credit(self, lane: Lane) -> None:
        at_router = self.p.credit_cycles if lane.channel.source >= 0 else 0
        self.events[self.cycle + 1 + self.p.link_cycles + at_router].append(("credit", lane, None))

    def _credit(self, lane: Lane) -> None:
        lane.credits += 1
        if self.p.waits_for_tail_credit and lane.tail_sent and lane.credits == self.p.buffer_flits:
            lane.used = False

    def _send(self, lane: Lane, flit: Flit) -> None:
        lane.credits -= 1
        if flit.is_tail:
            lane.tail_sent = True
            lane.used = lane.used and self.p.waits_for_tail_credit
        crossbar = self.p.crossbar_cycles if lane.channel.source >= 0 else 0
        self.events[self.cycle + 1 + self.p.link_cycles + crossbar].append(("flit", lane, flit))

    def _inject(self, node: int, queue: deque[Flit]) -> None:
        lanes = self.into[node].lanes
        if queue[0].number == 0:
            order = [(self.last_vc[node] + 1 + i) % self.p.n_vcs for i in range(self.p.n_vcs)]
            free = [vc for vc in order if not lanes[vc].used and lanes[vc].credits]
            if not free:
                return
            self.last_vc[node] = free[0]
            lanes[free[0]].used, lanes[free[0]].tail_sent = True, False
            self.injected[queue[0].packet] = self.cycle
        lane = lanes[self.last_vc[node]]
        if lane.credits:
            self._send(lane, queue.popleft())

    def _wanted(self, router: int, destination: int) -> tuple[Channel, range]:
        to, vc_class = (int(table[router, destination]) for table in (self.wiring.next_router, self.wiring.vc_class))
        n, n_classes = self.p.n_vcs, self.wiring.n_classes
        if vc_class < 0 or (self.p.waits_for_tail_credit and self.wiring.takes_any[router, destination]):
            lanes = range(n)
        elif self.p.waits_for_tail_credit:
            kept = max(1, n // (2 * n_classes))
            first = n - kept * (n_classes - 1)
            lanes = range(first) if vc_class == 0 else range(first + kept * (vc_class - 1), first + kept * vc_class)
        else:
            lanes = range(n * vc_class // n_classes, n * (vc_class + 1) // n_classes)
        return (self.out_of[destination] if to < 0 else self.links[router, to]), lanes

    def _allocate(self, router: Router) -> tuple[list[tuple[Lane, Lane]], list[tuple[Lane, int, int]]]:
        lanes_in, lanes_out = router.lanes_in(), router.lanes_out()
        index = {lane: i for i, lane in enumerate(lanes_out)}
        requests = []
        for i, lane in enumerate(lanes_in):
            if lane.state == "asking":
                channel, allowed = self._wanted(lane.channel.sink, lane.queue[0].destination)
                requests += [(i, index[channel.lanes[vc]]) for vc in allowed if not channel.lanes[vc].used]
        matched = islip(
            requests,
            len(lanes_in),
            len(lanes_out),
            lambda out: lanes_out[out].grant_pointer,
            lambda i: lanes_in[i].accept_pointer,
        )
        wins = []
        for i, out in matched.items():
            lanes_out[out].grant_pointer = (i + 1) % len(lanes_in)
            lanes_in[i].accept_pointer = (out + 1) % len(lanes_out)
            wins.append((lanes_in[i], lanes_out[out]))
        return wins, self._switch(router)

    def _switch(self, router: Router) -> list[tuple[Lane, int, int]]:
        best: dict[tuple[int, int], Lane] = {}
        for i, channel in enumerate(router.inputs):
            for lane in channel.lanes:
                if lane.state != "active" or not lane.queue or lane.target is None or not lane.target.credits:
                    continue
                key = (i * router.speedup + lane.number % router.speedup, router.outputs.index(lane.target.channel))
                turn = router.turn[key[0]]
                if key not in best or (lane.number - turn) % self.p.n_vcs < (best[key].number - turn) % self.p.n_vcs:
                    best[key] = lane
        matched = islip(
            list(best),
            len(router.inputs) * router.speedup,
            len(router.outputs),
            lambda out: router.grant_pointer[router.outputs[out]],
            lambda i: router.accept_pointer[i],
        )
        return [(best[i, out], i, out) for i, out in matched.items()]

    def _update(self, router: Router, wins: list[tuple[Lane, Lane]], grants: list[tuple[Lane, int, int]]) -> None:
        for lane, i, out in grants:
            router.grant_pointer[router.outputs[out]] = (i + 1) % (len(router.inputs) * router.speedup)
            router.accept_pointer[i] = (out + 1) % len(router.outputs)
            on = lane.number + router.speedup
            router.turn[i] = on if on < self.p.n_vcs else lane.number % router.speedup
            flit = lane.queue.popleft()
            assert lane.target is not None
            self._send(lane.target, flit)
            self._return_credit(lane)
            if flit.is_tail:
                lane.target, lane.state = None, "asking" if lane.queue else "idle"
        for lane, won in wins:
            lane.target, lane.state = won, "active"
            won.used, won.tail_sent = True, False

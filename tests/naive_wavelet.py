"""Plain twin of the line of PEs: every wavelet an object with what it carries, every cycle in full."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

EAST, WEST, CORE = "east", "west", "core"
FROM = {0: WEST, 1: EAST, 2: CORE}
BITS = {1: EAST, 2: WEST, 4: CORE}


@dataclass
class Wavelet:
    """A word on its way; `since`: cycle from which the next part may take it."""

    colour: int
    value: Any
    since: int


@dataclass
class Instruction:
    """As a row of the kernel's program."""

    taking: int
    sending: int
    wavelets: int
    start: int
    pace: int


@dataclass
class Pe:
    """A router's buffers by colour and side, the core's queues by colour, and how far the core has come."""

    program: list[Instruction]
    ready: int
    initial: list[int]
    buffers: dict[tuple[int, str], deque[Wavelet]] = field(default_factory=dict)
    inbox: dict[int, deque[Wavelet]] = field(default_factory=dict)
    outbox: dict[int, deque[Wavelet]] = field(default_factory=dict)
    at: int = 0
    done: int = 0
    free: int = 0
    sums: list[int] = field(default_factory=list)
    times: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = list(self.initial)
        self.begin(self.ready)

    def begin(self, cycle: int) -> None:
        """Begin the instruction that is next."""
        if self.at < len(self.program):
            self.free = cycle + self.program[self.at].start
            self.times.append([cycle, self.free, 0, 0, 0])

    @property
    def finished(self) -> bool:
        """Whether all instructions are carried out."""
        return self.at == len(self.program)


class Line:
    """All PEs of a line; `routes`: (colour, PE, side) -> bits of the ways out."""

    def __init__(
        self, pes: list[Pe], routes: dict[tuple[int, int, int], int], n_colours: int, ramp: int, router: int,
        queues: tuple[int, int], broadcast: int,
    ) -> None:  # fmt: skip
        self.pes = pes
        self.routes = routes
        self.ramp = ramp
        self.router = router
        self.input_queue, self.output_queue = queues
        self.broadcast = broadcast
        self.n_colours = n_colours
        self.hops = 0
        for pe in pes:
            for colour in range(n_colours):
                pe.inbox[colour], pe.outbox[colour] = deque(), deque()
                for side in (WEST, EAST):
                    pe.buffers[colour, side] = deque()

    def run(self, limit: int) -> int:
        """Run to the end; return the cycle after the last, or -1 if it does not come by the limit."""
        for cycle in range(limit):
            if all(pe.finished for pe in self.pes):
                return cycle
            self.route(cycle)
            for pe in self.pes:
                self.work(cycle, pe)
        return -1

    def route(self, cycle: int) -> None:
        """Let all routers act on what they see at the begin of the cycle."""
        length = {(i, *key): len(queue) for i, pe in enumerate(self.pes) for key, queue in pe.buffers.items()}
        for i, pe in enumerate(self.pes):
            used: set[str] = set()
            for colour in range(self.n_colours):
                for side in (0, 1, 2):
                    queue = pe.outbox[colour] if side == 2 else pe.buffers[colour, FROM[side]]
                    if not queue or queue[0].since > cycle:
                        continue
                    ways = [way for bit, way in BITS.items() if self.routes[colour, i, side] & bit]
                    assert ways
                    if all(way not in used and self.has_room(i, colour, way, length) for way in ways):
                        self.pass_on(cycle, i, queue.popleft(), ways)
                        used.update(ways)

    def has_room(self, i: int, colour: int, way: str, length: dict[tuple[int, int, str], int]) -> bool:
        """Return whether the part that a way leads to has room."""
        if way == EAST:
            return length[i + 1, colour, WEST] < self.router
        if way == WEST:
            return length[i - 1, colour, EAST] < self.router
        return len(self.pes[i].inbox[colour]) < self.input_queue + self.ramp

    def pass_on(self, cycle: int, i: int, wavelet: Wavelet, ways: list[str]) -> None:
        """Copy a wavelet to all ways."""
        for way in ways:
            if way == CORE:
                copy = Wavelet(wavelet.colour, wavelet.value, cycle + self.ramp)
                self.pes[i].inbox[wavelet.colour].append(copy)
                continue
            self.hops += 1
            copy = Wavelet(wavelet.colour, wavelet.value, cycle + 1)
            target, side = (i + 1, WEST) if way == EAST else (i - 1, EAST)
            self.pes[target].buffers[wavelet.colour, side].append(copy)

    def work(self, cycle: int, pe: Pe) -> None:
        """Let a core act: add what comes in to its own word, or take it over where it is the broadcast's."""
        while not pe.finished and cycle >= pe.free:
            now = pe.program[pe.at]
            if pe.done < now.wavelets:
                queue = pe.inbox[now.taking] if now.taking >= 0 else None
                if queue is not None and (not queue or queue[0].since > cycle):
                    pe.times[pe.at][3] += 1
                    return
                if now.sending >= 0 and len(pe.outbox[now.sending]) >= self.output_queue + self.ramp:
                    pe.times[pe.at][4] += 1
                    return
                if queue is not None:
                    value = queue.popleft().value
                    pe.sums[pe.done] = value if now.taking == self.broadcast else pe.sums[pe.done] + value
                if now.sending >= 0:
                    pe.outbox[now.sending].append(Wavelet(now.sending, pe.sums[pe.done], cycle + 1 + self.ramp))
                pe.done += 1
                pe.free = cycle + now.pace
                if pe.done < now.wavelets:
                    return
            pe.times[pe.at][2] = pe.free
            pe.at, pe.done = pe.at + 1, 0
            pe.begin(pe.free)

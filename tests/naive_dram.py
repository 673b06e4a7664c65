"""DRAM channels in plain Python: every tick is visited, every rule is checked against the whole history of commands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from dieshot.kernels.dram_timing import (
    ACT,
    BANK,
    BANK_GROUP,
    OTHER_STACK,
    PRE,
    PREA,
    PSEUDO_CHANNEL,
    RD,
    REFAB,
    REFPB,
    SAME_STACK,
    WR,
    delay_rules,
)


@dataclass
class Request:
    item: int
    bank: int
    row: int
    write: bool
    column: int = 0
    seen: bool = False


@dataclass
class Channel:
    """One channel; shape: pseudo-channels, stack ids, bank groups, banks."""

    t: dict[str, int]
    scale: int
    shape: tuple[int, int, int, int]
    hold: list[int]
    options: Any
    shared: bool = False
    sync: int = 0
    history: list[tuple[int, int, int]] = field(default_factory=list)
    open_rows: dict[int, int] = field(default_factory=dict)
    opening: list[Request] = field(default_factory=list)
    reads: list[Request] = field(default_factory=list)
    writes: list[Request] = field(default_factory=list)
    writing: bool = False
    bus_free: dict[str, int] = field(default_factory=lambda: {"row": 0, "column": 0})
    due: int = 0
    turn: int = 0
    bank_turn: int = 0
    closing: list[tuple[int, int]] = field(default_factory=list)
    count: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("hits", "misses", "conflicts", "forwarded", "n_CAS"), 0)
    )
    clock_until: dict[int, int] = field(default_factory=dict)  # pseudo-channel: end of its data clock

    def place(self, bank: int) -> tuple[int, int, int]:
        """Pseudo-channel, stack and bank group of a bank, each unique in the channel."""
        _, n_stacks, n_groups, n_banks = self.shape
        return bank // (n_stacks * n_groups * n_banks), bank // (n_groups * n_banks), bank // n_banks

    def scopes(self, one: int, other: int) -> set[int]:
        """Return the scopes that two banks share."""
        a, b = self.place(one), self.place(other)
        shared = {PSEUDO_CHANNEL} if a[0] == b[0] else set()
        if a[0] == b[0]:
            shared.add(SAME_STACK if a[1] == b[1] else OTHER_STACK)
        if a[2] == b[2]:
            shared.add(BANK_GROUP)
        return shared | ({BANK} if one == other else set())

    def allowed(self, now: int, command: int, bank: int) -> bool:
        for scope, earlier, later, cycles in delay_rules(self.t):
            if later != command:
                continue
            for tick, issued, at in self.history[-400:]:
                whole = issued in (PREA, REFAB) or command in (PREA, REFAB)
                shared = self.scopes(at, bank) & ({PSEUDO_CHANNEL} if whole else set(range(5)))
                if issued == earlier and scope in shared and now < tick + cycles * self.scale:
                    return False
        for tick, at in self.closing:  # a row that closes by itself
            waiting = {ACT: at == bank, REFPB: at == bank, REFAB: self.place(at)[0] == self.place(bank)[0]}
            if waiting.get(command, False) and now < tick + self.t["nRP"] * self.scale:
                return False
        acts = [k for k, issued, at in self.history if issued == ACT and self.place(at)[0] == self.place(bank)[0]]
        return command != ACT or len(acts) < 4 or now >= acts[-4] + self.t["nFAW"] * self.scale

    def issue(self, now: int, command: int, bank: int) -> None:
        self.history.append((now, command, bank))
        self.take_bus("column" if command in (RD, WR) else "row", now + self.hold[command])

    def take_bus(self, bus: str, until: int) -> None:
        for name in ("row", "column") if self.shared else (bus,):
            self.bus_free[name] = until

    def step(self, now: int, finished: dict[int, int]) -> None:
        self.choose_direction()
        self.note_refresh(now)
        if now >= self.bus_free["column"]:
            self.column(now, finished)
        if now >= self.bus_free["row"]:
            self.row(now)

    def note_refresh(self, now: int) -> None:
        interval = {"allbank": self.t["nREFI"], "perbank": self.t["nREFIpb"]}.get(self.options.refresh)
        if interval is not None and now > 0 and now % (interval * self.scale) == 0:
            self.due += self.shape[0]

    def choose_direction(self) -> None:
        depth = self.options.queue
        if self.writing and ((len(self.writes) < int(0.2 * depth) and self.reads) or not self.writes):
            self.writing = False
        elif not self.writing and (len(self.writes) > int(0.8 * depth) or (self.writes and not self.reads)):
            self.writing = True

    def column(self, now: int, finished: dict[int, int]) -> None:
        waiting = self.writes if self.writing else self.reads
        blocked = self.options.refresh == "allbank" and self.due > 0
        reserved = self.refreshed_bank() if self.options.refresh == "perbank" and self.due else None
        for requests in (self.opening,) if blocked else (self.opening, waiting):
            for request in requests:
                if requests is waiting and request.bank == reserved:
                    continue
                command = WR if request.write else RD
                if self.open_rows.get(request.bank) == request.row and self.allowed(now, command, request.bank):
                    if self.data_clock_runs(now, request.bank):
                        self.move(now, command, request, requests, finished)
                    return

    def data_clock_runs(self, now: int, bank: int) -> bool:
        """Start the data clock where a column command finds it stopped."""
        pseudo = self.place(bank)[0]
        if self.sync == 0 or self.clock_until.get(pseudo, -1) >= now:
            return True
        self.count["n_CAS"] += 1
        self.take_bus("column", now + self.sync)
        longest = max(self.t["nCL"], self.t["nCWL"]) + self.t["nBL"]
        self.clock_until[pseudo] = now + self.sync + longest * self.scale
        return False

    def move(self, now: int, command: int, request: Request, requests: list[Request], finished: dict[int, int]) -> None:
        self.count["hits"] += not request.seen
        latency = self.t["nCL"] if command == RD else self.t["nCWL"]
        finished[request.item] = now + (latency + self.t["nBL"]) * self.scale
        self.clock_until[self.place(request.bank)[0]] = finished[request.item]
        requests.remove(request)
        self.issue(now, command, request.bank)
        if self.options.page == "closed" and not self.hit_waits(request.bank, request.row):
            del self.open_rows[request.bank]
            self.closing.append((self.first_own(now, request.bank), request.bank))

    def own_rules_allow(self, tick: int, bank: int) -> bool:
        """Return whether the bank's own rules (not its pseudo-channel's) allow a PRE."""
        rules = [(e, c) for scope, e, later, c in delay_rules(self.t) if scope == BANK and later == PRE]
        return all(
            tick >= at + cycles * self.scale
            for earlier, cycles in rules
            for at, issued, other in self.history
            if issued == earlier and other == bank
        )

    def first_own(self, now: int, bank: int) -> int:
        return next(tick for tick in range(now, now + 10**5) if self.own_rules_allow(tick, bank))

    def hit_waits(self, bank: int, row: int | None) -> bool:
        return any(r.bank == bank and r.row == row for r in self.waiting())

    def waiting(self) -> list[Request]:
        return self.opening + self.reads + self.writes

    def take(self, request: Request) -> None:
        (self.writes if request.write else self.reads).append(request)

    def after(self, now: int) -> None:
        """What happens at the end of a tick."""

    def row(self, now: int) -> None:
        reserved = None
        n_banks = self.shape[1] * self.shape[2] * self.shape[3]
        if self.due and self.options.refresh == "allbank":
            self.refresh_all(now, range(self.turn * n_banks, (self.turn + 1) * n_banks))
            return
        if self.due:
            reserved = self.refreshed_bank()
            if self.refresh_one(now, reserved):
                return
        for request in self.writes if self.writing else self.reads:
            opened = self.open_rows.get(request.bank)
            if opened == request.row or request.bank == reserved:
                continue
            command = ACT if opened is None else PRE
            if not self.allowed(now, command, request.bank) or (command == PRE and self.kept(request.bank, opened)):
                continue
            if not request.seen:
                self.count["misses" if opened is None else "conflicts"] += 1
                request.seen = True
            self.issue(now, command, request.bank)
            self.open_or_close(command, request)
            return

    def kept(self, bank: int, opened: int | None) -> bool:
        served = self.writes if self.writing else self.reads
        prefers = self.options.scheduler == "rowhit" and any(r.bank == bank and r.row == opened for r in served)
        return prefers or any(r.bank == bank for r in self.opening)

    def open_or_close(self, command: int, request: Request) -> None:
        if command == PRE:
            del self.open_rows[request.bank]
            return
        self.open_rows[request.bank] = request.row
        (self.writes if self.writing else self.reads).remove(request)
        self.opening.append(request)

    def refresh_all(self, now: int, banks: range) -> None:
        opened = [bank for bank in banks if bank in self.open_rows]
        if any(r.bank in opened for r in self.opening):
            return
        command = PREA if opened else REFAB
        if not self.allowed(now, command, banks[0]):
            return
        self.issue(now, command, banks[0])
        for bank in opened:
            del self.open_rows[bank]
        if command == REFAB:
            self.due -= 1
            self.turn = (self.turn + 1) % self.shape[0]

    def refreshed_bank(self) -> int:
        n_banks = self.shape[1] * self.shape[2] * self.shape[3]
        return self.bank_turn % self.shape[0] * n_banks + self.bank_turn // self.shape[0]

    def refresh_one(self, now: int, bank: int) -> bool:
        command = PRE if bank in self.open_rows else REFPB
        if (command == PRE and any(r.bank == bank for r in self.opening)) or not self.allowed(now, command, bank):
            return False
        self.issue(now, command, bank)
        self.open_rows.pop(bank, None)
        if command == REFPB:
            self.due -= 1
            self.bank_turn = (self.bank_turn + 1) % math.prod(self.shape)
        return True


@dataclass
class TurnChannel(Channel):
    """One channel whose banks have queues of their own and take turns."""

    queues: dict[int, list[Request]] = field(default_factory=dict)
    last: int = 0
    draining: int = 0
    row_hits: dict[int, int] = field(default_factory=dict)

    def waiting(self) -> list[Request]:
        return [r for queue in self.queues.values() for r in queue] + self.reads + self.writes

    def step(self, now: int, finished: dict[int, int]) -> None:
        self.note_refresh(now)
        closed: set[int] = set()
        n_banks = self.shape[1] * self.shape[2] * self.shape[3]
        if self.due and self.options.refresh == "allbank":
            banks = range(self.turn * n_banks, (self.turn + 1) * n_banks)
            closed = set(banks)
            if now >= self.bus_free["row"]:
                self.refresh_all(now, banks)
        elif self.due:
            closed = {self.refreshed_bank()}
            if now >= self.bus_free["row"]:
                self.refresh_one(now, *closed)
        for _ in range(2):
            self.go_round(now, closed, finished)

    def go_round(self, now: int, closed: set[int], finished: dict[int, int]) -> None:
        n = math.prod(self.shape)
        for bank in [(self.last + 1 + k) % n for k in range(n)]:
            for request in self.queues.get(bank, []) if bank not in closed else []:
                command = self.needed(request)
                bus = "column" if command in (RD, WR) else "row"
                if now < self.bus_free[bus] or not self.allowed(now, command, bank) or self.held(command, request):
                    continue
                self.last = bank
                if bus == "column":
                    self.serve_column(now, command, request, finished)
                else:
                    self.serve_row(now, command, request)
                return

    def needed(self, request: Request) -> int:
        opened = self.open_rows.get(request.bank)
        if opened == request.row:
            return WR if request.write else RD
        return ACT if opened is None else PRE

    def held(self, command: int, request: Request) -> bool:
        queue = self.queues[request.bank]
        if command == PRE:
            wanted = any(r.row == self.open_rows[request.bank] for r in queue)
            return queue[0] is not request or (wanted and self.row_hits[request.bank] < 4)
        before = queue[: queue.index(request)]
        return command == WR and any(same_burst(r, request) and not r.write for r in before)

    def serve_row(self, now: int, command: int, request: Request) -> None:
        if not request.seen:
            self.count["misses" if command == ACT else "conflicts"] += 1
            request.seen = True
        self.issue(now, command, request.bank)
        self.row_hits[request.bank] = 0
        if command == PRE:
            del self.open_rows[request.bank]
        else:
            self.open_rows[request.bank] = request.row

    def serve_column(self, now: int, command: int, request: Request, finished: dict[int, int]) -> None:
        if self.data_clock_runs(now, request.bank):
            self.move(now, command, request, self.queues[request.bank], finished)
            self.row_hits[request.bank] += 1

    def after(self, now: int) -> None:
        idle = not any(self.queues.values())
        least = self.options.queue // 4 if self.reads else 0
        if not self.draining and (len(self.writes) >= self.options.queue or (idle and len(self.writes) > least)):
            self.draining = len(self.writes)
        if self.draining and self.drain():
            return
        for request in [] if self.draining else self.reads:
            if self.enter(request):
                self.reads.remove(request)
                return

    def drain(self) -> bool:
        for request in self.writes:
            if len(self.queues.get(request.bank, [])) >= self.options.bank_queue:
                continue
            older = self.reads + self.queues.get(request.bank, [])
            if any(same_burst(r, request) and not r.write for r in older):
                self.draining = 0
                return False
            self.enter(request)
            self.writes.remove(request)
            self.draining -= 1
            return True
        return False

    def enter(self, request: Request) -> bool:
        queue = self.queues.setdefault(request.bank, [])
        if len(queue) < self.options.bank_queue:
            queue.append(request)
            return True
        return False


def same_burst(one: Request, other: Request) -> bool:
    return (one.bank, one.row, one.column) == (other.bank, other.row, other.column)


def serve(channels: list[Channel], items: list[tuple[int, int, int, int, bool, int]]) -> tuple[list[int], list[int]]:
    """Return ticks of acceptance and end for items (arrival, channel, bank, row, write, column) in order of arrival."""
    accepted: list[int] = []
    finished: dict[int, int] = {}
    options = channels[0].options
    now = 0
    while len(finished) < len(items):
        offered = 0
        while len(accepted) < len(items) and offered < options.offers_per_tick:
            arrival, ch, bank, row, write, column = items[len(accepted)]
            channel = channels[ch]
            if arrival > now or len(channel.writes if write else channel.reads) >= options.queue:
                break
            request = Request(len(accepted), bank, row, write, column)
            if options.forward and not write and any(r.write and same_burst(r, request) for r in channel.waiting()):
                finished[request.item] = now + 1
                channel.count["forwarded"] += 1
            else:
                channel.take(request)
            accepted.append(now)
            offered += 1
        for channel in channels:
            channel.step(now, finished)
            channel.after(now)
        now += 1
        assert now < 10**6, "requests wait for what cannot come"
    return accepted, [finished[i] for i in range(len(items))]

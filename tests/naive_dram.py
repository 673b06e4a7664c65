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
    seen: bool = False


@dataclass
class Channel:
    """One channel; shape: pseudo-channels, stack ids, bank groups, banks."""

    t: dict[str, int]
    scale: int
    shape: tuple[int, int, int, int]
    hold: list[int]
    options: Any
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
    count: dict[str, int] = field(default_factory=lambda: {"hits": 0, "misses": 0, "conflicts": 0})

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
        self.bus_free["column" if command in (RD, WR) else "row"] = now + self.hold[command]

    def step(self, now: int, finished: dict[int, int]) -> None:
        self.choose_direction()
        interval = {"allbank": self.t["nREFI"], "perbank": self.t["nREFIpb"]}.get(self.options.refresh)
        if interval is not None and now > 0 and now % (interval * self.scale) == 0:
            self.due += self.shape[0]
        if now >= self.bus_free["column"]:
            self.column(now, finished)
        if now >= self.bus_free["row"]:
            self.row(now)

    def choose_direction(self) -> None:
        depth = self.options.queue
        if self.writing and ((len(self.writes) < int(0.2 * depth) and self.reads) or not self.writes):
            self.writing = False
        elif not self.writing and (len(self.writes) > int(0.8 * depth) or (self.writes and not self.reads)):
            self.writing = True

    def column(self, now: int, finished: dict[int, int]) -> None:
        waiting = self.writes if self.writing else self.reads
        blocked = self.options.refresh == "allbank" and self.due > 0
        for requests in (self.opening,) if blocked else (self.opening, waiting):
            for request in requests:
                command = WR if request.write else RD
                if self.open_rows.get(request.bank) == request.row and self.allowed(now, command, request.bank):
                    self.move(now, command, request, requests, finished)
                    return

    def move(self, now: int, command: int, request: Request, requests: list[Request], finished: dict[int, int]) -> None:
        self.count["hits"] += not request.seen
        latency = self.t["nCL"] if command == RD else self.t["nCWL"]
        finished[request.item] = now + (latency + self.t["nBL"]) * self.scale
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
        return any(r.bank == bank and r.row == row for r in self.opening + self.reads + self.writes)

    def row(self, now: int) -> None:
        reserved = None
        n_banks = self.shape[1] * self.shape[2] * self.shape[3]
        if self.due and self.options.refresh == "allbank":
            self.refresh_all(now, range(self.turn * n_banks, (self.turn + 1) * n_banks))
            return
        if self.due:
            reserved = self.bank_turn % self.shape[0] * n_banks + self.bank_turn // self.shape[0]
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
        prefers = self.options.scheduler == "rowhit" and self.hit_waits(bank, opened)
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


def serve(channels: list[Channel], items: list[tuple[int, int, int, int, bool]]) -> tuple[list[int], list[int]]:
    """Return ticks of acceptance and end for items (arrival, channel, bank, row, write) in order of arrival."""
    accepted: list[int] = []
    finished: dict[int, int] = {}
    options = channels[0].options
    now = 0
    while len(finished) < len(items):
        offered = 0
        while len(accepted) < len(items) and offered < options.offers_per_tick:
            arrival, ch, bank, row, write = items[len(accepted)]
            queue = channels[ch].writes if write else channels[ch].reads
            if arrival > now or len(queue) >= options.queue:
                break
            queue.append(Request(len(accepted), bank, row, write))
            accepted.append(now)
            offered += 1
        for channel in channels:
            channel.step(now, finished)
        now += 1
    return accepted, [finished[i] for i in range(len(items))]

"""Memory stacks behind a cache in plain Python: every tick is visited, every rule is checked against the last command
of its kind at every bank."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from naive_dram import Channel, Request

from dieshot.kernels.dram_timing import ACT, PREA, PSEUDO_CHANNEL, RD, REFAB, WR, delay_rules

GOLDEN = 2654435769
BUSY, STALL_MEMORY, STALL_REFRESH = 1, 2, 8


@dataclass(eq=False)
class Wish:
    """A read or write of some bytes: how many accesses are still to come, when the last one's data had moved."""

    tile: int
    is_write: bool
    left: int = 0
    last: int = 0


@dataclass(eq=False)
class Access:
    """One access of a wish."""

    wish: Wish
    arrival: int
    bank: int
    row: int
    bytes_: int
    extra: int


@dataclass
class Pins(Channel):
    """A channel whose requests are accesses of several bursts; the bursts' rules count from the last one."""

    extra: dict[int, int] = field(default_factory=dict)
    last: dict[tuple[int, int], int] = field(default_factory=dict)
    recent: dict[int, list[int]] = field(default_factory=dict)
    blocked: dict[int, int] = field(default_factory=dict)  # pseudo-channel: tick before which nothing may be issued
    next_refresh: int | None = None
    refreshed: dict[int, tuple[int, int]] = field(default_factory=dict)

    def allowed(self, now: int, command: int, bank: int) -> bool:
        pseudo = self.place(bank)[0]
        if now < self.blocked.get(pseudo, 0):
            return False
        for (issued, at), tick in self.last.items():
            whole = issued in (PREA, REFAB) or command in (PREA, REFAB)
            shared = self.scopes(at, bank) & ({PSEUDO_CHANNEL} if whole else set(range(5)))
            for scope, earlier, later, cycles in delay_rules(self.t):
                if earlier == issued and later == command and scope in shared and now < tick + cycles * self.scale:
                    return False
        acts = self.recent.get(pseudo, [])
        return command != ACT or len(acts) < 4 or now >= acts[-4] + self.t["nFAW"] * self.scale

    def issue(self, now: int, command: int, bank: int) -> None:
        late = self.extra.pop(bank, 0) if command in (RD, WR) else 0
        self.last[command, bank] = now + late
        pseudo = self.place(bank)[0]
        if command == ACT:
            self.recent.setdefault(pseudo, []).append(now)
        if command == REFAB:
            self.refreshed[pseudo] = (now, now + self.t["nRFC"] * self.scale)
        self.bus_free["column" if command in (RD, WR) else "row"] = now + self.hold[command]

    def move(self, now: int, command: int, request: Request, requests: list[Request], finished: dict[int, int]) -> None:
        access: Any = request.item
        self.extra[request.bank] = access.extra
        super().move(now, command, request, requests, finished)
        finished[access] += access.extra

    def step(self, now: int, finished: dict[int, int]) -> None:
        self.choose_direction()
        if self.next_refresh is not None and now >= self.next_refresh:
            self.next_refresh += self.t["nREFI"] * self.scale
            self.due += self.shape[0]
        if now >= self.bus_free["column"]:
            self.column(now, finished)
        if now >= self.bus_free["row"]:
            self.row(now)


class Stack:
    """All channels; `advance` visits one tick after the other."""

    def __init__(self, design: Any, tile_bytes: Any, backlog_fs: list[int]) -> None:
        memory, policy = design.memory, design.policy
        t = {name: int(getattr(memory.timings, name)) for name in memory.timings.__dataclass_fields__}
        geometry, bus = memory.geometry, memory.bus
        self.design, self.tick_fs = design, design.tick_fs
        shape = (geometry.n_pseudo_channels, geometry.n_stack_ids, geometry.n_bank_groups, geometry.n_banks)
        hold = [bus.act, bus.row, bus.column, bus.column, bus.row, bus.row, bus.row]
        self.n_banks = shape[1] * shape[2] * shape[3]
        n = policy.n_channels
        self.channels = [Pins(t, bus.ticks_per_cycle, shape, hold, policy) for _ in range(n)]
        self.data_end = [-(-fs // self.tick_fs) for fs in backlog_fs]
        for i, channel in enumerate(self.channels):
            channel.next_refresh = t["nREFI"] * bus.ticks_per_cycle * (i + 1) // n
            channel.blocked = {p: self.data_end[i * shape[0] + p] for p in range(shape[0])}
        self.queues: list[tuple[deque[Access], deque[Access]]] = [(deque(), deque()) for _ in range(n)]
        self.tile_address = [sum(tile_bytes[:tile]) for tile in range(len(tile_bytes))]
        self.write_address = int(sum(tile_bytes))
        self.tick = 0
        self.under_way = 0
        self.read_bytes = self.write_bytes = 0
        self.intervals: list[list[tuple[int, int, int, int]]] = [[] for _ in backlog_fs]

    def ask(self, time_fs: int, bytes_: int, is_write: bool, tile: int) -> None:
        """Let a request arrive."""
        size = self.design.access_bytes
        wish = Wish(tile, is_write)
        address = self.tile_address[tile] if tile >= 0 else self.write_address
        if tile < 0:
            self.write_address += bytes_
        end = address + bytes_
        while address < end:
            piece = min(end, (address // size + 1) * size) - address
            self._queue(wish, -(-time_fs // self.tick_fs), address // size, piece)
            address += piece
        if is_write:
            self.write_bytes += bytes_
        else:
            self.read_bytes += bytes_

    def _queue(self, wish: Wish, arrival: int, index: int, piece: int) -> None:
        design, geometry = self.design, self.design.memory.geometry
        n_pins, n_channels = len(self.data_end), len(self.channels)
        round_, turn = divmod(index, n_pins)
        place = (turn + (round_ * GOLDEN % 2**32 * n_pins >> 32)) % n_pins
        line = round_ // (geometry.n_columns * geometry.burst // design.access_bytes)
        row, bank = divmod(line, self.n_banks)
        bank = (bank + (row * GOLDEN % 2**32 * self.n_banks >> 32)) % self.n_banks
        bursts = -(-piece // geometry.burst)
        pseudo, channel = divmod(place, n_channels)
        access = Access(wish, arrival, pseudo * self.n_banks + bank, row, piece, (bursts - 1) * design.burst_ticks)
        self.queues[channel][wish.is_write].append(access)
        wish.left += 1
        self.under_way += 1

    def advance(self) -> list[tuple[int, int]]:
        """Carry out one tick; return the fills (time fs, tile) that it decides."""
        fills = []
        for i, (channel, queue) in enumerate(zip(self.channels, self.queues, strict=True)):
            self._enter(channel, *queue)
            finished: dict[Any, int] = {}
            channel.step(self.tick, finished)
            for access, end in finished.items():
                fills += self._finish(i, access, end)
        self.tick += 1
        return fills

    def _enter(self, channel: Pins, reads: deque[Access], writes: deque[Access]) -> None:
        """Reads enter first; writes when no read waits, or once the cache has kept them for long enough."""
        depth = self.design.policy.queue
        while reads and reads[0].arrival <= self.tick and len(channel.reads) < depth:
            access: Any = reads.popleft()
            channel.reads.append(Request(access, access.bank, access.row, False))
        waits = bool(channel.reads) or any(access.arrival <= self.tick for access in reads)
        hold = self.design.hold_fs // self.tick_fs if waits else 0
        while writes and writes[0].arrival + hold <= self.tick and len(channel.writes) < depth:
            access = writes.popleft()
            channel.writes.append(Request(access, access.bank, access.row, True))

    def _finish(self, channel: int, access: Access, end: int) -> list[tuple[int, int]]:
        self.under_way -= 1
        pseudo = access.bank // self.n_banks
        line = channel * self.design.memory.geometry.n_pseudo_channels + pseudo
        self._log(line, access, end, self.channels[channel].refreshed.get(pseudo, (0, 0)))
        self.data_end[line] = end
        wish = access.wish
        wish.left -= 1
        wish.last = max(wish.last, end)
        done = wish.left == 0 and not wish.is_write
        return [(wish.last * self.tick_fs + self.design.path_fs, wish.tile)] if done else []

    def _log(self, line: int, access: Access, end: int, refresh: tuple[int, int]) -> None:
        start = end - access.extra - self.design.burst_ticks
        for tick in range(max(self.data_end[line], access.arrival), start):
            state = STALL_REFRESH if refresh[0] <= tick < refresh[1] else STALL_MEMORY
            self.intervals[line].append((tick * self.tick_fs, (tick + 1) * self.tick_fs, state, 0))
        self.intervals[line].append((start * self.tick_fs, end * self.tick_fs, BUSY, access.bytes_))

"""Plain Python twins of the jitted kernels: slow, obvious, event by event. Times are integers (fs)."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from naive_hbm import Stack

MIB = 1 << 20
Interval = tuple[int, int, int, int]  # start, end, state, amount
BUSY = 1


def moving_fs(bytes_: int, fs_per_mib: int) -> int:
    """Return how long a port of a rate is taken by some bytes."""
    return bytes_ * fs_per_mib // MIB


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return intervals in their order, those that touch and have one state made one."""
    out: list[Interval] = []
    for start, end, state, amount in intervals:
        if out and out[-1][1] == start and out[-1][2] == state:
            out[-1] = (out[-1][0], end, state, out[-1][3] + amount)
        else:
            out.append((start, end, state, amount))
    return out


@dataclass
class Pipe:
    """Something that moves bytes one after the other, first come first served; remembers when it was busy."""

    fs_per_mib: int
    free_fs: int = 0
    busy: list[Interval] = field(default_factory=list)

    def move(self, ready_fs: int, bytes_: int) -> int:
        """Return when the last byte has passed."""
        start = max(ready_fs, self.free_fs)
        self.free_fs = start + moving_fs(bytes_, self.fs_per_mib)
        self.busy.append((start, self.free_fs, BUSY, bytes_))
        return self.free_fs


class Cache:
    """LRU cache of tiles with one data pipe; whoever asks for a tile on its way waits for the same fill."""

    def __init__(self, lookup_fs: int, respond_fs: int, capacity_bytes: int, fs_per_mib: int, tile_bytes: Any) -> None:
        self.lookup_fs = lookup_fs
        self.respond_fs = respond_fs
        self.capacity_bytes = capacity_bytes
        self.tile_bytes = [int(size) for size in tile_bytes]
        self.pipe = Pipe(fs_per_mib)
        self.lru: OrderedDict[int, None] = OrderedDict()
        self.waiting: dict[int, list[list[Any]]] = {}
        self.counts = {"hits": 0, "misses": 0, "merged": 0, "read_bytes": 0, "write_bytes": 0}
        self.last_store_fs = 0

    def install(self, tile: int) -> None:
        """Make a tile the newest and evict the oldest others until all fit."""
        self.lru[tile] = None
        while sum(self.tile_bytes[held] for held in self.lru) > self.capacity_bytes and len(self.lru) > 1:
            self.lru.popitem(last=False)

    def request(self, time_fs: int, who: Any, tiles: Iterable[int], bytes_: int) -> tuple[list[Any], list[Any]]:
        """Return (responses: time, who) and (misses: time, bytes, is write, tile)."""
        misses = []
        entry = [who, 0, bytes_]
        for tile in tiles:
            if tile in self.lru:
                self.lru.move_to_end(tile)
                self.counts["hits"] += 1
                continue
            entry[1] += 1
            if tile in self.waiting:
                self.counts["merged"] += 1
                self.waiting[tile].append(entry)
            else:
                self.counts["misses"] += 1
                self.waiting[tile] = [entry]
                misses.append((time_fs + self.lookup_fs, self.tile_bytes[tile], False, tile))
        return ([self._answer(time_fs + self.lookup_fs, entry)] if entry[1] == 0 else []), misses

    def fill(self, time_fs: int, tile: int) -> list[Any]:
        """Return the responses to those for whom this tile was the last one missing."""
        self.install(tile)
        out = []
        for entry in self.waiting.pop(tile):
            entry[1] -= 1
            if entry[1] == 0:
                out.append(self._answer(time_fs, entry))
        return out

    def store(self, time_fs: int, bytes_: int, tile: int) -> list[Any]:
        """Return the write that goes on to the DRAM."""
        end = self.pipe.move(time_fs + self.lookup_fs, bytes_)
        self.counts["write_bytes"] += bytes_
        self.last_store_fs = max(self.last_store_fs, end)
        if tile >= 0 and tile not in self.lru and tile not in self.waiting:
            self.install(tile)
        return [(end, bytes_, True, -1)]

    def _answer(self, ready_fs: int, entry: list[Any]) -> tuple[int, Any]:
        self.counts["read_bytes"] += entry[2]
        return self.pipe.move(ready_fs, entry[2]) + self.respond_fs, entry[0]


@dataclass(eq=False)
class Step:
    """A step that was asked for: when its data is in the SM, who still works on it."""

    arrival_fs: int | None
    users: int
    freed_fs: int = 0


@dataclass(eq=False)
class Warps:
    """A group of warps: CTA, its step, and what it does next."""

    cta: int | None = None
    step: int = 0
    n_done: int = 0
    phase: str = "load"
    ready_fs: int = 0


@dataclass(eq=False)
class Slot:
    """Room for one resident CTA: its loader and its groups of warps. `steps` lists all steps ever asked for."""

    groups: list[Warps]
    cta: int | None = None
    step: int = 0
    ready_fs: int = 0
    resident_fs: int = 0
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """A class of CTAs in words; see the columns C_* of kernels/sm.py."""

    steps: int
    read: int
    read_last: int
    into: int
    into_last: int
    tensor1: int
    simt: int
    tensor2: int
    macs1: int
    ops: int
    macs2: int
    epilogue: int
    epilogue_ops: int
    store: int
    once: int


class Multiprocessor:
    """One SM that takes its earliest possible action, again and again."""

    def __init__(self, n_slots: int, n_stages: int, n_groups: int, period_fs: int, ingress_fs_per_mib: int) -> None:
        self.slots = [Slot([Warps() for _ in range(n_groups)]) for _ in range(n_slots)]
        self.n_stages = n_stages
        self.period_fs = period_fs
        self.copy = Pipe(ingress_fs_per_mib)
        self.free_fs = {"tensor": 0, "simt": 0}
        self.busy: dict[str, list[Interval]] = {"tensor": [], "simt": []}

    def assign(self, slot: Slot, cta: int, time_fs: int) -> None:
        """Make a CTA resident from the next edge of the clock on."""
        slot.cta, slot.step = cta, 0
        slot.ready_fs = slot.resident_fs = self._edge(time_fs)
        for group in slot.groups:
            group.cta, group.ready_fs = cta, slot.ready_fs

    def next_action(self, work_of: Any) -> tuple[int, Slot, Warps | None] | None:
        """Return (start, slot, group or None for the loader) of the earliest action; the first in order wins a tie."""
        actions: list[tuple[int, Slot, Warps | None]] = []
        for slot in self.slots:
            loadable = self._loadable_fs(slot)
            if loadable is not None:
                actions.append((loadable, slot, None))
            for group in slot.groups:
                ready = self._ready_fs(slot, group, work_of)
                if ready is not None:
                    actions.append((self._edge(ready), slot, group))
        return min(actions, key=lambda action: action[0]) if actions else None

    def _loadable_fs(self, slot: Slot) -> int | None:
        if slot.cta is None:
            return None
        if len(slot.steps) < self.n_stages:
            return slot.ready_fs
        before = slot.steps[-self.n_stages]
        return max(slot.ready_fs, before.freed_fs) if before.users == 0 else None

    def _ready_fs(self, slot: Slot, group: Warps, work_of: Any) -> int | None:
        if group.cta is None:
            return None
        if group.phase == "load":
            if group.n_done >= len(slot.steps) or slot.steps[group.n_done].arrival_fs is None:
                return None
            ready = max(group.ready_fs, slot.steps[group.n_done].arrival_fs or 0)
            return max(ready, self.free_fs["tensor"]) if work_of(group.cta).tensor1 else ready
        unit = "tensor" if group.phase == "tensor2" else "simt"
        return max(group.ready_fs, self.free_fs[unit])

    def _edge(self, time_fs: int) -> int:
        return -(-time_fs // self.period_fs) * self.period_fs

    def compute(self, start_fs: int, slot: Slot, group: Warps, work: Work) -> None:
        """Carry out a group's matrix, vector or second matrix work of a step."""
        unit, length, amount = {
            "load": ("tensor", work.tensor1, work.macs1),
            "simt": ("simt", work.simt, work.ops),
            "tensor2": ("tensor", work.tensor2, work.macs2),
        }[group.phase]
        self._take(unit, start_fs, length, amount)
        group.ready_fs = start_fs + length
        later = {"load": ["simt", "tensor2"], "simt": ["tensor2"], "tensor2": []}[group.phase]
        todo = [phase for phase in later if getattr(work, phase)]
        if todo:
            group.phase = todo[0]
            return
        step = slot.steps[group.n_done]
        step.users -= 1
        step.freed_fs = max(step.freed_fs, group.ready_fs)
        group.n_done += 1
        group.step += 1
        group.phase = "epilogue" if group.step == work.steps else "load"

    def finish(self, start_fs: int, group: Warps, work: Work) -> None:
        """Carry out a group's epilogue; its CTA is done."""
        self._take("simt", start_fs, work.epilogue, work.epilogue_ops)
        group.ready_fs = start_fs + work.epilogue
        group.cta, group.step, group.phase = None, 0, "load"

    def _take(self, unit: str, start_fs: int, length_fs: int, amount: int) -> None:
        if length_fs:
            self.free_fs[unit] = start_fs + length_fs
            self.busy[unit].append((start_fs, start_fs + length_fs, BUSY, amount))


DELIVER, FILL, REQUEST, STORE, DRAM, ASSIGN = range(6)  # in this order where they happen at one time


class Die:
    """A whole die with one queue of events. Ties: see the order above; then SM and order of issue, bytes, tile."""

    def __init__(self, timing: Any, kernel: Any, backlog_fs: Iterable[int]) -> None:
        self.t, self.k = timing, kernel
        self.works = [Work(*(int(value) for value in row)) for row in kernel.classes]
        self.ctas = kernel.ctas.tolist()
        self.cache = Cache(
            timing.lookup_fs, timing.respond_fs, timing.l2_capacity_bytes, timing.l2_fs_per_mib, kernel.tile_bytes
        )
        for tile in kernel.resident.tolist():
            self.cache.install(tile)
        self.dram = Stack(timing.hbm, kernel.tile_bytes.tolist(), list(backlog_fs))
        shape = (kernel.slots_per_sm, kernel.n_stages, kernel.n_groups, timing.period_fs, timing.ingress_fs_per_mib)
        self.sms = [Multiprocessor(*shape) for _ in range(timing.n_sms)]
        self.events: list[Any] = []
        self.n_events = 0
        self.last_fs = 0
        self.n_slots = timing.n_sms * kernel.slots_per_sm
        self.next_cta = min(self.n_slots, len(self.ctas))
        for cta in range(self.next_cta):
            slot = self.sms[cta % timing.n_sms].slots[cta // timing.n_sms]
            start_fs = timing.launch_fs + kernel.prologue_fs + cta * timing.dispatch_interval_fs
            self.sms[cta % timing.n_sms].assign(slot, cta, start_fs)

    def work_of(self, cta: int) -> Work:
        """Return the class of a CTA."""
        return self.works[self.ctas[cta][0]]

    def post(self, time_fs: int, what: int, key: tuple[int, ...], data: Any) -> None:
        """Let something happen at a time."""
        self.n_events += 1
        heapq.heappush(self.events, (time_fs, what, key, self.n_events, data))

    def run(self) -> int:
        """Carry out everything; return the duration."""
        while True:
            actions = [(sm.next_action(self.work_of), i) for i, sm in enumerate(self.sms)]
            possible = [(action[0], i, action) for action, i in actions if action is not None]
            first = min(possible, key=lambda action: action[:2]) if possible else None
            coming = [event[0] for event in self.events[:1]] + ([] if first is None else [first[0]])
            next_fs = min(coming, default=None)
            if self.dram.under_way and (next_fs is None or self.dram.tick * self.dram.tick_fs < next_fs):
                for back_fs, tile in self.dram.advance():
                    self.post(back_fs, FILL, (tile,), tile)
            # Slots that become free at one time are filled in their order, so all that ends then has to have ended.
            elif self.events and (first is None or self.events[0][:2] < (first[0], ASSIGN)):
                time_fs, what, _, _, data = heapq.heappop(self.events)
                self._happen(time_fs, what, data)
            elif first is not None:
                self._act(first[1], *first[2])
            else:
                break
        end_fs = max(self.last_fs, self.cache.last_store_fs) + self.t.drain_fs
        return -(-end_fs // self.t.period_fs) * self.t.period_fs

    def _happen(self, time_fs: int, what: int, data: Any) -> None:
        if what == ASSIGN:
            self._dispatch(time_fs, data)
        elif what == DELIVER:
            sm, step, bytes_ = data
            step.arrival_fs = self.sms[sm].copy.move(time_fs, bytes_)
        elif what == DRAM:
            while self.dram.tick * self.dram.tick_fs < time_fs:
                assert not self.dram.advance()
            self.dram.ask(time_fs, *data)
        else:
            self._at_cache(time_fs, what, data)

    def _at_cache(self, time_fs: int, what: int, data: Any) -> None:
        responses: list[Any] = []
        misses: list[Any] = []
        if what == FILL:
            responses = self.cache.fill(time_fs, data)
        elif what == REQUEST:
            responses, misses = self.cache.request(time_fs, *data)
        else:
            misses = self.cache.store(time_fs, *data)
        for response_fs, who in responses:
            self.post(response_fs, DELIVER, (0,), who)
        for miss_fs, bytes_, is_write, tile in misses:
            self.post(miss_fs, DRAM, (0,), (bytes_, is_write, tile))

    def _dispatch(self, time_fs: int, data: Any) -> None:
        sm, slot = data
        if self.next_cta < len(self.ctas):
            self.sms[sm].assign(self.sms[sm].slots[slot], self.next_cta, time_fs + self.t.dispatch_fs)
            self.next_cta += 1

    def _act(self, sm: int, start_fs: int, slot: Slot, group: Warps | None) -> None:
        if group is None:
            self._load(sm, slot, start_fs)
        elif group.phase != "epilogue":
            assert group.cta is not None
            self.sms[sm].compute(start_fs, slot, group, self.work_of(group.cta))
        else:
            self._finish(sm, slot, group, start_fs)

    def _load(self, sm: int, slot: Slot, start_fs: int) -> None:
        assert slot.cta is not None
        _, tile_a, tile_b, _ = self.ctas[slot.cta]
        work = self.work_of(slot.cta)
        last = slot.step + 1 == work.steps
        once = work.once if slot.step == 0 else 0
        tiles = [tile_b + slot.step] if tile_b >= 0 else []
        if tile_a >= 0 and not work.once:
            tiles.insert(0, tile_a + slot.step)
        elif tile_a >= 0 and slot.step == 0:
            tiles.insert(0, tile_a)
        step = Step(None, len(slot.groups))
        slot.steps.append(step)
        who = (sm, step, (work.into_last if last else work.into) + once)
        data = (who, tiles, (work.read_last if last else work.read) + once)
        self.post(start_fs + self.t.send_fs, REQUEST, (sm,), data)
        slot.ready_fs = start_fs + self.t.period_fs
        slot.step += 1
        if last:
            slot.cta, slot.step = self._following(slot.cta), 0

    def _following(self, cta: int) -> int | None:
        """Return the CTA that a slot of a persistent kernel goes on with."""
        after = cta + self.n_slots
        return after if self.k.persistent and after < len(self.ctas) else None

    def _finish(self, sm: int, slot: Slot, group: Warps, start_fs: int) -> None:
        cta = group.cta
        assert cta is not None
        work = self.work_of(cta)
        self.sms[sm].finish(start_fs, group, work)
        if work.store:
            out = self.ctas[cta][3]
            tile = out + slot.groups.index(group) if out >= 0 else -1
            self.post(group.ready_fs + self.t.send_fs, STORE, (work.store, tile), (work.store, tile))
        self.last_fs = max(self.last_fs, group.ready_fs)
        group.cta = self._following(cta)
        if not self.k.persistent and all(other.cta is None for other in slot.groups):
            index = self.sms[sm].slots.index(slot)
            self.post(group.ready_fs, ASSIGN, (sm * self.k.slots_per_sm + index,), (sm, index))


def send_messages(hop_fs: int, fs_per_mib: int, messages: Iterable[Any], n_ranks: int) -> tuple[list[int], list[Any]]:
    """Return the last arrival at each chip, and the pipes (egress, ingress) of each; messages in order, cut-through."""
    pipes = [(Pipe(fs_per_mib), Pipe(fs_per_mib)) for _ in range(n_ranks)]
    finish = [0] * n_ranks
    for ready_fs, source, destination, bytes_ in messages:
        end_fs = pipes[source][0].move(ready_fs, bytes_)
        first_byte_fs = end_fs - moving_fs(bytes_, fs_per_mib) + hop_fs
        finish[destination] = max(finish[destination], pipes[destination][1].move(first_byte_fs, bytes_))
    return finish, pipes


def reduce_in_switch(
    ready_fs: int, hop_fs: int, fs_per_mib: int, piece_bytes: int, n_pieces: int, n_ranks: int
) -> tuple[list[int], list[Any]]:
    """Return the same for an all-reduce in the switch: pieces fetched reduced, then stored to all, fetches ahead."""
    pipes = [(Pipe(fs_per_mib), Pipe(fs_per_mib)) for _ in range(n_ranks)]
    finish = [0] * n_ranks
    piece_fs = max(1, moving_fs(piece_bytes, fs_per_mib))
    ahead = 1 + 2 * hop_fs // (piece_fs * n_ranks)
    fetched: dict[tuple[int, int], int] = {}

    def fetch(piece: int, owner: int) -> None:
        at_switch = [egress.move(ready_fs + hop_fs, piece_bytes) - piece_fs + hop_fs for egress, _ in pipes]
        fetched[piece, owner] = pipes[owner][1].move(max(ready_fs, *at_switch), piece_bytes)

    def store(piece: int, owner: int) -> None:
        arrival_fs = pipes[owner][0].move(fetched[piece, owner], piece_bytes) - piece_fs + hop_fs
        for rank, (_, ingress) in enumerate(pipes):
            finish[rank] = max(finish[rank], ingress.move(arrival_fs, piece_bytes))

    for step in range(n_pieces + ahead):
        for owner in range(n_ranks):
            if step < n_pieces:
                fetch(step, owner)
            if step >= ahead:
                store(step - ahead, owner)
    return finish, pipes

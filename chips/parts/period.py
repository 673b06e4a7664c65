"""Exact repetition of a main loop: when a die's whole state recurs relative to now, what lies between happens again.

Found by a hash of the SMs' state at the ends of windows, proved by simulating one more period and comparing everything,
then inserted as often as the loop goes on: progress moves ahead, time does not, and the log notes the repetition.
The cache directory is not periodic (it remembers other tiles), so it is carried through every period; the repetition
ends where a look-up would turn out differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.cache import L2Cache
from dieshot.chips.parts.dram import DramChannels
from dieshot.chips.parts.multiprocessor import Multiprocessors
from dieshot.chips.parts.tile_kernel import DieTiming, TileKernel
from dieshot.kernels import l2, sm
from dieshot.kernels.period import replay_directory, signature

MIN_STEPS = 32
MAX_SEEN = 4096
HORIZON_STEPS = 8


def loop_step_fs(kernel: TileKernel) -> int:
    """Return how long an SM's busiest unit works on one step of all its resident CTAs (the commonest class)."""
    counts = np.bincount(kernel.ctas[:, sm.K_CLASS], minlength=len(kernel.classes))
    row = kernel.classes[int(counts.argmax())]
    matrix = row[sm.C_TENSOR1] + row[sm.C_TENSOR2]
    return int(max(matrix, row[sm.C_SIMT])) * kernel.n_groups * kernel.slots_per_sm


def aligned_quantum_fs(timing: DieTiming, kernel: TileKernel) -> int:
    """Return the longest window within the lookahead that divides the loop's step, or is a multiple of it."""
    step_fs = loop_step_fs(kernel)
    longest = timing.quantum_fs
    if step_fs <= 0 or int(kernel.classes[:, sm.C_STEPS].max()) < MIN_STEPS:
        return longest
    if step_fs <= longest:
        return longest // step_fs * step_fs
    fewest = -(-step_fs // longest)
    dividing = (step_fs // n for n in range(fewest, 3 * fewest) if step_fs % n == 0)
    return next(dividing, longest)


@dataclass(slots=True)
class _Proof:
    """One period under proof: where it began, and the cache directory and counters then."""

    begun_fs: int
    ends_at_window: int
    state: tuple[bytes, ...]
    step: int
    directory: tuple[Rows, Rows, Rows, Rows]
    l2_regs: Rows
    hbm_regs: Rows
    n_completed: int


class Repetition:
    """Watches a die at the ends of its windows and inserts periods."""

    def __init__(
        self,
        timing: DieTiming,
        kernel: TileKernel,
        quantum_fs: int,
        sms: Multiprocessors,
        cache: L2Cache,
        dram: DramChannels,
        logs: tuple[ActivityLog, ...],
    ) -> None:
        self.timing = timing
        self.kernel = kernel
        self.sms = sms
        self.cache = cache
        self.dram = dram
        self.logs = logs
        self.inserted_fs = 0
        self.inserted_periods = 0
        self.windows_a_step = max(1, loop_step_fs(kernel) // quantum_fs)
        self.horizon_fs = HORIZON_STEPS * max(loop_step_fs(kernel), quantum_fs)
        self._window = 0
        self._seen: dict[int, int] = {}
        self._proof: _Proof | None = None

    def window_done(self, now_fs: int) -> None:
        """Take notice that every part has advanced to `now_fs` (the cache and the DRAM as far as the wires allow)."""
        self._window += 1
        if self._proof is not None:
            if self._window == self._proof.ends_at_window:
                self._conclude(self._proof, now_fs)
            return
        if self._window % self.windows_a_step:
            return
        step = self._loop_step()
        if step is None:
            return
        sms = self.sms
        hash_ = signature(
            now_fs,
            self.horizon_fs,
            step,
            sms.slots,
            sms.groups,
            sms.ring,
            sms.units,
            self.dram.free_fs,
            int(self.dram.regs[0]),
        )
        before = self._seen.get(hash_)
        if before is None:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen[hash_] = self._window
            return
        self._begin(now_fs, self._window - before, step)

    def _loop_step(self) -> int | None:
        """Return the step that the first busy slot loads next: the loop's progress."""
        loading = np.flatnonzero(self.sms.slots[:, sm.L_CTA] >= 0)
        return int(self.sms.slots[loading[0], sm.L_STEP]) if len(loading) else None

    def _begin(self, now_fs: int, n_windows: int, step: int) -> None:
        cache = self.cache
        directory = (cache.ready_fs.copy(), cache.older.copy(), cache.newer.copy(), cache.regs.copy())
        self._proof = _Proof(
            now_fs,
            self._window + n_windows,
            self._state(now_fs, step),
            step,
            directory,
            cache.regs.copy(),
            self.dram.regs.copy(),
            int(self.sms.counts[4]),
        )
        cache.events = []
        for log in self.logs:
            log.mark(now_fs)

    def _conclude(self, proof: _Proof, now_fs: int) -> None:
        """Compare the state with that one period ago, and insert as many periods as go through."""
        self._proof = None
        self._seen.clear()
        events = np.concatenate(self.cache.events) if self.cache.events else np.empty((0, 2), np.int64)
        self.cache.events = None
        step = self._loop_step()
        if step is None or step <= proof.step or int(self.sms.counts[4]) != proof.n_completed:
            return
        for log in self.logs:
            log.cut(now_fs)
        if self._state(now_fs, step) != proof.state:
            return
        shift = step - proof.step
        n_periods = self._carry_directory(proof, np.ascontiguousarray(events), shift, self._room(shift))
        if n_periods:
            self._insert(proof, n_periods, shift, now_fs - proof.begun_fs)

    def _room(self, shift: int) -> int:
        """Return how many periods fit before any CTA comes to its last step."""
        steps = self.kernel.classes[self.kernel.ctas[:, sm.K_CLASS], sm.C_STEPS]
        room = []
        for rows, cta, at in ((self.sms.slots, sm.L_CTA, sm.L_STEP), (self.sms.groups, sm.G_CTA, sm.G_STEP)):
            busy = rows[rows[:, cta] >= 0]
            if len(busy):
                room.append(int((steps[busy[:, cta]] - 1 - busy[:, at]).min()) // shift)
        return max(0, min(room))

    def _carry_directory(self, proof: _Proof, events: Rows, shift: int, most: int) -> int:
        """Learn the outcomes of the period just simulated, then carry the cache's directory on; return the periods."""
        cache = self.cache
        outcomes = np.zeros(len(events), np.int64)
        self._replay(events, 0, 1, shift, proof.directory, outcomes)
        if most == 0:
            return 0
        trial = (cache.ready_fs.copy(), cache.older.copy(), cache.newer.copy(), cache.regs.copy())
        n_periods = self._replay(events, 1, most, shift, trial, outcomes)
        if n_periods:
            self._replay(events, 1, n_periods, shift, (cache.ready_fs, cache.older, cache.newer, cache.regs), outcomes)
        return n_periods

    def _replay(
        self, events: Rows, first: int, n: int, shift: int, directory: tuple[Rows, Rows, Rows, Rows], outcomes: Rows
    ) -> int:
        ready_fs, older, newer, regs = directory
        capacity = self.timing.l2_capacity_bytes
        return int(
            replay_directory(
                events,
                first,
                n,
                shift,
                capacity,
                self.cache.tile_bytes,
                ready_fs,
                older,
                newer,
                self.cache.waiters,
                regs,
                outcomes,
            )
        )

    def _insert(self, proof: _Proof, n_periods: int, shift: int, period_fs: int) -> None:
        steps = n_periods * shift
        for rows, cta, at in ((self.sms.slots, sm.L_CTA, sm.L_STEP), (self.sms.groups, sm.G_CTA, sm.G_STEP)):
            rows[rows[:, cta] >= 0, at] += steps
        cache, dram = self.cache, self.dram
        waited_for = np.flatnonzero(cache.waiters >= 0)
        chains = cache.waiters[waited_for].copy()
        cache.waiters[waited_for] = -1
        cache.waiters[waited_for + steps] = chains
        cache.heap[: int(cache.regs[l2.R_HEAP]), 1] += steps
        dram.sent[:, 1] += steps
        dram.announced[dram.announced[:, 3] >= 0, 3] += steps
        for column in (l2.R_READ_BYTES, l2.R_WRITE_BYTES, l2.R_HITS, l2.R_MISSES, l2.R_MERGED):
            cache.regs[column] += n_periods * (cache.regs[column] - proof.l2_regs[column])
        dram.regs[1:] += n_periods * (dram.regs[1:] - proof.hbm_regs[1:])
        for log in self.logs:
            log.repeat_since_mark(n_periods + 1, period_fs)
        self.inserted_fs += n_periods * period_fs
        self.inserted_periods += n_periods

    def _state(self, now_fs: int, step: int) -> tuple[bytes, ...]:
        """Return everything that decides what happens next but the directory, relative to `now_fs` and `step`."""
        sms, cache, dram = self.sms, self.cache, self.dram
        slots, groups, ring = sms.slots.copy(), sms.groups.copy(), sms.ring.copy()
        slots[:, sm.L_STEP] -= np.where(slots[:, sm.L_CTA] >= 0, step, 0)
        slots[:, sm.L_READY] = self._since(slots[:, sm.L_READY], now_fs)
        groups[:, sm.G_STEP] -= np.where(groups[:, sm.G_CTA] >= 0, step, 0)
        groups[:, sm.G_READY] = self._since(groups[:, sm.G_READY], now_fs)
        ahead = np.repeat(slots[:, sm.L_COUNT], self.kernel.n_groups) - groups[:, sm.G_COUNT]
        groups[:, sm.G_COUNT] = slots[:, sm.L_COUNT] = 0
        for column in (sm.B_ISSUE, sm.B_ARRIVE, sm.B_FREED):
            ring[:, column] = self._since(ring[:, column], now_fs)
        heap = cache.heap[: int(cache.regs[l2.R_HEAP])]
        heap = heap[np.lexsort((heap[:, 1], heap[:, 0]))] - np.array([now_fs, step])
        sent = dram.sent - np.array([now_fs, step])
        announced = dram.announced - np.array([now_fs, 0, 0, step])
        free = self._since(np.append(dram.free_fs, cache.regs[l2.R_FREE]), now_fs)
        units = self._since(sms.units, now_fs)
        parts = [slots, groups, ahead, ring, units, sms.in_bytes, heap, sent, announced, free, dram.regs[:1]]
        return tuple(np.ascontiguousarray(part).tobytes() for part in [*parts, *self._waiting(step)])

    def _since(self, times_fs: Rows, now_fs: int) -> Rows:
        relative = np.maximum(times_fs - now_fs, -self.horizon_fs)
        return np.where(times_fs == sm.NEVER, sm.NEVER, relative)

    def _waiting(self, step: int) -> tuple[Rows, Rows, Rows]:
        """Return the tiles waited for (relative), and for every link that waits the next one and its request."""
        cache = self.cache
        tiles = np.flatnonzero(cache.waiters >= 0)
        links: list[int] = []
        for link in cache.waiters[tiles].tolist():
            while link >= 0:
                links.append(link)
                link = int(cache.wait_next[link])
            links.append(-1)
        chain = np.asarray(links, np.int64)
        pool = cache.pool[chain[chain >= 0] // 2].ravel()
        return tiles - step, chain, pool

"""One kernel on one GPU die: wires the parts, runs SimPy until the kernel is done, and returns what happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.gpu.cache import FIRST_ROWS, L2Cache
from dieshot.chips.parts.gpu.dispatcher import Dispatcher
from dieshot.chips.parts.gpu.multiprocessor import Multiprocessors
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory.hbm import HbmStacks
from dieshot.kernels import die, sm
from dieshot.kernels.die_bound import least_end
from dieshot.kernels.die_state import Wires
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.lockstep import Lockstep, PartInLockstep

N_L2_LINES = 1
WINDOWS_A_STRETCH = 256


@dataclass(frozen=True, slots=True)
class Outcome:
    """Duration of a kernel (launch to the last store accepted and drained), what it moved, and how the DRAM is left.

    backlog (pseudo-channels, 2): how long each of the DRAM's goes on writing after the end (fs), and bytes (0 when not
    recorded).
    """

    duration_fs: int
    backlog: Rows
    activity: Activity
    counters: dict[str, int]


def n_components(timing: DieTiming) -> int:
    """Return how many log lines a die has: three units an SM, the L2, the DRAM's pseudo-channels."""
    return timing.n_sms * sm.N_UNITS + N_L2_LINES + timing.hbm.n_pins


def run_kernel(timing: DieTiming, kernel: TileKernel, backlog: Rows, record: bool) -> Outcome:
    """Simulate one kernel; `backlog` (pseudo-channels, 2) is what the kernel before left, as in Outcome."""
    env = simpy.Environment()
    running = Die(timing, kernel, backlog, record)
    lockstep = Lockstep(env, lambda: running.advance(WINDOWS_A_STRETCH))
    PartInLockstep(env, "dispatcher", lockstep, lambda: None, lambda: running.dispatcher.is_done)
    logging = {"sm": running.sms.flush, "l2": running.flush_cache, "hbm": running.flush_memory}
    parts = [PartInLockstep(env, name, lockstep, flush, lambda: running.is_done) for name, flush in logging.items()]
    for part in parts:
        env.run(until=part.process)
    return running.outcome()


class Die:
    """SMs, L2, dispatcher and memory stacks in lockstep: in every window each deals with what the others did before it.

    The windows are as long as no part can hear within one of what another did in it; they follow each other in one
    jitted call, see engine/lockstep.py.
    """

    def __init__(self, timing: DieTiming, kernel: TileKernel, backlog: Rows, record: bool) -> None:
        first_l2 = timing.n_sms * sm.N_UNITS
        self.timing = timing
        self.sms = Multiprocessors(timing, kernel, ActivityLog(first_l2, 0, record))
        self.cache = L2Cache(timing, kernel, len(self.sms.ring), ActivityLog(N_L2_LINES, first_l2, record))
        hbm_log = ActivityLog(timing.hbm.n_pins, first_l2 + N_L2_LINES, record)
        self.stacks = HbmStacks(timing.hbm, kernel.tile_bytes, hbm_log, backlog)
        self.is_done = False
        self.regs = np.zeros(die.N_REGS, np.int64)
        self.dispatcher = Dispatcher(kernel, self.sms.n_launched, self.regs)
        self.announced_stores, self.announced_misses = np.empty((0, 3), np.int64), np.empty((0, 4), np.int64)
        self.finished = np.empty((2, 2 * len(self.sms.finished_rows), 2), np.int64)
        self._hold_capacity(2 * FIRST_ROWS)

    @property
    def now_fs(self) -> int:
        """The end of the last window."""
        return int(self.regs[die.N_WINDOWS]) * self.timing.quantum_fs

    def _hold_capacity(self, n_rows: int) -> None:
        """Make room for that many requests, stores and misses under way, those announced before kept."""
        stores, misses = np.empty((n_rows, 3), np.int64), np.empty((n_rows, 4), np.int64)
        stores[: len(self.announced_stores)] = self.announced_stores
        misses[: len(self.announced_misses)] = self.announced_misses
        self.announced_stores, self.announced_misses = stores, misses
        self.requests_due = np.empty((n_rows, 5), np.int64)
        self.orders = np.empty((2, n_rows), np.int64)
        self.wires = Wires(
            self.regs, stores, misses, self.finished[0], self.requests_due, np.empty_like(stores),
            np.empty_like(misses), self.finished[1], self.orders,
        )  # fmt: skip

    def advance(self, n_windows: int) -> int:
        """Advance by that many windows, or to the end of the kernel; return the time that they took (fs)."""
        before_fs = self.now_fs
        last = int(self.regs[die.N_WINDOWS]) + n_windows
        status, stopped = die.NO_ROOM, None
        while status == die.NO_ROOM:
            status = die.advance_die(
                last, self.timing.quantum_fs, self.sms.state(), self.cache.state(), self.stacks.state(), self.wires
            )
            if status == die.NO_ROOM:
                self._flush()
                at = self.regs[: die.N_FILLS].tolist()
                if at == stopped:
                    self._grow(at[die.STEP])
                stopped = at
        self.is_done = bool(status == die.DONE)
        return self.now_fs - before_fs

    def flush_cache(self) -> None:
        """Take the rows of the cache's log out."""
        self.cache.log.keep(self.cache.log_rows[: int(self.regs[die.CACHE_LOG])])
        self.regs[die.CACHE_LOG] = 0

    def flush_memory(self) -> None:
        """Take the rows of the memory's log out."""
        self.stacks.log.keep(self.stacks.log_rows[: int(self.regs[die.MEMORY_LOG])])
        self.regs[die.MEMORY_LOG] = 0

    def _flush(self) -> None:
        self.sms.flush()
        self.flush_cache()
        self.flush_memory()

    def _grow(self, step: int) -> None:
        """Make the arrays longer that the next step of a window needs."""
        if step == die.ACT:
            self.sms.grow()
        elif step == die.LOOK_UP:
            n_rows = 2 * len(self.requests_due)
            self._hold_capacity(n_rows)
            self.cache.hold_capacity(n_rows)
        else:
            self.stacks.hold_capacity(len(self.stacks.accesses))

    def _duration_fs(self, last_fs: int) -> int:
        return -(-(last_fs + self.timing.drain_fs) // self.timing.period_fs) * self.timing.period_fs

    def least_duration_fs(self) -> int:
        """Return a duration that the kernel will not come in under; its own once it is done."""
        if self.is_done:
            return self._duration_fs(max(self.sms.last_fs, self.cache.last_store_fs))
        later, totals = self.sms.left_to_do
        return self._duration_fs(int(least_end(self.now_fs, self.sms.state(), self.cache.state(), later, totals)))

    def outcome(self) -> Outcome:
        """Return what happened, once all is over."""
        self._flush()
        timing, hbm_log = self.timing, self.stacks.log
        duration_fs = self._duration_fs(max(self.sms.last_fs, self.cache.last_store_fs))
        for log in (self.sms.log, self.cache.log, hbm_log):
            log.cut(die.FOREVER)
        hbm, left = hbm_log.activity().split(duration_fs, hbm_log.first_component, timing.hbm.n_pins)
        left_fs = np.maximum(self.stacks.end_fs - duration_fs, 0)
        activity = Activity.joined(self.sms.log.activity(), self.cache.log.activity(), hbm)
        counters = self.cache.counters() | self.stacks.counters()
        return Outcome(duration_fs, np.stack((left_fs, left), axis=1), activity, counters)


def background(timing: DieTiming, backlog: Rows, duration_fs: int) -> tuple[Activity, Rows]:
    """Return what the DRAM channels do of their backlog while no kernel runs for `duration_fs`, and what is left of
    it."""
    first = timing.n_sms * sm.N_UNITS + N_L2_LINES
    log = ActivityLog(timing.hbm.n_pins, first, record=True)
    log.begin(backlog)
    log.cut(die.FOREVER)
    activity, left = log.activity().split(duration_fs, first, timing.hbm.n_pins)
    return activity, np.stack((np.maximum(backlog[:, 0] - duration_fs, 0), left), axis=1)

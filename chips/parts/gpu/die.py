"""One kernel on one GPU die: wires the parts, runs SimPy until the kernel is done, and returns what happened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.gpu.cache import FOREVER, L2Cache
from dieshot.chips.parts.gpu.dispatcher import Dispatcher
from dieshot.chips.parts.gpu.multiprocessor import Multiprocessors
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory.hbm import HbmChannels
from dieshot.kernels import l2, sm
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.port import Port

N_L2_LINES = 1


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
    quantum_fs = timing.quantum_fs
    requests, responses = _round_trip(env, timing.send_fs, quantum_fs)
    misses, fills = _round_trip(env, timing.lookup_fs, quantum_fs)
    finished, assignments = _round_trip(env, quantum_fs // 2, quantum_fs)
    first_l2 = timing.n_sms * sm.N_UNITS
    sm_log = ActivityLog(first_l2, 0, record)
    l2_log = ActivityLog(N_L2_LINES, first_l2, record)
    hbm_log = ActivityLog(timing.hbm.n_pins, first_l2 + N_L2_LINES, record)
    sms = Multiprocessors(env, timing, kernel, responses, requests, assignments, finished, sm_log, quantum_fs)
    cache = L2Cache(env, timing, kernel, len(sms.ring), requests, responses, misses, fills, l2_log)
    dram = HbmChannels(env, timing.hbm, kernel.tile_bytes, misses, fills, hbm_log, backlog)
    if not kernel.persistent:
        Dispatcher(env, len(kernel.ctas), sms.n_launched, timing.dispatch_fs, finished, assignments)
    logs = (sm_log, l2_log, hbm_log)
    env.run(until=cache.process)
    end_fs = dram.drain()
    last_fs = max(int(sms.counts[5]), int(cache.regs[l2.R_LAST_STORE]))
    duration_fs = -(-(last_fs + timing.drain_fs) // timing.period_fs) * timing.period_fs
    for log in logs:
        log.cut(FOREVER)
    hbm, left = hbm_log.activity().split(duration_fs, hbm_log.first_component, timing.hbm.n_pins)
    left_fs = np.maximum(end_fs - duration_fs, 0)
    activity = Activity.joined(sm_log.activity(), l2_log.activity(), hbm)
    return Outcome(duration_fs, np.stack((left_fs, left), axis=1), activity, _counters(cache, dram))


def _round_trip(env: simpy.Environment, there_fs: int, quantum_fs: int) -> tuple[Port, Port]:
    """Return ports there and back that take one window in all, so that the parts at both ends stay in step.

    When the SMs' next window begins, the cache and the DRAM behind it have both dealt with the last one.
    """
    there_fs = min(there_fs, quantum_fs // 3)
    return Port(env, there_fs), Port(env, quantum_fs - there_fs)


def background(timing: DieTiming, backlog: Rows, duration_fs: int) -> tuple[Activity, Rows]:
    """Return what the DRAM channels do of their backlog while no kernel runs for `duration_fs`, and what is left of
    it."""
    first = timing.n_sms * sm.N_UNITS + N_L2_LINES
    log = ActivityLog(timing.hbm.n_pins, first, record=True)
    log.begin(backlog)
    log.cut(FOREVER)
    activity, left = log.activity().split(duration_fs, first, timing.hbm.n_pins)
    return activity, np.stack((np.maximum(backlog[:, 0] - duration_fs, 0), left), axis=1)


def _counters(cache: L2Cache, dram: HbmChannels) -> dict[str, int]:
    return {
        "l2_read_bytes": int(cache.regs[l2.R_READ_BYTES]),
        "l2_write_bytes": int(cache.regs[l2.R_WRITE_BYTES]),
        "l2_hits": int(cache.regs[l2.R_HITS]),
        "l2_misses": int(cache.regs[l2.R_MISSES]),
        "l2_merged": int(cache.regs[l2.R_MERGED]),
    } | dram.counters()

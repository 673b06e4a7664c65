"""Bounds of a kernel without simulating it: nothing overlaps (serial), everything overlaps (roofline)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory.hbm import MIB, HbmDesign
from dieshot.kernels import sm

Rows = NDArray[np.int64]


def serial_fs(timing: DieTiming, kernel: TileKernel, backlog_fs: int, moved: dict[str, int]) -> int:
    """Return a time that the kernel would take if nothing in it overlapped; no schedule takes longer.

    The busiest SM's CTAs one after the other, every step paying the way to the DRAM and back, its transfer and its
    arithmetic alone; then the DRAM and L2 traffic of the run (`moved`, its counters) as if it delayed that chain.
    """
    launch_fs = timing.launch_fs + kernel.prologue_fs + len(kernel.ctas) * timing.dispatch_interval_fs
    chain_fs = _chain_fs(timing, kernel, _cta_fs(timing, kernel)[kernel.ctas[:, sm.K_CLASS]])
    return launch_fs + chain_fs + _traffic_fs(timing, kernel, moved) + timing.drain_fs + backlog_fs


def _cta_fs(timing: DieTiming, kernel: TileKernel) -> Rows:
    """Return the time of a CTA of each class that has the die to itself.

    Every step may find another row open than its own.
    """
    c = kernel.classes
    groups = kernel.n_groups
    per_step = timing.ingress_fs_per_mib * np.maximum(c[:, sm.C_IN], c[:, sm.C_IN_LAST]) // MIB
    per_step += groups * (c[:, sm.C_TENSOR1] + c[:, sm.C_SIMT] + c[:, sm.C_TENSOR2] + 4 * timing.period_fs)
    per_step += timing.send_fs + 2 * timing.lookup_fs + timing.respond_fs + _lone_fs(timing.hbm)
    once = timing.ingress_fs_per_mib * c[:, sm.C_ONCE] // MIB + timing.dispatch_fs + timing.send_fs
    cta_fs: Rows = c[:, sm.C_STEPS] * per_step + groups * (c[:, sm.C_EPILOGUE] + timing.period_fs) + once
    return cta_fs


def _chain_fs(timing: DieTiming, kernel: TileKernel, cta_fs: Rows) -> int:
    """Return the most that an SM has to do, CTA after CTA.

    A persistent kernel deals its CTAs out in advance. A dispatcher keeps all SMs at work until it has no CTA left; by
    then they have done no more than everything, shared evenly, and each has at most its slots full to go.
    """
    if kernel.persistent:
        return max(int(cta_fs[first :: timing.n_sms].sum()) for first in range(min(len(cta_fs), timing.n_sms)))
    n_busy = min(len(cta_fs), timing.n_sms)
    return int(cta_fs.sum()) // n_busy + kernel.slots_per_sm * int(cta_fs.max())


def _lone_fs(hbm: HbmDesign) -> int:
    """Return what an access takes alone where its bank has another row open, from the cache and back."""
    t = hbm.memory.timings
    return _with_refreshes(hbm, t.nRP + t.nRCDRD + t.nCL + _bursts(hbm)) + hbm.path_fs


def _access_fs(hbm: HbmDesign, turns: bool) -> int:
    """Return the longest that an access can hold up those behind it: one row closed, the next opened, all bursts moved,
    and a turn to writing and back."""
    t = hbm.memory.timings
    recovery = max(t.nRTP, t.nCWL + t.nBL + t.nWR) if turns else t.nRTP
    cycles = max(t.nRC, t.nRCDRD + _bursts(hbm) + recovery + t.nRP)
    if turns:
        cycles += t.nRTW + t.nCWL + t.nBL + t.nWTRL
    return _with_refreshes(hbm, cycles)


def _bursts(hbm: HbmDesign) -> int:
    return -(-hbm.access_bytes // hbm.memory.geometry.burst) * hbm.burst_cycles


def _with_refreshes(hbm: HbmDesign, cycles: int) -> int:
    """Return the time of some cycles with their share of the refreshes."""
    t = hbm.memory.timings
    return cycles * t.tCK * t.nREFI // (t.nREFI - t.nRFC - t.nRP)


def _refresh_fs(hbm: HbmDesign) -> int:
    t = hbm.memory.timings
    return (t.nRP + t.nRFC) * t.tCK


def _traffic_fs(timing: DieTiming, kernel: TileKernel, moved: dict[str, int]) -> int:
    steps = int(kernel.classes[:, sm.C_STEPS][kernel.ctas[:, sm.K_CLASS]].sum())
    requests = moved["l2_misses"] + steps + len(kernel.ctas) * kernel.n_groups
    turns = moved["hbm_write_bytes"] > 0
    dram_fs = moved["hbm_busiest_channel"] * _access_fs(timing.hbm, turns) + 2 * _refresh_fs(timing.hbm)
    l2_bytes = moved["l2_read_bytes"] + moved["l2_write_bytes"]
    return dram_fs + l2_bytes * timing.l2_fs_per_mib // MIB + requests

"""All streaming multiprocessors of a die as one part: a row of state each, one call a stretch of windows."""

from __future__ import annotations

import functools

import numpy as np

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.kernels import die, sm
from dieshot.kernels.die_bound import AFTER_FS, BYTES, N_TOTALS, TRANSFERS
from dieshot.kernels.die_state import Sms

LAUNCH_SPREAD_ROWS = 4096
LOG_ROWS_A_STAGE = 64
MIB = 1 << 20
BLIND_ROWS = 8  # of a log that nobody writes


class Multiprocessors:
    """The SMs' tensor cores, vector units and copy engines, working through a kernel's CTAs."""

    def __init__(self, timing: DieTiming, kernel: TileKernel, log: ActivityLog) -> None:
        self.timing = timing
        self.kernel = kernel
        self.log = log
        self.n_slots = timing.n_sms * kernel.slots_per_sm
        self.slots = np.zeros((self.n_slots, sm.N_SLOT), np.int64)
        self.groups = np.zeros((self.n_slots * kernel.n_groups, sm.N_GROUP), np.int64)
        self.ring = np.zeros((self.n_slots * kernel.n_stages, sm.N_RING), np.int64)
        self.ring[:, sm.B_ARRIVE] = sm.NEVER
        self.in_bytes = np.zeros(len(self.ring), np.int64)
        self.units = np.zeros((timing.n_sms, sm.N_SM), np.int64)
        self.resident_fs = np.zeros(self.n_slots, np.int64)
        self.counts = np.zeros(6, np.int64)
        self.slots[:, sm.L_CTA] = -1
        self.groups[:, sm.G_CTA] = -1
        self.request_rows = np.empty((len(self.ring) + LAUNCH_SPREAD_ROWS, 5), np.int64)
        self.store_rows = np.empty((len(self.groups) + LAUNCH_SPREAD_ROWS, 3), np.int64)
        self.finished_rows = np.empty((self.n_slots + 2, 2), np.int64)
        n_log = LOG_ROWS_A_STAGE * len(self.ring) + 8 * LAUNCH_SPREAD_ROWS if log.record else BLIND_ROWS
        self.log_rows = np.empty((n_log, 5), np.int64)
        self._launch()

    def _launch(self) -> None:
        cta = np.arange(self.n_launched)
        slot = (cta % self.timing.n_sms) * self.kernel.slots_per_sm + cta // self.timing.n_sms
        period_fs = self.timing.period_fs
        start_fs = -(-(self.launch_fs + cta * self.timing.dispatch_interval_fs) // period_fs) * period_fs
        self.slots[slot, sm.L_CTA] = cta
        self.slots[slot, sm.L_READY] = start_fs
        self.slots[slot, sm.L_OPEN_GROUPS] = self.kernel.n_groups
        self.resident_fs[slot] = start_fs
        for group in range(self.kernel.n_groups):
            row = slot * self.kernel.n_groups + group
            self.groups[row, sm.G_CTA] = cta
            self.groups[row, sm.G_READY] = start_fs

    @property
    def launch_fs(self) -> int:
        """When the first CTA is ready to load."""
        return self.timing.launch_fs + self.kernel.prologue_fs

    @property
    def n_launched(self) -> int:
        """How many CTAs the launch itself has placed."""
        return min(self.n_slots, len(self.kernel.ctas))

    @property
    def last_fs(self) -> int:
        """When the last CTA so far was done."""
        return int(self.counts[5])

    @functools.cached_property
    def left_to_do(self) -> tuple[Rows, Rows]:
        """What CTAs bring, as kernels/die_bound.py wants it: `later` and `totals`."""
        c, kind = self.kernel.classes, self.kernel.ctas[:, sm.K_CLASS]
        tensor_fs = c[:, sm.C_TENSOR1] + c[:, sm.C_TENSOR2]
        group_fs = c[:, sm.C_STEPS] * (tensor_fs + c[:, sm.C_SIMT]) + c[:, sm.C_EPILOGUE]
        work = np.stack((c[:, sm.C_STEPS] * tensor_fs, group_fs), axis=1)[kind]
        later = np.zeros_like(work)
        if self.kernel.persistent:
            rounds = -(-len(work) // self.n_slots)
            padded = np.zeros((rounds * self.n_slots, 2), np.int64)
            padded[: len(work)] = work
            from_here = np.cumsum(padded.reshape(rounds, -1, 2)[::-1], axis=0)[::-1].reshape(-1, 2)
            later = np.ascontiguousarray(from_here[: len(work)] - work)
        stored = int(c[:, sm.C_STORE].min())
        after_fs = self.timing.send_fs + self.timing.lookup_fs + stored * self.timing.l2_fs_per_mib // MIB
        read = (c[:, sm.C_STEPS] - 1) * c[:, sm.C_READ] + c[:, sm.C_READ_LAST] + c[:, sm.C_ONCE]
        moved = int((read + c[:, sm.C_STORE] * self.kernel.n_groups)[kind].sum())
        transfers = int((c[:, sm.C_STEPS] + self.kernel.n_groups)[kind].sum())
        totals = np.zeros(N_TOTALS, np.int64)
        totals[[BYTES, TRANSFERS, AFTER_FS]] = moved, transfers, after_fs if stored else 0
        return later, totals

    def state(self) -> Sms:
        """Return what the timing loop works on."""
        kernel, timing = self.kernel, self.timing
        return Sms(
            timing.period_fs, kernel.n_stages, kernel.n_groups, kernel.slots_per_sm,
            self.n_slots if kernel.persistent else 0, timing.send_fs, self.launch_fs, timing.ingress_fs_per_mib,
            timing.dispatch_fs, self.log.record, kernel.classes, kernel.ctas, self.slots, self.groups,
            self.resident_fs, self.ring, self.units, self.in_bytes, self.log.open, self.request_rows, self.store_rows,
            self.finished_rows, self.log_rows, self.counts,
        )  # fmt: skip

    def flush(self) -> None:
        """Take the rows of the log out."""
        self.log.keep(self.log_rows[: int(self.counts[die.SM_LOG])])
        self.counts[die.SM_LOG] = 0

    def grow(self) -> None:
        """Make room for twice as many requests, stores and finished slots a window."""
        self.request_rows, self.store_rows, self.finished_rows = (
            np.concatenate((rows, np.empty_like(rows)))
            for rows in (self.request_rows, self.store_rows, self.finished_rows)
        )

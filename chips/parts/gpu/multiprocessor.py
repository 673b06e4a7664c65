"""All streaming multiprocessors of a die as one part: a row of state each, one call a window."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.kernels import sm
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

LAUNCH_SPREAD_ROWS = 4096


class Multiprocessors(Component):
    """The SMs' tensor cores, vector units and copy engines, working through a kernel's CTAs."""

    def __init__(
        self,
        env: simpy.Environment,
        timing: DieTiming,
        kernel: TileKernel,
        responses: Port,
        requests: Port,
        assignments: Port,
        finished: Port,
        log: ActivityLog,
        quantum_fs: int,
    ) -> None:
        self.timing = timing
        self.kernel = kernel
        self.responses = responses
        self.requests = requests
        self.assignments = assignments
        self.finished = finished
        self.log = log
        self.quantum_fs = quantum_fs
        self.n_slots = timing.n_sms * kernel.slots_per_sm
        self.stride = self.n_slots if kernel.persistent else 0
        self.slots = np.zeros((self.n_slots, sm.N_SLOT), np.int64)
        self.groups = np.zeros((self.n_slots * kernel.n_groups, sm.N_GROUP), np.int64)
        self.ring = np.zeros((self.n_slots * kernel.n_stages, sm.N_RING), np.int64)
        self.ring[:, sm.B_ARRIVE] = sm.NEVER
        self.in_bytes = np.zeros(len(self.ring), np.int64)
        self.units = np.zeros((timing.n_sms, sm.N_UNITS), np.int64)
        self.resident_fs = np.zeros(self.n_slots, np.int64)
        self.counts = np.zeros(6, np.int64)
        self.slots[:, sm.L_CTA] = -1
        self.groups[:, sm.G_CTA] = -1
        self.request_rows = np.empty((len(self.ring) + LAUNCH_SPREAD_ROWS, 5), np.int64)
        self.store_rows = np.empty((len(self.groups) + LAUNCH_SPREAD_ROWS, 3), np.int64)
        self.finished_rows = np.empty((self.n_slots + 2, 2), np.int64)
        self.log_rows = np.empty((64 * len(self.ring) + 8 * LAUNCH_SPREAD_ROWS if log.record else 8, 5), np.int64)
        self._launch()
        super().__init__(env, "sm")

    def _launch(self) -> None:
        n_first = min(self.n_slots, len(self.kernel.ctas))
        cta = np.arange(n_first)
        slot = (cta % self.timing.n_sms) * self.kernel.slots_per_sm + cta // self.timing.n_sms
        start_fs = self.launch_fs + cta * self.timing.dispatch_interval_fs
        self.assign(np.stack((start_fs, slot, cta), axis=1))

    @property
    def launch_fs(self) -> int:
        """When the first CTA is ready to load."""
        return self.timing.launch_fs + self.kernel.prologue_fs

    @property
    def n_launched(self) -> int:
        """How many CTAs the launch itself has placed."""
        return min(self.n_slots, len(self.kernel.ctas))

    def assign(self, rows: Rows) -> None:
        """Make CTAs resident: rows (n, 3: time, slot, CTA)."""
        time_fs, slot, cta = rows[:, 0], rows[:, 1], rows[:, 2]
        start_fs = -(-time_fs // self.timing.period_fs) * self.timing.period_fs
        self.slots[slot, sm.L_CTA] = cta
        self.slots[slot, sm.L_STEP] = 0
        self.slots[slot, sm.L_READY] = start_fs
        self.slots[slot, sm.L_OPEN_GROUPS] = self.kernel.n_groups
        self.resident_fs[slot] = start_fs
        for group in range(self.kernel.n_groups):
            row = slot * self.kernel.n_groups + group
            self.groups[row, sm.G_CTA] = cta
            self.groups[row, sm.G_READY] = start_fs

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Once a window: take responses and assignments, act, send requests and stores."""
        window_fs = 0
        n_parts = len(self.kernel.ctas) * self.kernel.n_groups
        yield self.env.timeout(self.quantum_fs)
        while True:
            window_fs += self.quantum_fs
            requests, stores, finished = self.act(window_fs)
            last = int(self.counts[4]) == n_parts
            self.requests.send((requests, stores, window_fs, last))
            if last:
                return
            if not self.kernel.persistent:
                self.finished.send((finished, window_fs))
                assignments: Rows = yield self.assignments.receive()
                if len(assignments):
                    self.assign(assignments)
            responses: Rows = yield self.responses.receive()
            self.deliver(responses)

    def deliver(self, responses: Rows) -> None:
        """Take responses (n, 2: time, ring row) through the ingress ports."""
        if len(responses) == 0:
            return
        n_log = sm.deliver(
            self.kernel.n_stages,
            self.kernel.slots_per_sm,
            self.launch_fs,
            self.timing.ingress_fs_per_mib,
            self.log.record,
            responses,
            len(responses),
            self.ring,
            self.units,
            self.in_bytes,
            self.log.open,
            self.log_rows,
        )
        self.log.keep(self.log_rows[:n_log])

    def act(self, until_fs: int) -> tuple[Rows, Rows, Rows]:
        """Carry out everything that starts before `until_fs`; return requests, stores and finished slots by time."""
        parts: list[tuple[Rows, Rows, Rows]] = []
        status = 1
        while status:
            self.counts[:4] = 0
            status = sm.advance_sms(
                until_fs,
                self.timing.period_fs,
                self.kernel.n_stages,
                self.kernel.n_groups,
                self.kernel.slots_per_sm,
                self.stride,
                self.timing.send_fs,
                self.log.record,
                self.kernel.classes,
                self.kernel.ctas,
                self.slots,
                self.groups,
                self.resident_fs,
                self.ring,
                self.units,
                self.in_bytes,
                self.log.open,
                self.request_rows,
                self.store_rows,
                self.finished_rows,
                self.log_rows,
                self.counts,
            )
            n_requests, n_stores, n_finished, n_log = self.counts[:4].tolist()
            if n_log:
                self.log.keep(self.log_rows[:n_log])
            parts.append(
                (
                    self.request_rows[:n_requests].copy(),
                    self.store_rows[:n_stores].copy(),
                    self.finished_rows[:n_finished].copy(),
                )
            )
        joined = parts[0] if len(parts) == 1 else tuple(np.concatenate(rows) for rows in zip(*parts, strict=True))
        requests, stores, finished = joined
        return _by_time(requests), _by_time(stores), finished


def _by_time(rows: Rows) -> Rows:
    if len(rows) < 2:
        return rows
    return np.ascontiguousarray(rows[np.argsort(rows[:, 0], kind="stable")])

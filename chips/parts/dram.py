"""DRAM channels as one part: a row of state each, one call a window."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.tile_kernel import DieTiming
from dieshot.kernels.hbm import advance_hbm
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port


class DramChannels(Component):
    """All channels behind the cache; answers reads with the time their last byte is back at the cache."""

    def __init__(
        self, env: simpy.Environment, timing: DieTiming, misses: Port, fills: Port, log: ActivityLog, backlog: Rows
    ) -> None:
        self.timing = timing
        self.misses = misses
        self.fills = fills
        self.log = log
        self.free_fs = backlog[:, 0].copy()
        if log.record:
            log.begin(backlog)
        self.regs = np.zeros(3, np.int64)
        self.announced = np.empty((0, 4), np.int64)
        self.sent = np.empty((0, 2), np.int64)
        super().__init__(env, "hbm")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Serve one batch of misses a window."""
        while True:
            misses, until_fs = yield self.misses.receive()
            self.sent = self.serve(self._due(misses, until_fs))
            self.fills.send(self.sent)

    def _due(self, misses: Rows, until_fs: int) -> Rows:
        """Return what arrives before `until_fs`, first come first; a store announces its write while it waits for
        the L2."""
        if len(self.announced):
            misses = np.concatenate((self.announced, misses))
        if len(misses) == 0:
            return misses
        if len(misses) > 1:
            misses = misses[np.argsort(misses[:, 0], kind="stable")]
        due = int(np.searchsorted(misses[:, 0], until_fs))
        self.announced = misses[due:]
        return misses[:due]

    def serve(self, misses: Rows) -> Rows:
        """Time a batch (n, 4: time, bytes, read/write, tile); return the fills (n, 2: time, tile)."""
        n = len(misses)
        fills = np.empty((n, 2), np.int64)
        if n == 0:
            return fills
        rows = n + int((misses[:, 1] // self.timing.granule_bytes).sum()) if self.log.record else 0
        out = np.empty((rows + 1, 5), np.int64)
        counts = advance_hbm(
            self.timing.dram_latency_fs,
            self.timing.granule_bytes,
            self.timing.channel_fs_per_mib,
            self.log.record,
            misses,
            n,
            self.free_fs,
            self.regs,
            self.log.open,
            fills,
            out,
        )
        self.log.keep(out[: counts & 0xFFFFFFFF])
        return fills[: counts >> 32]

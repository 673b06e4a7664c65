"""The shared L2 cache as a part: requests and stores from the SMs, fills from the DRAM."""

from __future__ import annotations

import numpy as np

from dieshot.chips.parts.activity import ActivityLog
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.kernels import l2
from dieshot.kernels.die_state import Cache

FIRST_ROWS = 1 << 14  # of misses, and of the log, a window


class L2Cache:
    """Tile directory, data pipe and miss handling; n_pool: requests that can wait at one time."""

    def __init__(self, timing: DieTiming, kernel: TileKernel, n_pool: int, log: ActivityLog) -> None:
        self.timing = timing
        self.log = log
        self.tile_bytes = kernel.tile_bytes
        n_tiles = len(kernel.tile_bytes)
        self.ready_fs = np.full(n_tiles, l2.ABSENT, np.int64)
        self.older = np.empty(n_tiles + 1, np.int64)
        self.newer = np.empty(n_tiles + 1, np.int64)
        self.older[n_tiles] = self.newer[n_tiles] = n_tiles
        self.waiters = np.full(n_tiles, -1, np.int64)
        self.wait_next = np.full(2 * n_pool, -1, np.int64)
        self.pool = np.zeros((n_pool, l2.N_POOL), np.int64)
        self.heap = np.empty((2 * n_pool + 2, 2), np.int64)
        self.regs = np.zeros(l2.N_REGS, np.int64)
        self.counts = np.zeros(3, np.int64)
        self.response_rows = np.empty((n_pool, 2), np.int64)
        self.hold_capacity(FIRST_ROWS)
        l2.install_all(
            kernel.resident,
            timing.l2_capacity_bytes,
            self.tile_bytes,
            self.ready_fs,
            self.older,
            self.newer,
            self.waiters,
            self.regs,
        )

    @property
    def last_store_fs(self) -> int:
        """When the last store so far was taken in."""
        return int(self.regs[l2.R_LAST_STORE])

    def hold_capacity(self, n_rows: int) -> None:
        """Make room for that many misses a window, and for their log."""
        self.miss_rows = np.empty((n_rows, 4), np.int64)
        self.log_rows = np.empty((len(self.pool) + 2 * n_rows if self.log.record else 1, 5), np.int64)

    def state(self) -> Cache:
        """Return what the timing loop works on."""
        timing = self.timing
        return Cache(
            timing.lookup_fs, timing.respond_fs, timing.l2_capacity_bytes, timing.l2_fs_per_mib, self.tile_bytes,
            self.ready_fs, self.older, self.newer, self.waiters, self.wait_next, self.pool, self.heap, self.regs,
            self.log.open, self.response_rows, self.miss_rows, self.log_rows, self.counts,
        )  # fmt: skip

    def counters(self) -> dict[str, int]:
        """Return bytes, hits, misses and requests merged with an earlier miss."""
        return {
            "l2_read_bytes": int(self.regs[l2.R_READ_BYTES]),
            "l2_write_bytes": int(self.regs[l2.R_WRITE_BYTES]),
            "l2_hits": int(self.regs[l2.R_HITS]),
            "l2_misses": int(self.regs[l2.R_MISSES]),
            "l2_merged": int(self.regs[l2.R_MERGED]),
        }

"""The shared L2 cache as a part: requests and stores from the SMs, fills from the DRAM."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.kernels import l2
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

FOREVER = 2**62


class L2Cache(Component):
    """Tile directory, data pipe and miss handling; one jitted call a window."""

    def __init__(
        self,
        env: simpy.Environment,
        timing: DieTiming,
        kernel: TileKernel,
        n_pool: int,
        requests: Port,
        responses: Port,
        misses: Port,
        fills: Port,
        log: ActivityLog,
    ) -> None:
        self.timing = timing
        self.requests = requests
        self.responses = responses
        self.misses = misses
        self.fills = fills
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
        self.announced = np.empty((0, 3), np.int64)
        for tile in kernel.resident.tolist():
            self._install(tile)
        super().__init__(env, "l2")

    def _install(self, tile: int) -> None:
        self.ready_fs[tile] = 0
        l2.install(
            tile,
            self.timing.l2_capacity_bytes,
            self.tile_bytes,
            self.ready_fs,
            self.older,
            self.newer,
            self.waiters,
            self.regs,
        )

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Once a window: take what arrived, answer what can be answered, send on the misses."""
        fills: Rows = np.empty((0, 2), np.int64)
        last = False
        while not last:
            requests, stores, window_fs, last = yield self.requests.receive()
            until_fs = FOREVER if last else window_fs + self.timing.send_fs
            responses, misses = self.serve(until_fs, requests, self._due(stores, until_fs), fills)
            self.responses.send(responses)
            self.misses.send((misses, FOREVER if last else until_fs + self.timing.lookup_fs))
            fills = yield self.fills.receive()

    def _due(self, stores: Rows, until_fs: int) -> Rows:
        """Return the stores that arrive before `until_fs`; an epilogue announces its store before it is over.

        Stores of one time are ordered by what they are, so that their order does not depend on the windows.
        """
        if len(stores) == 0 and len(self.announced) == 0:
            return stores
        stores = np.concatenate((self.announced, stores))
        stores = stores[np.lexsort((stores[:, l2.W_TILE], stores[:, l2.W_BYTES], stores[:, l2.W_TIME]))]
        due = int(np.searchsorted(stores[:, 0], until_fs))
        self.announced = stores[due:]
        return stores[:due]

    def serve(self, until_fs: int, requests: Rows, stores: Rows, fills: Rows) -> tuple[Rows, Rows]:
        """Advance to `until_fs`; return responses (n, 2) and misses (n, 4)."""
        n_requests, n_stores, n_fills = len(requests), len(stores), len(fills)
        responses = np.empty((len(self.pool), 2), np.int64)
        misses = np.empty((2 * n_requests + n_stores, 4), np.int64)
        out = np.empty((len(self.pool) + n_requests + n_stores + 1 if self.log.record else 1, 5), np.int64)
        l2.advance_l2(
            until_fs,
            self.timing.lookup_fs,
            self.timing.respond_fs,
            self.timing.l2_capacity_bytes,
            self.timing.l2_fs_per_mib,
            self.log.record,
            requests,
            n_requests,
            stores,
            n_stores,
            fills,
            n_fills,
            self.tile_bytes,
            self.ready_fs,
            self.older,
            self.newer,
            self.waiters,
            self.wait_next,
            self.pool,
            self.heap,
            self.regs,
            self.log.open,
            responses,
            misses,
            out,
            self.counts,
        )
        n_responses, n_misses, n_log = self.counts.tolist()
        if n_log:
            self.log.keep(out[:n_log])
        return responses[:n_responses], misses[:n_misses]

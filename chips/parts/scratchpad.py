"""A scratchpad in two halves: one is filled from memory while the array works from the other."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.parts.memory import READ, WRITE, Memory
from dieshot.kernels.systolic import COUNT, END, LOADS, N_FOLD, N_STEPS, STATIONARY_READY, STREAM_READY
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

Rows = NDArray[np.int64]

STATIONARY_BYTES = 0
STREAM_BYTES = 1
STEPS = 2
SUM_BYTES = 3
N_TILE = 4


class Scratchpad(Component):
    """Fetches the operands of folds ahead of the array, batch by batch, and stores finished sums.

    tiles (folds, N_TILE): bytes of the stationary tile to fetch, bytes of the streaming tile to fetch (0 where it is
    there already), steps, bytes of sums that are finished with this fold. bounds (batches + 1): folds of each batch.
    A batch fits in one half; a half is filled again when the array is done with its last fold.
    """

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        memory: Memory,
        cycle_fs: int,
        tiles: Rows,
        bounds: Rows,
        work: Port,
        done: Port,
    ) -> None:
        self.memory = memory
        self.cycle_fs = cycle_fs
        self.tiles = tiles
        self.bounds = bounds
        self.work = work
        self.done = done
        self.stored_fs = 0
        self._resident_cycle = 0
        self._halves = simpy.Container(env, capacity=2, init=2)
        self.finished = env.process(self.store_results())
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Fill a half as soon as it is free, and pass its folds on with the cycle in which their operands are there."""
        for batch in range(len(self.bounds) - 1):
            yield self._halves.get(1)
            self.work.send((batch, self.fetch(self._tiles_of(batch))))

    def store_results(self) -> Generator[simpy.Event, Any, None]:
        """Store sums when their last fold has drained; free a half when the array has done with it."""
        for _ in range(len(self.bounds) - 1):
            batch, times = yield self.done.receive()
            sums = self._tiles_of(batch)[:, SUM_BYTES]
            for finished in np.flatnonzero(sums):
                yield self._until(int(times[finished, END]))
                self.store(int(sums[finished]))
            yield self._until(int(times[-1, END]))
            yield self._halves.put(1)

    def _until(self, cycle: int) -> simpy.Timeout:
        return self.env.timeout(max(0, cycle * self.cycle_fs - int(self.env.now)))

    def _tiles_of(self, batch: int) -> Rows:
        return self.tiles[self.bounds[batch] : self.bounds[batch + 1]]

    def fetch(self, tiles: Rows) -> Rows:
        """Read the operands of folds from now on; return them (n, N_FOLD) with the cycles in which they are there."""
        requests = np.zeros((len(tiles), 2, 4), np.int64)
        requests[:, :, 0] = int(self.env.now)
        requests[:, 0, 1] = tiles[:, STATIONARY_BYTES]
        requests[:, 1, 1] = tiles[:, STREAM_BYTES]
        requests[:, :, 2] = READ
        wanted = requests.reshape(-1, 4)
        moved = wanted[:, 1] > 0
        ready = np.zeros(len(wanted), np.int64)
        ready[moved] = -(-self.memory.serve(wanted[moved]) // self.cycle_fs)
        folds = np.ones((len(tiles), N_FOLD), np.int64)
        folds[:, STATIONARY_READY], folds[:, STREAM_READY] = ready[0::2], ready[1::2]
        folds[:, N_STEPS] = tiles[:, STEPS]
        folds[:, LOADS], folds[:, COUNT] = 1, 1
        # A streaming tile that was fetched for an earlier fold is there when the last of those is.
        self._resident_cycle = max(self._resident_cycle, int(folds[:, STREAM_READY].max()))
        reused = tiles[:, STREAM_BYTES] == 0
        folds[reused, STREAM_READY] = self._resident_cycle
        return folds

    def store(self, sum_bytes: int) -> None:
        """Write sums that are finished now."""
        request = np.array([[int(self.env.now), sum_bytes, WRITE, 0]], np.int64)
        self.stored_fs = max(self.stored_fs, int(self.memory.serve(request)[0]))

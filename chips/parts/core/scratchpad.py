"""A scratchpad: one part of it is filled from memory while the array works from the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.parts.core.tiling import HELD, N_OPERANDS, N_PIECE, STREAMED, SUMS, Tiling
from dieshot.chips.parts.core.tiling import N_ROWS as PIECE_ROWS
from dieshot.chips.parts.memory.memory import SharedMemory
from dieshot.kernels.systolic import COUNT, END, LOAD_CYCLES, N_FOLD, N_STEPS, STATIONARY_READY, STREAM_READY
from dieshot.kernels.transfer import N_TRANSFER, REQUESTER, START_FS, WRITE
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

Rows = NDArray[np.int64]

REQUESTS_UNDER_WAY = 2  # so that memory has work while the array is told of the last


class Scratchpad(Component):
    """Fetches the operands of folds ahead of the array, and stores finished sums.

    bounds (batches + 1): folds of each batch; a batch fits in one of the n_halves, which is filled again when the array
    is done with its last fold. A batch is asked for in requests of about `request_bytes`, two under way at a time.
    steps (folds): what each streams; load_cycles (folds): to write its held operand; both with what the banks lose.
    read_cycles: to read a tile of finished sums out of the array.
    """

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        memory: SharedMemory,
        cycle_fs: int,
        request_bytes: int,
        tiling: Tiling,
        bounds: Rows,
        steps: Rows,
        load_cycles: Rows,
        n_halves: int,
        read_cycles: int,
        requester: int,
        work: Port,
        done: Port,
    ) -> None:
        self.memory = memory
        self.cycle_fs = cycle_fs
        self.tiling = tiling
        self.bounds = bounds
        self.steps = steps
        self.load_cycles = load_cycles
        self.read_cycles = read_cycles
        self.requester = requester
        self.work = work
        self.done = done
        self.stored_fs = 0
        self.requests = request_bounds(tiling, bounds, request_bytes)
        self._halves = simpy.Container(env, capacity=n_halves, init=n_halves)
        self.finished = env.process(self.store_results())
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Fill a part as soon as it is free; pass folds on with the cycles in which their operands are there."""
        under_way: deque[int] = deque()
        starts = set(self.bounds[:-1].tolist())
        for begin, end in zip(self.requests[:-1].tolist(), self.requests[1:].tolist(), strict=True):
            if begin in starts:
                yield self._halves.get(1)
            if len(under_way) == REQUESTS_UNDER_WAY:
                yield self._until_fs(under_way.popleft())
            pieces = self.tiling.pieces[begin:end, :SUMS].reshape(-1, N_PIECE)
            wanted = pieces[:, PIECE_ROWS] > 0
            ready_fs = np.zeros(len(pieces), np.int64)
            if wanted.any():
                ready_fs[wanted] = yield self.memory.ask(self._transfers(pieces[wanted], 0))
                under_way.append(int(ready_fs.max()))
            self.work.send(((begin, end), self._folds(begin, end, -(-ready_fs // self.cycle_fs))))

    def _folds(self, begin: int, end: int, ready: Rows) -> Rows:
        """Return folds (n, N_FOLD); an operand fetched for an earlier fold is there, since that one comes first."""
        folds = np.ones((end - begin, N_FOLD), np.int64)
        by_fold = ready.reshape(-1, SUMS)
        folds[:, STATIONARY_READY] = by_fold[:, HELD]
        folds[:, STREAM_READY] = by_fold[:, STREAMED]
        folds[:, N_STEPS] = self.steps[begin:end]
        folds[:, LOAD_CYCLES], folds[:, COUNT] = self.load_cycles[begin:end], 1
        return folds

    def store_results(self) -> Generator[simpy.Event, Any, None]:
        """Store sums when their last fold has drained; free a part when the array has done with it."""
        ends = set(self.bounds[1:].tolist())
        for _ in range(len(self.requests) - 1):
            (begin, end), times = yield self.done.receive()
            for fold in np.flatnonzero(self.tiling.pieces[begin:end, SUMS, PIECE_ROWS]).tolist():
                yield self._until_fs((int(times[fold, END]) + self.read_cycles) * self.cycle_fs)
                stored = yield self.memory.ask(self._transfers(self.tiling.pieces[begin + fold, SUMS:N_OPERANDS], 1))
                self.stored_fs = max(self.stored_fs, int(stored[0]))
            if end in ends:
                yield self._until_fs(int(times[-1, END]) * self.cycle_fs)
                yield self._halves.put(1)

    def _transfers(self, pieces: Rows, is_write: int) -> Rows:
        transfers = np.empty((len(pieces), N_TRANSFER), np.int64)
        transfers[:, START_FS] = int(self.env.now)
        transfers[:, START_FS + 1 : START_FS + 1 + N_PIECE] = pieces
        transfers[:, WRITE], transfers[:, REQUESTER] = is_write, self.requester
        return transfers

    def _until_fs(self, time_fs: int) -> simpy.Timeout:
        return self.env.timeout(max(0, time_fs - int(self.env.now)))


def request_bounds(tiling: Tiling, bounds: Rows, request_bytes: int) -> Rows:
    """Return the first fold of every request, and the number of folds: batches cut where `request_bytes` are full."""
    total = np.concatenate(([0], np.cumsum(tiling.fetched_bytes.sum(axis=1))))
    cuts = [0]
    for end in bounds[1:].tolist():
        while cuts[-1] < end:
            full = int(np.searchsorted(total, total[cuts[-1]] + request_bytes, side="right")) - 1
            cuts.append(min(end, max(full, cuts[-1] + 1)))
    return np.array(cuts, np.int64)

"""The DMA engines of a systolic chip: fetch tiles ahead of the arrays as far as scratchpads have room, and store."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.parts.systolic.core_program import GATED, HOLD, LOAD, OPERATOR, CoreProgram, DmaTiming
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.step_board import StepBoard
from dieshot.chips.parts.systolic.vmem import ENGINES, Scratchpads
from dieshot.kernels.dram_stack import READ, WRITE
from dieshot.simulator.engine.cell import BUSY, STALL_CREDIT
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

Rows = NDArray[np.int64]

NO_TILE = -1


def transfer_sizes(program: CoreProgram, transfer_bytes: int) -> tuple[Rows, Rows]:
    """Return bytes and step of every transfer of a program's loads."""
    loads = program.steps[:, LOAD]
    counts = -(-loads // transfer_bytes)
    step = np.repeat(np.arange(len(loads)), counts)
    sizes = np.full(len(step), transfer_bytes, np.int64)
    last = np.cumsum(counts) - 1
    some = counts > 0
    sizes[last[some]] = loads[some] - (counts[some] - 1) * transfer_bytes
    return sizes, step


class Dma(Component):
    """Transfers in program order, on whichever engine is free; drives the memory's windows while any is under way."""

    def __init__(
        self,
        env: simpy.Environment,
        timing: DmaTiming,
        quantum_fs: int,
        board: StepBoard,
        vmem: Scratchpads,
        requests: Port,
        fills: Port,
        log: LaneLog,
    ) -> None:
        self.timing = timing
        self.quantum_fs = quantum_fs
        self.board = board
        self.vmem = vmem
        self.requests = requests
        self.fills = fills
        self.log = log
        self.sizes, step = transfer_sizes(board.program, timing.transfer_bytes)
        self._sizes, self._step = self.sizes.tolist(), step.tolist()
        self._steps = board.program.steps.tolist()
        self._left = np.bincount(step, minlength=len(self._steps)).tolist()
        self._slots = [0] * timing.slots
        self._engine_free = [0] * timing.engines
        self._next = 0
        self._opened = NO_TILE
        self._earliest: dict[int, int] = {}
        self._stores: list[int] = []
        self._closing = False
        vmem.tell(self.wake)
        for completed in board.completed:
            assert completed.callbacks is not None
            completed.callbacks.append(lambda _: self.wake())
        self._wake = env.event()
        super().__init__(env, "dma")

    def store(self, n_bytes: int) -> None:
        """Take bytes that a step has made, to be written."""
        self._stores.append(n_bytes)

    def wake(self) -> None:
        """Say that room or data may have come."""
        if not self._wake.triggered:
            self._wake.succeed()

    def close(self) -> None:
        """Say that nothing more will come: the process ends when all is handed to the memory."""
        self._closing = True
        self.wake()

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Window after window: send what may start, take what came back; sleep when nothing is under way."""
        while True:
            now = int(self.env.now)
            rows = self._issue(now)
            if len(rows) == 0 and not self._earliest:
                if self._closing:
                    return
                self._wake = self.env.event()
                yield self._wake
                if self._next < len(self._sizes):
                    self.log.add(now, int(self.env.now), STALL_CREDIT)
                continue
            moved = int(rows[:, 1].sum())
            self.requests.send((rows, now + self.quantum_fs))
            fills = yield self.fills.receive()
            self._take(fills)
            self.log.add(now, int(self.env.now), BUSY, moved)

    def _issue(self, now: int) -> Rows:
        """Return the requests (n, 4: time, bytes, direction, transfer) that start before the window's end."""
        until = now + self.quantum_fs
        out = []
        while self._next < len(self._sizes) and self._slots and self._slots[0] < until and self._open():
            transfer, n_bytes = self._next, self._sizes[self._next]
            engine = min(range(len(self._engine_free)), key=self._engine_free.__getitem__)
            start = max(now, self._slots[0], self._engine_free[engine])
            if start >= until:
                break
            heapq.heappop(self._slots)
            self._engine_free[engine] = start + self.timing.occupancy_fs(n_bytes)
            self._earliest[transfer] = start + self.timing.transfer_fs(n_bytes)
            out.append((start, n_bytes, READ, transfer))
            self._next += 1
        loads = np.array(out, np.int64).reshape(-1, 4)
        return np.concatenate((loads, self._store_rows(now))) if self._stores else loads

    def _open(self) -> bool:
        """Whether the step of the next transfer has its room, and its data are there to be fetched."""
        number = self._step[self._next]
        if number == self._opened:
            return True
        step = self._steps[number]
        if step[GATED] and step[OPERATOR] and not self.board.completed[step[OPERATOR] - 1].processed:
            return False
        if not self.vmem.take(step[HOLD]):
            return False
        self._opened = number
        return True

    def _store_rows(self, now: int) -> Rows:
        rows = np.array([(now, n_bytes, WRITE, NO_TILE) for n_bytes in self._stores], np.int64).reshape(-1, 4)
        self._stores = []
        return rows

    def _take(self, fills: Rows) -> None:
        """Take fills (n, 2: time, transfer); a step is loaded with its last transfer."""
        for time, transfer in fills.tolist():
            done = max(time, self._earliest.pop(transfer))
            heapq.heappush(self._slots, done)
            number = self._step[transfer]
            self.board.loaded_fs[number] = max(int(self.board.loaded_fs[number]), done)
            self._left[number] -= 1
            if self._left[number] == 0:
                loaded = self.board.loaded[number]
                assert loaded is not None
                assert loaded.callbacks is not None
                loaded.callbacks.append(partial(self._arrive, self._steps[number][LOAD]))
                self.board.succeed_at(loaded, int(self.board.loaded_fs[number]))

    def _arrive(self, n_bytes: int, _: simpy.Event) -> None:
        self.vmem.serve(ENGINES, int(self.env.now), n_bytes)

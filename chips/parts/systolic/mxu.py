"""The matrix units of a systolic chip: weights go in ahead, rows stream through, results come out a skew later."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.core.array import ArrayTiming, time_folds
from dieshot.chips.parts.systolic.core_program import (
    AFTER,
    FOLDS,
    LOAD_CYCLES,
    MACS,
    NONE,
    OPERATOR,
    STREAM,
    TOUCHED,
    WAIT,
    SystolicTiming,
)
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.step_board import StepBoard
from dieshot.chips.parts.systolic.vmem import ARRAYS, Scratchpads
from dieshot.kernels import systolic as fold
from dieshot.simulator.engine.cell import BUSY, STALL_LAUNCH, STALL_MEMORY, STALL_OPERAND
from dieshot.simulator.engine.component import Component

Cycles = tuple[int, int, int, int]


def stream_cycles(n_rows: int, n_pes: int, mac_rate: int, sublane_rows: int, least_fold: int) -> int:
    """Return the cycles in which rows pass the first PE of an array: rows padded to sublanes, a least interval kept.

    mac_rate: MACs of all PEs in a cycle, of more than one row where a PE does more than one, of less where it is slow.
    """
    padded = -(-n_rows // sublane_rows) * sublane_rows
    return max(-(-padded * n_pes // mac_rate), least_fold)


class MatrixUnits(Component):
    """All arrays of all cores, which act alike: each has the same number of folds of every step."""

    def __init__(
        self, env: simpy.Environment, timing: SystolicTiming, board: StepBoard, vmem: Scratchpads, log: LaneLog
    ) -> None:
        self.period_fs = timing.period_fs
        self.array: ArrayTiming = timing.array
        self.board = board
        self.vmem = vmem
        self.log = log
        self.state = np.zeros(fold.N_STATE, np.int64)
        self.steps = board.program.steps.tolist()
        super().__init__(env, "mxu")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take the steps in program order, each when its weights and rows are there and a weight buffer is free."""
        board = self.board
        for number, step in enumerate(self.steps):
            if step[FOLDS] == 0:
                continue
            loaded = board.loaded[number]
            if loaded is not None and not loaded.processed:
                yield loaded
            yield board.issued[step[OPERATOR]]
            if step[AFTER] != NONE:
                yield board.done[step[AFTER]]
            ready_fs = self._rows_ready_fs(step)
            free_fs = int(self.state[fold.SHADOW_FREE]) * self.period_fs
            if max(ready_fs, free_fs) > self.env.now:
                yield board.until(max(ready_fs, free_fs))
            self._multiply(number, step, int(board.loaded_fs[number]), ready_fs)

    def _rows_ready_fs(self, step: list[int]) -> int:
        before = int(self.board.done_fs[step[AFTER]]) if step[AFTER] != NONE else 0
        return max(int(self.board.issued_fs[step[OPERATOR]]), before) + step[WAIT] + self.vmem.access_fs

    def _multiply(self, number: int, step: list[int], weights_fs: int, rows_fs: int) -> None:
        """Time the folds of a step and tell the vector unit of the first and the last result."""
        period = self.period_fs
        row = np.array(
            [[-(-weights_fs // period), -(-rows_fs // period), step[STREAM], step[LOAD_CYCLES], step[FOLDS]]], np.int64
        )
        free = int(self.state[fold.STREAM_FREE])
        times = time_folds(self.array, True, self.state, row, self.name)[0]
        first, last = int(times[fold.FIRST_START]), int(times[fold.LAST_START]) + step[STREAM]
        self._log(step, free, first, last, weights_fs >= rows_fs)
        served_fs = self.vmem.serve(ARRAYS, first * period, step[TOUCHED])
        end_fs = max(int(times[fold.END]) * period, served_fs)
        if served_fs > last * period:
            self.state[fold.STREAM_FREE] = max(int(self.state[fold.STREAM_FREE]), -(-served_fs // period))
        tail = self.array.tail_cycles
        self.board.multiplied[number].succeed(((first + tail) * period, end_fs))

    def _log(self, step: list[int], free: int, first: int, last: int, waits_for_weights: bool) -> None:
        period = self.period_fs
        begin = max(self.log.end_fs, free * period)
        loading = max(begin, (first - step[LOAD_CYCLES]) * period)
        issued = int(self.board.issued_fs[step[OPERATOR]])
        issuing = issued - self.board.program.issue_fs[step[OPERATOR]]
        self.log.add(begin, min(issuing, loading), STALL_OPERAND)
        self.log.add(begin, min(issued, loading), STALL_LAUNCH)
        self.log.add(begin, loading, STALL_MEMORY if waits_for_weights else STALL_OPERAND)
        self.log.add(loading, last * period, BUSY, step[MACS])

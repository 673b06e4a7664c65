"""The large arrays of the die: weights go in ahead, rows stream through as soon as the unit before hands them out."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.core.array import ArrayTiming, time_folds
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.vmem import ARRAYS
from dieshot.chips.parts.transformer_asic.board import ChainBoard
from dieshot.chips.parts.transformer_asic.program import (
    AFTER,
    EARLY,
    FOLDS,
    GROUP,
    IN_BLOCKS,
    LOAD_CYCLES,
    MACS,
    NONE,
    STREAM,
    TOUCHED,
    UNIT,
    DieTiming,
)
from dieshot.kernels import systolic as fold
from dieshot.simulator.engine.cell import BUSY, STALL_LAUNCH, STALL_MEMORY, STALL_OPERAND
from dieshot.simulator.engine.component import Component


class WeightArrays(Component):
    """All arrays, which act alike: each has the same number of folds of every step."""

    def __init__(self, env: simpy.Environment, timing: DieTiming, board: ChainBoard, log: LaneLog) -> None:
        self.period_fs = timing.core.period_fs
        self.shapes = (timing.core.array, timing.block)
        self.in_blocks = 0
        self.board = board
        self.log = log
        self.state = np.zeros(fold.N_STATE, np.int64)
        super().__init__(env, "array")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take the steps in program order, each when its weights are there, its rows come, and a register is free."""
        board = self.board
        for number, step in enumerate(board.steps):
            if step[FOLDS] == 0:
                continue
            loaded = board.loaded[number]
            if loaded is not None and not loaded.processed:
                yield loaded
            yield board.issued[step[GROUP]]
            if step[AFTER] != NONE:
                yield board.known[step[AFTER]]
            ready_fs = max(int(board.issued_fs[step[GROUP]]), board.rows_ready_fs(number, self.period_fs))
            ready_fs += board.vmem.access_fs
            free_fs = int(self.state[fold.SHADOW_FREE]) * self.period_fs
            if max(ready_fs, free_fs) > self.env.now:
                yield board.until(max(ready_fs, free_fs))
            self._multiply(number, step, int(board.loaded_fs[number]), ready_fs)

    def _multiply(self, number: int, step: list[int], weights_fs: int, rows_fs: int) -> None:
        period, board, group = self.period_fs, self.board, step[GROUP]
        row = np.array(
            [[-(-weights_fs // period), -(-rows_fs // period), step[STREAM], step[LOAD_CYCLES], step[FOLDS]]], np.int64
        )
        array = self._shaped(step[IN_BLOCKS])
        free = int(self.state[fold.STREAM_FREE])
        times = time_folds(array, True, self.state, row, self.name)[0]
        first, last = int(times[fold.FIRST_START]), int(times[fold.LAST_START])
        self._log(step, free, first, last + step[STREAM], weights_fs >= rows_fs)
        served_fs = board.vmem.serve(ARRAYS, first * period, step[TOUCHED])
        end_fs = max(int(times[fold.END]) * period, served_fs)
        if served_fs > (last + step[STREAM]) * period:
            self.state[fold.STREAM_FREE] = max(int(self.state[fold.STREAM_FREE]), -(-served_fs // period))
        first_fs = ((first if step[EARLY] else last) + array.tail_cycles) * period
        board.begin_fs[group] = first * period if board.begin_fs[group] < 0 else board.begin_fs[group]
        board.multiplied_fs[group] = max(board.multiplied_fs[group], end_fs)
        if step[UNIT] == NONE:
            board.tell(number, first_fs, end_fs)
        else:
            board.fed[number].succeed((first_fs, end_fs))

    def _shaped(self, in_blocks: int) -> ArrayTiming:
        """Return the arrays whole, or a block of them; rows of one shape are out before those of the other come in."""
        if in_blocks != self.in_blocks:
            self.in_blocks = in_blocks
            self.state[fold.STREAM_FREE] = max(int(self.state[fold.STREAM_FREE]), int(self.state[fold.DRAINED]))
        return self.shapes[in_blocks]

    def _log(self, step: list[int], free: int, first: int, last: int, waits_for_weights: bool) -> None:
        period = self.period_fs
        begin = max(self.log.end_fs, free * period)
        loading = max(begin, (first - step[LOAD_CYCLES]) * period)
        issued = int(self.board.issued_fs[step[GROUP]])
        self.log.add(begin, min(issued, loading), STALL_LAUNCH)
        self.log.add(begin, loading, STALL_MEMORY if waits_for_weights else STALL_OPERAND)
        self.log.add(loading, last * period, BUSY, step[MACS])

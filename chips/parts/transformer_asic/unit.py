"""A fixed operator unit: takes results of arrays or of another unit as they come, hands out its own a latency later."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.vmem import LANES
from dieshot.chips.parts.transformer_asic.board import ChainBoard
from dieshot.chips.parts.transformer_asic.program import (
    AFTER,
    FOLDS,
    GROUP,
    NONE,
    OPS,
    UNIT,
    UNIT_CYCLES,
    WORKED,
)
from dieshot.simulator.engine.cell import BUSY, STALL_MEMORY, STALL_OPERAND
from dieshot.simulator.engine.component import Component


class OperatorUnit(Component):
    """One of the units; without a number it passes on what is only moved (loads and stores without any work)."""

    def __init__(
        self,
        env: simpy.Environment,
        name: str,
        number: int,
        latency_cycles: int,
        period_fs: int,
        board: ChainBoard,
        log: LaneLog,
    ) -> None:
        self.number = number
        self.latency_fs = latency_cycles * period_fs
        self.period_fs = period_fs
        self.board = board
        self.log = log
        self.free_fs = 0
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take the unit's steps in program order."""
        board = self.board
        for number, step in enumerate(board.steps):
            if step[UNIT] != self.number or (self.number == NONE and step[FOLDS]):
                continue
            if step[FOLDS]:
                first_fs, last_fs = yield board.fed[number]
            else:
                first_fs, last_fs = yield from self._operands(number, step)
            if max(first_fs, self.free_fs) > self.env.now:
                yield board.until(max(first_fs, self.free_fs))
            self._work(number, step, max(first_fs, self.free_fs), last_fs)

    def _operands(self, number: int, step: list[int]) -> Generator[simpy.Event, Any, tuple[int, int]]:
        """Wait for what a step without folds takes in; return when it begins to come and when all is there."""
        board, begin = self.board, int(self.env.now)
        yield board.issued[step[GROUP]]
        loaded = board.loaded[number]
        if loaded is not None and not loaded.processed:
            begin = int(self.env.now)
            yield loaded
            self.log.add(max(begin, self.log.end_fs), int(self.env.now), STALL_MEMORY)
        if step[AFTER] == NONE:
            there_fs = max(int(board.loaded_fs[number]), int(board.issued_fs[step[GROUP]])) + board.vmem.access_fs
            return there_fs, there_fs
        yield board.known[step[AFTER]]
        there_fs = max(int(board.loaded_fs[number]), int(board.issued_fs[step[GROUP]]))
        first_fs, last_fs = int(board.first_fs[step[AFTER]]), int(board.last_fs[step[AFTER]])
        return max(there_fs, first_fs) + board.vmem.access_fs, max(there_fs, last_fs) + board.vmem.access_fs

    def _work(self, number: int, step: list[int], start_fs: int, last_fs: int) -> None:
        busy_fs = start_fs + step[UNIT_CYCLES] * self.period_fs
        served_fs = self.board.vmem.serve(LANES, start_fs, step[WORKED]) if step[WORKED] else start_fs
        self.free_fs = max(busy_fs, last_fs, served_fs)
        self.log.add(start_fs, busy_fs, BUSY, step[OPS])
        self.log.add(busy_fs, self.free_fs, STALL_OPERAND)
        self.board.tell(number, start_fs + self.latency_fs, self.free_fs + self.latency_fs)

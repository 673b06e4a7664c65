"""The vector lanes of a systolic chip: finish every step, on the arrays' results or by themselves."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from dieshot.chips.parts.systolic.core_program import (
    AFTER,
    FOLDS,
    HOLD,
    NONE,
    OPERATOR,
    OPS,
    STORE,
    VECTOR,
    WAIT,
    WORKED,
)
from dieshot.chips.parts.systolic.dma import Dma
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.step_board import StepBoard
from dieshot.chips.parts.systolic.vmem import LANES, Scratchpads
from dieshot.simulator.engine.cell import BUSY, STALL_MEMORY, STALL_OPERAND
from dieshot.simulator.engine.component import Component


class VectorUnits(Component):
    """The lanes of all cores, which act alike; they close every step, hand its room back and its results on."""

    def __init__(self, env: simpy.Environment, board: StepBoard, vmem: Scratchpads, dma: Dma, log: LaneLog) -> None:
        self.board = board
        self.vmem = vmem
        self.dma = dma
        self.log = log
        self.steps = board.program.steps.tolist()
        super().__init__(env, "vector")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take the steps in program order."""
        for number, step in enumerate(self.steps):
            if step[FOLDS]:
                first_fs, last_fs = yield self.board.multiplied[number]
                yield self.board.until(first_fs)
            else:
                yield from self._operands(number, step)
                last_fs = int(self.env.now)
            yield self.board.until(self._work(step, last_fs))
            self._close(number, step)

    def _operands(self, number: int, step: list[int]) -> Generator[simpy.Event, Any, None]:
        loaded = self.board.loaded[number]
        yield self.board.issued[step[OPERATOR]]
        if step[AFTER] != NONE:
            yield self.board.done[step[AFTER]]
        if loaded is not None and not loaded.processed:
            begin = int(self.env.now)
            yield loaded
            self.log.add(max(begin, self.log.end_fs), int(self.env.now), STALL_MEMORY)
        if step[WAIT] or step[VECTOR]:
            yield self.env.timeout(step[WAIT] + (self.vmem.access_fs if step[VECTOR] else 0))

    def _work(self, step: list[int], last_fs: int) -> int:
        """Work on a step's results as they come; return when it is done: a share of a fold after the last result."""
        start = int(self.env.now)
        if step[VECTOR] == 0:
            return last_fs
        served_fs = self.vmem.serve(LANES, start, step[WORKED])
        tail = step[VECTOR] // max(1, step[FOLDS])
        end = max(start + step[VECTOR], last_fs + tail, served_fs)
        self.log.add(start, start + step[VECTOR], BUSY, step[OPS])
        self.log.add(start + step[VECTOR], end, STALL_OPERAND)
        return end

    def _close(self, number: int, step: list[int]) -> None:
        self.board.done_fs[number] = int(self.env.now)
        if step[STORE]:
            self.dma.store(step[STORE])
        self.vmem.give_back(step[HOLD])
        self.board.done[number].succeed()

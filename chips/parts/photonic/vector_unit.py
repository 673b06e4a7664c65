"""The digital lanes of a photonic chip: finish every step, on the arrays' results or by themselves."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from dieshot.chips.parts.photonic.board import Board
from dieshot.chips.parts.photonic.host_memory import HostMemory
from dieshot.chips.parts.photonic.program import NONE, Step
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.simulator.engine.cell import BUSY, STALL_BARRIER, STALL_MEMORY, STALL_OPERAND
from dieshot.simulator.engine.component import Component


class VectorUnit(Component):
    """Lanes that close every step, hand its room back and its results on."""

    def __init__(self, env: simpy.Environment, board: Board, host: HostMemory, log: LaneLog) -> None:
        self.board = board
        self.host = host
        self.log = log
        super().__init__(env, "vector")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take the steps in program order."""
        for number, step in enumerate(self.board.program.steps):
            begin = int(self.env.now)
            if len(step.runs):
                last_fs = yield self.board.passed[number]
                yield self.board.until(last_fs)
                self.log.add(begin, int(self.env.now), STALL_OPERAND)
            else:
                yield from self._operands(number, step)
            begin = int(self.env.now)
            if step.vector_fs:
                yield self.env.timeout(step.vector_fs)
                self.log.add(begin, int(self.env.now), BUSY, step.ops)
            self._close(number, step)

    def _operands(self, number: int, step: Step) -> Generator[simpy.Event, Any, None]:
        begin = int(self.env.now)
        yield self.board.issued[step.operator]
        if step.after != NONE:
            yield self.board.done[step.after]
        self.log.add(begin, int(self.env.now), STALL_BARRIER)
        loaded = self.board.loaded[number]
        if loaded is not None and not loaded.processed:
            begin = int(self.env.now)
            yield loaded
            self.log.add(begin, int(self.env.now), STALL_MEMORY)

    def _close(self, number: int, step: Step) -> None:
        self.board.done_fs[number] = int(self.env.now)
        if step.store:
            self.host.store(step.store)
        self.host.give_back(step.hold)
        self.board.done[number].succeed()

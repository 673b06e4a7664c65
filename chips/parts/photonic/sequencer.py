"""The control die of a photonic chip: begins one operator of the program after the other."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from dieshot.chips.parts.photonic.board import Board
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.simulator.engine.cell import BUSY, STALL_OPERAND
from dieshot.simulator.engine.component import Component


class Sequencer(Component):
    """Issues operators in order, each when the one before is over. ends_fs: when each was over."""

    def __init__(self, env: simpy.Environment, board: Board, log: LaneLog) -> None:
        self.board = board
        self.log = log
        self.ends_fs: list[int] = []
        super().__init__(env, "sequencer")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Walk through the program."""
        board, program = self.board, self.board.program
        for number, last in enumerate(program.last_step):
            begin = int(self.env.now)
            yield self.env.timeout(program.issue_fs[number])
            board.issued_fs[number] = int(self.env.now)
            self.log.add(begin, int(self.env.now), BUSY, 1)
            board.issued[number].succeed()
            yield board.done[last]
            self.log.add(self.log.end_fs, int(self.env.now), STALL_OPERAND)
            self.ends_fs.append(int(self.env.now))
            board.completed[number].succeed()

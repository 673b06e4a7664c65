"""The sequencer of the die: sets up one fused group after the other, ahead of the units that work."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.transformer_asic.board import ChainBoard
from dieshot.simulator.engine.cell import BUSY
from dieshot.simulator.engine.component import Component


class GroupSequencer(Component):
    """Sets up groups in order, without waiting for those before to end."""

    def __init__(self, env: simpy.Environment, board: ChainBoard, log: LaneLog) -> None:
        self.board = board
        self.log = log
        super().__init__(env, "sequencer")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Walk through the program."""
        board = self.board
        for number, issue_fs in enumerate(board.program.issue_fs):
            begin = int(self.env.now)
            yield self.env.timeout(issue_fs)
            board.issued_fs[number] = int(self.env.now)
            self.log.add(begin, int(self.env.now), BUSY, 1)
            board.issued[number].succeed()

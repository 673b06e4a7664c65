"""The optical arrays with their converters: blocks of weights are written, vectors pass, results are digitised."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.photonic.board import Board
from dieshot.chips.parts.photonic.program import NONE, Pass, PhotonicTiming, Step
from dieshot.kernels import photonic as block
from dieshot.simulator.engine.component import Component


class TensorCores(Component):
    """All arrays of a chip; each has blocks of its own, and they are timed together, step by step, into `passes`."""

    def __init__(self, env: simpy.Environment, timing: PhotonicTiming, board: Board) -> None:
        self.timing = timing
        self.board = board
        self.state = np.zeros((timing.n_cores, block.N_STATE), np.int64)
        self.passes: list[Pass] = []
        super().__init__(env, "tensor_core")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take the steps in program order, each when its operands are there; weights may have been written before."""
        board = self.board
        for number, step in enumerate(board.program.steps):
            if not len(step.runs):
                continue
            loaded = board.loaded[number]
            if loaded is not None and not loaded.processed:
                yield loaded
            yield board.issued[step.operator]
            if step.after != NONE:
                yield board.done[step.after]
            self._pass(number, step)

    def _pass(self, number: int, step: Step) -> None:
        """Time the blocks of a step, and say when their last result is there."""
        rows_fs = self.board.issued_fs[step.operator]
        if step.after != NONE:
            rows_fs = max(rows_fs, self.board.done_fs[step.after])
        loaded_fs = self.board.loaded_fs[number]
        weights_fs, vectors_fs = (rows_fs, max(rows_fs, loaded_fs)) if step.streamed else (loaded_fs, rows_fs)
        if not step.load:  # both operands come from the operators before
            weights_fs = rows_fs
        times = np.empty((len(step.runs), block.N_TIMES), np.int64)
        issue_fs, buffers = self.timing.issue_fs, self.timing.buffers
        status = block.pass_blocks(
            issue_fs, buffers, weights_fs, vectors_fs, self.state, step.runs, len(step.runs), times
        )
        if status != block.OK:
            raise ValueError(
                f"{self.name}: run {-1 - status} of step {number} is none: {step.runs[-1 - status].tolist()}"
            )
        self.passes.append(Pass(number, loaded_fs if step.load else weights_fs, weights_fs, step.runs, times))
        last_fs = int(times[:, block.END].max()) - issue_fs  # when the last vector's digits leave
        self.board.passed[number].succeed(last_fs + self.timing.pass_fs)

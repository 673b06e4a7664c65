"""What the parts of the die tell each other about steps: when results begin to come, when they end, who is done."""

from __future__ import annotations

from functools import partial

import numpy as np
import simpy

from dieshot.chips.parts.systolic.core_program import CoreProgram
from dieshot.chips.parts.systolic.dma import Dma
from dieshot.chips.parts.systolic.step_board import StepBoard
from dieshot.chips.parts.systolic.vmem import Scratchpads
from dieshot.chips.parts.transformer_asic.program import AFTER, CHAIN, GROUP, NONE, RELEASE, STORE, GroupTimes


class ChainBoard(StepBoard):
    """The board of chained steps. first_fs, last_fs (steps): results come from one to the other, known before they do.

    fed: the arrays have told when they hand out a step's results, to the unit behind them. known: first_fs and last_fs
    are told. begin_fs, multiplied_fs (groups): the arrays' first row in and last result out.
    """

    def __init__(self, env: simpy.Environment, program: CoreProgram, vmem: Scratchpads) -> None:
        super().__init__(env, program)
        n, n_groups = len(program.steps), len(program.issue_fs)
        self.vmem = vmem
        self.dma: Dma | None = None
        self.steps: list[list[int]] = program.steps.tolist()
        self.fed = [env.event() for _ in range(n)]
        self.known = [env.event() for _ in range(n)]
        self.first_fs = np.zeros(n, np.int64)
        self.last_fs = np.zeros(n, np.int64)
        self.begin_fs = [-1] * n_groups
        self.multiplied_fs = [0] * n_groups
        self._left = np.bincount(program.steps[:, GROUP], minlength=n_groups).tolist()

    def rows_ready_fs(self, number: int, period_fs: int) -> int:
        """Return when a step may begin to take in the results of another so that it never waits for the next."""
        step = self.steps[number]
        if step[AFTER] == NONE:
            return 0
        first, last = int(self.first_fs[step[AFTER]]), int(self.last_fs[step[AFTER]])
        return max(first, last - step[CHAIN] * period_fs)

    def tell(self, number: int, first_fs: int, last_fs: int) -> None:
        """Say when the results of a step come; when they have, its room is free, and its stores go out."""
        self.first_fs[number], self.last_fs[number] = first_fs, last_fs
        self.known[number].succeed()
        done = self.done[number]
        assert done.callbacks is not None
        done.callbacks.append(partial(self._close, number))
        self.succeed_at(done, last_fs)

    def group_times(self) -> list[GroupTimes]:
        """Return the times of all groups, when all is done."""
        ends = [0] * len(self.begin_fs)
        for step, last_fs in zip(self.steps, self.last_fs.tolist(), strict=True):
            ends[step[GROUP]] = max(ends[step[GROUP]], last_fs)
        rows = zip(self.begin_fs, self.multiplied_fs, ends, strict=True)
        return [GroupTimes(end if begin < 0 else begin, multiplied, end) for begin, multiplied, end in rows]

    def _close(self, number: int, _: simpy.Event) -> None:
        step = self.steps[number]
        if step[STORE]:
            assert self.dma is not None
            self.dma.store(step[STORE])
            self.dma.wake()
        if step[RELEASE]:
            self.vmem.give_back(step[RELEASE])
        self._left[step[GROUP]] -= 1
        if self._left[step[GROUP]] == 0:
            self.completed[step[GROUP]].succeed()

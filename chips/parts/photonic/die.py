"""One program on one photonic chip: wires the parts, runs SimPy until the last operator is over, says what was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from dieshot.chips.parts.photonic.board import Board
from dieshot.chips.parts.photonic.host_memory import HostMemory
from dieshot.chips.parts.photonic.log import (
    HOST_MEMORY,
    LINK_IN,
    LINK_OUT,
    N_SHARED,
    SEQUENCER,
    VECTOR,
    core_activity,
)
from dieshot.chips.parts.photonic.program import PhotonicProgram, PhotonicTiming
from dieshot.chips.parts.photonic.sequencer import Sequencer
from dieshot.chips.parts.photonic.tensor_core import TensorCores
from dieshot.chips.parts.photonic.vector_unit import VectorUnit
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.kernels.photonic import COUNT, VECTORS
from dieshot.simulator.engine.cell import Activity


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """When each operator of a program was over (fs; the last with everything stored), and what happened.

    lit: vectors that passed the arrays, by operator; host_bytes: of loads and stores.
    """

    ends_fs: tuple[int, ...]
    activity: Activity
    lit: tuple[int, ...]
    host_bytes: int


def run_program(
    timing: PhotonicTiming, program: PhotonicProgram, n_cells: int, sum_ops: float, record: bool
) -> ProgramRun:
    """Simulate a program from a quiet chip to a quiet chip. n_cells: of an array; sum_ops: of a result."""
    env = simpy.Environment()
    board = Board(env, program)
    lanes = [LaneLog(line) for line in range(N_SHARED)]
    host = HostMemory(
        env, timing.host, timing.weight_sram_bytes, board, lanes[HOST_MEMORY], lanes[LINK_IN], lanes[LINK_OUT]
    )
    sequencer = Sequencer(env, board, lanes[SEQUENCER])
    cores = TensorCores(env, timing, board)
    VectorUnit(env, board, host, lanes[VECTOR])
    env.run(until=sequencer.process)
    end_fs = max(sequencer.ends_fs[-1], host.stored_fs)
    end_fs = -(-end_fs // timing.period_fs) * timing.period_fs
    lit = np.zeros(len(program.issue_fs), np.int64)
    for each in cores.passes:
        lit[program.steps[each.step].operator] += int((each.runs[:, VECTORS] * each.runs[:, COUNT]).sum())
    activity = Activity.empty()
    if record:
        parts = [lane.activity(end_fs) for lane in lanes]
        activity = Activity.joined(*parts, core_activity(timing, n_cells, sum_ops, program, cores.passes))
    ends_fs = (*sequencer.ends_fs[:-1], end_fs)
    return ProgramRun(ends_fs, activity, tuple(int(n) for n in lit), host.moved_bytes)

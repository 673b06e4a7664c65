"""One program on one systolic chip: wires the parts, runs SimPy until the last operator is over, and says what was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog
from dieshot.chips.parts.memory.hbm import HbmChannels
from dieshot.chips.parts.systolic.core_program import CoreProgram, SystolicTiming
from dieshot.chips.parts.systolic.dma import Dma
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.mxu import MatrixUnits
from dieshot.chips.parts.systolic.sequencer import Sequencer
from dieshot.chips.parts.systolic.step_board import StepBoard
from dieshot.chips.parts.systolic.vector_unit import VectorUnits
from dieshot.chips.parts.systolic.vmem import Scratchpads
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.port import Port

SEQUENCER, MXU, VECTOR, VMEM, DMA, N_LINES = range(6)


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """When each operator of a program was over (fs; the last with everything stored and drained), and what happened."""

    ends_fs: tuple[int, ...]
    activity: Activity
    counters: dict[str, int]


def run_program(timing: SystolicTiming, program: CoreProgram, record: bool) -> ProgramRun:
    """Simulate a program from a quiet chip to a quiet chip."""
    env = simpy.Environment()
    board = StepBoard(env, program)
    lanes = [LaneLog(line) for line in range(N_LINES)]
    vmem = Scratchpads(env, timing, program.resident_bytes, lanes[VMEM])
    there_fs = min(timing.period_fs, timing.quantum_fs // 3)
    requests, fills = Port(env, there_fs), Port(env, timing.quantum_fs - there_fs)
    dma = Dma(env, timing.dma, timing.quantum_fs, board, vmem, requests, fills, lanes[DMA])
    hbm_log = ActivityLog(timing.hbm.n_pins, N_LINES, record)
    quiet = np.zeros((timing.hbm.n_pins, 2), np.int64)
    stacks = HbmChannels(env, timing.hbm, dma.sizes, requests, fills, hbm_log, quiet)
    sequencer = Sequencer(env, board, lanes[SEQUENCER])
    MatrixUnits(env, timing, board, vmem, lanes[MXU])
    VectorUnits(env, board, vmem, dma, lanes[VECTOR])
    env.run(until=sequencer.process)
    dma.close()
    env.run(until=dma.process)
    stored_fs = int(stacks.drain().max())
    end_fs = max(sequencer.ends_fs[-1], stored_fs) + timing.drain_fs
    end_fs = -(-end_fs // timing.period_fs) * timing.period_fs
    hbm_log.cut(end_fs)
    parts = [lane.activity(end_fs) for lane in lanes] if record else []
    activity = Activity.joined(*parts, hbm_log.activity()) if record else Activity.empty()
    return ProgramRun((*sequencer.ends_fs[:-1], end_fs), activity, stacks.counters())

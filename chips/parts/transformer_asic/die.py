"""One program on the die: wires the parts, runs SimPy until the last group is over, and says what was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog
from dieshot.chips.parts.memory.hbm import HbmChannels
from dieshot.chips.parts.systolic.core_program import CoreProgram
from dieshot.chips.parts.systolic.dma import Dma
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.vmem import Scratchpads
from dieshot.chips.parts.transformer_asic.arrays import WeightArrays
from dieshot.chips.parts.transformer_asic.board import ChainBoard
from dieshot.chips.parts.transformer_asic.program import N_UNITS, NONE, UNIT_NAMES, DieTiming, GroupTimes
from dieshot.chips.parts.transformer_asic.sequencer import GroupSequencer
from dieshot.chips.parts.transformer_asic.unit import OperatorUnit
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.port import Port

SEQUENCER, ARRAY, SRAM, DMA, FIRST_UNIT = range(5)
N_LINES = FIRST_UNIT + N_UNITS


@dataclass(frozen=True, slots=True)
class FusedRun:
    """When the groups of a program began and ended, when all was stored and quiet (fs), and what happened."""

    groups: tuple[GroupTimes, ...]
    end_fs: int
    activity: Activity
    counters: dict[str, int]


def run_program(timing: DieTiming, program: CoreProgram, record: bool) -> FusedRun:
    """Simulate a program from a quiet die to a quiet die."""
    env = simpy.Environment()
    core = timing.core
    lanes = [LaneLog(line) for line in range(N_LINES)]
    sram = Scratchpads(env, core, program.resident_bytes, lanes[SRAM])
    board = ChainBoard(env, program, sram)
    there_fs = min(core.period_fs, core.quantum_fs // 3)
    requests, fills = Port(env, there_fs), Port(env, core.quantum_fs - there_fs)
    dma = Dma(env, core.dma, core.quantum_fs, board, sram, requests, fills, lanes[DMA])
    board.dma = dma
    hbm_log = ActivityLog(core.hbm.n_pins, N_LINES, record)
    quiet = np.zeros((core.hbm.n_pins, 2), np.int64)
    stacks = HbmChannels(env, core.hbm, dma.sizes, requests, fills, hbm_log, quiet)
    GroupSequencer(env, board, lanes[SEQUENCER])
    WeightArrays(env, timing, board, lanes[ARRAY])
    for number, latency in enumerate(timing.latency_cycles):
        OperatorUnit(env, UNIT_NAMES[number], number, latency, core.period_fs, board, lanes[FIRST_UNIT + number])
    OperatorUnit(env, "mover", NONE, 0, core.period_fs, board, LaneLog(NONE))
    env.run(until=env.all_of(board.completed))
    done_fs = int(env.now)
    dma.close()
    env.run(until=dma.process)
    end_fs = max(done_fs, int(stacks.drain().max())) + core.drain_fs
    end_fs = -(-end_fs // core.period_fs) * core.period_fs
    hbm_log.cut(end_fs)
    parts = [lane.activity(end_fs) for lane in lanes] if record else []
    activity = Activity.joined(*parts, hbm_log.activity()) if record else Activity.empty()
    return FusedRun(tuple(board.group_times()), end_fs, activity, stacks.counters())

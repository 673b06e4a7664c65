"""Capacity mode: weights and cache lie in the card's DRAM and pass through segments of SRAM, fetched ahead.

Every chiplet has channels of its own and a like share of all, so one stands for all of them, and its bytes count so
many times.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog
from dieshot.chips.parts.core.array import ArrayTiming
from dieshot.chips.parts.dimc.program import DimcTiming, DramTiming, Step
from dieshot.chips.parts.memory.hbm import HbmChannels
from dieshot.chips.parts.systolic.core_program import (
    HOLD,
    LOAD,
    N_STEP,
    OPERATOR,
    CoreProgram,
    DmaTiming,
    SystolicTiming,
)
from dieshot.chips.parts.systolic.dma import Dma
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.parts.systolic.step_board import StepBoard
from dieshot.chips.parts.systolic.vmem import Scratchpads
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.port import Port

SEGMENTS, DMA, N_LINES = range(3)  # lines of the log, before those of the channels


class Segments:
    """The DRAM channels, the engine that reads them, and the room in SRAM that segments take turns in."""

    def __init__(
        self,
        env: simpy.Environment,
        timing: DimcTiming,
        steps: Sequence[Step],
        n_operators: int,
        record: bool,
    ) -> None:
        assert timing.dram is not None
        self.env = env
        first = timing.n_lines
        self.clock = timing.clock
        self.timing: DramTiming = timing.dram
        self.record = record
        rows: list[list[int]] = []
        self._of_step: list[range] = []
        for step in steps:
            parts = cut_load(step, -(-step.load_bytes // self.timing.n_alike), self.timing.segment_bytes)
            self._of_step.append(range(len(rows), len(rows) + len(parts)))
            rows += [[step.operator, n_bytes] for n_bytes in parts]
        program = _program(rows, n_operators)
        self.board = StepBoard(env, program)
        self._lanes = [LaneLog(first + line) for line in range(N_LINES)]
        memory, quantum = self.timing, self.timing.design.least_latency_fs
        pads = SystolicTiming(
            period_fs=timing.clock.period_fs,
            array=ArrayTiming(1, 1),
            vmem_bytes=memory.room_bytes,
            vmem_fs_per_mib=0,
            vmem_access_fs=0,
            dma=DmaTiming(memory.slots, memory.slots, memory.transfer_bytes, 0, 0),
            hbm=memory.design,
            drain_fs=0,
        )
        self.room = Scratchpads(env, pads, 0, self._lanes[SEGMENTS])
        there = min(timing.clock.period_fs, quantum // 3)
        requests, fills = Port(env, there), Port(env, quantum - there)
        self.dma = Dma(env, pads.dma, quantum, self.board, self.room, requests, fills, self._lanes[DMA])
        self.log = ActivityLog(memory.design.n_pins, first + N_LINES, record)
        quiet = np.zeros((memory.design.n_pins, 2), np.int64)
        self.channels = HbmChannels(env, memory.design, self.dma.sizes, requests, fills, self.log, quiet)
        self._bytes = [n_bytes for _, n_bytes in rows]

    def of_step(self, number: int) -> range:
        """Return the segments of a step."""
        return self._of_step[number]

    def loaded(self, segment: int) -> Generator[simpy.Event, Any, int]:
        """Wait until a segment is in SRAM; return the cycle."""
        event = self.board.loaded[segment]
        if event is not None and not event.processed:
            yield event
        return self.clock.ceil_cycles(int(self.board.loaded_fs[segment]))

    def release(self, segment: int, cycle: int) -> None:
        """Give the room of a segment back when its last tile has been multiplied."""
        n_bytes, begin = self._bytes[segment], int(self.board.loaded_fs[segment])
        end = self.clock.fs(cycle)
        event = self.board.until(end)
        assert event.callbacks is not None
        event.callbacks.append(lambda _: self.room.give_back(n_bytes))
        self._lanes[SEGMENTS].add(begin, max(begin, end), 1, n_bytes)

    def store(self, n_bytes: int) -> None:
        """Write bytes back."""
        self.dma.store(-(-n_bytes // self.timing.n_alike))
        self.dma.wake()

    def close(self) -> Generator[simpy.Event, Any, int]:
        """Wait until all is handed to the channels; return when the last data have moved (fs)."""
        self.dma.close()
        yield self.dma.process
        return int(self.channels.drain().max())

    def activity(self, end_fs: int) -> Activity:
        """Return the intervals of all lines."""
        self.log.cut(end_fs)
        found = Activity.joined(*(lane.activity(end_fs) for lane in self._lanes), self.log.activity())
        return replace(found, amount=found.amount * self.timing.n_alike)

    def counters(self) -> dict[str, int]:
        """Return bytes and row commands of the channels."""
        counted = self.channels.counters().items()
        return {name.replace("hbm_", "dram_"): count * self.timing.n_alike for name, count in counted}


def cut_load(step: Step, n_bytes: int, segment_bytes: int) -> list[int]:
    """Return the bytes of the segments of a step: a tile of every core at a time, or less."""
    n = min(n_bytes, max(1, step.n_passes, -(-n_bytes // segment_bytes)))
    return [n_bytes * (i + 1) // n - n_bytes * i // n for i in range(n)]


def _program(rows: Sequence[Sequence[int]], n_operators: int) -> CoreProgram:
    table = np.zeros((len(rows), N_STEP), np.int64)
    if rows:
        table[:, [OPERATOR, LOAD]] = np.array(rows, np.int64)
        table[:, HOLD] = table[:, LOAD]
    return CoreProgram(table, (0,) * n_operators, (0,) * n_operators)

"""The host's memory and the link to it: tiles of weights come in program order as far as SRAM has room, results go."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.memory import DramMemory, NetworkTiming
from dieshot.chips.parts.photonic.board import Board
from dieshot.chips.parts.photonic.program import HostTiming
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.simulator.engine.cell import BUSY, STALL_BARRIER, STALL_CREDIT
from dieshot.simulator.engine.clock import FS_PER_SECOND, transfer_fs
from dieshot.simulator.engine.component import Component
from dieshot.simulator.params.memory import MemoryParameters

PROBE_BYTES = 1 << 20  # a dozen refresh intervals of a channel
FAST_LINK = 10**13  # of the probe: none


def stream_bytes_per_s(memory: MemoryParameters, n_channels: int) -> int:
    """Return what channels of a DRAM standard read in order, refreshes included: one, command by command, for all."""
    dram = DramMemory(memory, ControllerPolicy(), NetworkTiming(0, FAST_LINK))
    done_fs = int(dram.serve(np.array([[0, 0, PROBE_BYTES, 1, 0, 0, 0]], np.int64))[0])
    return n_channels * PROBE_BYTES * FS_PER_SECOND // done_fs


class HostMemory(Component):
    """Loads one step after the other, through memory and link at once; stores go back the other way of the link."""

    def __init__(
        self,
        env: simpy.Environment,
        timing: HostTiming,
        room_bytes: int,
        board: Board,
        memory: LaneLog,
        link_in: LaneLog,
        link_out: LaneLog,
    ) -> None:
        self.timing = timing
        self.board = board
        self.memory_log, self.link_log, self.back_log = memory, link_in, link_out
        self.free_bytes = room_bytes
        self.free_buffers = timing.buffers
        self.memory_free_fs = 0
        self.stored_fs = 0
        self.moved_bytes = 0
        self._read_free_fs = 0
        self._write_free_fs = 0
        self._wake = env.event()
        super().__init__(env, "host")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Load what the program asks for, in its order."""
        for number, step in enumerate(self.board.program.steps):
            if not step.load:
                continue
            begin = int(self.env.now)
            if step.gated and step.operator:
                yield self.board.completed[step.operator - 1]
                self.link_log.add(begin, int(self.env.now), STALL_BARRIER)
            begin = int(self.env.now)
            while step.hold and (self.free_bytes < step.hold or not self.free_buffers):
                self._wake = self.env.event()
                yield self._wake
            self.link_log.add(begin, int(self.env.now), STALL_CREDIT)
            self.free_bytes -= step.hold
            self.free_buffers -= 1 if step.hold else 0
            last_fs = self._move(step.load, write=False)
            self._read_free_fs = last_fs
            self.board.loaded_fs[number] = last_fs + self.timing.latency_fs
            loaded = self.board.loaded[number]
            assert loaded is not None
            self.board.succeed_at(loaded, self.board.loaded_fs[number])
            yield self.board.until(last_fs)

    def give_back(self, n_bytes: int) -> None:
        """Give the room of a step back."""
        if n_bytes:
            self.free_bytes += n_bytes
            self.free_buffers += 1
            if not self._wake.triggered:
                self._wake.succeed()

    def store(self, n_bytes: int) -> None:
        """Write results, from now on."""
        last_fs = self._move(n_bytes, write=True)
        self._write_free_fs = last_fs
        self.stored_fs = max(self.stored_fs, last_fs + self.timing.latency_fs)

    def _move(self, n_bytes: int, write: bool) -> int:
        """Move bytes one way; return when the last one leaves the slower of memory and link."""
        start = max(int(self.env.now), self._write_free_fs if write else self._read_free_fs)
        memory_start = max(start, self.memory_free_fs)
        memory_end = memory_start + transfer_fs(n_bytes, self.timing.memory_bytes_per_s)
        end = max(memory_end, memory_start + transfer_fs(n_bytes, self.timing.link_bytes_per_s))
        self.memory_free_fs = memory_end
        self.moved_bytes += n_bytes
        self.memory_log.add(memory_start, memory_end, BUSY, n_bytes)
        (self.back_log if write else self.link_log).add(memory_start, end, BUSY, n_bytes)
        return end

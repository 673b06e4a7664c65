"""A copy from DDR to HBM: address units read the one and write the other, a chunk at a time."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import ActivityLog
from dieshot.chips.parts.dataflow.timing import Rows
from dieshot.chips.parts.memory.hbm import HbmChannels, HbmDesign
from dieshot.kernels.dram_stack import READ, WRITE
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

NO_TRANSFER = -1


@dataclass(frozen=True, slots=True)
class CopyTiming:
    """Both memories. transfer_bytes: of one request; under_way: requests that may be unanswered. first_hbm, first_ddr:
    lines of the log of their first pins."""

    period_fs: int
    ddr: HbmDesign
    hbm: HbmDesign
    transfer_bytes: int
    under_way: int
    first_hbm: int
    first_ddr: int


class CopyUnit(Component):
    """Asks the DDR for one transfer after the other, so many unanswered at a time; hands on to the HBM what comes."""

    def __init__(
        self, env: simpy.Environment, timing: CopyTiming, sizes: list[int], read: tuple[Port, Port],
        written: tuple[Port, Port],
    ) -> None:  # fmt: skip
        self.timing = timing
        self.sizes = sizes
        self.read = read
        self.written = written
        super().__init__(env, "copy")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Go window after window, as long as a transfer cannot have been answered."""
        quantum_fs = self.timing.ddr.least_latency_fs
        slots = [0] * min(self.timing.under_way, len(self.sizes))
        issued = landed = 0
        while landed < len(self.sizes):
            until = int(self.env.now) + quantum_fs
            rows = []
            while issued < len(self.sizes) and slots and slots[0] < until:
                start = max(int(self.env.now), heapq.heappop(slots))
                rows.append((start, self.sizes[issued], READ, issued))
                issued += 1
            self.read[0].send((np.array(rows, np.int64).reshape(-1, 4), until))
            fills = (yield self.read[1].receive()).tolist()
            for time_fs, _ in fills:
                heapq.heappush(slots, time_fs)
            landed += len(fills)
            writes = [(time_fs, self.sizes[number], WRITE, NO_TRANSFER) for time_fs, number in fills]
            self.written[0].send((np.array(writes, np.int64).reshape(-1, 4), until))
            yield self.written[1].receive()


def run_copy(timing: CopyTiming, n_bytes: int) -> tuple[int, Activity]:
    """Simulate a copy from quiet memories to quiet memories; return its time (fs) and what pins did."""
    env = simpy.Environment()
    whole, rest = divmod(n_bytes, timing.transfer_bytes)
    sizes = [timing.transfer_bytes] * whole + [rest] * (rest > 0)
    quantum_fs = timing.ddr.least_latency_fs
    there_fs = min(timing.period_fs, quantum_fs // 3)
    read = Port(env, there_fs), Port(env, quantum_fs - there_fs)
    written = Port(env, 0), Port(env, 0)
    parts, logs = [], []
    places: list[tuple[HbmDesign, list[int], tuple[Port, Port], int]] = [
        (timing.ddr, sizes, read, timing.first_ddr),
        (timing.hbm, [], written, timing.first_hbm),
    ]
    for design, requested, ports, first in places:
        logs.append(ActivityLog(design.n_pins, first, True))
        quiet: Rows = np.zeros((design.n_pins, 2), np.int64)
        parts.append(HbmChannels(env, design, np.array(requested, np.int64), *ports, logs[-1], quiet))
    unit = CopyUnit(env, timing, sizes, read, written)
    env.run(until=unit.process)
    end_fs = max(int(part.drain().max()) for part in parts)
    end_fs = -(-end_fs // timing.period_fs) * timing.period_fs
    for log in logs:
        log.cut(end_fs)
    return end_fs, Activity.joined(*(log.activity() for log in logs))

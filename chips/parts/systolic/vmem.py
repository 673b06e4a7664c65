"""The scratchpads of a systolic chip's cores: room for tiles, and banks that serve one access after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from dieshot.chips.parts.systolic.core_program import SystolicTiming
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.simulator.engine.cell import BUSY
from dieshot.simulator.engine.component import Component

MIB_SHIFT = 20
ARRAYS, LANES, ENGINES, N_PORTS = range(4)


class Scratchpads(Component):
    """Room that loads take and finished steps give back, and the time of three ports: arrays, lanes, DMA engines."""

    def __init__(self, env: simpy.Environment, timing: SystolicTiming, resident_bytes: int, log: LaneLog) -> None:
        self.free_bytes = timing.vmem_bytes - resident_bytes
        self.fs_per_mib = timing.vmem_fs_per_mib
        self.access_fs = timing.vmem_access_fs
        self.free_fs = [0] * N_PORTS
        self.log = log
        self._returned: list[int] = []
        self._wake = env.event()
        self._listeners: list[Callable[[], None]] = []
        super().__init__(env, "vmem")

    def tell(self, listener: Callable[[], None]) -> None:
        """Call the listener whenever there is more room."""
        self._listeners.append(listener)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take back the room of finished steps, and tell those who wait for it."""
        while True:
            yield self._wake
            self._wake = self.env.event()
            self.free_bytes += sum(self._returned)
            self._returned.clear()
            for listener in self._listeners:
                listener()

    def take(self, n_bytes: int) -> bool:
        """Take room if there is as much; say whether there was."""
        if n_bytes > self.free_bytes:
            return False
        self.free_bytes -= n_bytes
        return True

    def give_back(self, n_bytes: int) -> None:
        """Give room back."""
        self._returned.append(n_bytes)
        if not self._wake.triggered:
            self._wake.succeed()

    def serve(self, port: int, start_fs: int, n_bytes: int) -> int:
        """Move bytes through a port from a time on; return when the last has moved (fs)."""
        begin = max(start_fs, self.free_fs[port])
        end = begin + (n_bytes * self.fs_per_mib >> MIB_SHIFT)
        self.free_fs[port] = end
        self.log.add(begin, end, BUSY, n_bytes)
        return end

"""The memory units as buffers of streams: room that transfers take and finished tiles give back, a credit later."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from dieshot.chips.parts.dataflow.timing import DataflowTiming
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port


class StreamBuffers(Component):
    """Room of all memory units together; who waits for it is told when credits have come back."""

    def __init__(self, env: simpy.Environment, timing: DataflowTiming, taken_bytes: int) -> None:
        self.free_bytes = timing.room_bytes - taken_bytes
        self.credits = Port(env, timing.credit_fs)
        self._listener: Callable[[], None] | None = None
        super().__init__(env, "pmu")

    def tell(self, listener: Callable[[], None]) -> None:
        """Call the listener whenever there is more room."""
        self._listener = listener

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take credits back."""
        while True:
            self.free_bytes += yield self.credits.receive()
            if self._listener is not None:
                self._listener()

    def take(self, n_bytes: int) -> None:
        """Take room."""
        self.free_bytes -= n_bytes

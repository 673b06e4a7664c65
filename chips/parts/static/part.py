"""A kind of functional unit that acts out its rows of a static program, window by window."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.kernels import static_check as check
from dieshot.simulator.engine.component import Component

Rows = NDArray[np.int64]
WINDOW_CYCLES = 4096
FAULTS = {
    check.TWO_INSTRUCTIONS: "two instructions in one cycle",
    check.TWO_DRIVERS: "two vectors on one stream register",
    check.WRONG_VECTOR: "the vector is not on the stream",
    check.PORT_TAKEN: "two accesses by one port",
    check.BANK_TAKEN: "two accesses to one bank",
    check.WRONG_ROW: "the row does not hold the vector",
    check.NO_SUCH_ROW: "there is no such row",
    check.BUFFER_TAKEN: "the weight buffer is full",
    check.NOT_LOADED: "the weight buffer does not hold the tile",
    check.NOT_INSTALLED: "the tile is not installed",
    check.PLANE_BUSY: "the plane is busy",
    check.SUMS_NOT_READY: "the sums are not complete",
    check.LINK_BUSY: "the link is busy",
    check.NOTHING_ARRIVED: "no vector has arrived",
    check.PORT_OVERFLOW: "more vectors wait than the port holds",
    check.OUT_OF_TURN: "another vector is first in the port",
}


class ScheduleViolation(RuntimeError):  # noqa: N818 - what it is called where schedules are static
    """An operand that is not there or a resource that is not free: the program is wrong, and nothing would wait."""


class StaticPart(Component):
    """Units of one kind. rows (n, N_COLUMN): their instructions, sorted by start. lag: cycles from the last one's start
    to the end of what it does."""

    def __init__(
        self, env: simpy.Environment, name: str, period_fs: int, rows: Rows, advance: Callable[..., int], lag: int
    ) -> None:
        self.rows = np.ascontiguousarray(rows[np.argsort(rows[:, 0], kind="stable")])
        self.advance = advance
        self.period_fs = period_fs
        self.lag = lag
        self.cycles = 0
        self.fault = np.zeros(check.N_FAULT, np.int64)
        self._first = np.zeros(1, np.int64)
        self._slots = np.zeros(2 * WINDOW_CYCLES + 1, np.int64)
        self._events = np.zeros((2, 1 << 16), np.int64)
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Act out all rows; ScheduleViolation where one cannot be."""
        if len(self.rows) == 0:
            return
        last = int((self.rows[:, 0] + (self.rows[:, 1] - 1) * self.rows[:, 2]).max())
        for lo in range(0, last + 1, WINDOW_CYCLES):
            hi = min(lo + WINDOW_CYCLES, last + 1)
            self._window(lo, hi)
            yield self.env.timeout((hi - lo) * self.period_fs)
        self.cycles = last + self.lag
        yield self.env.timeout((self.lag - 1) * self.period_fs)

    def _window(self, lo: int, hi: int) -> None:
        status = -1
        while status < 0:
            status = self.advance(lo, hi, self.rows, self._first, self._slots, *self._events, self.fault)
            if status < 0:
                self._events = np.zeros((2, -2 * status), np.int64)
        if status != check.DONE:
            cycle, row, first, second = self.fault.tolist()
            raise ScheduleViolation(
                f"{self.name} {first} in cycle {cycle}: {FAULTS[status]} ({second}; row {row} of the unit's program)"
            )

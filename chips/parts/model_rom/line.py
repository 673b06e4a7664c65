"""The lines of a block's log, and their intervals, counted in cycles until they are asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dieshot.chips.parts.activity import ActivityLog
from dieshot.simulator.engine.cell import Activity

ROM, PRODUCTS, VECTOR, ATTENTION, SRAM, TABLE, BUS, N_LINES = range(8)
NAMES = ("rom", "products", "vector", "attention", "sram", "table", "bus")
COLUMNS = 5


class BlockLog:
    """Intervals of all lines, as the timing loops write them."""

    def __init__(self, record: bool) -> None:
        self._log = ActivityLog(N_LINES, 0, record)
        self._rows = np.empty((0, COLUMNS), np.int64)

    @property
    def open(self) -> np.ndarray:
        """The open interval of every line, for the loops to extend."""
        return self._log.open

    def rows(self, n: int) -> np.ndarray:
        """Return room for n rows."""
        if len(self._rows) < n:
            self._rows = np.empty((n, COLUMNS), np.int64)
        return self._rows

    def keep(self, n: int) -> None:
        """Keep the first n rows that a loop wrote."""
        if self._log.record:
            self._log.keep(self._rows[:n])

    def activity(self, until_cycle: int, period_fs: int) -> Activity:
        """Return what was kept, in femtoseconds."""
        self._log.cut(until_cycle)
        counted = self._log.activity() if self._log.record else Activity.empty()
        return replace(counted, start_fs=counted.start_fs * period_fs, end_fs=counted.end_fs * period_fs)

"""Activity of a part's lines, gathered from the rows that its timing loop writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels.gather import LINE, N_COLUMNS, START, count_lines, scatter_lines
from dieshot.kernels.interval import N_OPEN, close_all
from dieshot.simulator.engine.cell import BUSY, STALL_LINK, Activity

Rows = NDArray[np.int64]
FEW_ROWS = 4096  # a chunk of the log, for which a call is not worth while


class ActivityLog:
    """Intervals of the lines of one part, as its timing loop wrote them; kept by reference, joined at the end."""

    def __init__(self, n_lines: int, first_component: int, record: bool) -> None:
        self.record = int(record)
        self.first_component = first_component
        self.open = np.zeros((n_lines, N_OPEN), np.int64)
        self._chunks: list[Rows] = []

    def begin(self, backlog: Rows) -> None:
        """Open the lines with work left over from before: backlog (lines, 2: fs, amount)."""
        busy = backlog[:, 0] > 0
        self.open[busy, 1] = backlog[busy, 0]
        self.open[busy, 2] = BUSY
        self.open[busy, 3] = backlog[busy, 1]

    def keep(self, rows: Rows) -> None:
        """Keep the rows (n, 5) that a timing loop wrote."""
        if len(rows):
            self._chunks.append(rows.copy())

    def cut(self, time_fs: int) -> None:
        """Close all open intervals at `time_fs`; what reaches beyond stays open, its amount counted before."""
        rows = np.empty((len(self.open), 5), np.int64)
        n_rows = close_all(time_fs, self.open, 0, rows)
        self.keep(rows[:n_rows])

    def activity(self) -> Activity:
        """Return what was kept, sorted by component and start."""
        if not self._chunks:
            return Activity.empty()
        n_rows = sum(len(chunk) for chunk in self._chunks)
        if n_rows < FEW_ROWS * len(self._chunks):
            self._chunks = [np.concatenate(self._chunks)]
        lines, start_fs, end_fs, state, amount = self._by_line(n_rows)
        return Activity(
            (lines + self.first_component).astype(np.int32),
            start_fs,
            end_fs,
            state.astype(np.int8),
            amount,
            np.ones(n_rows, np.int64),
            np.zeros(n_rows, np.int64),
        )

    def _by_line(self, n_rows: int) -> Rows:
        """Return what was kept as columns, sorted by line and start."""
        n_of_line = np.zeros(len(self.open), np.int64)
        for chunk in self._chunks:
            count_lines(chunk, n_of_line)
        next_of_line = np.cumsum(n_of_line) - n_of_line
        last_of_line = np.full(len(self.open), -(2**62), np.int64)
        columns = np.empty((N_COLUMNS, n_rows), np.int64)
        n_late = sum(scatter_lines(chunk, next_of_line, last_of_line, columns) for chunk in self._chunks)
        return columns[:, np.lexsort((columns[START], columns[LINE]))] if n_late else columns


def waiting_for_links(components: Sequence[int], duration_fs: int) -> Activity:
    """Return the activity of components that wait for links all the time."""
    n = len(components)
    zero, one = np.zeros(n, np.int64), np.ones(n, np.int64)
    full, state = np.full(n, duration_fs, np.int64), np.full(n, STALL_LINK, np.int8)
    return Activity(np.array(components, np.int32), zero, full, state, zero, one, zero)

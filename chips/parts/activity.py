"""Activity of a part's lines, gathered from the rows that its timing loop writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels.interval import N_OPEN, close_all
from dieshot.simulator.engine.cell import BUSY, STALL_LINK, Activity

Rows = NDArray[np.int64]


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
        rows = np.concatenate(self._chunks)
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        rows = rows[order]
        return Activity(
            (rows[:, 0] + self.first_component).astype(np.int32),
            np.ascontiguousarray(rows[:, 1]),
            np.ascontiguousarray(rows[:, 2]),
            rows[:, 3].astype(np.int8),
            np.ascontiguousarray(rows[:, 4]),
            np.ones(len(rows), np.int64),
            np.zeros(len(rows), np.int64),
        )


def waiting_for_links(components: Sequence[int], duration_fs: int) -> Activity:
    """Return the activity of components that wait for links all the time."""
    n = len(components)
    zero, one = np.zeros(n, np.int64), np.ones(n, np.int64)
    full, state = np.full(n, duration_fs, np.int64), np.full(n, STALL_LINK, np.int8)
    return Activity(np.array(components, np.int32), zero, full, state, zero, one, zero)

"""Intervals of one line of the log, gathered one by one in order of time, like neighbours joined."""

from __future__ import annotations

import numpy as np

from dieshot.simulator.engine.cell import Activity


class LaneLog:
    """The line of one part: what it did, and what it waited for."""

    def __init__(self, component: int) -> None:
        self.component = component
        self.rows: list[list[int]] = []

    @property
    def end_fs(self) -> int:
        """When the last interval ends."""
        return self.rows[-1][1] if self.rows else 0

    def add(self, start_fs: int, end_fs: int, state: int, amount: int = 0) -> None:
        """Add an interval; what earlier ones cover of it is left out, one that follows in the same state is joined."""
        start_fs = max(start_fs, self.end_fs)
        if end_fs <= start_fs:
            if amount and self.rows:
                self.rows[-1][3] += amount
            return
        if self.rows and self.rows[-1][1] == start_fs and self.rows[-1][2] == state:
            self.rows[-1][1] = end_fs
            self.rows[-1][3] += amount
        else:
            self.rows.append([start_fs, end_fs, state, amount])

    def activity(self, until_fs: int) -> Activity:
        """Return the intervals up to a time."""
        rows = np.array([row for row in self.rows if row[0] < until_fs] or np.empty((0, 4)), np.int64).reshape(-1, 4)
        return Activity(
            np.full(len(rows), self.component, np.int32),
            np.ascontiguousarray(rows[:, 0]),
            np.minimum(rows[:, 1], until_fs),
            rows[:, 2].astype(np.int8),
            np.ascontiguousarray(rows[:, 3]),
            np.ones(len(rows), np.int64),
            np.zeros(len(rows), np.int64),
        )

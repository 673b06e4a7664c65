"""Lines of one kind of part, as its timing loop writes them in core cycles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dieshot.chips.parts.activity import ActivityLog, Rows
from dieshot.simulator.engine.cell import Activity

NO_ROOM = np.zeros((1, 5), np.int64)


class LineLog:
    """Lines `components` of the log; the loop's line i is the i-th of them."""

    def __init__(self, components: Sequence[int], record: bool) -> None:
        self.components = np.array(components, np.int64)
        self.log = ActivityLog(len(components), 0, record)

    @property
    def record(self) -> int:
        """Whether anything is written down, for the loop."""
        return self.log.record

    @property
    def open(self) -> Rows:
        """The open interval of every line."""
        return self.log.open

    def space(self, n_rows: int) -> Rows:
        """Return room for the rows that a call may write."""
        return np.empty((n_rows, 5), np.int64) if self.log.record else NO_ROOM

    def keep(self, rows: Rows) -> None:
        """Keep what a call wrote."""
        self.log.keep(rows)

    def activity(self, end_cycle: int, period_fs: int) -> Activity:
        """Return all intervals up to a cycle, in fs."""
        self.log.cut(end_cycle)
        found = self.log.activity()
        if len(found) == 0:
            return found
        return Activity(
            self.components[found.component].astype(np.int32),
            found.start_fs * period_fs,
            found.end_fs * period_fs,
            found.state,
            found.amount,
            found.repeat,
            found.period_fs,
        )

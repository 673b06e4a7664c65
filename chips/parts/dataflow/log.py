"""The log of a region: what every strip of tiles did and, while it did nothing, what the pipeline was waiting for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.dataflow.stage import Region
from dieshot.simulator.engine.cell import (
    BUSY,
    STALL_LAUNCH,
    STALL_LINK,
    STALL_MEMORY,
    STALL_OPERAND,
    Activity,
)

Rows = NDArray[np.int64]
N_COLUMNS = 5  # line, start fs, end fs, state, amount


@dataclass(frozen=True, slots=True)
class StageLog:
    """Intervals (fs) of one stage: of work, and of waiting for its stream with its input at hand."""

    busy: Sequence[tuple[int, int]]
    starved: Sequence[tuple[int, int]]


def strip_rows(
    region: Region, logs: Sequence[StageLog], links: Sequence[tuple[int, int]], begin_fs: int, end_fs: int
) -> Rows:
    """Return the rows of the strips, one line each from 0: work with its MACs, else what holds the pipeline up.

    A stage at rest waits for operands while any other works, for links while they carry a collective and nobody works,
    for memory while a stage lacks nothing but its stream, and up to `begin_fs` for the launch.
    """
    times, states = _front(logs, links, begin_fs, end_fs)
    parts = []
    for stage, log in zip(region.stages, logs, strict=True):
        first, n = stage.strips
        if stage.collective or n == 0:
            continue
        busy = np.array(log.busy, np.int64).reshape(-1, 2)
        waits = _waits(busy, times, states)
        for place in range(n):
            macs = stage.work.macs * (place + 1) // n - stage.work.macs * place // n
            parts.append(np.column_stack([np.full(len(waits), first + place), waits, np.zeros(len(waits), np.int64)]))
            amounts = shares(macs, busy[:, 1] - busy[:, 0])
            line, state = np.full(len(busy), first + place), np.full(len(busy), BUSY)
            parts.append(np.column_stack([line, busy, state, amounts]))
    return np.concatenate(parts).astype(np.int64) if parts else np.empty((0, N_COLUMNS), np.int64)


def shares(total: int, lengths: Rows) -> Rows:
    """Return a total divided over intervals in proportion to their lengths, to the last unit."""
    if len(lengths) == 0 or total == 0:
        return np.zeros(len(lengths), np.int64)
    part = np.cumsum(lengths, dtype=np.int64)
    done: Rows = (total * (part / part[-1])).astype(np.int64)
    done[-1] = total
    return np.diff(done, prepend=0)


def _front(logs: Sequence[StageLog], links: Sequence[tuple[int, int]], begin_fs: int, end_fs: int) -> tuple[Rows, Rows]:
    """Return times at which what holds the pipeline up changes, from 0 to the end, and the state from each to the
    next."""
    working = np.array([each for log in logs for each in log.busy], np.int64).reshape(-1, 2)
    starved = np.array([each for log in logs for each in log.starved], np.int64).reshape(-1, 2)
    carrying = np.array(links, np.int64).reshape(-1, 2)
    bounds = [np.array([0, begin_fs, end_fs], np.int64), *(part.ravel() for part in (working, starved, carrying))]
    times = np.unique(np.clip(np.concatenate(bounds), 0, end_fs))
    n = len(times) - 1
    some = [_covered(part, times, n) for part in (working, carrying, starved)]
    states = np.select(
        [times[:-1] < begin_fs, *some], [STALL_LAUNCH, STALL_OPERAND, STALL_LINK, STALL_MEMORY], STALL_OPERAND
    )
    kept = np.concatenate(([True], states[1:] != states[:-1])) if n else np.zeros(0, np.bool_)
    return np.concatenate((times[:-1][kept], times[-1:])), states[kept]


def _covered(intervals: Rows, times: Rows, n: int) -> NDArray[np.bool_]:
    change = np.zeros(n + 1, np.int64)
    np.add.at(change, np.searchsorted(times, intervals[:, 0]), 1)
    np.add.at(change, np.searchsorted(times, intervals[:, 1]), -1)
    return np.cumsum(change)[:n] > 0


def _waits(busy: Rows, times: Rows, states: Rows) -> Rows:
    """Return rows (start, end, state) of what a stage waits for outside its work."""
    starts = np.concatenate((times[:1], busy[:, 1]))
    ends = np.concatenate((busy[:, 0], times[-1:]))
    some = ends > starts
    starts, ends = starts[some], ends[some]
    marks = np.unique(np.concatenate((times, starts, ends)))
    gap = np.searchsorted(starts, marks[:-1], side="right") - 1
    inside = (gap >= 0) & (marks[:-1] < ends[np.maximum(gap, 0)]) if len(starts) else np.zeros(len(marks) - 1, np.bool_)
    state = states[np.clip(np.searchsorted(times, marks[:-1], side="right") - 1, 0, len(states) - 1)]
    return np.column_stack([marks[:-1], marks[1:], state])[inside]


def union(rows: Rows) -> Rows:
    """Join the rows of one line that touch or overlap; amounts add up."""
    rows = rows[rows[:, 2] > rows[:, 1]]
    if len(rows) == 0:
        return rows
    rows = rows[np.argsort(rows[:, 1], kind="stable")]
    reach = np.maximum.accumulate(rows[:, 2])
    begins = np.concatenate(([True], rows[1:, 1] > reach[:-1]))
    at = np.flatnonzero(begins)
    joined = rows[at].copy()
    joined[:, 2] = np.maximum.reduceat(rows[:, 2], at)
    joined[:, 4] = np.add.reduceat(rows[:, 4], at)
    return joined


def activity_of(rows: Rows) -> Activity:
    """Return rows as an activity."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    ones = np.ones(len(rows), np.int64)
    columns = [np.ascontiguousarray(rows[:, i]) for i in range(N_COLUMNS)]
    return Activity(
        columns[0].astype(np.int32), columns[1], columns[2], columns[3].astype(np.int8), columns[4], ones,
        np.zeros(len(rows), np.int64),
    )  # fmt: skip

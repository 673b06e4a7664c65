"""The log of a region of PEs: some PEs of its diagonal cycle by cycle, SRAM, vector work and links as a whole.

Along a diagonal every row and every column comes once, and what a PE does depends on its row in collectives along
columns and on its column in those along rows: so the diagonal of a square is to a hair the average of all PEs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.wafer.phase import Region, Shift, Work, Y
from dieshot.kernels import wavelet_table as k
from dieshot.simulator.engine.cell import (
    BUSY,
    STALL_BARRIER,
    STALL_CREDIT,
    STALL_LAUNCH,
    STALL_LINK,
    Activity,
)
from dieshot.simulator.engine.cut import cut

Rows = NDArray[np.int64]
SAMPLES = 64
FIRST_PE = {"layers": 0, "tables": SAMPLES}
VECTOR, SRAM, MESH_Y, MESH_X = range(2 * SAMPLES, 2 * SAMPLES + 4)
N_LINES = 2 * SAMPLES + 4
WAVELET_BYTES = 4


@dataclass(frozen=True)
class _Interval:
    """Columns of intervals in cycles."""

    component: Rows
    start: Rows
    end: Rows
    state: int
    amount: Rows
    repeat: int = 1
    period: int = 0


class RegionLog:
    """Gathers intervals in cycles; without `record` it keeps nothing."""

    def __init__(self, record: bool) -> None:
        self.record = record
        self._single: list[_Interval] = []
        self._repeated: list[list[_Interval]] = [[]]
        self._ends: list[int] = []
        self._free = [0] * 4
        self._repeat = 1
        self._template: list[_Interval] = []

    def waiting(self, region: Region, y: Rows, x: Rows) -> None:
        """PEs that are not ready when the first one is wait for wavelets of the operator before."""
        at = self._ready(region, y, x)
        self._add(region, np.zeros_like(at), at, STALL_LINK)

    def work(self, region: Region, y: Rows, x: Rows, work: Work) -> None:
        """All PEs work as soon as they are ready."""
        at = self._ready(region, y, x)
        self._add(region, at, at + work.cycles, BUSY, _shared(work.macs))
        first = int(y.min()) + int(x.min())
        for line, amount in ((VECTOR, work.vector_ops), (SRAM, work.sram_bytes)):
            if amount:
                self._whole(line, first, first + work.cycles, amount)

    def collective(self, region: Region, axis: str, times: Rows, others: Rows) -> None:
        """Instructions of the PEs on a line along an axis; `others`: how much later lines are than the first."""
        if not self.record:
            return
        row, column = _diagonal(region)
        own, delay = (row, others[column]) if axis == Y else (column, others[row])
        for i in range(times.shape[1]):
            t = times[own, i] + 0
            begin, eligible, end = (t[:, each] + delay for each in (k.T_BEGIN, k.T_ELIGIBLE, k.T_END))
            waited = eligible + t[:, k.T_WAIT_IN]
            held = waited + t[:, k.T_WAIT_OUT]
            self._add(region, begin, eligible, STALL_LAUNCH)
            self._add(region, eligible, waited, STALL_LINK)
            self._add(region, waited, held, STALL_CREDIT)
            self._add(region, held, end, BUSY)

    def shift(self, region: Region, y: Rows, x: Rows, start: int, step: int, task: int, phase: Shift) -> None:
        """PEs wait for the slowest, then go in step."""
        if not self.record:
            return
        at = self._ready(region, y, x)
        begin = np.full_like(at, start)
        self._add(region, at, begin, STALL_BARRIER)
        bounds = [start, start + task, start + task + phase.compute_cycles, start + step]
        for first, last, state in zip(bounds[:-1], bounds[1:], (STALL_LAUNCH, BUSY, STALL_LINK), strict=True):
            if last > first:
                amount = _shared(phase.macs) if state == BUSY else np.zeros_like(at)
                lines = FIRST_PE[region.name] + np.arange(SAMPLES)
                ends = np.full_like(at, last)
                self._repeated[-1].append(
                    _Interval(lines, np.full_like(at, first), ends, state, amount, phase.steps, step)
                )
        if phase.sram_bytes:
            self._whole(SRAM, start, start + phase.steps * step, phase.sram_bytes * phase.steps)

    def moved(self, region: Region, y: Rows, x: Rows, end: int) -> None:
        """PEs wait while a tensor is on its way."""
        at = self._ready(region, y, x)
        self._add(region, at, np.full_like(at, end), STALL_LINK)

    def hops(self, axis: str, start: int, end: int, n: int) -> None:
        """Wavelets over the links of an axis."""
        if n:
            self._whole(MESH_Y if axis == Y else MESH_X, start, max(end, start + 1), n * WAVELET_BYTES)

    def begin_rounds(self, n: int) -> None:
        """What follows, up to the end of rounds, happens n times."""
        self._repeat, self._template = n, []

    def end_rounds(self, period: int) -> None:
        """The rounds are this far apart."""
        if self._repeat > 1:
            repeated = (replace(each, repeat=self._repeat, period=period) for each in self._template)
            self._repeated[-1] += repeated
            self._free = [free + (self._repeat - 1) * period for free in self._free]
        self._repeat = 1

    def operator_done(self, cycle: int) -> None:
        """Note where an operator ends."""
        self._ends.append(cycle)
        self._repeated.append([])

    def activities(self, period_fs: int) -> list[Activity]:
        """Return the activity of each operator, times from its begin; what is beyond the last end is cut off."""
        last = self._ends[-1]
        whole = _activity(self._single, period_fs, last)
        cuts = cut(whole, [end * period_fs for end in self._ends])
        begins = [0, *self._ends]
        return [
            Activity.joined(each, _activity(repeated, period_fs, last, begin))
            for each, repeated, begin in zip(cuts, self._repeated, begins, strict=False)
        ]

    def _ready(self, region: Region, y: Rows, x: Rows) -> Rows:
        row, column = _diagonal(region)
        return np.asarray(y[row] + x[column], np.int64)

    def _add(self, region: Region, start: Rows, end: Rows, state: int, amount: Rows | None = None) -> None:
        if self.record and (end > start).any():
            lines = FIRST_PE[region.name] + np.arange(SAMPLES)
            some = end > start
            kept = amount if amount is not None else np.zeros(SAMPLES, np.int64)
            self._keep(_Interval(lines[some], start[some], end[some], state, kept[some]))

    def _keep(self, interval: _Interval) -> None:
        (self._single if self._repeat == 1 else self._template).append(interval)

    def _whole(self, line: int, start: int, end: int, amount: int) -> None:
        if not self.record:
            return
        free = self._free[line - VECTOR]
        start, end = max(start, free), max(end, free + 1, start + 1)
        self._free[line - VECTOR] = end
        at, begin, stop, done = (np.array([value], np.int64) for value in (line, start, end, amount))
        self._keep(_Interval(at, begin, stop, BUSY, done))


def _diagonal(region: Region) -> tuple[Rows, Rows]:
    sample = np.arange(SAMPLES)
    return sample * region.rows // SAMPLES, sample * region.columns // SAMPLES


def _shared(amount: int) -> Rows:
    """Return an amount in SAMPLES parts that add up to it."""
    each, rest = divmod(amount, SAMPLES)
    return each + (np.arange(SAMPLES) < rest).astype(np.int64)


def _activity(intervals: list[_Interval], period_fs: int, last: int, begin: int = 0) -> Activity:
    """Return intervals as activity; a part's intervals beyond the last end leave what they did to the one before."""
    if not intervals:
        return Activity.empty()
    sizes = [len(each.start) for each in intervals]
    component, start, end, amount = (
        np.concatenate([getattr(each, column) for each in intervals])
        for column in ("component", "start", "end", "amount")
    )
    state, repeat, period = (
        np.repeat([getattr(each, column) for each in intervals], sizes).astype(np.int64)
        for column in ("state", "repeat", "period")
    )
    single = repeat == 1
    kept = ~single | (start < last)
    for i in np.flatnonzero(~kept & (amount > 0)).tolist():
        same = np.flatnonzero(kept & single & (component == component[i]))
        amount[same[np.argmax(start[same])]] += amount[i]
    end = np.where(single, np.minimum(end, last), end)
    return Activity(
        component[kept].astype(np.int32),
        (start[kept] - begin) * period_fs,
        (end[kept] - begin) * period_fs,
        state[kept].astype(np.int8),
        amount[kept],
        repeat[kept],
        period[kept] * period_fs,
    )

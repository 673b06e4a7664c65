"""The log of a photonic chip: what converters and optics did, from the times of their blocks; cut by operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.photonic.program import Pass, PhotonicProgram, PhotonicTiming, Rows
from dieshot.kernels.photonic import (
    COLUMNS,
    CORE,
    COUNT,
    FREE,
    INTERVAL,
    N_RUN,
    N_TIMES,
    ROWS,
    SETTLE,
    START_1,
    START_2,
    VECTORS,
    WRITE,
    WRITE_1,
    WRITE_2,
    WRITE_3,
    WRITTEN,
)
from dieshot.simulator.engine.cell import (
    BUSY,
    STALL_BARRIER,
    STALL_CREDIT,
    STALL_MEMORY,
    STALL_OPERAND,
    Activity,
)
from dieshot.simulator.engine.cut import cut

SEQUENCER, VECTOR, HOST_MEMORY, LINK_IN, LINK_OUT, LASER, TUNING, N_SHARED = range(8)
WEIGHT_DAC, INPUT_DAC, OPTICS, ADC, ACCUMULATOR, SRAM, N_CORE = range(7)
SUM_BYTES = 8  # a partial sum of 4 bytes, read and written

Column = NDArray[np.int64]


@dataclass(slots=True)
class _Intervals:
    """Columns of intervals, gathered; those without length or repetition are left out."""

    parts: list[Rows] = field(default_factory=list)

    def add(
        self,
        line: Column,
        start: Column,
        length: Column,
        state: int,
        amount: Column | int,
        repeat: Column,
        period: Column,
    ) -> None:
        """Add intervals (n each); those that follow each other without a gap become one."""
        solid = (period <= length) & (repeat > 1)
        work = np.broadcast_to(np.asarray(amount, np.int64), line.shape)
        columns = (
            line,
            start,
            start + length * np.where(solid, repeat, 1),
            np.full(len(line), state, np.int64),
            work * np.where(solid, repeat, 1),
            np.where(solid, 1, repeat),
            np.where(solid | (repeat == 1), 0, period),
        )
        self.parts.append(np.stack(columns, axis=1)[(length > 0) & (repeat > 0)])

    def once(
        self, line: Column, start: Column, stop: Column, state: int, chosen: NDArray[np.bool_] | bool = True
    ) -> None:
        """Add intervals that happen once, where they are chosen."""
        one = np.ones(len(line), np.int64) * np.asarray(chosen, np.int64)
        self.add(line, start, stop - start, state, 0, one, 0 * one)

    def activity(self) -> Activity:
        """Return them by line and start."""
        rows = np.concatenate(self.parts)
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        line, start, end, state, amount, repeat, period = (np.ascontiguousarray(column) for column in rows.T)
        return Activity(line.astype(np.int32), start, end, state.astype(np.int8), amount, repeat, period)


def core_activity(
    timing: PhotonicTiming, n_cells: int, sum_ops: float, program: PhotonicProgram, passes: Sequence[Pass]
) -> Activity:
    """Return what the arrays and what belongs to each did. n_cells: of an array, all lit by every vector."""
    if not passes:
        return Activity.empty()
    runs: Rows = np.concatenate([each.runs for each in passes]).reshape(-1, N_RUN)
    times: Rows = np.concatenate([each.times for each in passes]).reshape(-1, N_TIMES)
    steps = [program.steps[each.step] for each in passes]
    told = [
        (each.loaded_fs, each.weights_fs, step.load > 0 and not step.streamed, program.operand_bits[step.operator])
        for each, step in zip(passes, steps, strict=True)
    ]
    n_runs = [len(each.runs) for each in passes]
    loaded, weights, from_host, bits = np.repeat(np.array(told, np.int64), n_runs, axis=0).T
    line = N_SHARED + N_CORE * runs[:, CORE]
    vectors, rows, columns = runs[:, VECTORS], runs[:, ROWS], runs[:, COLUMNS]
    written = np.where(runs[:, WRITE] > 0, rows * columns, 0)
    found = _Intervals()
    _write(found, line + WEIGHT_DAC, runs, times, written)
    _wait_to_write(found, line + WEIGHT_DAC, runs, times, weights, from_host > 0)
    _wait(found, timing, line + OPTICS, runs, times, loaded)
    sums = (vectors * columns * sum_ops).astype(np.int64)
    moved = vectors * (rows * bits // 8 + columns * SUM_BYTES) + 2 * written * bits // 8
    for part, after_fs, amount in (
        (INPUT_DAC, 0, vectors * rows),
        (SRAM, 0, moved),
        (OPTICS, timing.dac_fs, vectors * n_cells),
        (ADC, timing.light_fs, vectors * columns),
        (ACCUMULATOR, timing.light_fs + timing.adc_fs, sums),
    ):
        _pass(found, timing, line + part, runs, times, after_fs, amount)
    return found.activity()


def _write(found: _Intervals, line: Column, runs: Rows, times: Rows, amount: Column) -> None:
    """Add the writing of blocks, and the waiting for a free buffer between those of a run."""
    write, count, one = runs[:, WRITE], runs[:, COUNT], np.ones(len(runs), np.int64)
    first, second, third = times[:, WRITE_1], times[:, WRITE_2], times[:, WRITE_3]
    interval = times[:, INTERVAL]
    found.add(line, first, write, BUSY, amount, one, 0 * one)
    found.add(line, second, write, BUSY, amount, np.minimum(count - 1, 1), 0 * one)
    found.add(line, third, write, BUSY, amount, np.maximum(count - 2, 0), interval)
    some = write > 0
    found.once(line, first + write, second, STALL_CREDIT, some & (count > 1))
    found.once(line, second + write, third, STALL_CREDIT, some & (count > 2))
    rest = np.where(some, np.maximum(count - 3, 0), 0)
    found.add(line, third + write, interval - write, STALL_CREDIT, 0, rest, interval)


def _wait_to_write(
    found: _Intervals, line: Column, runs: Rows, times: Rows, weights: Column, from_host: NDArray[np.bool_]
) -> None:
    """Add what the writers wait for between runs: data of the host, or of the operators before, then a free buffer."""
    count, first = runs[:, COUNT], times[:, WRITE_1]
    rest = times[:, WRITE_3] + (count - 3) * times[:, INTERVAL]
    done = np.where(count == 1, first, np.where(count == 2, times[:, WRITE_2], rest)) + runs[:, WRITE]
    order = np.argsort(line, kind="stable")
    before = np.zeros(len(runs), np.int64)
    same = line[order[1:]] == line[order[:-1]]
    before[order[1:][same]] = done[order[:-1][same]]
    there = np.clip(weights, before, first)
    found.once(line, before, there, STALL_MEMORY, from_host)
    found.once(line, before, there, STALL_BARRIER, ~from_host)
    found.once(line, there, first, STALL_CREDIT)


def _wait(found: _Intervals, timing: PhotonicTiming, line: Column, runs: Rows, times: Rows, loaded: Column) -> None:
    """Add what the optics wait for: the host's data, then weights to be written and settled, then their vectors."""
    busy, count = runs[:, VECTORS] * timing.issue_fs, runs[:, COUNT]
    free, start, second = times[:, FREE], times[:, START_1], times[:, START_2]
    there = np.clip(loaded, free, start)
    settled = np.clip(np.maximum(times[:, WRITTEN], free) + runs[:, SETTLE], there, start)
    shift = timing.dac_fs
    found.once(line, free + shift, there + shift, STALL_MEMORY)
    found.once(line, there + shift, settled + shift, STALL_OPERAND)
    found.once(line, settled + shift, start + shift, STALL_BARRIER)
    found.once(line, start + busy + shift, second + shift, STALL_OPERAND, count > 1)
    rest = np.maximum(count - 2, 0)
    found.add(line, second + busy + shift, times[:, INTERVAL] - busy, STALL_OPERAND, 0, rest, times[:, INTERVAL])


def _pass(
    found: _Intervals, timing: PhotonicTiming, line: Column, runs: Rows, times: Rows, after_fs: int, amount: Column
) -> None:
    """Add the passing of vectors through a part that they reach `after_fs` after their digits have left."""
    busy, one = runs[:, VECTORS] * timing.issue_fs, np.ones(len(runs), np.int64)
    found.add(line, times[:, START_1] + after_fs, busy, BUSY, amount, one, 0 * one)
    found.add(line, times[:, START_2] + after_fs, busy, BUSY, amount, runs[:, COUNT] - 1, times[:, INTERVAL])


def cut_repeating(activity: Activity, ends_fs: Sequence[int]) -> list[Activity]:
    """Return the activity of each span between ends, as engine.cut does, of intervals that may repeat."""
    for end_fs in ends_fs:
        activity = _parted(activity, end_fs)
    repeats = activity.repeat > 1
    combs = activity.where(repeats)
    spans = []
    begin_fs = 0
    for end_fs, share in zip(ends_fs, cut(activity.where(~repeats), ends_fs), strict=True):
        inside = combs.where((combs.start_fs >= begin_fs) & (combs.start_fs < end_fs))
        moved = Activity(
            inside.component,
            inside.start_fs - begin_fs,
            inside.end_fs - begin_fs,
            inside.state,
            inside.amount,
            inside.repeat,
            inside.period_fs,
        )
        spans.append(Activity.joined(share, moved))
        begin_fs = end_fs
    return spans


def _parted(activity: Activity, time_fs: int) -> Activity:
    """Return the activity with every repetition parted into those before a time, the one that crosses it, and those
    after."""
    last_end = activity.end_fs + (activity.repeat - 1) * activity.period_fs
    across = (activity.repeat > 1) & (activity.start_fs < time_fs) & (last_end > time_fs)
    if not across.any():
        return activity
    a = activity.where(across)
    before = np.clip((time_fs - a.end_fs) // a.period_fs + 1, 0, a.repeat)
    begun = np.clip(-(-(time_fs - a.start_fs) // a.period_fs), before, a.repeat)
    pieces = [activity.where(~across)]
    for first, stop in ((0 * before, before), (before, begun), (begun, a.repeat)):
        n, shift = stop - first, first * a.period_fs
        period = np.where(n > 1, a.period_fs, 0)
        part = Activity(a.component, a.start_fs + shift, a.end_fs + shift, a.state, a.amount, n, period)
        pieces.append(part.where(n > 0))
    return Activity.joined(*pieces)

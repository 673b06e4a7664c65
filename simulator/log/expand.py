"""From intervals in femtoseconds to clock cycles: the one definition of what a component did in a cycle.

A local cycle is counted from the start of the region. An interval covers the cycles floor(start / period) up to
ceil(end / period) of its component's clock. Two intervals that meet inside a cycle both touch it: the cycle belongs to
the earlier one. An interval that is left without a cycle keeps its amount, credited to the cycle before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import BUSY, IDLE, Activity, ComponentSpec

Int64 = NDArray[np.int64]

WIDEST_EXACT_CYCLES = 2**31
MOST_REPETITIONS = 2**26


class CycleIntervals(NamedTuple):
    """Intervals of one component in its own cycles, ordered in time; all columns have the same length.

    `end_cycle` is excluded; an interval with `end_cycle == start_cycle` lost its only cycle to the one before.
    """

    start_cycle: Int64
    end_cycle: Int64
    state: NDArray[np.int8]
    amount: Int64


class CycleWindow(NamedTuple):
    """A dense window: state code, amount of work and dynamic energy (fJ) of every cycle."""

    state: NDArray[np.int8]
    amount: Int64
    energy_fj: Int64


def ceil_divide(numerator: Int64 | int, denominator: Int64 | int) -> Int64:
    """Return the quotient rounded up; the denominator is positive."""
    quotient: Int64 = -(-numerator // denominator)  # type: ignore[assignment]
    return quotient


def take_rows(activity: Activity, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Activity:
    """Return some rows of an activity, in the order given."""
    return Activity(
        activity.component[rows],
        activity.start_fs[rows],
        activity.end_fs[rows],
        activity.state[rows],
        activity.amount[rows],
        activity.repeat[rows],
        activity.period_fs[rows],
    )


def sort_activity(activity: Activity) -> Activity:
    """Return the rows ordered by component, then by first start, then by first end."""
    component, start, end = activity.component, activity.start_fs, activity.end_fs
    if len(activity) < 2 or bool(
        np.all(
            (component[1:] > component[:-1])
            | ((component[1:] == component[:-1]) & (start[1:] > start[:-1]))
            | ((component[1:] == component[:-1]) & (start[1:] == start[:-1]) & (end[1:] >= end[:-1]))
        )
    ):
        return activity
    return take_rows(activity, np.lexsort((end, start, component)))


def cycle_intervals(
    activity: Activity,
    specs: Sequence[ComponentSpec],
    component: int,
    start: int = 0,
    stop: int | None = None,
) -> CycleIntervals:
    """Expand the intervals of one component, repetitions included, to local cycles.

    With `start` and `stop` (cycles) only what can touch that window is expanded; inside the window the outcome is the
    same. Raises ValueError where intervals overlap or the window holds more than `MOST_REPETITIONS` of them.
    """
    rows = sort_activity(take_rows(activity, activity.component == component))
    return clocked_intervals(rows, specs[component].clock_period_fs, start, stop)


def clocked_intervals(rows: Activity, clock_period_fs: int, start: int = 0, stop: int | None = None) -> CycleIntervals:
    """Expand sorted rows that all belong to one component; see `cycle_intervals`."""
    if len(rows) == 0:
        return CycleIntervals(rows.start_fs, rows.end_fs, rows.state, rows.amount)
    first_fs = start * clock_period_fs
    last_fs = _last_end_fs(rows) if stop is None else stop * clock_period_fs
    row, start_fs = _repetitions(rows, first_fs, last_fs)
    if len(row) and start > 0:
        # An interval that reaches in from the left may begin in a cycle that the one before it owns.
        aligned_fs = int(start_fs.min()) // clock_period_fs * clock_period_fs
        if aligned_fs < first_fs:
            row, start_fs = _repetitions(rows, aligned_fs, last_fs)
    end_fs = start_fs + (rows.end_fs - rows.start_fs)[row]
    if np.any((start_fs[1:] < start_fs[:-1]) | ((start_fs[1:] == start_fs[:-1]) & (end_fs[1:] < end_fs[:-1]))):
        order = np.lexsort((end_fs, start_fs))
        row, start_fs, end_fs = row[order], start_fs[order], end_fs[order]
    if np.any(start_fs[1:] < end_fs[:-1]):
        raise ValueError(f"intervals overlap at {int(start_fs[1:][start_fs[1:] < end_fs[:-1]][0])} fs")
    start_cycle = start_fs // clock_period_fs
    end_cycle = ceil_divide(end_fs, clock_period_fs)
    start_cycle[1:] = np.maximum(start_cycle[1:], end_cycle[:-1])
    return CycleIntervals(start_cycle, end_cycle, rows.state[row], rows.amount[row])


def _last_end_fs(rows: Activity) -> int:
    return int((rows.end_fs + (rows.repeat - 1) * rows.period_fs).max())


def _repetitions(rows: Activity, first_fs: int, last_fs: int) -> tuple[NDArray[np.intp], Int64]:
    """Return row and start of every repetition that touches the closed span `first_fs` .. `last_fs`."""
    period_fs = np.maximum(rows.period_fs, 1)
    earliest = np.maximum(ceil_divide(first_fs - rows.end_fs, period_fs), 0)
    latest = np.minimum((last_fs - rows.start_fs) // period_fs, rows.repeat - 1)
    n_repetitions = np.maximum(latest - earliest + 1, 0)
    total = int(n_repetitions.sum(dtype=np.float64))
    if total > MOST_REPETITIONS:
        raise ValueError(f"{total:,} intervals in one window, more than {MOST_REPETITIONS:,}")
    row = np.repeat(np.arange(len(rows)), n_repetitions)
    repetition = counting(n_repetitions) + earliest[row]
    return row, rows.start_fs[row] + repetition * rows.period_fs[row]


def counting(lengths: Int64) -> Int64:
    """Return 0 .. n-1 for every n of `lengths`, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) - np.repeat(ends - lengths, lengths)


def credit_vanished(intervals: CycleIntervals) -> CycleIntervals:
    """Return the intervals with those that lost their cycle as an idle cycle's worth of amount, one cycle earlier."""
    vanished = intervals.end_cycle == intervals.start_cycle
    if not vanished.any():
        return intervals
    before = np.maximum(intervals.start_cycle - 1, 0)
    return CycleIntervals(
        np.where(vanished, before, intervals.start_cycle),
        np.where(vanished, before + 1, intervals.end_cycle),
        np.where(vanished, np.int8(IDLE), intervals.state),
        intervals.amount,
    )


def dense(intervals: CycleIntervals, start: int, stop: int, fj_per_amount: Int64 | int = 0) -> CycleWindow:
    """Spell out the cycles `start` .. `stop` (excluded).

    The amount of an interval is spread over its cycles by differences of rounded-down cumulative shares, so that the
    sum over them is the amount. `fj_per_amount` is the energy (fJ) of a unit of amount, one for all or one per
    interval. Where intervals share a cycle, amounts and energies add, busy wins, and else the first interval given.
    """
    n_cycles = stop - start
    state = np.full(n_cycles, IDLE, np.int8)
    amount = np.zeros(n_cycles, np.int64)
    energy_fj = np.zeros(n_cycles, np.int64)
    credited = credit_vanished(intervals)
    first = np.maximum(credited.start_cycle, start)
    length = np.maximum(np.minimum(credited.end_cycle, stop) - first, 0)
    row = np.repeat(np.arange(len(length)), length)
    cycle = counting(length) + first[row]
    _paint(state, cycle - start, credited.state[row])
    working = credited.amount[row] != 0
    row, cycle = row[working], cycle[working]
    share = _share(credited, row, cycle)
    np.add.at(amount, cycle - start, share)
    weight = fj_per_amount if isinstance(fj_per_amount, int) else fj_per_amount[row]
    np.add.at(energy_fj, cycle - start, share * weight)
    return CycleWindow(state, amount, energy_fj)


def _paint(state: NDArray[np.int8], at: Int64, code: NDArray[np.int8]) -> None:
    """Write codes into `state`: the last write to an element stays, so the first interval comes last, then busy."""
    active = code != IDLE
    at, code = at[active], code[active]
    state[at[::-1]] = code[::-1]
    state[at[code == BUSY]] = BUSY


def _share(intervals: CycleIntervals, row: NDArray[np.intp], cycle: Int64) -> Int64:
    """Return what falls on each cycle of its interval's amount."""
    length = (intervals.end_cycle - intervals.start_cycle)[row]
    whole, rest = np.divmod(intervals.amount[row], length)
    uneven = np.flatnonzero(rest)
    step = cycle[uneven] - intervals.start_cycle[row[uneven]]
    length, rest = length[uneven], rest[uneven]
    if length.max(initial=0) >= WIDEST_EXACT_CYCLES:
        length, rest, step = length.astype(object), rest.astype(object), step.astype(object)
    extra = ((step + 1) * rest) // length - (step * rest) // length
    whole[uneven] += extra.astype(np.int64)
    return whole

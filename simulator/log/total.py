"""Totals of a cell per component, counted without spelling out its cycles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import IDLE, STATES, Activity, ComponentSpec
from dieshot.simulator.log.expand import Int64, ceil_divide, counting, sort_activity, take_rows

BLOCK_REPETITIONS = 2**22


class Totals(NamedTuple):
    """What each component did in a cell, counted.

    `cycles` has the shape (component, state), `amount` (component,) and `n_intervals` (component,), the rows stored.
    """

    cycles: Int64
    amount: Int64
    n_intervals: Int64


class _Spans(NamedTuple):
    """Intervals to count, ordered in time per component; each stands for `weight` equal ones.

    `carry_fs` is how much later than `end_fs` the last of them ends, for what follows after the whole loop.
    """

    row: NDArray[np.intp]
    start_fs: Int64
    end_fs: Int64
    weight: Int64
    carry_fs: Int64


def totals(activity: Activity, specs: Sequence[ComponentSpec], duration_fs: int) -> Totals:
    """Return cycles by state and amount of every component of a cell that lasts `duration_fs`.

    The same cycles as `expand.dense` gives, state by state, for all components at once. Repetitions that fall on the
    same phase of the clock are counted, not expanded. Raises ValueError where intervals of a component overlap.
    """
    ordered = sort_activity(activity)
    clock_period_fs = np.array([spec.clock_period_fs for spec in specs], np.int64)
    cycles = np.zeros(len(specs) * len(STATES), np.int64)
    amount = np.zeros(len(specs), np.int64)
    np.add.at(amount, ordered.component, ordered.amount * ordered.repeat)
    if np.all(ordered.repeat == 1):
        _add_single_cycles(ordered, clock_period_fs, cycles)
    for rows, loop, folded in _blocks(ordered, clock_period_fs):
        spans = _spans(rows, folded)
        n_cycles = _own_cycles(rows, spans, loop, clock_period_fs)
        state = rows.component[spans.row].astype(np.int64) * len(STATES) + rows.state[spans.row]
        np.add.at(cycles, state, n_cycles * spans.weight)
    table = cycles.reshape(len(specs), len(STATES))
    table[:, IDLE] += ceil_divide(duration_fs, clock_period_fs) - table.sum(axis=1)
    return Totals(table, amount, np.bincount(ordered.component, minlength=len(specs)).astype(np.int64))


def _add_single_cycles(rows: Activity, clock_period_fs: Int64, cycles: Int64) -> None:
    """Add the cycles of intervals that happen once, by component and state."""
    component = rows.component
    period_fs = clock_period_fs[component]
    neighbours = component[1:] == component[:-1]
    _refuse_overlap(component, rows.start_fs, neighbours & (rows.start_fs[1:] < rows.end_fs[:-1]))
    start_cycle, end_cycle = rows.start_fs // period_fs, ceil_divide(rows.end_fs, period_fs)
    np.maximum(start_cycle[1:], end_cycle[:-1], out=start_cycle[1:], where=neighbours)
    np.add.at(cycles, component.astype(np.int64) * len(STATES) + rows.state, end_cycle - start_cycle)


def _refuse_overlap(component: NDArray[np.int32], start_fs: Int64, overlap: NDArray[np.bool_]) -> None:
    """Raise ValueError for the first interval that overlaps the one before it."""
    if overlap.any():
        at = int(np.flatnonzero(overlap)[0]) + 1
        raise ValueError(f"intervals of component {component[at]} overlap at {start_fs[at]} fs")


def _blocks(ordered: Activity, clock_period_fs: Int64) -> Iterator[tuple[Activity, Int64, NDArray[np.bool_]]]:
    """Yield rows, their loops and which are folded, in blocks of whole components: expansion needs bounded memory."""
    if np.all(ordered.repeat == 1):
        return
    loop = _loops(ordered)
    folded = _foldable(ordered, loop, clock_period_fs)
    n_spans = np.cumsum(np.where(folded, 2, ordered.repeat))
    first_of_component = np.flatnonzero(np.diff(ordered.component, prepend=-1))
    block = n_spans[first_of_component] // BLOCK_REPETITIONS
    begin = first_of_component[np.flatnonzero(np.diff(block, prepend=-1))].tolist()
    for first, last in zip(begin, [*begin[1:], len(ordered)], strict=True):
        yield take_rows(ordered, slice(first, last)), loop[first:last], folded[first:last]


def _loops(ordered: Activity) -> Int64:
    """Return the loop of each row: a stretch of rows of one component that repeat alike and in turns."""
    component, repeat, period_fs = ordered.component, ordered.repeat, ordered.period_fs
    reached_fs = ordered.end_fs + (repeat - 1) * period_fs
    begins = np.ones(len(ordered), np.bool_)
    begins[1:] = np.diff(component) | np.diff(repeat) | np.diff(period_fs) != 0
    begins[1:] |= ordered.start_fs[1:] >= reached_fs[:-1]
    return np.cumsum(begins) - 1


def _foldable(ordered: Activity, loop: Int64, clock_period_fs: Int64) -> NDArray[np.bool_]:
    """Return the rows of loops whose repetitions look alike to the clock and are not interleaved with other loops.

    From the second repetition on, each is preceded by the same end and so covers the same cycles, shifted.
    """
    first = np.flatnonzero(np.diff(loop, prepend=-1))
    component, repeat, period_fs = ordered.component[first], ordered.repeat[first], ordered.period_fs[first]
    start_fs, end_fs = ordered.start_fs[first], np.maximum.reduceat(ordered.end_fs, first)
    reached_fs = end_fs + (repeat - 1) * period_fs
    tangled = (component[1:] == component[:-1]) & (start_fs[1:] < reached_fs[:-1])
    alike = (period_fs % clock_period_fs[component] == 0) & (end_fs - start_fs <= period_fs)
    fold: NDArray[np.bool_] = alike & (repeat > 2) & ~np.isin(component, component[1:][tangled])
    return fold[loop]


def _spans(rows: Activity, folded: NDArray[np.bool_]) -> _Spans:
    """Return first and second repetition of folded rows, and every repetition of the others."""
    n_spans = np.where(folded, 2, rows.repeat)
    row = np.repeat(np.arange(len(rows)), n_spans)
    repetition = counting(n_spans)
    shift_fs = repetition * rows.period_fs[row]
    weight = np.where(folded[row] & (repetition == 1), rows.repeat[row] - 1, 1)
    carry_fs = (weight - 1) * rows.period_fs[row]
    spans = _Spans(row, rows.start_fs[row] + shift_fs, rows.end_fs[row] + shift_fs, weight, carry_fs)
    if len(row) == len(rows):
        return spans
    order = np.lexsort((spans.end_fs, spans.start_fs, rows.component[row]))
    return _Spans(*(column[order] for column in spans))


def _own_cycles(rows: Activity, spans: _Spans, loop: Int64, clock_period_fs: Int64) -> Int64:
    """Return the cycles of each span that no earlier span of its component has taken."""
    component = rows.component[spans.row]
    period_fs = clock_period_fs[component]
    start_cycle = spans.start_fs // period_fs
    end_cycle = ceil_divide(spans.end_fs, period_fs)
    carry_fs = np.where(np.diff(loop[spans.row]) != 0, spans.carry_fs[:-1], 0)
    neighbours = component[1:] == component[:-1]
    overlap = neighbours & (spans.start_fs[1:] < spans.end_fs[:-1] + carry_fs)
    _refuse_overlap(component, spans.start_fs, overlap)
    taken = np.where(neighbours, end_cycle[:-1] + carry_fs // period_fs[:-1], 0)
    start_cycle[1:] = np.maximum(start_cycle[1:], taken)
    own: Int64 = end_cycle - start_cycle
    return own

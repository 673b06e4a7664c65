"""From placements of cells to the cycles of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.log.expand import (
    MOST_REPETITIONS,
    CycleIntervals,
    CycleWindow,
    Int64,
    ceil_divide,
    clocked_intervals,
    counting,
    credit_vanished,
    dense,
)


class Placed(NamedTuple):
    """Placements on one stage; `duration_fs` and `fj_per_amount` are those of the cell, for one kind of part."""

    cell: Int64
    start_fs: Int64
    repeat: Int64
    stride_fs: Int64
    duration_fs: Int64
    fj_per_amount: Int64


class _Copies(NamedTuple):
    """Single copies of cells that touch a window: row of the placement, first cycle, and length in cycles."""

    row: Int64
    first_cycle: Int64
    n_cycles: Int64


def placed_window(
    placed: Placed, clock_period_fs: int, start: int, stop: int, rows_of: Callable[[int], Activity]
) -> CycleWindow:
    """Return the cycles `start` .. `stop` (excluded) of one component of a run, its dynamic energy only.

    A cell that starts at `t` begins in cycle floor(t / period), and its local cycles count on from there. `rows_of`
    returns the sorted activity of the component in a cell. Where two copies meet in a cycle, amounts and energies
    add, busy wins, and else the earlier copy. Raises ValueError for more than `MOST_REPETITIONS` copies or intervals.
    """
    copies = _copies(placed, clock_period_fs, start, stop)
    pieces: list[CycleIntervals] = []
    weights: list[Int64] = []
    for cell in np.unique(placed.cell[copies.row]).tolist():
        rows = rows_of(cell)
        of_cell = placed.cell[copies.row] == cell
        for piece in _cell_pieces(_Copies(*(column[of_cell] for column in copies)), rows, clock_period_fs, start, stop):
            pieces.append(piece)
            # All copies of a cell have its energy per amount.
            energy = int(placed.fj_per_amount[copies.row[of_cell][0]])
            weights.append(np.full(len(piece.start_cycle), energy, np.int64))
    if not pieces:
        return dense(clocked_intervals(Activity.empty(), clock_period_fs), start, stop)
    order = np.argsort(np.concatenate([piece.start_cycle for piece in pieces]), kind="stable")
    ordered = CycleIntervals(
        np.concatenate([piece.start_cycle for piece in pieces])[order],
        np.concatenate([piece.end_cycle for piece in pieces])[order],
        np.concatenate([piece.state for piece in pieces])[order],
        np.concatenate([piece.amount for piece in pieces])[order],
    )
    return dense(ordered, start, stop, np.concatenate(weights)[order])


def _copies(placed: Placed, clock_period_fs: int, start: int, stop: int) -> _Copies:
    """Return the copies that have a cycle in the window: they begin before its end and late enough to reach it."""
    n_cycles = ceil_divide(placed.duration_fs, clock_period_fs)
    stride_fs = np.maximum(placed.stride_fs, 1)
    reaching_fs = (start + 1 - n_cycles) * clock_period_fs
    earliest = np.maximum(ceil_divide(reaching_fs - placed.start_fs, stride_fs), 0)
    latest = np.minimum((stop * clock_period_fs - 1 - placed.start_fs) // stride_fs, placed.repeat - 1)
    n_copies = np.maximum(latest - earliest + 1, 0)
    if n_copies.sum(dtype=np.float64) > MOST_REPETITIONS:
        raise ValueError(f"more than {MOST_REPETITIONS:,} copies of cells in one window")
    row = np.repeat(np.arange(len(n_copies)), n_copies)
    start_fs = placed.start_fs[row] + (counting(n_copies) + earliest[row]) * placed.stride_fs[row]
    return _Copies(row, start_fs // clock_period_fs, n_cycles[row])


def _cell_pieces(copies: _Copies, rows: Activity, clock_period_fs: int, start: int, stop: int) -> list[CycleIntervals]:
    """Return the intervals of all copies of one cell, counted in cycles of the run."""
    inside = (copies.first_cycle >= start) & (copies.first_cycle + copies.n_cycles <= stop)
    pieces = []
    if inside.any():
        whole = credit_vanished(clocked_intervals(rows, clock_period_fs))
        pieces.append(_shifted(whole, copies.first_cycle[inside]))
    for first_cycle, n_cycles in zip(copies.first_cycle[~inside], copies.n_cycles[~inside], strict=True):
        local_start = max(start - int(first_cycle), 0)
        local_stop = min(stop - int(first_cycle), int(n_cycles))
        part = credit_vanished(clocked_intervals(rows, clock_period_fs, local_start, local_stop))
        pieces.append(_shifted(part, np.array([first_cycle])))
    return pieces


def _shifted(intervals: CycleIntervals, first_cycle: Int64) -> CycleIntervals:
    """Return one copy of the intervals per element of `first_cycle`."""
    n_copies = len(first_cycle)
    if n_copies * len(intervals.state) > MOST_REPETITIONS:
        raise ValueError(f"more than {MOST_REPETITIONS:,} intervals in one window")
    return CycleIntervals(
        np.add.outer(first_cycle, intervals.start_cycle).ravel(),
        np.add.outer(first_cycle, intervals.end_cycle).ravel(),
        np.tile(intervals.state, n_copies),
        np.tile(intervals.amount, n_copies),
    )

"""Cutting a log whose intervals repeat, against the same intervals one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.photonic.log import cut_repeating
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.cut import cut

ROW = st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(0, 50), st.integers(1, 6), st.integers(0, 5))
LENGTH = 150


def activity(rows: list[tuple[int, ...]]) -> Activity:
    """Return a line for every row: start, length, amount, repetitions, gap between them."""
    table = np.array(rows, np.int64)
    start, length, amount, repeat, gap = table.T
    line = np.arange(len(rows))
    period = np.where(repeat > 1, length + gap, 0)
    state = np.ones(len(rows), np.int8)
    return Activity(line.astype(np.int32), start, start + length, state, amount, repeat, period)


def one_by_one(a: Activity) -> Activity:
    """Return every repetition as an interval of its own."""
    row = np.repeat(np.arange(len(a)), a.repeat)
    number = np.arange(len(row)) - np.repeat(np.cumsum(a.repeat) - a.repeat, a.repeat)
    shift = number * a.period_fs[row]
    one = np.ones(len(row), np.int64)
    columns = (a.component, a.start_fs, a.end_fs, a.state, a.amount)
    line, start, end, state, amount = (column[row] for column in columns)
    return Activity(line, start + shift, end + shift, state, amount, one, 0 * one)


def rows_of(a: Activity) -> list[tuple[int, ...]]:
    columns = (a.component, a.start_fs, a.end_fs, a.amount)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=150)
@given(st.lists(ROW, min_size=1, max_size=6), st.lists(st.integers(0, LENGTH), max_size=4))
def test_repetitions_are_cut_as_if_they_were_written_out(rows: list[tuple[int, ...]], inner: list[int]) -> None:
    whole, ends = activity(rows), [*sorted(inner), LENGTH]
    for found, expected in zip(cut_repeating(whole, ends), cut(one_by_one(whole), ends), strict=True):
        assert rows_of(one_by_one(found)) == rows_of(expected)

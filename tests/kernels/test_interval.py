"""Intervals written on the fly against a list per line."""

from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels.interval import N_OPEN, close_all, emit

N_LINES = 3
FOREVER = 2**62
# line, gap before, length, state, amount
STRETCHES = st.lists(
    st.tuples(
        st.integers(0, N_LINES - 1),
        st.sampled_from([0, 0, 4]),
        st.integers(1, 9),
        st.integers(1, 2),
        st.integers(0, 99),
    ),
    max_size=40,
)


def on_lines(stretches: list[tuple[int, ...]]) -> list[tuple[int, naive.Interval]]:
    ends, out = [0] * N_LINES, []
    for line, gap, length, state, amount in stretches:
        start = ends[line] + gap
        ends[line] = start + length
        out.append((line, (start, start + length, state, amount)))
    return out


def written(intervals: list[tuple[int, naive.Interval]], cuts: list[int]) -> dict[int, list[naive.Interval]]:
    """Emit everything, closing at each of the cuts (times of the last line's progress) on the way."""
    open_, log = np.zeros((N_LINES, N_OPEN), np.int64), np.zeros((len(intervals) + 9 * (len(cuts) + 1), 5), np.int64)
    n_log = 0
    for line, (start, end, state, amount) in intervals:
        n_log = emit(line, start, end, state, amount, open_, n_log, log)
    for cut in [*sorted(cuts), FOREVER]:
        n_log = close_all(cut, open_, n_log, log)
    assert not open_[:, 2].any()
    rows = log[:n_log].tolist()
    return {line: [tuple(row[1:]) for row in rows if row[0] == line] for line in range(N_LINES)}  # type: ignore[misc]


@given(STRETCHES)
def test_touching_stretches_of_one_state_become_one(stretches: Any) -> None:
    intervals = on_lines(stretches)
    for line, rows in written(intervals, []).items():
        assert rows == naive.merged(interval for at, interval in intervals if at == line)


@given(STRETCHES, st.lists(st.integers(0, 200), max_size=4))
def test_cutting_loses_neither_time_nor_amount(stretches: Any, cuts: list[int]) -> None:
    intervals = on_lines(stretches)
    whole = written(intervals, [])
    for line, rows in written(intervals, cuts).items():
        assert [row[:3] for row in naive.merged(rows)] == [row[:3] for row in whole[line]]
        assert sum(row[3] for row in rows) == sum(row[3] for row in whole[line])
        assert all(row[3] >= 0 for row in rows)


@pytest.mark.nojit
def test_work_under_way_at_a_cut_counts_where_it_began() -> None:
    open_, log = np.zeros((1, N_OPEN), np.int64), np.zeros((2, 5), np.int64)
    emit(0, 10, 30, 1, 100, open_, 0, log)
    assert close_all(15, open_, 0, log) == 1
    assert log[0].tolist() == [0, 10, 15, 1, 100]
    assert close_all(FOREVER, open_, 1, log) == 2
    assert log[1].tolist() == [0, 15, 30, 1, 0]

"""Rows in the order of their times: as Python's own sort has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels.order import count_before, order_ties, sort_by_time

pytestmark = pytest.mark.nojit

SMALL = st.integers(-3, 6)


@given(st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=40), st.integers(0, 3))
def test_rows_are_ordered_as_python_does(rows: list[tuple[int, int, int]], n_more: int) -> None:
    table = np.array([*rows, *[(-9, -9, -9)] * n_more], np.int64).reshape(-1, 3)
    out, orders = np.full_like(table, 77), np.zeros((2, len(table)), np.int64)
    sort_by_time(table, len(rows), orders, out)
    assert [tuple(row) for row in out[: len(rows)].tolist()] == sorted(rows, key=lambda row: row[0])
    assert (out[len(rows) :] == 77).all()
    order_ties(out, len(rows))
    assert [tuple(row) for row in out[: len(rows)].tolist()] == sorted(rows)


@given(st.lists(SMALL, max_size=20), SMALL)
def test_rows_before_a_time_are_counted(times: list[int], time: int) -> None:
    rows = np.array([(each, 0) for each in sorted(times)], np.int64).reshape(-1, 2)
    assert count_before(rows, len(times), time) == sum(each < time for each in times)

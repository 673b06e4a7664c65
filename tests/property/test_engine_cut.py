"""Cutting a region at the ends of its operators: nothing is lost, nothing is moved."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.simulator.engine.cell import BUSY, Activity
from dieshot.simulator.engine.cut import cut

LARGE = 1 << 61


def activity(rows: list[tuple[int, int, int]]) -> Activity:
    """Intervals of one component each: start, length, amount."""
    start, length, amount = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    n = len(rows)
    return Activity(
        np.arange(n, dtype=np.int32),
        start,
        start + length,
        np.full(n, BUSY, np.int8),
        amount,
        np.ones(n, np.int64),
        np.zeros(n, np.int64),
    )


ROWS = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500), st.integers(0, LARGE)), min_size=1, max_size=6)


@given(ROWS, st.lists(st.integers(0, 1000), max_size=5))
def test_parts_add_up_and_lie_where_they_lay(rows: list[tuple[int, int, int]], inner: list[int]) -> None:
    whole = activity(rows)
    ends = [*sorted(inner), 1000]
    parts = cut(whole, ends)
    assert len(parts) == len(ends)
    begin = 0
    spans: dict[int, list[tuple[int, int]]] = {}
    amounts = dict.fromkeys(range(len(rows)), 0)
    for part, end in zip(parts, ends, strict=True):
        assert len(part) == 0 or int(part.end_fs.max()) <= end - begin
        for component, start, stop, amount in zip(
            part.component.tolist(), part.start_fs.tolist(), part.end_fs.tolist(), part.amount.tolist(), strict=True
        ):
            assert amount >= 0
            spans.setdefault(component, []).append((start + begin, stop + begin))
            amounts[component] += amount
        begin = end
    for component, (start, length, amount) in enumerate(rows):
        pieces = spans[component]
        assert pieces[0][0] == start
        assert pieces[-1][1] == start + length
        assert all(left[1] == right[0] for left, right in pairwise(pieces))
        assert amounts[component] == amount


def test_a_crossing_interval_is_divided_by_time() -> None:
    first, second = cut(activity([(10, 40, 8)]), [20, 50])
    assert (first.amount.tolist(), second.amount.tolist()) == ([2], [6])


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="activity outside of 0 to 40 fs"):
        cut(activity([(10, 40, 8)]), [20, 40])
    with pytest.raises(ValueError, match="ends that decrease"):
        cut(activity([(10, 40, 8)]), [60, 50])
    repeating = activity([(0, 1, 1)])
    repeating.repeat[0] = 2
    with pytest.raises(ValueError, match="repeat"):
        cut(repeating, [50])

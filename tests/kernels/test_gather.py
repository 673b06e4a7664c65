"""Log rows put together line by line: as Python's own sort has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.chips.parts import activity
from dieshot.chips.parts.activity import ActivityLog

pytestmark = pytest.mark.nojit

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(1, 3), st.integers(0, 5)), max_size=12)


@given(st.lists(ROWS, max_size=4), st.sampled_from([0, 4096]))
def test_lines_come_in_order_and_each_in_the_order_of_time(chunks: list[list[tuple[int, ...]]], few_rows: int) -> None:
    rows = [[(line, start, start + length, 1, amount) for line, start, length, amount in chunk] for chunk in chunks]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(activity, "FEW_ROWS", few_rows)
        log = ActivityLog(4, 10, record=True)
        for chunk in rows:
            log.keep(np.array(chunk, np.int64).reshape(-1, 5))
        found = log.activity()
    expected = sorted((row for chunk in rows for row in chunk), key=lambda row: row[:2])
    columns = (found.component - 10, found.start_fs, found.end_fs, found.state, found.amount)
    assert [tuple(row) for row in np.stack(columns, axis=1).tolist()] == expected
    assert (found.repeat == 1).all() and (found.period_fs == 0).all()
    assert (found.component.dtype, found.state.dtype) == (np.int32, np.int8)

"""The heap against a sorted list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels.heap import pop, push

ITEMS = st.tuples(st.integers(0, 5), st.integers(0, 9))


@given(st.lists(st.one_of(st.none(), ITEMS), max_size=60))
def test_heap_acts_as_a_sorted_list(operations: list[tuple[int, int] | None]) -> None:
    heap, n_items, expected = np.zeros((60, 2), np.int64), 0, []
    for item in operations:
        if item is not None:
            expected = sorted([*expected, item])
            n_items = push(heap, n_items, *item)
        elif expected:
            assert tuple(heap[0].tolist()) == expected.pop(0)
            n_items = pop(heap, n_items)
        assert n_items == len(expected)


@pytest.mark.nojit
def test_equal_times_leave_in_the_order_of_their_items() -> None:
    heap, n_items = np.zeros((4, 2), np.int64), 0
    for item in (3, 1, 2):
        n_items = push(heap, n_items, 7, item)
    n_items = push(heap, n_items, 6, 9)
    order = []
    while n_items:
        order.append(tuple(heap[0].tolist()))
        n_items = pop(heap, n_items)
    assert order == [(6, 9), (7, 1), (7, 2), (7, 3)]

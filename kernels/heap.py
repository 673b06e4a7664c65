"""A binary heap of (time, item) rows in one array; equal times leave in the order of their items."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop


@timing_loop("boolean(int64[:, ::1], int64, int64)")
def _before(heap: Rows, i: int, j: int) -> bool:
    if heap[i, 0] != heap[j, 0]:
        return bool(heap[i, 0] < heap[j, 0])
    return bool(heap[i, 1] < heap[j, 1])


@timing_loop("void(int64[:, ::1], int64, int64)")
def _swap(heap: Rows, i: int, j: int) -> None:
    for column in range(2):
        kept = heap[i, column]
        heap[i, column] = heap[j, column]
        heap[j, column] = kept


@timing_loop("int64(int64[:, ::1], int64, int64, int64)")
def push(heap: Rows, n_items: int, time_fs: int, item: int) -> int:
    """Add a row to heap (capacity, 2) that holds `n_items`; return the new count."""
    heap[n_items, 0] = time_fs
    heap[n_items, 1] = item
    child = n_items
    while child > 0:
        parent = (child - 1) // 2
        if not _before(heap, child, parent):
            break
        _swap(heap, child, parent)
        child = parent
    return n_items + 1


@timing_loop("int64(int64[:, ::1], int64)")
def pop(heap: Rows, n_items: int) -> int:
    """Remove row 0 (the earliest) of heap (capacity, 2); return the new count. Read row 0 before."""
    n_items -= 1
    heap[0, 0] = heap[n_items, 0]
    heap[0, 1] = heap[n_items, 1]
    parent = 0
    while True:
        least = parent
        for child in (2 * parent + 1, 2 * parent + 2):
            if child < n_items and _before(heap, child, least):
                least = child
        if least == parent:
            return n_items
        _swap(heap, parent, least)
        parent = least

"""Rows put into the order of their times without allocating: a stable merge sort over their numbers."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

TIME = 0


@part_of_loop
def _is_sorted(rows: Rows, n: int) -> bool:
    k = 1
    while k < n and rows[k, TIME] >= rows[k - 1, TIME]:
        k += 1
    return k >= n


@part_of_loop
def _is_later(rows: Rows, one: int, other: int) -> bool:
    """Return whether one row comes after another by the columns after the time."""
    if rows[one, 1] != rows[other, 1]:
        return bool(rows[one, 1] > rows[other, 1])
    return bool(rows[one, 2] > rows[other, 2])


@part_of_loop
def _merge(rows: Rows, first: int, middle: int, last: int, order: Rows, out: Rows) -> None:
    """Merge two ordered stretches of row numbers; of equal times the earlier stretch's comes first."""
    left = first
    right = middle
    for k in range(first, last):
        take_left = left < middle
        if take_left and right < last:
            take_left = rows[order[left], TIME] <= rows[order[right], TIME]
        if take_left:
            out[k] = order[left]
            left += 1
        else:
            out[k] = order[right]
            right += 1


@timing_loop("void(int64[:, ::1], int64, int64[:, ::1], int64[:, ::1])")
def sort_by_time(rows: Rows, n: int, orders: Rows, out: Rows) -> None:
    """Write the first n rows to `out` by their first column, equal ones in the order that they have.

    orders (2, at least n): working space.
    """
    source = 0
    for k in range(n):
        orders[source, k] = k
    if not _is_sorted(rows, n):
        width = 1
        while width < n:
            for first in range(0, n, 2 * width):
                middle = min(first + width, n)
                _merge(rows, first, middle, min(middle + width, n), orders[source], orders[1 - source])
            source = 1 - source
            width *= 2
    for k in range(n):
        for column in range(rows.shape[1]):
            out[k, column] = rows[orders[source, k], column]


@timing_loop("void(int64[:, ::1], int64)")
def order_ties(rows: Rows, n: int) -> None:
    """Put rows of equal times, which are in the order of time, into that of their second column, then their third."""
    for k in range(1, n):
        at = k
        while at > 0 and rows[at - 1, TIME] == rows[at, TIME] and _is_later(rows, at - 1, at):
            for column in range(rows.shape[1]):
                rows[at - 1, column], rows[at, column] = rows[at, column], rows[at - 1, column]
            at -= 1


@timing_loop("int64(int64[:, ::1], int64, int64)")
def count_before(rows: Rows, n: int, time: int) -> int:
    """Return how many of the first n rows, in the order of time, come before `time`."""
    low = 0
    high = n
    while low < high:
        middle = (low + high) // 2
        if rows[middle, TIME] < time:
            low = middle + 1
        else:
            high = middle
    return low

"""A PE array moved register by register, cycle by cycle: the slow twin of kernels/systolic.py.

Operands and sums travel through registers; a product comes out only where they meet in the right cycle. When a fold may
begin is found by asking every PE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Pass:
    """What came out: product, PEs at work by cycle, one more than the last cycle of work."""

    product: Any
    busy: dict[int, int]
    end: int


def tiles(extent: int, size: int) -> list[tuple[int, int]]:
    return [(low, min(low + size, extent)) for low in range(0, extent, size)]


def starts_with_held_operand(R: int, C: int, T: int, n: int, buffers: int, switch: int) -> list[int]:
    """Return when PE (0, 0) begins each fold, by asking every PE whether it may be written or may begin."""
    pes = [(i, j) for i in range(R) for j in range(C)]
    starts: list[int] = []
    for f in range(n):
        load = 0  # row i, column j is written in cycle load + i + j, or load + i where nothing overlaps
        if f and buffers == 0:
            load = max(starts[-1] + T - 1 + i + j for i, j in pes) + 1
        elif f:
            last_use = (starts[-1] - 1) if buffers == 2 else (starts[-1] + T - 1)  # taken over by the PE, or used up
            while any(load + i + j <= last_use + i + j for i, j in pes):
                load += 1
        start = load + R  # the whole tile is there
        if f and buffers:
            free = starts[-1] + T + (switch if buffers == 2 else 0)
            start = max(start, free)
        starts.append(start)
    return starts


def starts_with_held_sum(R: int, C: int, T: int, n: int, buffers: int, switch: int) -> list[int]:
    pes = [(i, j) for i in range(R) for j in range(C)]
    starts: list[int] = [0]
    for _ in range(n - 1):
        last = {(i, j): starts[-1] + T - 1 + i + j for i, j in pes}
        start = starts[-1] + 1
        if buffers == 0:
            start = max(last.values()) + 1
        else:
            gap = switch if buffers == 2 else 1  # one buffer: the sum is read out in the cycle after the last MAC
            while any(start + i + j <= last[i, j] + gap for i, j in pes):
                start += 1
            # Each column's port reads one row a cycle: all reads of this fold before the first of the next.
            while any(start + T + j <= starts[-1] + T + R - 1 + j for j in range(C)):
                start += 1
        starts.append(start)
    return starts


def hold_operand(held: Any, streamed: Any, R: int, C: int, buffers: int, switch: int) -> Pass:
    """Multiply streamed (T x S) by held (S x P): held (R x C tiles) stays in the PEs, sums flow down the columns."""
    T, S = streamed.shape
    P = held.shape[1]
    folds = [(rows, columns) for columns in tiles(P, C) for rows in tiles(S, R)]
    starts = starts_with_held_operand(R, C, T, len(folds), buffers, switch)
    product = np.zeros((T, P), np.int64)
    busy: dict[int, int] = {}
    for start, ((low, high), (left, right)) in zip(starts, folds, strict=True):
        _flow_through(start, held[low:high, left:right], streamed[:, low:high], product[:, left:right], busy)
    return Pass(product, busy, max(starts[-1] + T - 1 + R - 1 + C - 1, max(busy)) + 1)


def _flow_through(start: int, held: Any, streamed: Any, out: Any, busy: dict[int, int]) -> None:
    """Move one fold through the registers; adds to `out` and to the count of PEs at work."""
    T = len(streamed)
    r, c = held.shape
    moving: list[list[Any]] = [[None] * c for _ in range(r)]
    sums: list[list[Any]] = [[None] * c for _ in range(r)]
    came_out = [0] * c
    for cycle in range(start, start + T + r + c):
        moved: list[list[Any]] = [[None] * c for _ in range(r)]
        summed: list[list[Any]] = [[None] * c for _ in range(r)]
        for i in range(r):
            step = cycle - start - i  # the feeder of row i lags i cycles
            for j in range(c):
                moved[i][j] = (streamed[step, i] if 0 <= step < T else None) if j == 0 else moving[i][j - 1]
                if moved[i][j] is None:
                    continue
                above = 0 if i == 0 else sums[i - 1][j]
                assert above is not None, "a sum came too late"
                summed[i][j] = above + moved[i][j] * held[i, j]
                busy[cycle] = busy.get(cycle, 0) + 1
        moving, sums = moved, summed
        for j in range(c):
            if sums[r - 1][j] is not None:
                out[came_out[j], j] += sums[r - 1][j]
                came_out[j] += 1
    assert came_out == [T] * c


def hold_sum(a: Any, b: Any, R: int, C: int, buffers: int, switch: int) -> Pass:
    """Multiply a (M x K) by b (K x N): sums stay in the PEs, a moves right and b moves down."""
    M, K = a.shape
    N = b.shape[1]
    folds = [(rows, columns) for columns in tiles(N, C) for rows in tiles(M, R)]
    starts = starts_with_held_sum(R, C, K, len(folds), buffers, switch)
    product = np.zeros((M, N), np.int64)
    busy: dict[int, int] = {}
    for start, ((low, high), (left, right)) in zip(starts, folds, strict=True):
        r, c = high - low, right - left
        right_moving: dict[tuple[int, int], Any] = {}
        down_moving: dict[tuple[int, int], Any] = {}
        for cycle in range(start, start + K + r + c):
            k_of = cycle - start
            rights = {(i, j): right_moving.get((i, j - 1)) for i in range(r) for j in range(1, c)}
            rights |= {(i, 0): a[low + i, k_of - i] if 0 <= k_of - i < K else None for i in range(r)}
            downs = {(i, j): down_moving.get((i - 1, j)) for i in range(1, r) for j in range(c)}
            downs |= {(0, j): b[k_of - j, left + j] if 0 <= k_of - j < K else None for j in range(c)}
            for (i, j), operand in rights.items():
                assert (operand is None) == (downs[i, j] is None), "operands missed each other"
                if operand is not None:
                    product[low + i, left + j] += operand * downs[i, j]
                    busy[cycle] = busy.get(cycle, 0) + 1
            right_moving, down_moving = rights, downs
    return Pass(product, busy, starts[-1] + K - 1 + R - 1 + C - 1 + 1)

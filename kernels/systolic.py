"""Passes of a PE array, fold by fold: when stationary operands load, when operands stream, when the last MAC is done.

A fold is one tile of operands held by the array while `n_steps` operand vectors stream through. PE (i, j) works on step
m in the cycles start + m * step_cycles + row_skew * i + column_skew * j + [0, step_cycles). A systolic array has both
skews 1; an array whose rows add up in a tree has none along the rows.
"""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

OK = 0
LIMIT = 1 << 61  # sums of two such numbers still fit

NO_OVERLAP = 0  # a fold begins when the one before has drained; else the number of operand buffers in a PE (1 or 2)

STATIONARY_READY = 0
STREAM_READY = 1
N_STEPS = 2
LOAD_CYCLES = 3
COUNT = 4
N_FOLD = 5

LOAD_START = 0
FIRST_START = 1
INTERVAL = 2
LAST_START = 3
END = 4
STALL_STATIONARY = 5
STALL_STREAM = 6
N_TIMES = 7

SHADOW_FREE = 0
STREAM_FREE = 1
DRAINED = 2
N_STATE = 3


@timing_loop("int64(int64, int64, int64, int64, int64, int64[::1], int64[:, ::1], int64, int64[:, ::1])")
def pass_folds(
    tail_cycles: int,
    switch_cycles: int,
    read_cycles: int,
    step_cycles: int,
    buffers: int,
    state: Rows,
    folds: Rows,
    n_folds: int,
    times: Rows,
) -> int:
    """Time folds in their order.

    tail_cycles: from the last step at PE (0, 0) to the
    last result (skew, adder tree). switch_cycles: to make a second buffer the active one. read_cycles: to read a tile
    of results that stays in the PEs, one row a cycle (0 where results flow out). step_cycles: cycles of one operand.
    buffers: NO_OVERLAP, 1 or 2. state (N_STATE): cycles from which the next load and the next stream may begin, and
    last drain; zeros at first.
    folds (n, N_FOLD): cycle at which the stationary and the streaming operands are there, steps, cycles to write the
    stationary tile (0: it is in the PEs), number of like folds in a row. times (n, N_TIMES): first load, first start,
    interval of like folds, last start, end (exclusive), cycles lost to late operands of either kind. Returns OK, or
    -1 - i where item i is not a fold or would end beyond LIMIT.
    """
    for i in range(n_folds):
        ready = folds[i, STATIONARY_READY]
        stream_ready = folds[i, STREAM_READY]
        steps = folds[i, N_STEPS]
        load = folds[i, LOAD_CYCLES]
        count = folds[i, COUNT]
        if ready < 0 or stream_ready < 0 or ready > LIMIT or stream_ready > LIMIT or steps < 1 or count < 1:
            return -1 - i
        if load < 0 or load > LIMIT or steps > LIMIT // step_cycles or state[DRAINED] > LIMIT:
            return -1 - i
        busy = steps * step_cycles
        load_start = max(ready, state[SHADOW_FREE])
        loaded = max(load_start + load, state[STREAM_FREE])
        start = max(loaded, stream_ready)
        times[i, LOAD_START] = load_start
        times[i, FIRST_START] = start
        times[i, STALL_STREAM] = start - loaded
        times[i, STALL_STATIONARY] = loaded - max(state[SHADOW_FREE] + load, state[STREAM_FREE])
        # Like folds depend on the one before alone, and all operands are there: the interval is the same ever after.
        if buffers == NO_OVERLAP:
            shadow_after = busy + tail_cycles
            stream_after = shadow_after
        elif buffers == 1:
            shadow_after = busy
            stream_after = max(busy + min(1, read_cycles), read_cycles)
        else:
            shadow_after = 0
            stream_after = max(busy + switch_cycles, read_cycles)
        interval = max(shadow_after + load, stream_after)
        if count - 1 > LIMIT // interval:
            return -1 - i
        last = start + (count - 1) * interval
        if last > LIMIT - busy - tail_cycles:
            return -1 - i
        times[i, INTERVAL] = interval
        times[i, LAST_START] = last
        times[i, END] = last + busy + tail_cycles
        state[SHADOW_FREE] = last + shadow_after
        state[STREAM_FREE] = last + stream_after
        state[DRAINED] = max(state[DRAINED], times[i, END])
    return OK


@timing_loop("void(int64, int64, int64, int64[::1], int64[::1])")
def _strike(cycle: int, weight: int, window_start: int, carry: Rows, record: Rows) -> None:
    """Add an impulse that summing turns into PEs at work; one before the window goes into the sums it starts from."""
    before = window_start - cycle
    if before <= 0:
        if -before < record.shape[0]:
            record[-before] += weight
        return
    carry[0] += weight
    carry[1] += weight * before
    # The even factor is halved first, so that the product may wrap as sums do: modulo 2**64, exactly.
    halved = before // 2 * (before + 1) if before % 2 == 0 else (before + 1) // 2 * before
    carry[2] += weight * halved


@timing_loop("void(int64, int64[::1], int64[::1])")
def _sum_up(order: int, carry: Rows, record: Rows) -> None:
    """Sum the impulses `order` times from the carried sums on, in place."""
    for i in range(order):
        total = carry[i]
        for cycle in range(record.shape[0]):
            total += record[cycle]
            record[cycle] = total
        carry[i] = 0


@timing_loop("void(int64, int64, int64, int64, int64, int64, int64, int64[::1], int64[::1])")
def _strike_fold(
    row_skew: int,
    column_skew: int,
    start: int,
    busy: int,
    rows: int,
    columns: int,
    window_start: int,
    carry: Rows,
    record: Rows,
) -> None:
    """Add the impulses of `rows` x `columns` PEs that work `busy` cycles each, skewed by 0 or 1 cycle a row and column.

    With z one cycle, a row of n PEs is sum z^i = (1 - z^n) / (1 - z); so are the columns and the cycles of one PE.
    """
    for i in range(1 + row_skew):
        row_weight = 1 - 2 * i if row_skew else rows
        for j in range(1 + column_skew):
            weight = row_weight * (1 - 2 * j if column_skew else columns)
            cycle = start + i * rows + j * columns
            _strike(cycle, weight, window_start, carry, record)
            _strike(cycle + busy, -weight, window_start, carry, record)


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64, int64[::1], int64[::1])"
)
def record_tiles(
    row_skew: int,
    column_skew: int,
    busy_cycles: int,
    first_start: int,
    interval: int,
    n_row_tiles: int,
    n_column_tiles: int,
    rows: int,
    columns: int,
    last_rows: int,
    last_columns: int,
    window_start: int,
    carry: Rows,
    record: Rows,
) -> int:
    """Write the PEs at work in every cycle of a window, for a grid of tiles passed every `interval` cycles.

    Tiles go down the rows first. rows, columns: PEs used by a whole tile; last_rows, last_columns: by those at the
    edges. busy_cycles: of each PE in a fold. carry (3): zeros, scratch. record (cycles of the window): overwritten.
    Returns the number of folds that touch the window.
    """
    n_folds = n_row_tiles * n_column_tiles
    pace = max(1, interval)
    span = busy_cycles + row_skew * rows + column_skew * columns
    record[:] = 0
    first = max(0, (window_start - first_start - span) // pace)
    stop = min(n_folds, max(0, (window_start + record.shape[0] - first_start) // pace + 1))
    for fold in range(first, stop):
        used_rows = last_rows if fold % n_row_tiles == n_row_tiles - 1 else rows
        used_columns = last_columns if fold // n_row_tiles == n_column_tiles - 1 else columns
        start = first_start + fold * interval
        _strike_fold(row_skew, column_skew, start, busy_cycles, used_rows, used_columns, window_start, carry, record)
    _sum_up(1 + row_skew + column_skew, carry, record)
    return stop - first if stop > first else 0


@timing_loop("void(int64, int64, int64, int64[::1], int64[:, ::1], int64[:, ::1], int64, int64[::1], int64[::1])")
def record_columns(
    row_skew: int,
    column_skew: int,
    step_cycles: int,
    starts: Rows,
    column_rows: Rows,
    column_steps: Rows,
    window_start: int,
    carry: Rows,
    record: Rows,
) -> None:
    """Write the PEs at work in every cycle of a window, for folds whose columns differ (unstructured sparsity).

    starts (folds): first cycle at PE (0, 0). column_rows, column_steps (folds, columns): PEs used and steps made by
    every column. carry (3): zeros, scratch. record (cycles of the window): overwritten.
    """
    record[:] = 0
    for fold in range(starts.shape[0]):
        for j in range(column_rows.shape[1]):
            busy = column_steps[fold, j] * step_cycles
            rows = column_rows[fold, j]
            if rows > 0 and busy > 0:
                start = starts[fold] + column_skew * j
                _strike_fold(row_skew, 0, start, busy, rows, 1, window_start, carry, record)
    _sum_up(1 + row_skew, carry, record)

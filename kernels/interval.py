"""Activity intervals written while a timing loop runs: one open interval per line, closed when its state changes."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

O_START = 0
O_END = 1
O_STATE = 2
O_AMOUNT = 3
N_OPEN = 4
CLOSED = 0


@timing_loop("int64(int64, int64, int64, int64, int64, int64[:, ::1], int64, int64[:, ::1])")
def emit(line: int, start_fs: int, end_fs: int, state: int, amount: int, open_: Rows, n_log: int, log: Rows) -> int:
    """Extend the open interval of `line`, or close it into `log` and open a new one.

    open_ (lines, 4): start fs, end fs, state (0 = none), amount. log (capacity, 5): line, start, end, state, amount.
    Returns the new number of log rows; at most one row is written.
    """
    if end_fs <= start_fs:
        if amount != 0:
            open_[line, O_AMOUNT] += amount
        return n_log
    if open_[line, O_STATE] == state and open_[line, O_END] == start_fs:
        open_[line, O_END] = end_fs
        open_[line, O_AMOUNT] += amount
        return n_log
    if open_[line, O_STATE] != CLOSED:
        log[n_log, 0] = line
        log[n_log, 1] = open_[line, O_START]
        log[n_log, 2] = open_[line, O_END]
        log[n_log, 3] = open_[line, O_STATE]
        log[n_log, 4] = open_[line, O_AMOUNT]
        n_log += 1
    open_[line, O_START] = start_fs
    open_[line, O_END] = end_fs
    open_[line, O_STATE] = state
    open_[line, O_AMOUNT] = amount
    return n_log


@timing_loop("int64(int64, int64[:, ::1], int64, int64[:, ::1])")
def close_all(cut_fs: int, open_: Rows, n_log: int, log: Rows) -> int:
    """Close every open interval at `cut_fs`; what reaches beyond stays open from there, its amount counted before.

    Work under way at the cut is so credited to the side on which it began. Returns the new number of log rows; at most
    one row a line is written.
    """
    for line in range(open_.shape[0]):
        if open_[line, O_STATE] == CLOSED or open_[line, O_START] >= cut_fs:
            continue
        log[n_log, 0] = line
        log[n_log, 1] = open_[line, O_START]
        log[n_log, 2] = min(open_[line, O_END], cut_fs)
        log[n_log, 3] = open_[line, O_STATE]
        log[n_log, 4] = open_[line, O_AMOUNT]
        n_log += 1
        if open_[line, O_END] > cut_fs:
            open_[line, O_START] = cut_fs
            open_[line, O_AMOUNT] = 0
        else:
            open_[line, O_STATE] = CLOSED
    return n_log

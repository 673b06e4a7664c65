"""Log rows put together line by line: a counting sort, as the rows of each line come in the order of time."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

# rows (n, 5), as kernels/interval.py writes them, and columns (5, n): line, start fs, end fs, state, amount.
LINE, START, END, STATE, AMOUNT, N_COLUMNS = range(6)


@timing_loop("void(int64[:, ::1], int64[::1])")
def count_lines(rows: Rows, n_of_line: Rows) -> None:
    """Add the number of rows of each line."""
    for k in range(rows.shape[0]):
        n_of_line[rows[k, LINE]] += 1


@timing_loop("int64(int64[:, ::1], int64[::1], int64[::1], int64[:, ::1])")
def scatter_lines(rows: Rows, next_of_line: Rows, last_of_line: Rows, columns: Rows) -> int:
    """Write rows to the columns, each line's behind each other.

    next_of_line, last_of_line (lines, in/out): where the line's next row goes, and when its last one began. Returns how
    many rows began before the one that their line had before them.
    """
    n_late = 0
    for k in range(rows.shape[0]):
        line = rows[k, LINE]
        at = next_of_line[line]
        next_of_line[line] = at + 1
        n_late += rows[k, START] < last_of_line[line]
        last_of_line[line] = rows[k, START]
        columns[LINE, at] = line
        columns[START, at] = rows[k, START]
        columns[END, at] = rows[k, END]
        columns[STATE, at] = rows[k, STATE]
        columns[AMOUNT, at] = rows[k, AMOUNT]
    return n_late

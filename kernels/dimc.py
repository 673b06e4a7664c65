"""Digital in-memory arrays and the parts around them, vector by vector, in core cycles.

A row of an array of lines stands for the cores of one chiplet, which act alike. Intervals go to the log as they arise.
"""

from __future__ import annotations

from dieshot.kernels.interval import emit
from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

BUSY = 1  # states of the log, as simulator/engine/cell.py numbers them
STALL_MEMORY = 2

# Of the arrays: what the next tile has to wait for.
A_SELECTED = 0  # end of the last selection
A_ENDED = 1  # end of the last tile's multiplication
A_BEFORE = 2  # end of the multiplication before that
N_ARRAY = 3

# Of a server: a run of items without a gap, which share the cycles that their work does not fill.
S_BEGIN = 0
S_WORK = 1
S_FREE = 2
N_SERVER = 3


@part_of_loop
def _log_wait(line: int, end: int, arrival: int, waits: Rows, open_: Rows, n_log: int, log: Rows) -> int:
    """Log what the arrays of a chiplet waited for since they were last at work: for `waits` (n, 2: until, state) in
    turn up to the first vector, then for the tile. Between vectors it is the last of them."""
    at = open_[line, 1]
    for i in range(waits.shape[0]):
        until = min(waits[i, 0], end)
        if i == waits.shape[0] - 1:
            until = max(until, min(arrival, end))
        n_log = emit(line, at, until, waits[i, 1], 0, open_, n_log, log)
        at = max(at, until)
    return emit(line, at, end, STALL_MEMORY, 0, open_, n_log, log)


@timing_loop("int64(int64, int64[:, ::1], int64[:, ::1], int64[:, ::1])")
def wait_on(end: int, waits: Rows, open_: Rows, log: Rows) -> int:
    """Log what the arrays of all chiplets wait for up to a cycle, behind their last tile: `waits` (n, 2: until, state)
    in turn. open_, log: as in `pass_tiles`. Returns the rows in the log."""
    n_log = 0
    for array in range(1, open_.shape[0], 2):
        at = open_[array, 1]
        for i in range(waits.shape[0]):
            until = end if i == waits.shape[0] - 1 else min(waits[i, 0], end)
            n_log = emit(array, at, until, waits[i, 1], 0, open_, n_log, log)
            at = max(at, until)
    return n_log


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[:, ::1], int64[:, ::1])"
)
def pass_tiles(
    select_cycles: int,
    vector_cycles: int,
    buffers: int,
    ready: int,
    record: int,
    state: Rows,
    tiles: Rows,
    arrivals: Rows,
    waits: Rows,
    done: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """Select tile after tile in every chiplet and multiply each with all vectors, bit by bit.

    buffers: tiles that a core can have selected; with 2 one is selected while the other multiplies. ready: cycle from
    which tiles may be selected. state (chiplets, N_ARRAY). tiles (chiplets, 3): tiles one after the other in a core,
    bytes selected and MACs of all cores together. arrivals (chiplets, vectors): not decreasing. waits (n, 2), one at
    least: see `_log_wait`. done (chiplets, vectors): when the last tile is done with each. open_, log: of two lines a
    chiplet, selection and multiplication. Returns the rows in the log.
    """
    n_chiplets, n_vectors = arrivals.shape
    n_log = 0
    for c in range(n_chiplets):
        n_tiles = tiles[c, 0]
        select, array = 2 * c, 2 * c + 1
        if n_tiles == 0:
            for m in range(n_vectors):
                done[c, m] = arrivals[c, m]
            continue
        for j in range(n_tiles):
            freed = state[c, A_BEFORE] if buffers > 1 else state[c, A_ENDED]
            begin = max(ready, max(state[c, A_SELECTED], freed))
            selected = begin + select_cycles
            at = max(selected, max(state[c, A_ENDED], arrivals[c, 0]))
            moved = tiles[c, 1] * (j + 1) // n_tiles - tiles[c, 1] * j // n_tiles
            macs = tiles[c, 2] * (j + 1) // n_tiles - tiles[c, 2] * j // n_tiles
            if record:
                n_log = emit(select, begin, selected, BUSY, moved, open_, n_log, log)
                if at > open_[array, 1]:
                    n_log = _log_wait(array, at, arrivals[c, 0], waits, open_, n_log, log)
            last = j == n_tiles - 1
            if arrivals[c, n_vectors - 1] <= at:
                end = at + n_vectors * vector_cycles
                if record:
                    n_log = emit(array, at, end, BUSY, macs, open_, n_log, log)
                if last:
                    for m in range(n_vectors):
                        done[c, m] = at + (m + 1) * vector_cycles
                at = end
            else:
                for m in range(n_vectors):
                    begin_m = max(at, arrivals[c, m])
                    part = macs * (m + 1) // n_vectors - macs * m // n_vectors
                    if record:
                        if begin_m > at:
                            n_log = emit(array, at, begin_m, waits[waits.shape[0] - 1, 1], 0, open_, n_log, log)
                        n_log = emit(array, begin_m, begin_m + vector_cycles, BUSY, part, open_, n_log, log)
                    at = begin_m + vector_cycles
                    if last:
                        done[c, m] = at
            state[c, A_SELECTED] = selected
            state[c, A_BEFORE] = state[c, A_ENDED]
            state[c, A_ENDED] = at
    return n_log


@timing_loop(
    "int64(int64, int64, int64, int64, int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1])"
)
def serve(
    scale: int,
    rate: int,
    latency: int,
    record: int,
    state: Rows,
    amounts: Rows,
    arrivals: Rows,
    done: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """Serve the items of every line in their order: an item takes amount x scale / rate cycles, the next begins then.

    Items that follow each other without a gap share cycles; a run of them takes as long as their sum, rounded up.
    latency: from the end of an item's service to where it goes. state (lines, N_SERVER). amounts (lines): of one item.
    arrivals (lines, items): not decreasing. done (lines, items): when each is there. open_, log: of the lines. Returns
    the rows in the log.
    """
    n_lines, n_items = arrivals.shape
    n_log = 0
    for c in range(n_lines):
        cost = amounts[c] * scale
        for m in range(n_items):
            if cost == 0:
                done[c, m] = arrivals[c, m]
                continue
            if arrivals[c, m] > state[c, S_FREE] or state[c, S_WORK] == 0:
                state[c, S_BEGIN] = max(arrivals[c, m], state[c, S_FREE])
                state[c, S_WORK] = 0
            begin = max(state[c, S_FREE], state[c, S_BEGIN])
            state[c, S_WORK] += cost
            state[c, S_FREE] = state[c, S_BEGIN] + (state[c, S_WORK] + rate - 1) // rate
            done[c, m] = state[c, S_FREE] + latency
            if record:
                n_log = emit(c, begin, state[c, S_FREE], BUSY, amounts[c], open_, n_log, log)
    return n_log

"""Blocks of weights on optical arrays: when each is written, switched in and settled, and when its vectors pass.

A block is one tile of weights held by an array while vectors pass, one an issue interval. With two buffers the next
block is written while this one is in use and switched in when its last vector has passed; with one buffer it is written
into the array itself. Light settles after a switch in either case.
"""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

OK = 0
LIMIT = 1 << 61

CORE = 0
VECTORS = 1
WRITE = 2
SETTLE = 3
COUNT = 4
ROWS = 5
COLUMNS = 6
N_RUN = 7

WRITE_1 = 0
WRITE_2 = 1
WRITE_3 = 2
START_1 = 3
START_2 = 4
INTERVAL = 5
END = 6
FREE = 7
WRITTEN = 8
N_TIMES = 9

WRITER_FREE = 0
BUFFER_FREE = 1
STREAM_FREE = 2
N_STATE = 3


@timing_loop("int64(int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64, int64[:, ::1])")
def pass_blocks(
    issue_fs: int,
    buffers: int,
    weights_ready_fs: int,
    vectors_ready_fs: int,
    state: Rows,
    runs: Rows,
    n_runs: int,
    times: Rows,
) -> int:
    """Time runs of like blocks in their order, each on its core.

    issue_fs: between two vectors. buffers: 1 or 2. weights_ready_fs, vectors_ready_fs: when the operands of all runs
    are there. state (cores, N_STATE): from when writer, weight buffer and array are free; zeros at first. runs (n,
    N_RUN): core, vectors of a block, fs to write it (0: it is in the array) and to settle, number of like blocks in a
    row, rows and columns in use (not looked at). times (n, N_TIMES), in fs: first, second and third write, first and
    second start of vectors, interval of blocks from the second on, end of the last, when the array was free, and when
    the first block was written and settled. Returns OK, or -1 - i where run i is none or would end beyond LIMIT.
    """
    if buffers < 1 or buffers > 2 or issue_fs < 1:
        return -1
    for i in range(n_runs):
        core = runs[i, CORE]
        count = runs[i, COUNT]
        write = runs[i, WRITE]
        settle = runs[i, SETTLE]
        vectors = runs[i, VECTORS]
        if core < 0 or core >= state.shape[0] or count < 1 or write < 0 or settle < 0 or vectors < 1:
            return -1 - i
        if vectors > LIMIT // issue_fs or write > LIMIT or settle > LIMIT or state[core, STREAM_FREE] > LIMIT:
            return -1 - i
        busy = vectors * issue_fs
        free = state[core, STREAM_FREE]
        first_write = max(weights_ready_fs, state[core, WRITER_FREE], state[core, BUFFER_FREE])
        switched = max(first_write + write, free)
        start = max(switched + settle, vectors_ready_fs)
        end = start + busy
        # From the second block on all operands are there, and a block depends on the one before alone.
        if buffers == 2:
            second_write = switched
            switched_2 = max(switched + write, end)
            third_write = switched_2
            interval = max(write, busy + settle)
        else:
            second_write = end
            switched_2 = end + write
            third_write = end + write + settle + busy
            interval = write + settle + busy
        if count - 1 > LIMIT // max(1, interval) or end > LIMIT:
            return -1 - i
        times[i, WRITE_1] = first_write
        times[i, WRITE_2] = second_write
        times[i, WRITE_3] = third_write
        times[i, START_1] = start
        times[i, START_2] = switched_2 + settle
        times[i, INTERVAL] = interval
        times[i, FREE] = free
        times[i, WRITTEN] = first_write + write
        last_switch = switched
        last_write = first_write
        if count > 1:
            last_switch = switched_2 + (count - 2) * interval
            end = last_switch + settle + busy
            last_write = second_write if count == 2 else third_write + (count - 3) * interval
        times[i, END] = end
        state[core, WRITER_FREE] = last_write + write
        state[core, BUFFER_FREE] = last_switch if buffers == 2 else end
        state[core, STREAM_FREE] = end
    return OK

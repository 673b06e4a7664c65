"""A static program as arrays: what a row of the schedule says, and the events of a window in the order of their cycles.

A row is a run of one instruction, as `Repeat n, d` gives it: n times, d cycles apart. Vectors have numbers; a stream
group of width w carries the vectors id .. id + w - 1, and `stride` more at every repetition.
"""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

READ, WRITE, LOAD, INSTALL, ACTIVATE, EMIT, VECTOR, PERMUTE, SEND, RECEIVE = range(10)
N_OPS = 10

R_OP = 0
R_UNIT = 1
R_QUEUE = 2
R_OPERATOR = 3
R_START = 4
R_N = 5
R_D = 6
R_A = 7  # stream code of the first operand, -1: none; then width, first id, stride
R_B = 11
R_OUT = 15  # stream code of the result, -1: none
R_OUT2 = 16  # the same result on a stream of the other direction, -1: none
R_OUT_WIDTH = 17
R_OUT_ID = 18
R_OUT_STRIDE = 19
R_LATENCY = 20  # issue to result on the stream register
R_X = 21  # of memory: address, and its stride; of planes: tile, rows of sums, contributions; see the parts
R_X1 = 22
R_X2 = 23
N_ROW = 24

# stream codes: 0 .. S - 1 eastward, S .. 2 S - 1 westward, then one wire behind every ALU

E_START = 0
E_N = 1
E_D = 2
E_PHASE = 3  # within a cycle, phase 0 comes before phase 1
N_EVENT = 4


@timing_loop("int64(int64, int64, int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def window(lo: int, hi: int, runs: Rows, first: Rows, slots: Rows, which: Rows, turn: Rows) -> int:
    """List the events of the cycles lo .. hi - 1 by cycle, phase and row: the run and its repetition.

    runs (n, N_EVENT or more), sorted by start. first (1): rows before it have ended. slots (2 (hi - lo) + 1): space.
    which, turn (capacity): the events. Returns their number, or -1 - their number where there is no room.
    """
    n_slots = 2 * (hi - lo)
    for i in range(n_slots + 1):
        slots[i] = 0
    k = first[0]
    while k < runs.shape[0] and runs[k, E_START] + (runs[k, E_N] - 1) * runs[k, E_D] < lo:
        k += 1
    first[0] = k
    for i in range(k, runs.shape[0]):
        start, n, d = runs[i, E_START], runs[i, E_N], runs[i, E_D]
        if start >= hi:
            break
        begin = 0 if start >= lo else -(-(lo - start) // d)
        for j in range(begin, n):
            at = start + j * d
            if at >= hi:
                break
            slots[2 * (at - lo) + runs[i, E_PHASE] + 1] += 1
    for i in range(n_slots):
        slots[i + 1] += slots[i]
    total = int(slots[n_slots])
    if total > which.shape[0]:
        return -1 - total
    for i in range(k, runs.shape[0]):
        start, n, d = runs[i, E_START], runs[i, E_N], runs[i, E_D]
        if start >= hi:
            break
        begin = 0 if start >= lo else -(-(lo - start) // d)
        for j in range(begin, n):
            at = start + j * d
            if at >= hi:
                break
            slot = 2 * (at - lo) + runs[i, E_PHASE]
            which[slots[slot]] = i
            turn[slots[slot]] = j
            slots[slot] += 1
    return total

"""Units of a statically scheduled chip, cycle by cycle: none waits; what is not there or not free ends the run.

Every loop lists the events of a window (see static_program.window) and acts them out in order. state arrays belong to
the caller. fault (N_FAULT): cycle, row, and two numbers that say more.
"""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop
from dieshot.kernels.static_program import (
    ACTIVATE,
    E_D,
    E_PHASE,
    E_START,
    EMIT,
    INSTALL,
    LOAD,
    N_EVENT,
    SEND,
    window,
)

DONE = 0
TWO_INSTRUCTIONS = 1  # a queue or unit with two instructions in a cycle
TWO_DRIVERS = 2  # two units put a vector on the same stream register in a cycle
WRONG_VECTOR = 3  # a unit takes a vector that is not there
PORT_TAKEN = 4
BANK_TAKEN = 5
WRONG_ROW = 6  # a slice's row does not hold the vector that is read, or not yet
NO_SUCH_ROW = 7
BUFFER_TAKEN = 8  # weights of a second tile in a plane's buffer
NOT_LOADED = 9
NOT_INSTALLED = 10
PLANE_BUSY = 11
SUMS_NOT_READY = 12
LINK_BUSY = 13
NOTHING_ARRIVED = 14
PORT_OVERFLOW = 15
OUT_OF_TURN = 16  # the vector at the head of a port is another than the program means

F_CYCLE = 0
F_ROW = 1
F_FIRST = 2
F_SECOND = 3
N_FAULT = 4

C_1 = N_EVENT  # columns of a row beyond those of its events
C_2 = N_EVENT + 1
C_3 = N_EVENT + 2
C_4 = N_EVENT + 3
C_5 = N_EVENT + 4
N_COLUMN = N_EVENT + 5

RING = 512  # a stream's registers by when a vector passes the vector unit; far more than the positions on a chip
V_ID = 0
V_KEY = 1
V_PLACE = 2
V_TIME = 3
V_FAR = 4
V_ROW = 5
N_VECTOR = 6

P_LOADING = 0
P_LOADED = 1
P_TILE = 2
P_INSTALLED = 3
P_ACTIVATED = 4
N_PLANE = 5
NOTHING = -1

_WINDOW = "int64(int64, int64, int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1], "


@timing_loop(_WINDOW + "int64[::1], int64[::1])")
def issue(
    lo: int, hi: int, rows: Rows, first: Rows, slots: Rows, which: Rows, turn: Rows, last: Rows, fault: Rows
) -> int:
    """One instruction a cycle of every queue or unit: rows with C_1 its number; last (units): its latest cycle."""
    total = window(lo, hi, rows, first, slots, which, turn)
    for event in range(total):
        i = which[event]
        at = rows[i, E_START] + turn[event] * rows[i, E_D]
        unit = rows[i, C_1]
        if last[unit] >= at:
            fault[F_CYCLE], fault[F_ROW], fault[F_FIRST] = at, i, unit
            return TWO_INSTRUCTIONS
        last[unit] = at
    return total if total < 0 else DONE


@timing_loop(_WINDOW + "int64, int64[:, :, ::1], int64[::1], int64[::1])")
def move(
    lo: int,
    hi: int,
    rows: Rows,
    first: Rows,
    slots: Rows,
    which: Rows,
    turn: Rows,
    n_streams: int,
    registers: Rows,
    hops: Rows,
    fault: Rows,
) -> int:
    """Streams: a vector moves one position a cycle until another is put in its place.

    rows: phase 0 takes, phase 1 puts, on the wires behind ALUs the other way round; C_1 stream code, C_2 width,
    C_3 position, C_4 vector, C_5 stride. registers (codes, RING, N_VECTOR). hops (rows): registers that the vectors of
    a put have passed up to their last taker.
    """
    total = window(lo, hi, rows, first, slots, which, turn)
    for event in range(total):
        i = which[event]
        at = rows[i, E_START] + turn[event] * rows[i, E_D]
        position = rows[i, C_3]
        vector = rows[i, C_4] + turn[event] * rows[i, C_5]
        for lane in range(rows[i, C_2]):
            code = rows[i, C_1] + lane
            if code < n_streams:
                key = at - position + RING
            elif code < 2 * n_streams:
                key = at + position
            else:
                key = at
            slot = key % RING
            # a wire is taken from in the cycle of its put, a register before the next vector is put there
            if (rows[i, E_PHASE] == 1) != (code >= 2 * n_streams):
                same = registers[code, slot, V_KEY] == key and registers[code, slot, V_TIME] == at
                if same and registers[code, slot, V_PLACE] == position:
                    fault[F_CYCLE], fault[F_ROW], fault[F_FIRST], fault[F_SECOND] = at, i, code, position
                    return TWO_DRIVERS
                registers[code, slot, V_ID] = vector + lane
                registers[code, slot, V_KEY] = key
                registers[code, slot, V_PLACE] = position
                registers[code, slot, V_TIME] = at
                registers[code, slot, V_FAR] = position
                registers[code, slot, V_ROW] = i
            else:
                if registers[code, slot, V_KEY] != key or registers[code, slot, V_ID] != vector + lane:
                    fault[F_CYCLE], fault[F_ROW], fault[F_FIRST], fault[F_SECOND] = at, i, code, vector + lane
                    return WRONG_VECTOR
                if code < 2 * n_streams:
                    way = abs(position - registers[code, slot, V_PLACE])
                    seen = abs(registers[code, slot, V_FAR] - registers[code, slot, V_PLACE])
                    if way > seen:
                        hops[registers[code, slot, V_ROW]] += way - seen
                        registers[code, slot, V_FAR] = position
    return total if total < 0 else DONE


@timing_loop(_WINDOW + "int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])")
def access(
    lo: int,
    hi: int,
    rows: Rows,
    first: Rows,
    slots: Rows,
    which: Rows,
    turn: Rows,
    n_rows: int,
    n_banks: int,
    write_latency: int,
    ports: Rows,
    banks: Rows,
    content: Rows,
    ready: Rows,
    fault: Rows,
) -> int:
    """SRAM slices: a read and a write a cycle, of different banks; rows hold vectors from write_latency after a write.

    rows: phase 0 reads, phase 1 writes; C_1 slice, C_2 address, C_3 its stride, C_4 vector, C_5 stride. ports
    (slices, 2), banks (slices, banks): latest cycle; content, ready (slices, rows): vector, and first cycle readable.
    """
    total = window(lo, hi, rows, first, slots, which, turn)
    for event in range(total):
        i = which[event]
        at = rows[i, E_START] + turn[event] * rows[i, E_D]
        unit = rows[i, C_1]
        address = rows[i, C_2] + turn[event] * rows[i, C_3]
        vector = rows[i, C_4] + turn[event] * rows[i, C_5]
        fault[F_CYCLE], fault[F_ROW], fault[F_FIRST], fault[F_SECOND] = at, i, unit, address
        if address < 0 or address >= n_rows:
            return NO_SUCH_ROW
        side = rows[i, E_PHASE]
        bank = address // (n_rows // n_banks)
        if ports[unit, side] >= at:
            return PORT_TAKEN
        if banks[unit, bank] >= at:
            return BANK_TAKEN
        ports[unit, side] = at
        banks[unit, bank] = at
        if side == 1:
            content[unit, address] = vector
            ready[unit, address] = at + write_latency
        elif content[unit, address] != vector or ready[unit, address] > at:
            return WRONG_ROW
    return total if total < 0 else DONE


@timing_loop(_WINDOW + "int64, int64, int64, int64[:, ::1], int64[:, :, ::1], int64[::1])")
def multiply(
    lo: int,
    hi: int,
    rows: Rows,
    first: Rows,
    slots: Rows,
    which: Rows,
    turn: Rows,
    interval: int,
    pair_interval: int,
    latency: int,
    planes: Rows,
    sums: Rows,
    fault: Rows,
) -> int:
    """Matrix planes: weights fill a buffer, a tile is installed from it, vectors give sums, sums leave when complete.

    rows: C_1 operation, C_2 plane, C_3 tile (of EMIT: contributions wanted), C_4 planes that act as one (of LOAD:
    vectors a cycle), C_5 first row of sums (of INSTALL: vectors wanted). planes (planes, N_PLANE); sums (planes, rows,
    2): contributions, and the cycle from which they are complete.
    """
    total = window(lo, hi, rows, first, slots, which, turn)
    for event in range(total):
        i = which[event]
        at = rows[i, E_START] + turn[event] * rows[i, E_D]
        op, plane, tile = rows[i, C_1], rows[i, C_2], rows[i, C_3]
        fault[F_CYCLE], fault[F_ROW], fault[F_FIRST], fault[F_SECOND] = at, i, plane, tile
        row = rows[i, C_5] + turn[event]
        if op == LOAD:
            if planes[plane, P_LOADED] > 0 and planes[plane, P_LOADING] != tile:
                return BUFFER_TAKEN
            planes[plane, P_LOADING] = tile
            planes[plane, P_LOADED] += rows[i, C_4]
        elif op == INSTALL:
            if planes[plane, P_LOADING] != tile or planes[plane, P_LOADED] != rows[i, C_5]:
                return NOT_LOADED
            if planes[plane, P_ACTIVATED] >= at:
                return PLANE_BUSY
            planes[plane, P_LOADED] = 0
            planes[plane, P_LOADING] = NOTHING
            planes[plane, P_TILE] = tile
            planes[plane, P_INSTALLED] = at
        elif op == ACTIVATE:
            if planes[plane, P_TILE] != tile or planes[plane, P_INSTALLED] >= at:
                return NOT_INSTALLED
            if planes[plane, P_ACTIVATED] >= at:
                return PLANE_BUSY
            planes[plane, P_ACTIVATED] = at + (pair_interval if rows[i, C_4] > 1 else interval) - 1
            if row >= sums.shape[1]:
                return NO_SUCH_ROW
            sums[plane, row, 0] += 1
            sums[plane, row, 1] = at + latency
        elif op == EMIT:
            if sums[plane, row, 0] != tile or sums[plane, row, 1] > at:
                return SUMS_NOT_READY
            sums[plane, row, 0] = 0
    return total if total < 0 else DONE


@timing_loop(_WINDOW + "int64, int64, int64, int64[::1], int64[:, ::1], int64[:, :, ::1], int64[::1])")
def exchange(
    lo: int,
    hi: int,
    rows: Rows,
    first: Rows,
    slots: Rows,
    which: Rows,
    turn: Rows,
    interval: int,
    flight: int,
    depth: int,
    free: Rows,
    ends: Rows,
    arrivals: Rows,
    fault: Rows,
) -> int:
    """Links: a vector holds its link for `interval`, is at the peer's port `flight` later, and waits there for Receive.

    The peer does the same at the same cycles, so its vectors arrive as the own ones do there. rows: C_1 operation, C_2
    link, C_3 vector that comes (of SEND: in return), C_4 stride. free (links): from when a link may send. ends (links,
    2): first and next of arrivals (links, space, 2): cycle, vector.
    """
    total = window(lo, hi, rows, first, slots, which, turn)
    space = arrivals.shape[1]
    for event in range(total):
        i = which[event]
        at = rows[i, E_START] + turn[event] * rows[i, E_D]
        link = rows[i, C_2]
        fault[F_CYCLE], fault[F_ROW], fault[F_FIRST] = at, i, link
        if rows[i, C_1] == SEND:
            if free[link] > at:
                return LINK_BUSY
            free[link] = at + interval
            if ends[link, 1] - ends[link, 0] >= space:
                return PORT_OVERFLOW
            arrivals[link, ends[link, 1] % space, 0] = at + interval + flight
            arrivals[link, ends[link, 1] % space, 1] = rows[i, C_3] + turn[event] * rows[i, C_4]
            ends[link, 1] += 1
        else:
            head = ends[link, 0]
            if head == ends[link, 1] or arrivals[link, head % space, 0] > at:
                return NOTHING_ARRIVED
            if head + depth < ends[link, 1] and arrivals[link, (head + depth) % space, 0] <= at:
                return PORT_OVERFLOW
            if arrivals[link, head % space, 1] != rows[i, C_3] + turn[event] * rows[i, C_4]:
                return OUT_OF_TURN
            ends[link, 0] += 1
    return total if total < 0 else DONE

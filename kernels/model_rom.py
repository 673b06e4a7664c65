"""A block with its weights in ROM, cycle by cycle: products formed and selected, vector lanes, banks of the cache."""

from __future__ import annotations

from dieshot.kernels.interval import O_END, emit
from dieshot.kernels.jit import Rows, timing_loop

BUSY = 1
FORMER = 0  # of what `multiply_select` keeps: when the products of the next rows can be formed
LANES = 1


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64[::1], int64[::1], int64[::1],"
    " int64[::1], int64[:, ::1], int64[:, ::1])"
)
def multiply_select(
    lane_line: int,
    former_line: int,
    rows: int,
    columns: int,
    n_rows: int,
    n_columns: int,
    codes: int,
    arrival_cycles: int,
    result_cycles: int,
    free: Rows,
    held: Rows,
    ready: Rows,
    done: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """Multiply a vector of `n_rows` by a matrix in ROM, `rows` of it at a time, `columns` sums a cycle.

    The products of a group of rows with all codes are formed once and held while group after group of columns selects
    its own; those of as many groups as `held` is long are on their way meanwhile. ready (row groups): cycle in which a
    group's activations are there; done (column groups): cycle in which its sums are complete. arrival_cycles: from the
    first cycle of forming to the lanes; result_cycles: from a lane's cycle to its sum. free (2), held: state. Returns
    the rows written to log, at most one for every cycle of a line.
    """
    n_log, depth = 0, held.shape[0]
    for group in range(ready.shape[0]):
        n_here = min(rows, n_rows - group * rows)
        # The first of the registers on the way is free when the group that is that far ahead has come to the lanes.
        formed = max(ready[group], free[FORMER], held[group % depth])
        free[FORMER] = formed + 1
        n_log = emit(former_line, formed, formed + 1, BUSY, n_here * codes, open_, n_log, log)
        start = max(free[LANES], formed + arrival_cycles)
        held[group % depth] = start
        for part in range(done.shape[0]):
            n_sums = min(columns, n_columns - part * columns)
            n_log = emit(lane_line, start, start + 1, BUSY, n_here * n_sums, open_, n_log, log)
            start += 1
            done[part] = start + result_cycles
        free[LANES] = start
    return n_log


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1],"
    " int64[:, ::1])"
)
def stream(
    line: int,
    rate: int,
    special_rate: int,
    ops: int,
    specials: int,
    latency_cycles: int,
    free: Rows,
    elements: Rows,
    ready: Rows,
    done: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """Pass items through a pipelined unit in their order: `ops` plain and `specials` slow operations an element.

    rate, special_rate: of both kinds a cycle, side by side. elements, ready, done (items): how many, from which cycle
    on, and the cycle in which the item has left. free (1) is state, in parts of a cycle (rate x special_rate of them).
    Returns the rows written to log, at most one an item.
    """
    n_log = 0
    parts = rate * special_rate
    for item in range(ready.shape[0]):
        begin = max(free[0], ready[item] * parts)
        free[0] = begin + elements[item] * max(ops * special_rate, specials * rate)
        end = (free[0] + parts - 1) // parts
        # Two items may share a cycle; it is the first one's in the log.
        n_log = emit(
            line,
            max(begin // parts, open_[line, O_END]),
            end,
            BUSY,
            elements[item] * (ops + specials),
            open_,
            n_log,
            log,
        )
        done[item] = end + latency_cycles
    return n_log


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64, int64, int64, int64[::1], int64[::1], int64[::1],"
    " int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1])"
)
def read_banks(
    bank_line: int,
    lane_line: int,
    n_words: int,
    first_word: int,
    word_bytes: int,
    word_macs: int,
    lane_cycles: int,
    read_cycles: int,
    result_cycles: int,
    bank_free: Rows,
    free: Rows,
    word_ready: Rows,
    lane_ready: Rows,
    started: Rows,
    done: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """Read (or write) words that follow each other over all banks, a beat of one word a bank at a time, and multiply.

    Every bank has one port. word_ready, lane_ready (beats): from which cycle on a beat may be read, and its other
    operand is there. A beat waits for room among as many beats as `started` is long before the multipliers
    (`lane_cycles` a beat, 0: they are not used; `word_macs` a word). bank_free (banks), free (1): state. done (beats):
    cycle in which the result is there. Returns the rows written to log, at most two a beat.
    """
    n_banks, depth, n_log = bank_free.shape[0], started.shape[0], 0
    for beat in range(done.shape[0]):
        n_here = min(n_banks, n_words - beat * n_banks)
        start = word_ready[beat]
        if beat >= depth:
            start = max(start, started[beat % depth])
        for i in range(n_here):
            start = max(start, bank_free[(first_word + beat * n_banks + i) % n_banks])
        for i in range(n_here):
            bank_free[(first_word + beat * n_banks + i) % n_banks] = start + 1
        n_log = emit(bank_line, start, start + 1, BUSY, n_here * word_bytes, open_, n_log, log)
        begin = start + 1 + read_cycles
        if lane_cycles:
            begin = max(begin, free[0], lane_ready[beat])
            free[0] = begin + lane_cycles
            n_log = emit(lane_line, begin, free[0], BUSY, n_here * word_macs, open_, n_log, log)
        started[beat % depth] = begin
        done[beat] = begin + lane_cycles + result_cycles
    return n_log

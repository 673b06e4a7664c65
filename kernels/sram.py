"""Banked SRAM: words interleaved over banks, every bank with its ports; vector accesses in lock step or one by one."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, timing_loop

OK = 0
LIMIT = 1 << 61

CYCLES = 0
CONFLICTS = 1
WORDS = 2
MERGED = 3
N_COUNTS = 4


@timing_loop("int64(int64, int64, int64)")
def bank_of(word: int, n_banks: int, rotate: int) -> int:
    """Return the bank of a word: plain interleave, or each row of words rotated by one bank against the row before."""
    if rotate:
        return (word + word // n_banks) % n_banks
    return word % n_banks


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64[::1], int64[::1], int64, int64[::1], int64[:, ::1],"
    " int64[::1])"
)
def serve_vectors(
    width_bytes: int,
    n_ports: int,
    n_lanes: int,
    access_bytes: int,
    merge: int,
    rotate: int,
    counts: Rows,
    addresses: Rows,
    n_accesses: int,
    bank_words: Rows,
    lane_words: Rows,
    finish_cycles: Rows,
) -> int:
    """Serve accesses `n_lanes` at a time; a vector takes as many cycles as its fullest bank, then the next begins.

    width_bytes: of a bank's word. access_bytes: of one lane; it may span words. merge: whether lanes that want a word
    that an earlier lane of the vector wants share its access. counts (N_COUNTS), added to: cycles, cycles beyond the
    first of every vector, words read, words shared. addresses (n): bytes. bank_words (banks), zeros, and
    lane_words (n_lanes, 2) are scratch. finish_cycles (vectors): end of each. Returns OK, or -1 - i where address i is
    negative or out of range.
    """
    n_banks = bank_words.shape[0]
    first = 0
    vector = 0
    while first < n_accesses:
        stop = min(first + n_lanes, n_accesses)
        fullest = 0
        for i in range(first, stop):
            address = addresses[i]
            if address < 0 or address > LIMIT:
                return -1 - i
            lane_words[i - first, 0] = address // width_bytes
            lane_words[i - first, 1] = (address + access_bytes - 1) // width_bytes
            for word in range(lane_words[i - first, 0], lane_words[i - first, 1] + 1):
                bank = bank_of(word, n_banks, rotate)
                shared = False
                if merge and bank_words[bank] > 0:  # a word wanted before has been taken from its bank
                    for j in range(i - first):
                        if lane_words[j, 0] <= word and word <= lane_words[j, 1]:
                            shared = True
                            break
                if shared:
                    counts[MERGED] += 1
                else:
                    bank_words[bank] += 1
                    counts[WORDS] += 1
                    fullest = max(fullest, bank_words[bank])
        for i in range(stop - first):  # not all banks: there may be more of them than lanes
            for word in range(lane_words[i, 0], lane_words[i, 1] + 1):
                bank_words[bank_of(word, n_banks, rotate)] = 0
        cycles = (fullest + n_ports - 1) // n_ports
        counts[CYCLES] += cycles
        counts[CONFLICTS] += cycles - 1
        finish_cycles[vector] = counts[CYCLES]
        vector += 1
        first = stop
    return OK


@timing_loop("int64(int64, int64, int64, int64, int64[:, ::1], int64[::1], int64[::1], int64[::1], int64, int64[::1])")
def serve_accesses(
    width_bytes: int,
    access_bytes: int,
    latency_cycles: int,
    rotate: int,
    port_free_cycles: Rows,
    counts: Rows,
    arrivals: Rows,
    addresses: Rows,
    n_accesses: int,
    finish_cycles: Rows,
) -> int:
    """Serve accesses that arrive each in its own cycle, first come first served at every bank.

    port_free_cycles (banks, ports) is state. counts (N_COUNTS), added to: CYCLES holds the last finish, CONFLICTS the
    cycles that words waited for a port, WORDS the words. arrivals (n), not falling, in cycles; addresses (n), in bytes.
    finish_cycles (n): the last word of each plus latency_cycles. Returns OK, or -1 - i where access i is out of range.
    """
    n_banks, n_ports = port_free_cycles.shape
    for i in range(n_accesses):
        arrival = arrivals[i]
        address = addresses[i]
        if arrival < 0 or arrival > LIMIT or address < 0 or address > LIMIT:
            return -1 - i
        done = arrival
        for word in range(address // width_bytes, (address + access_bytes - 1) // width_bytes + 1):
            bank = bank_of(word, n_banks, rotate)
            port = 0
            for other in range(1, n_ports):
                if port_free_cycles[bank, other] < port_free_cycles[bank, port]:
                    port = other
            start = max(arrival, port_free_cycles[bank, port])
            if start > LIMIT:
                return -1 - i
            port_free_cycles[bank, port] = start + 1
            counts[CONFLICTS] += start - arrival
            counts[WORDS] += 1
            done = max(done, start + 1)
        finish_cycles[i] = done + latency_cycles
        counts[CYCLES] = max(counts[CYCLES], finish_cycles[i])
    return OK

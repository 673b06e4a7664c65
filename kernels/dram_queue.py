"""Request queues of a memory channel: short lists in order of age, and what the banks of a channel remember.

lists (channel, list, field, capacity), fields item, bank, row, seen; counts (channel, list). A request waits in READS
or WRITES until its first column command, or until the ACT made for it, which moves it to OPENING: its row may not be
closed before it was served. Where every bank has a short queue of its own, reads wait in STAGED for room in it.
"""

from __future__ import annotations

import numpy as np

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows

OPENING, READS, WRITES, STAGED = range(4)
N_LISTS = 4
WORD_BITS = 63
ITEM, BANK_ID, ROW, SEEN = range(4)
N_ENTRY = 4


@inlined
def append(channel: int, which: int, item: int, bank: int, row: int, seen: int, lists: Rows, counts: Rows) -> None:
    """Add a request as the youngest of a list."""
    k = counts[channel, which]
    lists[channel, which, ITEM, k] = item
    lists[channel, which, BANK_ID, k] = bank
    lists[channel, which, ROW, k] = row
    lists[channel, which, SEEN, k] = seen
    counts[channel, which] = k + 1


@inlined
def remove(channel: int, which: int, k: int, lists: Rows, counts: Rows) -> None:
    """Take the k-th oldest request out of a list; the younger ones move up."""
    last = counts[channel, which] - 1
    one = np.uint64(1)
    for field in range(N_ENTRY):
        for i in range(np.uint64(k), np.uint64(last)):  # unsigned: never counted from the end, so done in vectors
            lists[channel, which, field, i] = lists[channel, which, field, i + one]
    counts[channel, which] = last


@inlined
def is_opening(channel: int, bank: int, lists: Rows, counts: Rows) -> bool:
    """Return whether a row was opened in this bank for a request that has not been served."""
    found = False
    for k in range(counts[channel, OPENING]):
        found = found or lists[channel, OPENING, BANK_ID, k] == bank
    return found


@inlined
def opening_banks(channel: int, lists: Rows, counts: Rows) -> int:
    """Return the banks, of the first WORD_BITS, with a row opened for a request that has not been served, as bits."""
    banks = 0
    for k in range(counts[channel, OPENING]):
        bank = lists[channel, OPENING, BANK_ID, k]
        if bank < WORD_BITS:
            banks |= 1 << bank
    return banks


@inlined
def is_hit_in(channel: int, which: int, bank: int, row: int, lists: Rows, counts: Rows) -> bool:
    """Return whether a request of one list is for this open row."""
    for k in range(counts[channel, which]):
        if lists[channel, which, BANK_ID, k] == bank and lists[channel, which, ROW, k] == row:
            return True
    return False


@inlined
def is_hit_waiting(channel: int, bank: int, row: int, lists: Rows, counts: Rows) -> bool:
    """Return whether any waiting request is for this open row."""
    found = False
    for which in range(N_LISTS):
        found = found or is_hit_in(channel, which, bank, row, lists, counts)
    return found

"""Round-robin turns: how far after a pointer an index is, and which bit of a word comes next."""

from __future__ import annotations

import numpy as np

from dieshot.kernels.inlined import inlined

# 2 generates the numbers below 67, so the powers that an int64 can hold leave different remainders.
_MODULUS = 67
_MOST_ROWS = (1 << 32) - 1
_BIT_OF = np.full(_MODULUS, -1, np.int64)
_BIT_OF[[(1 << bit) % _MODULUS for bit in range(63)]] = np.arange(63)


@inlined
def row(number: int) -> int:
    """Return the number of a row that is there: the compiler then knows that it does not count from the end."""
    return number & _MOST_ROWS


@inlined
def distance(index: int, pointer: int, n: int) -> int:
    """Return how many places after a round-robin pointer an index has its turn."""
    gap = index - pointer
    # Without a branch, which would be guessed wrong half of the time.
    return gap + (n & (gap >> 63))


@inlined
def following(index: int, n: int) -> int:
    """Return the index after one, in a ring of n."""
    return index + 1 if index + 1 < n else 0


@inlined
def lowest_bit(word: int) -> int:
    """Return the place of the lowest bit set of a word that is not negative, or -1 if none is."""
    return int(_BIT_OF[(word & -word) % _MODULUS])


@inlined
def next_bit(word: int, start: int) -> int:
    """Return the place of the first bit set from `start` on, round the end; -1 if none is."""
    ahead = word >> start << start
    return lowest_bit(ahead if ahead != 0 else word)

"""The batch that yields the most tokens: how many sequences fit, and how many still get theirs in time."""

from __future__ import annotations

import functools
from collections.abc import Callable

LARGEST_BATCH = 16384
MOST_TRIES = 4
CLOSE = 0.7  # a batch that takes this share of the limit is not refined


def batch_sizes(n_stages: int, n_replicas: int = 1) -> list[int]:
    """Return sizes worth trying, two an octave, equal parts for every replica; in each, above the number of stages that
    users fill, multiples of it."""
    octaves = {size for k in range(1, LARGEST_BATCH.bit_length()) for size in (1 << k - 1, 3 << k - 1)}
    sizes = octaves | {n_stages * size for size in octaves}
    sizes = {n_replicas * size for size in sizes if size <= n_stages or size % n_stages == 0}
    return sorted(size for size in {1, *sizes} if size <= LARGEST_BATCH)


def largest_that(fits: Callable[[int], bool], sizes: list[int]) -> int:
    """Return the index of the largest size that fits, where all smaller ones do; -1 if none does."""
    low, high = -1, len(sizes)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(sizes[middle]) else (low, middle)
    return low


def _at_most(floor_s: Callable[[int], float], limit_s: float) -> Callable[[int], bool]:
    return lambda size: floor_s(size) <= limit_s


def best_batch(
    time_s: Callable[[int], float], floor_s: Callable[[int], float], sizes: list[int], limit_s: float
) -> int | None:
    """Return the size with the most tokens a second (size / time) among those tried that keep the limit; None if even
    the first does not.

    floor_s: a bound of time_s that costs nothing. The next size tried is the largest that should keep the limit if
    times go with their bounds as the known ones on either side do.
    """
    known = {0: time_s(sizes[0])}
    if known[0] > limit_s:
        return None
    floors = functools.cache(lambda index: floor_s(sizes[index]))
    while len(known) < MOST_TRIES:
        low = max(index for index, time in known.items() if time <= limit_s)
        high = min((index for index, time in known.items() if time > limit_s), default=len(sizes))
        if high - low < 2 or (low > 0 and known[low] > CLOSE * limit_s):
            break
        before = max((index for index in known if index < low), default=None) if high == len(sizes) else high
        start, base = (0.0, 0.0) if before is None else (floors(before), known[before])
        rise = (known[low] - base) / (floors(low) - start) if floors(low) != start else 0.0
        if rise > 0:
            most = floors(low) + (limit_s - known[low]) / rise
            index = low + 1 + largest_that(_at_most(floor_s, most), sizes[low + 1 : high])
        else:
            index = high - 1
        index = min(max(index, low + 1), high - 1)
        known[index] = time_s(sizes[index])
    kept = [index for index, time in known.items() if time <= limit_s]
    return sizes[max(kept, key=lambda index: sizes[index] / known[index])]

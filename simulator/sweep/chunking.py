"""How many runs a worker takes at once: so many that handing over costs little, so few that nobody waits at the end."""

from __future__ import annotations

import math
from collections import deque

LARGEST = 2000  # runs; a chunk must pass a connection without holding up anybody
SHARES = 2  # chunks that each worker shall still get, at least, while more runs are left than workers
RECENT = 32  # runs


class ChunkSizer:
    """Sizes chunks by what recent runs took, towards chunks of `least_s` to `most_s` seconds."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._target_s = math.sqrt(least_s * most_s)
        self._seconds: deque[float] = deque(maxlen=RECENT)

    def note(self, seconds: float) -> None:
        """Take into account what a run took."""
        self._seconds.append(seconds)

    def size(self, n_left: int, n_workers: int) -> int:
        """Return how many of the `n_left` runs that have not ended make the next chunk; one until a run has ended."""
        if not self._seconds:
            return 1
        mean_s = sum(self._seconds) / len(self._seconds)
        wanted = LARGEST if mean_s <= 0 else int(min(self._target_s / mean_s, LARGEST))
        return max(1, min(wanted, n_left // (SHARES * max(1, n_workers))))

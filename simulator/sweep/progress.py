"""How far a sweep is, and how fast it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

RECENT_S = 20.0


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A run that a worker is at: its number, its point, since when (s, as of time.time)."""

    run: int
    point: int
    since: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Runs of a sweep by what became of them; `per_s` of late, `left_s` by that rate (None: nothing ended of late)."""

    total: int
    done: int
    failed: int
    set_aside: int
    per_s: float
    n_workers: int
    under_way: tuple[UnderWay, ...] = ()

    @property
    def ended(self) -> int:
        """Runs that will not be tried again by themselves."""
        return self.done + self.failed + self.set_aside

    @property
    def left_s(self) -> float | None:
        """Seconds to the end."""
        return (self.total - self.ended) / self.per_s if self.per_s > 0 else None


Tell = Callable[[Progress], None]


class Rate:
    """Ends of runs per second, over the last RECENT_S."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, now_s: float, n: int) -> float:
        """Note that `n` runs have ended by now; return the rate."""
        self._seen.append((now_s, n))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - RECENT_S:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return (n - first) / (now_s - first_s) if now_s > first_s else 0.0

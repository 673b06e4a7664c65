"""Resource tables of the static compiler: which cycles of a unit, port or stream are taken, and where a run fits."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

LATEST_CYCLE = 1 << 40
OUT = "out"


class ScheduleError(RuntimeError):
    """The compiler cannot place an instruction; the message names the resource."""


class Table:
    """Cycles of one resource that are taken: stretches without gaps, and combs of single cycles `d` apart."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.combs: list[tuple[int, int, int]] = []  # start, number, period; sorted
        self._longest = 0  # of the combs, in cycles
        self._reach = 0  # after all that is taken

    def first_fit(self, t: int, n: int, d: int) -> int:
        """Return the first cycle from `t` on at which a run of `n` cycles, `d` apart, meets nothing."""
        if t >= self._reach:  # behind everything taken so far, as most requests are
            return t
        while True:
            moved = self._past_stretches(t, n, d)
            moved = self._past_combs(moved, n, d)
            if moved == t:
                return t
            t = moved

    def take(self, t: int, n: int, d: int) -> None:
        """Take the cycles of a run that fits."""
        self._reach = max(self._reach, t + (n - 1) * d + 1)
        if d > 1 and n > 1:
            insort(self.combs, (t, n, d))
            self._longest = max(self._longest, (n - 1) * d)
            return
        i = bisect_left(self.starts, t)
        end = t + n
        if i and self.ends[i - 1] == t:
            self.ends[i - 1] = end
            if i < len(self.starts) and self.starts[i] == end:
                self.ends[i - 1] = self.ends.pop(i)
                self.starts.pop(i)
        elif i < len(self.starts) and self.starts[i] == end:
            self.starts[i] = t
        else:
            self.starts.insert(i, t)
            self.ends.insert(i, end)

    def _past_stretches(self, t: int, n: int, d: int) -> int:
        if not self.starts:
            return t
        span = n if d == 1 else (n - 1) * d + 1
        i = bisect_right(self.ends, t)
        if i == len(self.starts) or self.starts[i] >= t + span:
            return t
        if d == 1:
            return self.ends[i]
        for k in range(n):
            at = t + k * d
            i = bisect_right(self.ends, at)
            if i < len(self.starts) and self.starts[i] <= at:
                return self.ends[i] - k * d
        return t

    def _past_combs(self, t: int, n: int, d: int) -> int:
        if not self.combs:
            return t
        first = bisect_left(self.combs, (t - self._longest,))
        beyond = bisect_right(self.combs, (t + (n - 1) * d + 1,))
        for start, number, period in self.combs[first:beyond]:
            last = start + (number - 1) * period
            if last < t or start > t + (n - 1) * d:
                continue
            if d == 1:
                hit = start if t <= start else start + -(-(t - start) // period) * period
                if hit < t + n:
                    return hit + 1
            elif d == period:
                if (t - start) % d == 0:
                    return t + 1
            else:
                return last + 1
        return t


@dataclass(frozen=True, slots=True)
class Need:
    """Cycles wanted of one resource: a run of `n` cycles, `d` apart, `offset` after the anchor."""

    key: Hashable
    offset: int
    n: int
    d: int = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """Cycles wanted of `count` like resources out of `members`, each a tuple of keys that are taken together.

    beside: they have to be neighbours, as the streams of one instruction are. result: how much later the members' way
    out is needed, too (0: they have none of their own).
    """

    members: Sequence[tuple[Hashable, ...]]
    count: int
    offset: int
    n: int
    d: int = 1
    beside: bool = False
    result: int = 0


class Resources:
    """All tables by key; finds the first cycle at which everything that a template wants is free."""

    def __init__(self) -> None:
        self.tables: dict[Hashable, Table] = {}

    def table(self, key: Hashable) -> Table:
        """Return the table of a resource."""
        found = self.tables.get(key)
        if found is None:
            found = self.tables[key] = Table()
        return found

    def place(
        self, earliest: int, needs: Sequence[Need], choices: Sequence[Choice] = ()
    ) -> tuple[int, list[list[int]]]:
        """Take all needs at the first possible anchor; return it and, for each choice, the members chosen."""
        anchor, picks = self.find(earliest, needs, choices)
        self._take(anchor, needs, choices, picks)
        return anchor, picks

    def find(self, earliest: int, needs: Sequence[Need], choices: Sequence[Choice] = ()) -> tuple[int, list[list[int]]]:
        """Return what `place` would, and take nothing."""
        t = earliest
        while t < LATEST_CYCLE:
            moved = self._past_needs(t, needs)
            picks: list[list[int]] = []
            asked: dict[Hashable, list[tuple[int, int]]] = {}
            for choice in choices:
                moved, pick = self._pick(moved, choice, asked)
                picks.append(pick)
                if moved != t:
                    break
            if moved == t:
                return t, picks
            t = moved
        raise ScheduleError(f"no cycle for {needs[0].key if needs else choices[0].members[0]}")

    def _past_needs(self, t: int, needs: Sequence[Need]) -> int:
        for need in needs:
            at = self.table(need.key).first_fit(t + need.offset, need.n, need.d)
            if at != t + need.offset:
                return at - need.offset
        return t

    def _pick(self, t: int, choice: Choice, asked: dict[Hashable, list[tuple[int, int]]]) -> tuple[int, list[int]]:
        """Return the anchor and the members that are free then; a later anchor where too few are.

        asked: what other choices of the template have picked, by key; added to.
        """
        at = t + choice.offset
        end = at + (choice.n - 1) * choice.d + 1
        fits: list[int] = []
        free: list[int] = []
        for index, keys in enumerate(choice.members):
            if asked and any(_meets(asked, key, at, end, choice.result) for key in keys):
                fits.append(LATEST_CYCLE)
                continue
            fits.append(max(self._fit(key, at, choice) for key in keys))
            if fits[-1] == at:
                free = free if not choice.beside or not free or free[-1] == index - 1 else []
                free.append(index)
                if len(free) == choice.count:
                    for each in free:
                        for key in choice.members[each]:
                            asked.setdefault(key, []).append((at, end))
                            asked.setdefault((OUT, key), []).append((at + choice.result, end + choice.result))
                    return t, free
        return self._next(fits, choice) - choice.offset, []

    def _fit(self, key: Hashable, at: int, choice: Choice) -> int:
        fit = self.table(key).first_fit(at, choice.n, choice.d)
        if choice.result:
            out = self.table((OUT, key)).first_fit(at + choice.result, choice.n, choice.d)
            fit = max(fit, out - choice.result)
        return fit

    def _next(self, fits: list[int], choice: Choice) -> int:
        """Return the next cycle at which enough members may be free, none of it before any is."""
        if choice.beside:
            windows = range(len(fits) - choice.count + 1)
            return min((max(fits[i : i + choice.count]) for i in windows), default=LATEST_CYCLE)
        ordered = sorted(fits)
        return ordered[choice.count - 1] if choice.count <= len(ordered) else LATEST_CYCLE

    def _take(self, t: int, needs: Sequence[Need], choices: Sequence[Choice], picks: Sequence[Sequence[int]]) -> None:
        for need in needs:
            self.table(need.key).take(t + need.offset, need.n, need.d)
        for choice, pick in zip(choices, picks, strict=True):
            for index in pick:
                for key in choice.members[index]:
                    self.table(key).take(t + choice.offset, choice.n, choice.d)
                    if choice.result:
                        self.table((OUT, key)).take(t + choice.offset + choice.result, choice.n, choice.d)


def _meets(asked: dict[Hashable, list[tuple[int, int]]], key: Hashable, at: int, end: int, result: int) -> bool:
    """Return whether a member, or its way out, is asked for at the same time by another choice of the template."""
    if any(at < late and early < end for early, late in asked.get(key, ())):
        return True
    out = asked.get((OUT, key), ()) if result else ()
    return any(at + result < late and early < end + result for early, late in out)

"""The values along one axis of a sweep: written one by one, or a range between two ends."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from dieshot.simulator.errors import InputError
from dieshot.simulator.params.quantity import exact

Scale = Literal["linear", "log"]
Number = int | float
DIGITS = 12  # of a computed value: more would be noise of the arithmetic, fewer not be taken as whole in base units
MOST_LEVELS = 10**8
BELOW_ONE = math.nextafter(1.0, 0.0)  # the largest share
MOST_WHOLE_LEVELS = 10**6  # of a range of whole numbers that is cut into a number of values


class Levels(ABC):
    """Values by number, from 0; `n` is None where there are too many to number: a range without a step."""

    n: int | None

    @abstractmethod
    def at(self, index: int) -> Any:
        """Return a value by its number."""

    @abstractmethod
    def drawn(self, share: float) -> Any:
        """Return the value below which lies a share (in [0, 1)) of all."""


@dataclass(frozen=True)
class Listed(Levels):
    """Values as written, in that order."""

    values: tuple[Any, ...]

    @property
    def n(self) -> int:  # type: ignore[override]
        """How many there are."""
        return len(self.values)

    def at(self, index: int) -> Any:
        """Return a value by its number."""
        return self.values[index]

    def drawn(self, share: float) -> Any:
        """Return one; all are as likely."""
        return self.values[int(share * len(self.values))]


@dataclass(frozen=True)
class Stepped(Levels):
    """`n` values from `first`, a step apart."""

    first: Fraction
    step: Fraction
    n: int

    def at(self, index: int) -> Number:
        """Return a value by its number."""
        return plain(self.first + self.step * index)

    def drawn(self, share: float) -> Number:
        """Return one; all are as likely."""
        return self.at(int(share * self.n))


@dataclass(frozen=True)
class Whole(Levels):
    """All whole numbers from `first` to `last`; on a log scale a factor is as likely wherever it lies."""

    first: int
    last: int
    scale: Scale = "linear"

    @property
    def n(self) -> int:  # type: ignore[override]
        """How many there are."""
        return self.last - self.first + 1

    def at(self, index: int) -> int:
        """Return a value by its number."""
        return self.first + index

    def drawn(self, share: float) -> int:
        """Return the value below which lies a share of all."""
        if self.scale == "linear":
            return self.first + int(share * self.n)
        return min(self.last, int(_between(self.first, self.last + 1, share, "log")))


@dataclass(frozen=True)
class Continuous(Levels):
    """Any number from `low` to `high`; whole multiples of `quantum` if there is one."""

    low: float
    high: float
    scale: Scale = "linear"
    quantum: float | None = None
    n: None = None

    def at(self, index: int) -> Number:
        """Refuse: there are too many to number."""
        raise IndexError("values of a range without a step have no numbers")

    def drawn(self, share: float) -> Number:
        """Return the value below which lies a share of all."""
        value = _between(self.low, self.high, share, self.scale)
        return min(self.high, max(self.low, short(value))) if self.quantum is None else quantised(value, self.quantum)


def listed_levels(values: Sequence[Any]) -> Listed:
    """Return values as written; InputError where there are none."""
    if not values:
        raise InputError("no values", expected="at least one")
    return Listed(tuple(values))


def stepped(low: Number, high: Number, step: Number) -> Levels:
    """Return the values from `low` to `high`, both included where the steps meet it."""
    first, last, each = exact(low), exact(high), exact(step)
    if each <= 0:
        raise InputError("not a step", expected="a number above 0", value=step)
    n = int((last - first) / each) + 1
    if n > MOST_LEVELS:
        raise InputError(f"{n} values", expected=f"at most {MOST_LEVELS}")
    if each == 1 and first.denominator == 1:
        return Whole(int(first), int(first) + n - 1)
    return Stepped(first, each, n)


def spaced(low: Number, high: Number, n: int, scale: Scale, quantum: float | None) -> Levels:
    """Return `n` values from `low` to `high`, both included, with equal differences or (log) ratios."""
    if n > MOST_LEVELS:
        raise InputError(f"{n} values", expected=f"at most {MOST_LEVELS}")
    first, last = exact(low), exact(high)
    if n == 1 and first != last:
        raise InputError("one value for two ends", expected="number: 2 or more", value=n)
    if scale == "linear" and quantum is None:
        return Stepped(first, (last - first) / max(1, n - 1), n)
    if n > MOST_WHOLE_LEVELS:
        raise InputError(f"{n} values", expected=f"at most {MOST_WHOLE_LEVELS} on a log scale or of whole numbers")
    return Listed(tuple(dict.fromkeys(_level(first, last, i, n, scale, quantum) for i in range(n))))


def _level(first: Fraction, last: Fraction, index: int, n: int, scale: Scale, quantum: float | None) -> Number:
    if index in (0, n - 1):
        return plain(last if index else first)
    share = Fraction(index, n - 1)
    if scale == "linear":
        value: Number = plain(first + (last - first) * share)
    else:
        value = short(_between(float(first), float(last), float(share), scale))
    return value if quantum is None else quantised(value, quantum)


def _between(low: float, high: float, share: float, scale: Scale) -> float:
    if scale == "linear":
        return low + (high - low) * share
    return low * math.exp(math.log(high / low) * share)


def quantised(value: Number, quantum: float) -> Number:
    """Return the whole multiple of a quantum that is nearest, to `DIGITS` digits."""
    if quantum == 1:
        return round(value)
    found = short(round(value / quantum) * quantum)
    return int(found) if found.is_integer() else found


def plain(value: Fraction) -> Number:
    """Return a number as int where it is whole, else as float."""
    return int(value) if value.denominator == 1 else float(value)


def short(value: float) -> float:
    """Return a computed number to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")

"""What the PEs of a region do, step by step: local work, collectives along lines, shifts in step, moves."""

from __future__ import annotations

from dataclasses import dataclass

Y, X = "y", "x"  # lines of PEs: along a column (its PEs differ in row), along a row
GRID = "grid"  # tokens over the rows, features over the columns; else a vector is split along one axis
OTHER = {Y: X, X: Y}


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of PEs that works on one thing."""

    name: str
    rows: int
    columns: int

    @property
    def n_pes(self) -> int:
        """PEs of the rectangle."""
        return self.rows * self.columns

    def length(self, axis: str) -> int:
        """Return the PEs of a line along an axis."""
        return self.rows if axis == Y else self.columns

    def share(self, n: int, axis: str) -> int:
        """Return how many of n elements each PE of a line holds, the last ones padded."""
        return -(-n // self.length(axis))


@dataclass(frozen=True, slots=True)
class Work:
    """Every PE works for some cycles on what it has. Amounts are those of all PEs, padding included."""

    cycles: int
    macs: int = 0
    vector_ops: int = 0
    sram_bytes: int = 0


@dataclass(frozen=True, slots=True)
class AllReduce:
    """Along every line of an axis, or each of equal stretches of it, all PEs get the sum (or the largest)."""

    axis: str
    wavelets: int
    stretches: int = 1


@dataclass(frozen=True, slots=True)
class Multicast:
    """The first PE of every line of an axis sends to all others of it."""

    axis: str
    wavelets: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Every PE of a line sends to the one before it."""

    axis: str
    wavelets: int


@dataclass(frozen=True, slots=True)
class Shift:
    """Steps of a cyclic shift: every PE works while it hands its tiles on to the neighbours but one.

    compute_cycles, wavelets (over a PE's ramp) and amounts: of one step; amounts are those of all PEs.
    """

    steps: int
    compute_cycles: int
    wavelets: int
    macs: int = 0
    sram_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """A tensor goes to another region or another layout: over some links at once, so many hops."""

    region: Region
    layout: str
    wavelets: int
    links: int
    hops: int


@dataclass(frozen=True, slots=True)
class Rounds:
    """The same phases so many times, one round after the other."""

    phases: tuple[Phase, ...]
    n: int


Phase = Rounds | Work | AllReduce | Multicast | Neighbour | Shift | Move

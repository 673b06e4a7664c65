"""What a region leaves behind: components, their activity, and where a cell is placed in time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IDLE = 0
BUSY = 1
STALL_MEMORY = 2
STALL_LINK = 3
STALL_OPERAND = 4
STALL_CREDIT = 5
STALL_LAUNCH = 6
STALL_BARRIER = 7
STALL_REFRESH = 8
STATES = (
    "idle",
    "busy",
    "stall_memory",
    "stall_link",
    "stall_operand",
    "stall_credit",
    "stall_launch",
    "stall_barrier",
    "stall_refresh",
)


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """One line of the log: a part of a chip, or `count` parts that act alike in every cycle.

    `path` is relative to its chip ("sm17/tensor"); `kind` groups like parts ("tensor").
    `amount_unit` says what the part's work is counted in ("MAC", "op", "byte").
    """

    path: str
    kind: str
    clock_period_fs: int
    amount_unit: str
    peak_amount_per_cycle: int
    static_fj_per_cycle: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Activity:
    """Intervals in which components were not idle; every column has the same length.

    Times are femtoseconds since the region began. An interval happens `repeat` times, `period_fs` apart; `amount` is
    the work done in one repetition. Intervals of one component never overlap. What no interval covers is idle.
    """

    component: NDArray[np.int32]
    start_fs: NDArray[np.int64]
    end_fs: NDArray[np.int64]
    state: NDArray[np.int8]
    amount: NDArray[np.int64]
    repeat: NDArray[np.int64]
    period_fs: NDArray[np.int64]

    @staticmethod
    def empty() -> Activity:
        """Return an activity without intervals."""
        wide = np.empty(0, np.int64)
        return Activity(np.empty(0, np.int32), wide, wide, np.empty(0, np.int8), wide, wide, wide)

    @staticmethod
    def joined(*parts: Activity) -> Activity:
        """Return the intervals of several activities, one after the other."""
        columns = [[getattr(part, column) for part in parts] for column in Activity.__slots__]
        return Activity(*(np.concatenate(column) for column in columns))

    def split(self, time_fs: int, first: int, n_components: int) -> tuple[Activity, NDArray[np.int64]]:
        """Return what lies before `time_fs`, and the amount that lies after it of components first .. first + n - 1.

        Intervals that repeat must all lie before. The amount of one that crosses is divided in proportion to its time.
        """
        after = np.zeros(n_components, np.int64)
        late = np.flatnonzero((self.end_fs > time_fs) | (self.start_fs >= time_fs))
        if len(late) == 0:
            return self, after
        start_fs, amount = self.start_fs[late], self.amount[late]
        share = np.maximum(time_fs - start_fs, 0) / np.maximum(self.end_fs[late] - start_fs, 1)
        kept = self.amount.copy()
        kept[late] = (amount * share).astype(np.int64)
        np.add.at(after, self.component[late] - first, amount - kept[late])
        before = self.start_fs < time_fs
        cut = Activity(
            self.component[before],
            self.start_fs[before],
            np.minimum(self.end_fs[before], time_fs),
            self.state[before],
            kept[before],
            self.repeat[before],
            self.period_fs[before],
        )
        return cut, after

    def of_components(self, first: int, stop: int) -> Activity:
        """Return the intervals of the components first .. stop - 1."""
        return self.where((self.component >= first) & (self.component < stop))

    def where(self, chosen: NDArray[np.bool_]) -> Activity:
        """Return the intervals chosen, a flag each."""
        return Activity(*(getattr(self, column)[chosen] for column in Activity.__slots__))

    def __len__(self) -> int:
        return int(self.component.shape[0])


@dataclass(frozen=True, slots=True)
class Cell:
    """The outcome of one region: how long it took, what it moved, and what every component did.

    `key` holds everything that changes the outcome. `fj_per_amount` is the event energy by component kind (fJ per unit
    of amount). `counters` are integer totals of the region (bytes by level, MACs useful and padded, tiles ...).
    """

    key: Hashable
    name: str
    kind: str
    duration_fs: int
    activity: Activity
    fj_per_amount: dict[str, int]
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """A cell at a point of time: `repeat` copies, `stride_fs` apart, on every chip of a stage.

    `operator` is the row of the operator table that this placement carries out.
    """

    cell: int
    start_fs: int
    repeat: int
    stride_fs: int
    stage: int
    operator: int

"""What the reader returns: rows and windows of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import ComponentSpec
from dieshot.simulator.log.expand import Int64


class Stage(NamedTuple):
    """Chips that do the same: `n_chips` of them from `first_chip` on."""

    first_chip: int
    n_chips: int


class CellRecord(NamedTuple):
    """A row of the cell table; `key` is the digest of the cell's key."""

    name: str
    kind: str
    key: str
    duration_fs: int
    first_interval: int
    n_intervals: int
    counters: dict[str, int]
    fj_per_amount: dict[str, int]


class CellTotals(NamedTuple):
    """Totals of a cell by component: `cycles` (component, state), `amount` and `dynamic_energy_fj` (component,)."""

    cycles: Int64
    amount: Int64
    dynamic_energy_fj: Int64


class ComponentRecord(NamedTuple):
    """A component of the run by its full path ("chip0/sm17/tensor"), with its cycles in the run."""

    path: str
    chip: int
    stage: int
    spec: ComponentSpec
    n_cycles: int


class ComponentTotals(NamedTuple):
    """What a component did in the whole run: work in its unit, and energy (fJ)."""

    amount: int
    dynamic_energy_fj: int
    static_energy_fj: int

    @property
    def energy_fj(self) -> int:
        """Energy of the work and of being on (fJ)."""
        return self.dynamic_energy_fj + self.static_energy_fj


@dataclass(frozen=True, slots=True)
class CyclesWindow:
    """What a component did in the cycles `start` .. `stop` (excluded) of its own clock; arrays of one length.

    utilization: work over the most possible, or 1.0 in the busy cycles of a part without a peak; may pass 1 in a cycle
        in which two intervals meet. codes: state of each cycle, an index into the names `state`. amount: work in
        `unit`. energy_fj: energy of the cycle, static included. power_w: that over the clock period.
    """

    component: str
    start: int
    stop: int
    clock_period_fs: int
    unit: str
    state: tuple[str, ...]
    codes: NDArray[np.int8]
    utilization: NDArray[np.float64]
    amount: Int64
    energy_fj: Int64
    power_w: NDArray[np.float64]

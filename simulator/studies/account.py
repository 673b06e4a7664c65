"""Adding up a run: cycles by state, work and energy of every component, from cells and how often they were placed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dieshot.simulator.engine.cell import BUSY, IDLE, STATES, Cell, ComponentSpec
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.log.total import totals

FJ_PER_JOULE = 10**15
STATIC = "static"
Cycles = Mapping[str, Sequence[int]]  # by kind of part, then by state


class Done(NamedTuple):
    """What parts did, by their kind: cycles by state, and work. Kinds that did nothing may be missing from `amount`."""

    cycles: dict[str, list[int]]
    amount: dict[str, int]

    @staticmethod
    def nothing(kinds: Sequence[str]) -> Done:
        """Return no cycles and no work."""
        return Done({kind: [0] * len(STATES) for kind in kinds}, dict.fromkeys(kinds, 0))

    def add(self, other: Done, times: int) -> None:
        """Add what was done `times` times."""
        for kind, counts in other.cycles.items():
            mine = self.cycles[kind]
            for state, count in enumerate(counts):
                mine[state] += count * times
            self.amount[kind] += other.amount[kind] * times


@dataclass(slots=True)
class Account:
    """Counts per component kind, whole numbers throughout. A folded chip counts as often as it stands for others."""

    specs: Sequence[ComponentSpec]
    n_chips: int
    kinds: list[str] = field(init=False)
    _times: Counter[int] = field(default_factory=Counter)
    _cells: dict[int, Cell] = field(default_factory=dict)
    _by_cell: dict[int, Done] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.kinds = list(dict.fromkeys(spec.kind for spec in self.specs))

    def place(self, cell: Cell, times: int) -> None:
        """Count a cell `times` more (copies x chips)."""
        self._cells[id(cell)] = cell
        self._times[id(cell)] += times

    def close(self, duration_fs: int) -> Totals:
        """Return the totals of a run of `duration_fs` on all chips."""
        done = Done.nothing(self.kinds)
        dynamic_fj = dict.fromkeys(self.kinds, 0)
        order = {kind: index for index, kind in enumerate(self.kinds)}
        kind_of = np.array([order[spec.kind] for spec in self.specs])
        for key, times in self._times.items():
            cell = self._cells[key]
            counted = totals(cell.activity, self.specs, cell.duration_fs)
            by_state, work = np.zeros((len(order), len(STATES)), np.int64), np.zeros(len(order), np.int64)
            np.add.at(by_state, kind_of, counted.cycles)
            np.add.at(work, kind_of, counted.amount)
            amount = dict(zip(self.kinds, work.tolist(), strict=True))
            self._by_cell[key] = Done(dict(zip(self.kinds, by_state.tolist(), strict=True)), amount)
            done.add(self._by_cell[key], times)
            for kind in self.kinds:
                dynamic_fj[kind] += amount[kind] * cell.fj_per_amount.get(kind, 0) * times
        self._rest_is_idle(done.cycles, duration_fs)
        static_fj = dict.fromkeys((*burning_kinds(self.specs), STATIC), 0)
        for spec in self.specs:
            kind = spec.kind if spec.kind in static_fj else STATIC
            static_fj[kind] += self.n_chips * _cycles(duration_fs, spec) * spec.static_fj_per_cycle * spec.count
        return Totals(duration_fs, done.cycles, done.amount, dynamic_fj, static_fj)

    def done_in(self, cells: Mapping[int, int]) -> Done:
        """Return what a chip did in some of the cells, given how often each (by identity) is there; once closed."""
        done = Done.nothing(self.kinds)
        for key, times in cells.items():
            done.add(self._by_cell[key], times)
        return done

    def _rest_is_idle(self, cycles: dict[str, list[int]], duration_fs: int) -> None:
        for kind in self.kinds:
            whole = self.n_chips * sum(_cycles(duration_fs, spec) for spec in self.specs if spec.kind == kind)
            busy_or_stalled = sum(count for state, count in enumerate(cycles[kind]) if state != IDLE)
            cycles[kind][IDLE] = whole - busy_or_stalled


def shares(counts: Sequence[int]) -> dict[str, float]:
    """Return the share of cycles in each state that any were in; they add up to one where there are any."""
    whole = max(1, sum(counts))
    return {STATES[state]: count / whole for state, count in enumerate(counts) if count}


def burning_kinds(specs: Sequence[ComponentSpec]) -> list[str]:
    """Return the kinds of parts that only burn, such as lasers: they take energy and do no work."""
    burning = {spec.kind: spec.static_fj_per_cycle > 0 for spec in specs}
    for spec in specs:
        burning[spec.kind] &= spec.peak_amount_per_cycle == 0
    return [kind for kind, burns in burning.items() if burns]


def _cycles(duration_fs: int, spec: ComponentSpec) -> int:
    return -(-duration_fs // spec.clock_period_fs)


@dataclass(frozen=True, slots=True)
class Totals:
    """What all chips did: cycles by state and work by component kind, energy in fJ.

    static_fj: of parts that only burn by kind, of all others together.
    """

    duration_fs: int
    cycles: Cycles
    amount: Mapping[str, int]
    dynamic_fj: Mapping[str, int]
    static_fj: Mapping[str, int]

    @property
    def energy_fj(self) -> int:
        """All energy, static and by event."""
        return sum(self.static_fj.values()) + sum(self.dynamic_fj.values())

    @property
    def average_power_w(self) -> float:
        """Energy over time, all chips."""
        return self.energy_fj / FJ_PER_JOULE / (self.duration_fs / FS_PER_SECOND)

    def utilization(self) -> dict[str, float]:
        """Busy cycles over all cycles, by kind of component that can be busy."""
        return {
            kind: counts[BUSY] / max(1, sum(counts))
            for kind, counts in self.cycles.items()
            if kind not in self.static_fj
        }

    def fractions(self, kind: str) -> dict[str, float]:
        """Share of a kind's cycles in each state but busy."""
        return {state: share for state, share in shares(self.cycles[kind]).items() if state != STATES[BUSY]}

    def states(self) -> dict[str, dict[str, float]]:
        """Share of cycles in each state, busy too, by kind of component that can be busy."""
        return {kind: shares(counts) for kind, counts in self.cycles.items() if kind not in self.static_fj}

    def energy_j(self) -> dict[str, float]:
        """Energy by component kind, and static."""
        total_fj = dict(self.dynamic_fj)
        for kind, fj in self.static_fj.items():
            total_fj[kind] = total_fj.get(kind, 0) + fj
        return {kind: fj / FJ_PER_JOULE for kind, fj in total_fj.items()}

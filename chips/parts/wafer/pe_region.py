"""A region of PEs as a SimPy part: works through the phases of operators, asks the lines to time its collectives.

A PE in row i and column j is ready in cycle y[i] + x[j]: work adds to all alike, a collective along one axis changes
that axis alone, so two profiles say when each of all PEs acts. Nothing waits for the slowest but what needs it. What is
left out: that wavelets of one collective and the next, which cross at a router, may want its ramp in the same cycle.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.mapping.wafer.phase import (
    AllReduce,
    Move,
    Multicast,
    Neighbour,
    Phase,
    Region,
    Rounds,
    Shift,
    Work,
    X,
    Y,
)
from dieshot.chips.parts.wafer.line import LineParameters
from dieshot.chips.parts.wafer.line_timing import Lines, Memo, Request
from dieshot.chips.parts.wafer.sample import RegionLog
from dieshot.simulator.engine.component import Component

Rows = NDArray[np.int64]
SHIFT_HOPS = 2


@dataclass
class Amounts:
    """What an operator moved and did, padding included; hops: wavelets over links."""

    macs: int = 0
    vector_ops: int = 0
    sram_bytes: int = 0
    hops: int = 0

    def add(self, other: Amounts, n: int) -> None:
        """Add another's amounts n times."""
        self.macs += n * other.macs
        self.vector_ops += n * other.vector_ops
        self.sram_bytes += n * other.sram_bytes
        self.hops += n * other.hops


@dataclass(frozen=True)
class RegionRun:
    """Ends of the operators (cycle in which the first PE is ready for the next), amounts, and when PEs are ready."""

    ends: list[int] = field(default_factory=list)
    amounts: list[Amounts] = field(default_factory=list)


class PeRegion(Component):
    """Carries out operators given as phases; `region` is where the PEs are that hold the data at first."""

    def __init__(
        self,
        env: simpy.Environment,
        region: Region,
        profiles: tuple[Rows, Rows],
        operators: Sequence[Sequence[Phase]],
        how: LineParameters,
        period_fs: int,
        memo: Memo,
        log: RegionLog,
    ) -> None:
        self.region = region
        self.y, self.x = profiles
        self.operators = operators
        self.how = how
        self.period_fs = period_fs
        self.memo = memo
        self.log = log
        self.run_so_far = RegionRun()
        self._lines: dict[tuple[str, int], Lines] = {}
        super().__init__(env, region.name)

    @property
    def first_ready(self) -> int:
        """Cycle in which the first PE is ready."""
        return int(self.y.min()) + int(self.x.min())

    @property
    def all_ready(self) -> int:
        """Cycle in which the last PE is ready."""
        return int(self.y.max()) + int(self.x.max())

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Carry out all operators."""
        self.log.waiting(self.region, self.y, self.x)
        for phases in self.operators:
            amounts = Amounts()
            for phase in phases:
                if isinstance(phase, Rounds):
                    yield from self._rounds(phase, amounts)
                else:
                    yield from self._carry_out(phase, amounts)
            self.run_so_far.amounts.append(amounts)
            self.run_so_far.ends.append(self.first_ready)
            self.log.operator_done(self.first_ready)

    def _rounds(self, rounds: Rounds, amounts: Amounts) -> Generator[simpy.Event, Any, None]:
        """Carry out rounds until one begins as the one before did: those after it are like it, exactly.

        The last ones are carried out for themselves, as what follows may begin before they have ended everywhere.
        """
        before, left, period = b"", rounds.n, 1
        while left > 0:
            start, begins = self.first_ready, self._relative()
            n_last = 1 + -(-(self.all_ready - start) // max(1, period))
            n = max(1, left - n_last) if begins == before else 1
            own = Amounts()
            self.log.begin_rounds(n)
            for phase in rounds.phases:
                yield from self._carry_out(phase, own)
            period = self.first_ready - start
            self.log.end_rounds(period)
            self.y = self.y + (n - 1) * period
            amounts.add(own, n)
            yield self.env.timeout((n - 1) * period * self.period_fs)
            before, left = begins, left - n

    def _relative(self) -> bytes:
        """Return how much later than the first all PEs are ready."""
        later = self.y - int(self.y.min()), self.x - int(self.x.min())
        return later[0].tobytes() + later[1].tobytes()

    def _carry_out(self, phase: Phase, amounts: Amounts) -> Generator[simpy.Event, Any, None]:
        before, hops = self.first_ready, amounts.hops
        if isinstance(phase, Work):
            self.log.work(self.region, self.y, self.x, phase)
            self.y = self.y + phase.cycles
            amounts.macs += phase.macs
            amounts.vector_ops += phase.vector_ops
            amounts.sram_bytes += phase.sram_bytes
        elif isinstance(phase, AllReduce | Multicast | Neighbour):
            yield from self._collective(phase, amounts)
        elif isinstance(phase, Shift):
            self._shift(phase, amounts)
        elif isinstance(phase, Move):
            self._move(phase, amounts)
        axis = phase.axis if isinstance(phase, AllReduce | Multicast | Neighbour) else Y
        self.log.hops(axis, before, self.first_ready, amounts.hops - hops)
        yield self.env.timeout(max(0, self.first_ready * self.period_fs - int(self.env.now)))

    def _collective(
        self, phase: AllReduce | Multicast | Neighbour, amounts: Amounts
    ) -> Generator[simpy.Event, Any, None]:
        lines = self._of_axis(phase.axis)
        if phase.axis == Y:
            lines.requests.send(Request(phase, self.y))
            outcome = yield lines.outcomes.receive()
            self.log.collective(self.region, Y, outcome.times, self.x)
            self.y = outcome.finish
        else:
            lines.requests.send(Request(phase, self.x))
            outcome = yield lines.outcomes.receive()
            self.log.collective(self.region, X, outcome.times, self.y)
            later = int(outcome.finish.min())
            self.y, self.x = self.y + later, outcome.finish - later
        n_lines = self.region.columns if phase.axis == Y else self.region.rows
        amounts.hops += outcome.hops * n_lines

    def _shift(self, phase: Shift, amounts: Amounts) -> None:
        """All PEs in step: the slowest holds up its neighbours, and those theirs, before a tile has gone round."""
        how = self.how
        moving = how.vector_cycles + phase.wavelets + SHIFT_HOPS + 2 * how.ramp_cycles + 1
        step = how.task_cycles + max(phase.compute_cycles, moving)
        start = self.all_ready
        self.log.shift(self.region, self.y, self.x, start, step, how.task_cycles, phase)
        self.y = np.full(self.region.rows, start + phase.steps * step, np.int64)
        self.x = np.zeros(self.region.columns, np.int64)
        amounts.macs += phase.macs * phase.steps
        amounts.sram_bytes += phase.sram_bytes * phase.steps
        amounts.hops += phase.steps * phase.wavelets * SHIFT_HOPS * self.region.n_pes

    def _move(self, phase: Move, amounts: Amounts) -> None:
        """One stream a link, from the cycle in which all of it is there to that in which all of it has come."""
        how = self.how
        wire = phase.hops + -(-phase.wavelets // phase.links) + 2 * how.ramp_cycles + 1
        end = self.all_ready + how.start_cycles + wire
        self.log.moved(self.region, self.y, self.x, end)
        self.region = phase.region
        self.y = np.full(self.region.rows, end, np.int64)
        self.x = np.zeros(self.region.columns, np.int64)
        amounts.hops += phase.wavelets * phase.hops

    def _of_axis(self, axis: str) -> Lines:
        """Return the part that times lines of an axis; lines of one length act alike in all regions."""
        length = self.region.length(axis)
        if (axis, length) not in self._lines:
            name = f"{self.region.name}/lines/{axis}"
            self._lines[axis, length] = Lines(self.env, name, length, self.how, self.period_fs, self.memo)
        return self._lines[axis, length]

"""Chips joined to their neighbours in a ring, mesh or torus: collectives link by link, by axis and direction."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from dieshot.chips.parts.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.fabric import FLAG_BYTES, FLIT_BYTES, LONGEST_FS
from dieshot.chips.parts.grid import AXES, Grid, grid_of
from dieshot.chips.parts.grid_log import Carried, GridLog
from dieshot.chips.parts.grid_schedule import (
    HALVES,
    Line,
    Piece,
    Stage,
    copies_plan,
    grid_plan,
    neighbours_plan,
    send,
    stages_along,
)
from dieshot.chips.parts.schedule import Plan
from dieshot.kernels.collective import MIB
from dieshot.simulator.engine.cell import Cell, ComponentSpec
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import Clock, transfer_fs
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.params import LinkParameters
from dieshot.traces.operator import Operator

LONGEST_CYCLE = 64  # transfers grow with the square of a ring, and axes are no slower in so large a grid
MOST_CHUNKS = 4  # in a pipeline: one is added up while others are on the links
LEAST_PIECE_BYTES = 1 << 16
WAYS = ("+", "-")


@dataclass(frozen=True)
class GridLinks:
    """The directed links of a grid, all alike, as a network takes them."""

    grid: Grid
    fs_per_mib: int
    latency_fs: int

    def edges(self, data: bool = True) -> Iterator[tuple[int, int, dict[str, int]]]:
        """Yield from, to and times of every link."""
        for a, b in self.grid.lanes:
            yield a, b, {"fs_per_mib": self.fs_per_mib, "latency_fs": self.latency_fs}


@dataclass
class Trial:
    """One algorithm carried out: when it ended and what every link had to carry when."""

    algorithm: str
    end_fs: int = 0
    carried: list[Carried] = field(default_factory=list)


class GridRanks(Component):
    """The chips of a grid: launch, tell the neighbours that buffers may be written, carry out the algorithm, drain."""

    def __init__(
        self, env: simpy.Environment, links: GridLinks, local: LocalCosts, algorithm: str, operator: Operator
    ) -> None:
        self.grid = links.grid
        self.local = local
        self.bytes = operator.output_bytes
        self.reduces = operator.kind == "all_reduce"
        self.network = LinkNetwork(env, links)
        self.carried: list[Carried] = []
        self.algorithm = algorithm
        super().__init__(env, "ranks")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Carry out the algorithm."""
        yield self.env.timeout(self.local.launch_fs)
        yield from self._carry(neighbours_plan(self.grid, FLAG_BYTES))
        yield from getattr(self, f"_{self.algorithm}")()
        yield self.env.timeout(self.local.drain_fs)

    def _axes(self) -> Generator[simpy.Event, Any, None]:
        """Reduce-scatter along the longest axis, then the next; gather back."""
        yield from self._routes(stages_along(self.grid, self.grid.active))

    def _split(self) -> Generator[simpy.Event, Any, None]:
        """Split the data over the axes: each part begins with another one, so all links are busy."""
        axes = self.grid.active
        yield from self._routes(*(stages_along(self.grid, axes[i:] + axes[:i]) for i in range(len(axes))))

    def _cycle(self) -> Generator[simpy.Event, Any, None]:
        """Follow one ring through the whole grid."""
        chips = self.grid.cycle()
        assert chips is not None
        yield from self._routes([[Line(chips, True)]])

    def _copies(self) -> Generator[simpy.Event, Any, None]:
        """Give everything to everybody along an axis and add all copies, then along the next: for short messages."""
        for (stage,) in (stages_along(self.grid, [axis]) for axis in self.grid.active):
            yield from self._carry(copies_plan(self.grid.n_chips, stage, self.bytes))
            yield self.env.timeout(len(stage[0].chips) * self.bytes * self.local.local_fs_per_mib // MIB)

    def _push(self) -> Generator[simpy.Event, Any, None]:
        """Send everything from chip 0 to the next."""
        plan = Plan(self.grid.n_chips, (self.bytes,), range(self.grid.n_chips))
        send(plan, 0, 1, Piece(0, 1), False, ())
        yield from self._carry(plan)

    def _routes(self, *routes: Sequence[Stage]) -> Generator[simpy.Event, Any, None]:
        n_pieces = HALVES * self.grid.n_chips * len(routes)
        n_chunks = max(1, min(MOST_CHUNKS, self.bytes // (n_pieces * LEAST_PIECE_BYTES)))
        yield from self._carry(grid_plan(self.grid.n_chips, list(routes) * n_chunks, self.bytes, self.reduces))

    def _carry(self, plan: Plan) -> Generator[simpy.Event, Any, None]:
        running = Collective(self.env, "plan", self.network, plan, EndpointCosts(0, self.local.local_fs_per_mib))
        yield running.process
        lanes = self.grid.lanes
        self.carried += [
            Carried(t.source, lanes[t.source, t.destination], begin_fs, t.bytes)
            for t, begin_fs in zip(plan.transfers, running.begin_fs, strict=True)
        ]


class Torus(Fabric):
    """Links to the neighbours along every axis; a collective takes the fastest of the algorithms that it knows."""

    def __init__(self, parameters: LinkParameters, local: LocalCosts, first_component: int, n_chips: int) -> None:
        self.parameters = parameters
        self.local = local
        self.first_component = first_component
        self.grid = grid_of(parameters, n_chips)
        self.n_links_a_lane = parameters.n_links // (2 * len(self.grid.sides))
        self.bytes_per_s = int(self.n_links_a_lane * parameters.rate * parameters.protocol_efficiency)
        self.fs_per_mib = transfer_fs(MIB, self.bytes_per_s)
        self._cells: dict[Hashable, Cell] = {}

    def components(self) -> Sequence[ComponentSpec]:
        """Return a line for each direction of each axis: what a chip sends there."""
        n = self.n_links_a_lane
        clock = Clock.from_hz(self.bytes_per_s // n // FLIT_BYTES)
        return [
            ComponentSpec(f"link/{AXES[axis]}{way}", "link", clock.period_fs, "byte", FLIT_BYTES * n, count=n)
            for axis in range(len(self.grid.sides))
            for way in WAYS
        ]

    def carry_out(self, operator: Operator, group: int, record: bool = True) -> Cell:
        """Simulate a collective; see Fabric. A transfer goes to a neighbour: stages lie side by side."""
        key = (operator.kind, operator.output_bytes, group, record)
        if key not in self._cells:
            part = self._part(max(group, 2))
            self._check_time(operator, part)
            trials = [self._try(operator, part, name) for name in self._algorithms(operator, part)]
            best = min(trials, key=lambda trial: trial.end_fs)
            self._cells[key] = self._cell(operator, group, part, best, record)
        return self._cells[key]

    def _part(self, group: int) -> Grid:
        part = self.grid.part(group)
        if part is None:
            raise UnsupportedError(f"{group} chips are no box in the {self.grid.topology} of {self.parameters.name}")
        return part

    def _check_time(self, operator: Operator, part: Grid) -> None:
        if operator.output_bytes > LONGEST_FS // (4 * part.n_chips) * MIB // self.fs_per_mib:
            raise UnsupportedError(f"{operator.kind} of {operator.output_bytes} B takes longer than 2**62 fs (4,600 s)")

    def _algorithms(self, operator: Operator, part: Grid) -> list[str]:
        if operator.kind == "send_recv":
            return ["push"]
        several = len(part.active) > 1
        names = ["axes"] + ["split"] * several
        names += ["cycle"] * (several and part.n_chips <= LONGEST_CYCLE and part.cycle() is not None)
        return names + ["copies"] * (operator.kind == "all_reduce")

    def _try(self, operator: Operator, part: Grid, algorithm: str) -> Trial:
        env = simpy.Environment()
        links = GridLinks(part, self.fs_per_mib, self.parameters.hop_latency)
        ranks = GridRanks(env, links, self.local, algorithm, operator)
        env.run(until=ranks.process)
        return Trial(algorithm, int(env.now), ranks.carried)

    def _cell(self, operator: Operator, group: int, part: Grid, trial: Trial, record: bool) -> Cell:
        duration_fs = -(-trial.end_fs // self.local.period_fs) * self.local.period_fs
        n_alike = 1 if operator.kind == "send_recv" else part.n_chips  # of the two ends, one is this stage's
        log = GridLog(trial.carried, part.n_chips, n_alike, 2 * len(part.sides), self.fs_per_mib)
        return Cell(
            (operator.kind, operator.output_bytes, group, trial.algorithm),
            f"{operator.kind} {trial.algorithm} {operator.output_bytes} B on {group} ({part.topology})",
            operator.kind,
            duration_fs,
            log.activity(self.first_component, self.local.launch_fs, record),
            {"link": round(self.parameters.energy * 8)},
            {"link_bytes": sum(log.mean_bytes)},
        )

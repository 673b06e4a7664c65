"""Chips linked to each other without switches: ranks carry out an algorithm link by link; the fastest one counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import simpy

from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.fabric import FLAG_BYTES, FLIT_BYTES, LONGEST_FS, Staging
from dieshot.chips.parts.links.lane_activity import Carried, LaneActivity
from dieshot.chips.parts.links.schedule import Plan, Transfer
from dieshot.kernels.collective import LARGEST_STEP, MIB
from dieshot.simulator.engine.cell import Cell, ComponentSpec
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import Clock, transfer_fs
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters
from dieshot.traces.operator import Operator

MOST_CHUNKS = 4  # in a pipeline: one is added up while others are on the links
LEAST_PIECE_BYTES = 1 << 16
SEND_RECV = "send_recv"
SEND = "push"
COPIES = "copies"


class Wiring(Protocol):
    """Who is linked to whom. A lane is one of the ways out of a chip; chips that are alike use the same ones."""

    @property
    def n_chips(self) -> int:
        """Chips in all."""

    @property
    def topology(self) -> str:
        """In words."""

    @property
    def lane_names(self) -> Sequence[str]:
        """Names of the lanes of a chip."""

    @property
    def lanes(self) -> Mapping[tuple[int, int], int]:
        """The lane of every directed link (from, to)."""


@dataclass(frozen=True)
class LinkTimes:
    """The directed links of a wiring, all alike, as a network takes them."""

    wiring: Wiring
    fs_per_mib: int
    latency_fs: int

    def edges(self, data: bool = True) -> Iterator[tuple[int, int, dict[str, int]]]:
        """Yield from, to and times of every link."""
        for a, b in self.wiring.lanes:
            yield a, b, {"fs_per_mib": self.fs_per_mib, "latency_fs": self.latency_fs}


class DirectRanks(Component):
    """The chips of a group: launch, tell the neighbours that buffers may be written, do the algorithm, drain.

    A subclass has a method for every algorithm, named as it; `push` sends what each rank of a stage has to its peer.
    """

    def __init__(
        self,
        env: simpy.Environment,
        links: LinkTimes,
        local: LocalCosts,
        algorithm: str,
        operator: Operator,
        staging_fs: int = 0,
    ) -> None:
        self.wiring: Any = links.wiring
        self.local = local
        self.bytes = operator.output_bytes
        self.reduces = operator.kind == "all_reduce"
        self.network = LinkNetwork(env, links)
        self.carried: list[Carried] = []
        self.algorithm = algorithm
        self.staging_fs = staging_fs
        super().__init__(env, "ranks")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Carry out the algorithm."""
        yield self.env.timeout(self.local.launch_fs + self.staging_fs)
        yield from self.to_each(FLAG_BYTES, self.wiring.lanes)
        yield from getattr(self, self.algorithm)()
        yield self.env.timeout(self.local.drain_fs)

    def to_each(self, bytes_: int, links: Iterable[tuple[int, int]]) -> Generator[simpy.Event, Any, None]:
        """Send `bytes_` over each of some links at once; the block is the sender's."""
        plan = Plan(self.wiring.n_chips, (bytes_,) * self.wiring.n_chips, range(self.wiring.n_chips))
        plan.transfers += [Transfer(a, b, a, bytes_, False, True, ()) for a, b in links]
        yield from self.carry(plan)

    def n_chunks(self, n_pieces: int) -> int:
        """Return in how many parts the data follow each other when each is cut into so many pieces."""
        return max(1, min(MOST_CHUNKS, self.bytes // (n_pieces * LEAST_PIECE_BYTES)))

    def add_copies(self, n: int) -> Generator[simpy.Event, Any, None]:
        """Add up n copies of everything."""
        yield self.env.timeout(n * self.bytes * self.local.local_fs_per_mib // MIB)

    def carry(self, plan: Plan) -> Generator[simpy.Event, Any, None]:
        """Carry out a plan."""
        running = Collective(self.env, "plan", self.network, plan, EndpointCosts(0, self.local.local_fs_per_mib))
        yield running.process
        lanes = self.wiring.lanes
        self.carried += [
            Carried(t.source, lanes[t.source, t.destination], begin_fs, t.bytes)
            for t, begin_fs in zip(plan.transfers, running.begin_fs, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Way:
    """An algorithm and how its data get onto the links: at what rate, and what a library does before."""

    algorithm: str
    fs_per_mib: int
    staging_fs: int = 0
    manner: str = ""

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.algorithm} {self.manner}".strip()


@dataclass(frozen=True, slots=True)
class Trial:
    """One algorithm carried out: when it ended and what every link had to carry when."""

    algorithm: str
    end_fs: int
    carried: list[Carried]


class DirectFabric(Fabric):
    """Links from chip to chip; a collective takes the fastest of the algorithms of the wiring."""

    ranks: ClassVar[type[DirectRanks]]
    possible: ClassVar[str]  # what a stage may be

    def __init__(
        self,
        parameters: LinkParameters,
        local: LocalCosts,
        first_component: int,
        n_links_a_lane: int,
        wiring: Wiring,
        stage: int,
    ) -> None:
        self.parameters = parameters
        self.local = local
        self.first_component = first_component
        self.wiring = wiring
        self.stage = stage
        self.n_links_a_lane = n_links_a_lane
        self.bytes_per_s = int(n_links_a_lane * parameters.rate * parameters.protocol_efficiency)
        self.fs_per_mib = transfer_fs(MIB, self.bytes_per_s)
        self._cells: dict[Hashable, Cell] = {}
        if self.part(stage) is None:
            problem = f"so many chips are no part of the {wiring.topology} of {parameters.name}"
            raise InputError(problem, key="--tp", value=stage, expected=self.possible)

    @abstractmethod
    def part(self, group: int) -> Wiring | None:
        """Return the wiring of a group of the chips; None where there is none."""

    @abstractmethod
    def stage_pair(self) -> Wiring | None:
        """Return the wiring of two stages that follow each other; None where there is room for one only."""

    @abstractmethod
    def algorithms(self, reduces: bool, part: Any) -> list[str]:
        """Return the algorithms of an all-reduce (`reduces`) or an all-gather in a group that are worth a trial."""

    def components(self) -> Sequence[ComponentSpec]:
        """Return a line for each lane: what a chip sends there."""
        n = self.n_links_a_lane
        clock = Clock.from_hz(max(1, self.bytes_per_s // n // FLIT_BYTES))
        return [
            ComponentSpec(f"link/{name}", "link", clock.period_fs, "byte", FLIT_BYTES * n, count=n)
            for name in self.wiring.lane_names
        ]

    def carry_out(self, operator: Operator, group: int, record: bool = True) -> Cell:
        """Simulate a collective, or what every rank of a stage sends to its peer; see Fabric."""
        key = (operator.kind, operator.output_bytes, group, record)
        if key not in self._cells:
            sends = operator.kind == SEND_RECV
            part = self.stage_pair() if sends else self.part(group)
            if part is None or part.n_chips < 2:
                where = f"the {self.wiring.topology} of {self.parameters.name}"
                what = "two stages" if sends else f"{group} chips"
                raise UnsupportedError(f"{what} are no part of {where}")
            if operator.output_bytes > LONGEST_FS // (4 * part.n_chips) * MIB // self.fs_per_mib:
                long = f"{operator.kind} of {operator.output_bytes} B"
                raise UnsupportedError(f"{long} takes longer than 2**62 fs (4,600 s)")
            ways = self.ways([SEND] if sends else self.algorithms(operator.kind == "all_reduce", part), operator, part)
            best = min((self.try_out(operator, part, way) for way in ways), key=lambda trial: trial.end_fs)
            self._cells[key] = self._cell(operator, group, part, best, record)
        return self._cells[key]

    def ways(self, algorithms: Sequence[str], operator: Operator, part: Wiring) -> list[Way]:
        """Return the ways to carry out the algorithms; a library that adds up in steps reads from peers, or stages.

        Reads are bounded by what may be under way over the round trip; buffers are set up and filled once. Copies are
        written at once.
        """
        p = self.parameters
        plain = [Way(name, self.fs_per_mib) for name in algorithms]
        if operator.kind != "all_reduce" or (p.read_window is None and p.staging_setup is None):
            return plain
        n_ways = len(part.lanes) // part.n_chips
        reads_fs_per_mib = 2 * p.hop_latency * n_ways * MIB // p.read_window if p.read_window else 0
        staging = Staging(p.staging_setup or 0, p.staging_buffer or 0)
        staging_fs = staging.fill_fs(operator.output_bytes, self.fs_per_mib // n_ways)
        ways = [way for way in plain if way.algorithm == COPIES]
        for way in plain:
            if way.algorithm != COPIES:
                ways.append(replace(way, staging_fs=staging_fs, manner="staged"))
                if reads_fs_per_mib <= LARGEST_STEP:  # slower ones are no way to go
                    fs_per_mib = max(self.fs_per_mib, reads_fs_per_mib)
                    ways.append(replace(way, fs_per_mib=fs_per_mib, manner="reading"))
        return ways

    def try_out(self, operator: Operator, part: Wiring, way: Way) -> Trial:
        """Carry out one algorithm."""
        env = simpy.Environment()
        links = LinkTimes(part, way.fs_per_mib, self.parameters.hop_latency)
        ranks = self.ranks(env, links, self.local, way.algorithm, operator, way.staging_fs)
        env.run(until=ranks.process)
        return Trial(way.name, int(env.now), ranks.carried)

    def _cell(self, operator: Operator, group: int, part: Wiring, trial: Trial, record: bool) -> Cell:
        duration_fs = -(-trial.end_fs // self.local.period_fs) * self.local.period_fs
        n_alike = part.n_chips // 2 if operator.kind == SEND_RECV else part.n_chips  # of two stages, one sends
        log = LaneActivity(trial.carried, part.n_chips, n_alike, len(self.wiring.lane_names), self.fs_per_mib)
        return Cell(
            (operator.kind, operator.output_bytes, group, trial.algorithm),
            f"{operator.kind} {trial.algorithm} {operator.output_bytes} B on {group} ({part.topology})",
            operator.kind,
            duration_fs,
            log.activity(self.first_component, self.local.launch_fs, record),
            {"link": round(self.parameters.energy * 8)},
            {"link_bytes": sum(log.mean_bytes)},
        )

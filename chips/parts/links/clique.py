"""Chips each linked to every other, as on one board: whatever is for a chip goes there directly."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import simpy

from dieshot.chips.parts.links.direct_fabric import DirectFabric, DirectRanks
from dieshot.chips.parts.links.schedule import schedule
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters


@dataclass(frozen=True)
class Clique:
    """Chips all linked to each other; lanes by how much further on the other chip is, `n_lanes` of them a chip."""

    n_chips: int
    n_lanes: int

    @property
    def topology(self) -> str:
        """In words."""
        return f"{self.n_chips} all to all"

    @property
    def lane_names(self) -> tuple[str, ...]:
        """One for each peer."""
        return tuple(f"peer{i + 1}" for i in range(self.n_lanes))

    @cached_property
    def lanes(self) -> dict[tuple[int, int], int]:
        """The lane of every directed link (from, to)."""
        n = self.n_chips
        return {(a, b): (b - a) % n - 1 for a in range(n) for b in range(n) if a != b}


class CliqueRanks(DirectRanks):
    """The chips of a clique and the algorithms that need no forwarding."""

    def direct(self) -> Generator[simpy.Event, Any, None]:
        """Send everybody its share to add up, and the sums to everybody."""
        if self.bytes:
            n = self.wiring.n_chips
            kind = "all-reduce" if self.reduces else "all-gather"
            yield from self.carry(schedule(kind, "direct", n, self.bytes, self.n_chunks(n)))

    def push(self) -> Generator[simpy.Event, Any, None]:
        """Send everything from every chip of the first half to its peer in the second."""
        half = self.wiring.n_chips // 2
        yield from self.to_each(self.bytes, [(chip, chip + half) for chip in range(half)])

    def copies(self) -> Generator[simpy.Event, Any, None]:
        """Give everything to everybody and add all copies: for short messages."""
        yield from self.to_each(self.bytes, self.wiring.lanes)
        yield from self.add_copies(self.wiring.n_chips)


class FullyLinked(DirectFabric):
    """Links from every chip to every other, laid for as many as they can join or for those that there are."""

    ranks = CliqueRanks
    possible = "at most all of them"

    def __init__(
        self, parameters: LinkParameters, local: LocalCosts, first_component: int, n_chips: int, stage: int = 1
    ) -> None:
        free = parameters.wiring == "free"
        n_lanes = (max(2, n_chips) if free else parameters.max_chips) - 1
        problem = f"the links {parameters.name} cannot be joined so"
        if n_chips > parameters.max_chips:
            expected = f"at most {parameters.max_chips} chips"
            raise InputError(problem, key="n_chips", value=n_chips, expected=expected)
        if n_lanes < 1 or parameters.n_links < n_lanes or (parameters.n_links % n_lanes and not free):
            expected = f"{'at least' if free else 'a multiple of'} {n_lanes}, the peers of a chip"
            raise InputError(problem, key="n_links", value=parameters.n_links, expected=expected)
        self.n_chips = n_chips
        self.n_lanes = n_lanes
        wiring = Clique(n_chips, n_lanes)
        super().__init__(parameters, local, first_component, parameters.n_links // n_lanes, wiring, stage)

    def part(self, group: int) -> Clique | None:
        """Return so many of the chips."""
        return Clique(group, self.n_lanes) if group <= self.n_chips else None

    def stage_pair(self) -> Clique | None:
        """Return two stages."""
        return self.part(2 * self.stage)

    def algorithms(self, reduces: bool, part: Any) -> list[str]:
        """Return the algorithms for a clique; see CliqueRanks."""
        return ["direct"] + ["copies"] * reduces

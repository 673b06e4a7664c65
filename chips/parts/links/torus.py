"""Chips linked to their neighbours in a ring, mesh or torus: collectives by axis and direction."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from dieshot.chips.parts.links.direct_fabric import DirectFabric, DirectRanks
from dieshot.chips.parts.links.grid import Grid, grid_of
from dieshot.chips.parts.links.grid_schedule import (
    HALVES,
    Line,
    Piece,
    Stage,
    copies_plan,
    grid_plan,
    send,
    stages_along,
)
from dieshot.chips.parts.links.schedule import Plan
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.params import LinkParameters

LONGEST_CYCLE = 64  # transfers grow with the square of a ring, and axes are no slower in so large a grid


@dataclass(frozen=True)
class StagePair(Grid):
    """Two boxes of chips side by side along an axis."""

    axis: int


class GridRanks(DirectRanks):
    """The chips of a grid and the algorithms that follow its axes."""

    def axes(self) -> Generator[simpy.Event, Any, None]:
        """Reduce-scatter along the longest axis, then the next; gather back."""
        yield from self._follow(stages_along(self.wiring, self.wiring.active))

    def split(self) -> Generator[simpy.Event, Any, None]:
        """Split the data over the axes: each part begins with another one, so all links are busy."""
        axes = self.wiring.active
        yield from self._follow(*(stages_along(self.wiring, axes[i:] + axes[:i]) for i in range(len(axes))))

    def cycle(self) -> Generator[simpy.Event, Any, None]:
        """Follow one ring through the whole grid."""
        yield from self._follow([[Line(self.wiring.cycle(), True)]])

    def copies(self) -> Generator[simpy.Event, Any, None]:
        """Give everything to everybody along an axis and add all copies, then along the next: for short messages."""
        for (stage,) in (stages_along(self.wiring, [axis]) for axis in self.wiring.active):
            yield from self.carry(copies_plan(self.wiring.n_chips, stage, self.bytes))
            yield from self.add_copies(len(stage[0].chips))

    def push(self) -> Generator[simpy.Event, Any, None]:
        """Send everything from every chip of a stage, neighbour by neighbour, to its peer in the next."""
        pair = self.wiring
        distance = pair.sides[pair.axis] // 2
        n_chunks = self.n_chunks(1) if distance > 1 else 1
        sizes = [self.bytes * (i + 1) // n_chunks - self.bytes * i // n_chunks for i in range(n_chunks)]
        plan = Plan(pair.n_chips, tuple(sizes), range(pair.n_chips))
        for chunk in range(n_chunks):
            for line in pair.lines(pair.axis):
                for place in range(distance):
                    came: tuple[int, ...] = ()
                    for hop in range(place, place + distance):
                        came = send(plan, line[hop], line[hop + 1], Piece(chunk, 1), False, came)
        yield from self.carry(plan)

    def _follow(self, *routes: Sequence[Stage]) -> Generator[simpy.Event, Any, None]:
        n = self.wiring.n_chips
        n_chunks = self.n_chunks(HALVES * n * len(routes))
        yield from self.carry(grid_plan(n, list(routes) * n_chunks, self.bytes, self.reduces))


class Torus(DirectFabric):
    """Links to the neighbours along every axis, both ways."""

    ranks = GridRanks
    possible = "as many as a box of it has"

    def __init__(
        self, parameters: LinkParameters, local: LocalCosts, first_component: int, n_chips: int, stage: int = 1
    ) -> None:
        self.grid = grid_of(parameters, n_chips)
        n_links_a_lane = parameters.n_links // len(self.grid.lane_names)
        super().__init__(parameters, local, first_component, n_links_a_lane, self.grid, stage)

    def part(self, group: int) -> Grid | None:
        """Return the most compact box of so many chips."""
        return self.grid.part(group)

    def stage_pair(self) -> StagePair | None:
        """Return two boxes side by side along the axis that has most of them."""
        part = self.grid.part(self.stage)
        if part is None:
            return None
        boxes = [whole // own for whole, own in zip(self.grid.sides, part.sides, strict=True)]
        axis = max(range(len(boxes)), key=lambda i: (boxes[i], -part.sides[i], i))
        if boxes[axis] < 2:
            return None
        sides = tuple(2 * side if i == axis else side for i, side in enumerate(part.sides))
        return StagePair(sides, (False,) * len(sides), axis)

    def algorithms(self, reduces: bool, part: Any) -> list[str]:
        """Return the algorithms for a box; see GridRanks."""
        several = len(part.active) > 1
        names = ["axes"] + ["split"] * several
        names += ["cycle"] * (several and part.n_chips <= LONGEST_CYCLE and part.cycle() is not None)
        return names + ["copies"] * reduces

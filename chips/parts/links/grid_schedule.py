"""Schedules of collectives in a grid: along lines of chips, both ways at once, one axis after the other.

A piece for (or of) the chip at some place of a line travels over the links of that line from (or to) both sides. In a
closed line the two ways meet half way round; where their lengths differ by one, the farthest chip sends half the piece
each way, so both directions carry the same. That takes half as many steps as a ring in one direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dieshot.chips.parts.links.grid import Grid
from dieshot.chips.parts.links.schedule import Plan, Transfer

HALVES = 2

Ready = dict[int, tuple[int, ...]]  # by chip: the transfers after which it has what it shall send


@dataclass(frozen=True, slots=True)
class Line:
    """Chips each joined to the next, and where `closed` the last to the first."""

    chips: tuple[int, ...]
    closed: bool


Stage = Sequence[Line]  # lines that share no chip


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive blocks of the data."""

    first: int
    n_blocks: int

    def cut(self, index: int, n_pieces: int) -> Piece:
        """Return one of equal pieces."""
        n_blocks = self.n_blocks // n_pieces
        return Piece(self.first + index * n_blocks, n_blocks)


@dataclass(frozen=True, slots=True)
class Hop:
    """A link on one of the two ways by which the piece of the chip at `place` spreads; `half`: of the piece only."""

    place: int
    upwards: bool
    near: int
    far: int
    half: int | None


@dataclass(frozen=True, slots=True)
class PieceTransfer(Transfer):
    """A transfer of `n_blocks` consecutive blocks from `block` on."""

    n_blocks: int


def hops(line: Line) -> Iterator[list[Hop]]:
    """Yield, by distance from where they start, the hops on which the pieces of all chips spread."""
    chips, n = line.chips, len(line.chips)
    for distance in range(1, n // 2 + 1 if line.closed else n):
        half_way = line.closed and 2 * distance == n
        found = []
        for upwards in (True, False):
            way = 1 if upwards else -1
            for place in range(n):
                near, far = place + way * (distance - 1), place + way * distance
                if line.closed or 0 <= far < n:
                    half = int(upwards) if half_way else None
                    found.append(Hop(place, upwards, chips[near % n], chips[far % n], half))
        yield found


def send(
    plan: Plan, source: int, destination: int, piece: Piece, reduces: bool, after: tuple[int, ...]
) -> tuple[int, ...]:
    """Send a piece after some transfers; return after which it is there (nothing is sent of an empty one)."""
    bytes_ = sum(plan.block_bytes[piece.first : piece.first + piece.n_blocks])
    if not bytes_:
        return after
    plan.transfers.append(
        PieceTransfer(source, destination, piece.first, bytes_, reduces, False, after, piece.n_blocks)
    )
    return (len(plan.transfers) - 1,)


def reduce_scatter(plan: Plan, line: Line, pieces: Sequence[Piece], ready: Ready) -> None:
    """Add up the pieces along a line towards the chip of each, from the farthest chips on."""
    came: dict[tuple[int, bool], tuple[int, ...]] = {}
    for step in reversed(list(hops(line))):
        for hop in step:
            key = hop.place, hop.upwards
            piece = pieces[hop.place]
            if hop.half is not None:
                piece = piece.cut(hop.half, HALVES)
            after = came[key] + ready[hop.far] if key in came else ready[hop.far]
            came[key] = send(plan, hop.far, hop.near, piece, True, after)
    for place, chip in enumerate(line.chips):
        ready[chip] = ready[chip] + came.get((place, True), ()) + came.get((place, False), ())


def all_gather(plan: Plan, line: Line, pieces: Sequence[Piece], ready: Ready) -> None:
    """Spread the piece of every chip along its line, to the nearest chips first."""
    came: dict[tuple[int, bool], tuple[int, ...]] = {}
    received: dict[int, tuple[int, ...]] = dict.fromkeys(line.chips, ())
    for step in hops(line):
        for hop in step:
            key = hop.place, hop.upwards
            piece = pieces[hop.place]
            if hop.half is not None:
                piece = piece.cut(hop.half, HALVES)
            came[key] = send(plan, hop.near, hop.far, piece, False, came[key] if key in came else ready[hop.near])
            received[hop.far] += came[key]
    for chip in line.chips:
        ready[chip] = ready[chip] + received[chip]


def grid_plan(n_chips: int, routes: Sequence[Sequence[Stage]], bytes_: int, reduces: bool) -> Plan:
    """Return an all-reduce (`reduces`) or an all-gather of `bytes_`, its data split evenly over the routes.

    A route is the stages to add up in, each followed by the next; they are gathered in backwards.
    """
    per_route = HALVES * n_chips
    n_blocks = per_route * len(routes)
    sizes = (bytes_ * (i + 1) // n_blocks - bytes_ * i // n_blocks for i in range(n_blocks))
    plan = Plan(n_chips, tuple(sizes), range(n_chips))
    shares = [_Share(plan, Piece(per_route * i, per_route), stages) for i, stages in enumerate(routes)]
    n_stages = max(map(len, routes))
    for index in range(n_stages) if reduces else ():
        for share in shares:
            share.add_up(index)
    for index in reversed(range(n_stages)):
        for share in shares:
            share.gather(index)
    return plan


class _Share:
    """The part of the data that takes one route, and after what each chip has which piece of it."""

    def __init__(self, plan: Plan, whole: Piece, stages: Sequence[Stage]) -> None:
        self._plan = plan
        self._stages = stages
        self._ready: Ready = dict.fromkeys(range(plan.n_ranks), ())
        self._pieces: list[list[list[Piece]]] = []  # by stage, line, place
        held = dict.fromkeys(range(plan.n_ranks), whole)
        for stage in stages:
            cut = [[held[line.chips[0]].cut(i, len(line.chips)) for i in range(len(line.chips))] for line in stage]
            self._pieces.append(cut)
            for line, pieces in zip(stage, cut, strict=True):
                held.update(zip(line.chips, pieces, strict=True))

    def add_up(self, index: int) -> None:
        for line, pieces in zip(self._stages[index], self._pieces[index], strict=True):
            reduce_scatter(self._plan, line, pieces, self._ready)

    def gather(self, index: int) -> None:
        for line, pieces in zip(self._stages[index], self._pieces[index], strict=True):
            all_gather(self._plan, line, pieces, self._ready)


def copies_plan(n_chips: int, stage: Stage, bytes_: int) -> Plan:
    """Return the plan by which every chip gets all of what each other chip of its line has; blocks by chip."""
    halves = (bytes_ // HALVES, bytes_ - bytes_ // HALVES)
    plan = Plan(n_chips, halves * n_chips, range(n_chips))
    for line in stage:
        pieces = [Piece(HALVES * chip, HALVES) for chip in line.chips]
        all_gather(plan, line, pieces, dict.fromkeys(line.chips, ()))
    return plan


def stages_along(grid: Grid, axes: Sequence[int]) -> list[Stage]:
    """Return the lines along each of some axes."""
    return [[Line(chips, grid.closed[axis]) for chips in grid.lines(axis)] for axis in axes]

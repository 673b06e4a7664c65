"""A stretch of operators as a pipeline of stages in space: what each takes in, works on and hands on."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.traces.operator import Operator

NO_STAGE = -1


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage does for one token tile, wherever it lies.

    rows, k, n: of a matrix product, rows of every group (experts have rows of their own). macs: useful, of the whole
    stretch; ops, tail_ops: of the SIMD pipelines and their tails, for one token tile. read, written: bytes of
    activations in memory units, for one token tile.
    """

    rows: tuple[int, ...]
    k: int
    n: int
    dtype: str
    macs: int
    spare_macs: int
    ops: float
    tail_ops: float
    read: int
    written: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One operator of a stretch.

    strips: first and number of the columns of tiles that it has; none of a collective. tiles: bytes from HBM that it
    waits for one after the other, the first `n_kept` kept to the last token tile; at_token_tile: when each is wanted.
    gate: stage that must have chosen before any of them can be asked for. cycles: of a token tile; fill: from the last
    of them to the last result. route: cycles from the stage before. deliver: share of its stream that the busiest link
    carries; deliver_hops, hops: mean links that a byte of its stream, or of its input, passes. store: bytes to HBM.
    collective: links between sockets do it.
    """

    operator: Operator
    work: Work
    strips: tuple[int, int]
    tiles: tuple[int, ...]
    at_token_tile: tuple[int, ...]
    n_kept: int
    gate: int
    cycles: int
    fill: int
    route: int
    deliver: float
    deliver_hops: float
    hops: float
    store: int
    collective: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch on a chip: stages in order, token tiles that follow each other through them.

    follow_bytes: of the stream of whatever comes next, what may be fetched ahead of it. kept_together: whether the
    weights of all stages have room at once.
    """

    stages: tuple[Stage, ...]
    token_tiles: int
    follow_bytes: int
    kept_together: bool

    @property
    def stream_bytes(self) -> int:
        """All that comes from HBM."""
        return sum(sum(stage.tiles) for stage in self.stages)

    @property
    def order(self) -> list[tuple[int, int]]:
        """Stage and number of its tile, of all tiles as they come: as token tiles want them, stage by stage; all of one
        stage together where the next one's weights might have no room beside."""
        tiles = [(i, tile) for i, stage in enumerate(self.stages) for tile in range(len(stage.tiles))]
        if self.kept_together:
            tiles.sort(key=lambda each: self.stages[each[0]].at_token_tile[each[1]])
        return tiles

    @property
    def prefix_bytes(self) -> int:
        """What can be asked for before the stretch begins: all up to the first choice."""
        total = 0
        for i, tile in self.order:
            if self.stages[i].gate != NO_STAGE:
                break
            total += self.stages[i].tiles[tile]
        return total

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
    gate: stage that must be over before any of them can be asked for. cycles: of a token tile; fill: from the last of
    them to the last result. route: cycles from the stage before. deliver: share of its stream that the busiest link
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

    follow_bytes: of the stream of whatever comes next, what may be fetched ahead of it.
    """

    stages: tuple[Stage, ...]
    token_tiles: int
    follow_bytes: int

    @property
    def stream_bytes(self) -> int:
        """All that comes from HBM."""
        return sum(sum(stage.tiles) for stage in self.stages)

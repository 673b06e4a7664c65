"""What the parts of a dataflow chip need to know, and the times at which things happen in a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.mapping.dataflow.stage import NO_STAGE, Region
from dieshot.chips.parts.memory.hbm import HbmDesign
from dieshot.simulator.engine.cell import Cell
from dieshot.traces.operator import Operator

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DataflowTiming:
    """Plain integers. room_bytes: of the memory units, for streams. transfer_bytes, under_way: of the AGCUs. credit_fs:
    from an emptied buffer to the next transfer. width: bytes a cycle of a mesh link. start_fs: before the first
    work of a forward pass. collective: the cell of what links between sockets do."""

    period_fs: int
    hbm: HbmDesign
    room_bytes: int
    transfer_bytes: int
    under_way: int
    credit_fs: int
    width: int
    start_fs: int
    collective: Callable[[Operator], Cell]

    @property
    def quantum_fs(self) -> int:
        """The longest window in which a transfer cannot have been answered."""
        return self.hbm.least_latency_fs


@dataclass(frozen=True, slots=True)
class Handover:
    """What one region leaves to the next.

    ahead: transfers of the next stream already asked for; flying: those of them that are not there yet; late_fs: until
    the last of these is there. begun: whether a forward pass is under way; loaded: whether
    the model lies in HBM.
    """

    ahead: int = 0
    flying: int = 0
    late_fs: int = 0
    begun: bool = False
    loaded: bool = True

    def arrivals(self) -> list[int]:
        """Return when each transfer asked for is there (fs): those that fly come evenly."""
        landed = self.ahead - self.flying
        return [0] * landed + [self.late_fs * (i + 1) // self.flying for i in range(self.flying)]


class Stream:
    """The bytes that a region wants from HBM, in order, cut into transfers: what each belongs to.

    sizes: of transfers, those fetched ahead for the next region last; n_own: without these. place: of a stage's tile in
    the stream. first_tile, last_tile: of a transfer, by place. gate: stage that must have chosen before.
    """

    def __init__(self, region: Region, transfer_bytes: int) -> None:
        order = region.order
        tiles = [region.stages[i].tiles[tile] for i, tile in order]
        self.tile_stage = [i for i, _ in order]
        self.place = {tile: position for position, tile in enumerate(order)}
        ends = np.cumsum(tiles, dtype=np.int64)
        total = int(ends[-1]) if len(tiles) else 0
        starts = np.concatenate(([0], ends[:-1])) if len(tiles) else np.zeros(0, np.int64)
        gates = [region.stages[stage].gate for stage in self.tile_stage]
        bounds = [0] + [
            int(starts[i]) for i in range(1, len(tiles)) if gates[i] != NO_STAGE and gates[i] != gates[i - 1]
        ] + [total]  # fmt: skip
        sizes: list[int] = []
        for begin, end in pairwise(bounds):
            whole, rest = divmod(end - begin, transfer_bytes)
            sizes += [transfer_bytes] * whole + [rest] * (rest > 0)
        self.n_own = len(sizes)
        own_ends = np.cumsum(sizes, dtype=np.int64)
        begins = own_ends - np.array(sizes, np.int64)
        self.first_tile = np.searchsorted(ends, begins, side="right").tolist()
        self.last_tile = np.searchsorted(ends, own_ends, side="left").tolist()
        self.gate = [gates[tile] for tile in self.first_tile]
        self.missing = np.zeros(len(tiles), np.int64)
        for first, last in zip(self.first_tile, self.last_tile, strict=True):
            self.missing[first : last + 1] += 1
        self.sizes = sizes + [transfer_bytes] * (region.follow_bytes // transfer_bytes)


class Board:
    """Events of a region: tiles in memory units, stages through with a token tile, and when (fs)."""

    def __init__(self, env: simpy.Environment, region: Region, stream: Stream) -> None:
        self.env = env
        self.loaded = [env.event() for _ in stream.tile_stage]
        self.done = [[env.event() for _ in range(region.token_tiles)] for _ in region.stages]
        self.done_fs = [[0] * region.token_tiles for _ in region.stages]

    def succeed_at(self, event: simpy.Event, time_fs: int) -> None:
        """Let an event happen at a time that is not past."""
        event._ok = True
        event._value = None
        self.env.schedule(event, delay=max(0, time_fs - int(self.env.now)))

    def has_chosen(self, stage: int) -> bool:
        """Whether a stage is through with the first token tile; a later one's choices find what this one's miss."""
        return bool(self.done[stage][0].processed)

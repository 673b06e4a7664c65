"""The tiles of one stage of a pipeline, and links between sockets where a stage is a collective: driven by tokens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from dieshot.chips.mapping.dataflow.stage import Stage
from dieshot.chips.parts.dataflow.agcu import AddressUnits
from dieshot.chips.parts.dataflow.buffers import StreamBuffers
from dieshot.chips.parts.dataflow.timing import Board, Stream
from dieshot.simulator.engine.component import Component

Interval = tuple[int, int]


class StageUnit(Component):
    """Works on one token tile after the other, when its input and the next tile of its stream are there.

    busy: intervals (fs) of work; starved: those in which the input was there and the stream was not.
    """

    def __init__(
        self,
        env: simpy.Environment,
        index: int,
        stage: Stage,
        stream: Stream,
        begin_fs: int,
        period_fs: int,
        board: Board,
        buffers: StreamBuffers,
        agcu: AddressUnits,
    ) -> None:
        self.index = index
        self.stage = stage
        self.stream = stream
        self.begin_fs = begin_fs
        self.period_fs = period_fs
        self.board = board
        self.buffers = buffers
        self.agcu = agcu
        self.busy: list[Interval] = []
        self.starved: list[Interval] = []
        super().__init__(env, f"stage{index}")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Follow the token tiles."""
        n = len(self.board.done[self.index])
        fill_fs = self.stage.fill * self.period_fs
        for j in range(n):
            yield from self._input(j)
            tiles = [i for i, at in enumerate(self.stage.at_token_tile) if at == j]
            yield from self._work(tiles, 0 if tiles else 1, j == n - 1)
            self.board.done_fs[self.index][j] = int(self.env.now) + fill_fs
            self.board.succeed_at(self.board.done[self.index][j], int(self.env.now) + fill_fs)
            self.agcu.store(share(self.stage.store, j, n))

    def _input(self, j: int) -> Generator[simpy.Event, Any, None]:
        route_fs = self.stage.route * self.period_fs
        if self.index == 0:
            ready_fs = self.begin_fs + route_fs
        else:
            before = self.board.done[self.index - 1][j]
            if not before.processed:
                yield before
            ready_fs = self.board.done_fs[self.index - 1][j] + route_fs
        if ready_fs > self.env.now:
            yield self.env.timeout(ready_fs - int(self.env.now))

    def _work(self, tiles: list[int], whole: int, is_last: bool) -> Generator[simpy.Event, Any, None]:
        """Work through a token tile, or through the tiles of the stream that come with it."""
        cycles, sizes = self.stage.cycles, self.stage.tiles
        if whole:
            yield from self._compute(cycles)
        total, so_far = sum(sizes[i] for i in tiles), 0
        for i in tiles:
            loaded = self.board.loaded[self.stream.place[self.index, i]]
            if not loaded.processed:
                begin = int(self.env.now)
                yield loaded
                self.starved.append((begin, int(self.env.now)))
            before, so_far = so_far, so_far + sizes[i]
            yield from self._compute(cycles * so_far // total - cycles * before // total)
            if is_last or i >= self.stage.n_kept:
                self.buffers.credits.send(sizes[i])
        kept = sum(size for i, size in enumerate(sizes[: self.stage.n_kept]) if i not in set(tiles))
        if is_last and kept:
            self.buffers.credits.send(kept)

    def _compute(self, cycles: int) -> Generator[simpy.Event, Any, None]:
        start = int(self.env.now)
        if cycles:
            yield self.env.timeout(cycles * self.period_fs)
            if self.busy and self.busy[-1][1] == start:
                self.busy[-1] = (self.busy[-1][0], int(self.env.now))
            else:
                self.busy.append((start, int(self.env.now)))


class PeerUnit(Component):
    """A collective as a stage: what one token tile brings goes over the links while the next is worked on."""

    def __init__(
        self,
        env: simpy.Environment,
        index: int,
        begin_fs: int,
        board: Board,
        links: simpy.Resource,
        duration_fs: int,
        store: Callable[[int], None],
    ) -> None:
        self.store = store
        self.index = index
        self.begin_fs = begin_fs
        self.board = board
        self.links = links
        self.duration_fs = duration_fs
        self.starts: list[int] = []
        super().__init__(env, f"peer{index}")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Follow the token tiles; the links carry one collective at a time, first come first served."""
        if self.index == 0 and self.begin_fs:
            yield self.env.timeout(self.begin_fs)
        for j, done in enumerate(self.board.done[self.index]):
            if self.index:
                before = self.board.done[self.index - 1][j]
                if not before.processed:
                    yield before
            with self.links.request() as turn:
                yield turn
                self.starts.append(int(self.env.now))
                yield self.env.timeout(self.duration_fs)
            self.board.done_fs[self.index][j] = int(self.env.now)
            done.succeed()
            self.store(j)


def share(total: int, j: int, n: int) -> int:
    """Return the part of a total that falls to one of n token tiles."""
    return total * (j + 1) // n - total * j // n

"""The in-memory cores of a card: tiles are selected out of SRAM while others multiply, vector by vector, bit by bit."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import Rows
from dieshot.chips.parts.dimc.line_log import LineLog
from dieshot.chips.parts.dimc.program import DimcTiming, Tiles
from dieshot.chips.parts.dimc.segments import Segments
from dieshot.kernels import dimc
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

ROWS_A_TILE, ROWS_A_VECTOR = 4, 2  # of the log: selection, multiplication and what is waited for in between


@dataclass(frozen=True, slots=True)
class Multiplication:
    """A group of tiles for the arrays. tiles: of every chiplet. vector_cycles: of a vector. segments: of SRAM that the
    tiles come in, where they lie in DRAM. ready: cycle from which tiles may be selected. arrivals (chiplets, items).
    waits (n, 2: until, state): what the arrays wait for before the vectors come."""

    tiles: Sequence[Tiles]
    vector_cycles: int
    segments: range
    ready: int
    arrivals: Rows
    waits: Rows


class Arrays(Component):
    """All cores: those of a chiplet act alike. Segments of weights that lie in DRAM are multiplied as they come."""

    def __init__(self, env: simpy.Environment, timing: DimcTiming, segments: Segments | None, log: LineLog) -> None:
        self.timing = timing
        self.segments = segments
        self.log = log
        self.requests = Port(env, 0)
        self.answers = Port(env, 0)
        self.state = np.zeros((timing.n_chiplets, dimc.N_ARRAY), np.int64)
        super().__init__(env, "arrays")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Work off steps in the order of the program."""
        while True:
            work = yield self.requests.receive()
            if self.segments is None or not work.segments:
                self.answers.send(self._pass(work, work.tiles, work.ready))
                continue
            done = work.arrivals
            for index, segment in enumerate(work.segments):
                there = yield from self.segments.loaded(segment)
                part = [tiles.part(index, len(work.segments)) for tiles in work.tiles]
                done = np.maximum(done, self._pass(work, part, max(work.ready, there)))
                self.segments.release(segment, int(self.state[:, dimc.A_ENDED].max()))
            self.answers.send(done)

    def multiply(self, work: Multiplication) -> Generator[simpy.Event, Any, Rows]:
        """Send a step and wait for the cycle in which each vector is through, by chiplet."""
        self.requests.send(work)
        done: Rows = yield self.answers.receive()
        return done

    def wait_on(self, waits: Rows, end: int) -> None:
        """Log what cores wait for when all tiles are done, up to the end of the program."""
        space = self.log.space(len(self.state) * (len(waits) + 1))
        if self.log.record:
            self.log.keep(space[: dimc.wait_on(end, waits, self.log.open, space)])

    def _pass(self, work: Multiplication, tiles: Sequence[Tiles], ready: int) -> Rows:
        timing = self.timing
        table = np.array([(each.passes, each.select_bytes, each.macs) for each in tiles], np.int64)
        done = np.empty_like(work.arrivals)
        n_rows = (ROWS_A_TILE + len(work.waits)) * int(table[:, 0].max()) + ROWS_A_VECTOR * work.arrivals.shape[1]
        space = self.log.space(len(table) * n_rows)
        n_rows = dimc.pass_tiles(
            timing.select_cycles,
            work.vector_cycles,
            timing.buffers,
            ready,
            self.log.record,
            self.state,
            table,
            work.arrivals,
            work.waits,
            done,
            self.log.open,
            space,
        )
        self.log.keep(space[:n_rows])
        return done

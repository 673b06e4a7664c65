"""The address units of a chip: fetch streams in program order as far as buffers have room, and store."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from dieshot.chips.mapping.dataflow.stage import NO_STAGE, Region
from dieshot.chips.parts.dataflow.buffers import StreamBuffers
from dieshot.chips.parts.dataflow.timing import Board, DataflowTiming, Handover, Rows, Stream
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.kernels.dram_stack import READ, WRITE
from dieshot.simulator.engine.cell import BUSY, STALL_CREDIT, STALL_LAUNCH, STALL_OPERAND
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

NO_TRANSFER = -1


class AddressUnits(Component):
    """Asks for transfers in order, so many unanswered at a time; delivers what comes over the mesh, tile by tile.

    landed_fs: when each transfer was there. issued: how many have been asked for.
    """

    def __init__(
        self,
        env: simpy.Environment,
        timing: DataflowTiming,
        region: Region,
        stream: Stream,
        board: Board,
        buffers: StreamBuffers,
        before: Handover,
        ports: tuple[Port, Port],
        delivery: list[tuple[int, int]],
        log: LaneLog,
    ) -> None:
        self.timing = timing
        self.stream = stream
        self.board = board
        self.buffers = buffers
        self.requests, self.fills = ports
        self.delivery = delivery
        self.log = log
        self.before = before
        self.begin_fs = 0 if before.begun else timing.start_fs
        self.issued = before.ahead
        self.landed_fs: dict[int, int] = {}
        self._missing = stream.missing.tolist()
        self._flying: set[int] = set()
        # Of transfers that still fly, the first ones' places were taken by the last ones' when they landed.
        self._slots = sorted([0] * timing.under_way + before.arrivals())[-timing.under_way :]
        self._mesh_free = 0
        self._stores: list[int] = []
        self._closing = False
        buffers.tell(self.wake)
        for gate in {gate for gate in stream.gate if gate != NO_STAGE}:
            callbacks = board.done[gate][0].callbacks
            assert callbacks is not None
            callbacks.append(lambda _: self.wake())
        self._wake = env.event()
        super().__init__(env, "agcu")

    def store(self, n_bytes: int) -> None:
        """Take bytes to be written, if any."""
        if n_bytes:
            self._stores.append(n_bytes)
            self.wake()

    def wake(self) -> None:
        """Say that room, a choice or something to store may have come."""
        if not self._wake.triggered:
            self._wake.succeed()

    def close(self) -> None:
        """Say that the region is over: nothing more is asked for, the process ends when all is there."""
        self._closing = True
        self.wake()

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Take in what the region before asked for; then window after window ask, and take what came back."""
        for transfer, time_fs in enumerate(self.before.arrivals()):
            self._land(transfer, time_fs)
        if self.begin_fs:
            self.log.add(0, self.begin_fs, STALL_LAUNCH)
            yield self.env.timeout(self.begin_fs)
        while True:
            now = int(self.env.now)
            rows = self._issue(now)
            if len(rows) == 0 and not self._flying:
                if self._closing:
                    return
                if self._may_issue():  # as soon as the last transfer is there
                    yield self.env.timeout(self._slots[0] - now)
                    continue
                self._wake = self.env.event()
                yield self._wake
                if self.issued < self.stream.n_own:
                    reason = STALL_CREDIT if self._gate_open() else STALL_OPERAND
                    self.log.add(now, int(self.env.now), reason)
                continue
            self.requests.send((rows, now + self.timing.quantum_fs))
            for time_fs, transfer in (yield self.fills.receive()).tolist():
                self._flying.discard(transfer)
                heapq.heappush(self._slots, time_fs)
                self._land(transfer, time_fs)
            self.log.add(now, int(self.env.now), BUSY, int(rows[:, 1].sum()))

    def _gate_open(self) -> bool:
        gate = self.stream.gate[self.issued] if self.issued < self.stream.n_own else NO_STAGE
        return gate == NO_STAGE or self.board.has_chosen(gate)

    def _may_issue(self) -> bool:
        """Whether the next transfer has its room, and is known to be wanted."""
        if self._closing or self.issued == len(self.stream.sizes) or not self._gate_open():
            return False
        return self.stream.sizes[self.issued] <= self.buffers.free_bytes

    def _issue(self, now: int) -> Rows:
        """Return the requests (n, 4: time, bytes, direction, transfer) that start before the window's end."""
        until = now + self.timing.quantum_fs
        out = []
        sizes = self.stream.sizes
        while self._slots and self._slots[0] < until and self._may_issue():
            self.buffers.take(sizes[self.issued])
            start = max(now, heapq.heappop(self._slots))
            out.append((start, sizes[self.issued], READ, self.issued))
            self._flying.add(self.issued)
            self.issued += 1
        out += [(now, n_bytes, WRITE, NO_TRANSFER) for n_bytes in self._stores]
        self._stores = []
        return np.array(out, np.int64).reshape(-1, 4)

    def _land(self, transfer: int, time_fs: int) -> None:
        """Bring a transfer over the mesh to its stages' memory units; tiles are there with their last transfer."""
        self.landed_fs[transfer] = time_fs
        if transfer >= self.stream.n_own:
            return
        first, last = self.stream.first_tile[transfer], self.stream.last_tile[transfer]
        fs_per_mib, way_fs = self.delivery[self.stream.tile_stage[last]]
        self._mesh_free = max(time_fs, self._mesh_free) + (self.stream.sizes[transfer] * fs_per_mib >> 20)
        for tile in range(first, last + 1):
            self._missing[tile] -= 1
            if self._missing[tile] == 0:
                self.board.succeed_at(self.board.loaded[tile], self._mesh_free + way_fs)

"""One region on one chip: wires the parts, runs SimPy to the end of the last stage, and says what was and is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import simpy

from dieshot.chips.mapping.dataflow.machine import DataflowMachine
from dieshot.chips.mapping.dataflow.stage import Region
from dieshot.chips.parts.activity import ActivityLog
from dieshot.chips.parts.dataflow.agcu import AddressUnits
from dieshot.chips.parts.dataflow.buffers import StreamBuffers
from dieshot.chips.parts.dataflow.log import StageLog, activity_of, shares, strip_rows, union
from dieshot.chips.parts.dataflow.stage_unit import PeerUnit, StageUnit, share
from dieshot.chips.parts.dataflow.timing import Board, DataflowTiming, Handover, Rows, Stream
from dieshot.chips.parts.memory.hbm import MIB, HbmChannels
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.simulator.engine.cell import BUSY, Activity
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port
from dieshot.traces.dtype import bytes_of
from dieshot.traces.operator import Operator

GRAIN_FS = 50_000_000  # what flies at the end of a region is late by a multiple, so that layers recur
MESH, PMU, SIMD, AGCU, N_SHARED = range(5)  # lines after those of the strips


@dataclass(frozen=True, slots=True)
class RegionRun:
    """When each operator of a region was over (fs), what happened until then, and what is left to the next."""

    ends_fs: tuple[int, ...]
    activity: Activity
    counters: dict[str, int]
    left: Handover


@dataclass
class Die:
    """The parts of a chip that take part in a region. first_pin: line of the log of the first pins of the HBM."""

    machine: DataflowMachine
    timing: DataflowTiming
    first_pin: int

    def run(self, region: Region, before: Handover, record: bool) -> RegionRun:
        """Simulate a region from what the one before left."""
        timing, env = self.timing, simpy.Environment()
        stream = Stream(region, timing.transfer_bytes)
        board = Board(env, region, stream)
        agcu_log = LaneLog(self._shared(AGCU))
        buffers = StreamBuffers(env, timing, before.ahead * timing.transfer_bytes)
        there_fs = min(timing.period_fs, timing.quantum_fs // 3)
        requests, fills = Port(env, there_fs), Port(env, timing.quantum_fs - there_fs)
        hbm_log = ActivityLog(timing.hbm.n_pins, self.first_pin, True)  # what is left beyond the end is read from it
        stacks = HbmChannels(
            env, timing.hbm, np.array(stream.sizes, np.int64), requests, fills, hbm_log, self._backlog(before)
        )
        agcu = AddressUnits(
            env, timing, region, stream, board, buffers, before, (requests, fills), self._delivery(region), agcu_log
        )
        units = self._units(env, region, stream, board, buffers, agcu)
        env.run(until=board.done[-1][-1])
        end_fs = -(-int(env.now) // timing.period_fs) * timing.period_fs
        agcu.close()
        env.run(until=agcu.process)
        pins_fs = int(stacks.drain().max())
        if not region.follow_bytes:  # nothing flies then but what is stored
            end_fs = max(end_fs, -(-pins_fs // timing.period_fs) * timing.period_fs)
        left = self._left(stream, agcu, end_fs)
        hbm_log.cut(max(pins_fs, end_fs))
        pins = self._pins(hbm_log, end_fs, left)
        ends = [*(times[-1] for times in board.done_fs[:-1]), end_fs]
        activity = Activity.empty()
        if record:
            activity = Activity.joined(self._activity(region, units, before, end_fs), agcu_log.activity(end_fs), pins)
        return RegionRun(tuple(ends), activity, stacks.counters(), left)

    def _shared(self, line: int) -> int:
        return self.machine.p.mesh.columns + line

    def _begin_fs(self, before: Handover) -> int:
        return 0 if before.begun else self.timing.start_fs

    def _units(
        self,
        env: simpy.Environment,
        region: Region,
        stream: Stream,
        board: Board,
        buffers: StreamBuffers,
        agcu: AddressUnits,
    ) -> list[Component]:
        links = simpy.Resource(env)
        units: list[Component] = []
        for index, stage in enumerate(region.stages):
            if stage.collective:
                duration_fs = self.timing.collective(piece_of(stage.operator, region.token_tiles)).duration_fs
                store = partial(_store_share, agcu, stage.store, region.token_tiles)
                units.append(PeerUnit(env, index, agcu.begin_fs, board, links, duration_fs, store))
            else:
                period_fs = self.timing.period_fs
                units.append(StageUnit(env, index, stage, stream, agcu.begin_fs, period_fs, board, buffers, agcu))
        return units

    def _delivery(self, region: Region) -> list[tuple[int, int]]:
        """Return, by stage, the time of a MiB of its stream on the busiest link of the mesh, and of the way (fs)."""
        found = []
        for stage in region.stages:
            fs_per_mib = int(MIB * stage.deliver * self.timing.period_fs / self.timing.width)
            way = 0 if stage.collective else self.machine.delivery_cycles(stage.strips)
            found.append((fs_per_mib, way * self.timing.period_fs))
        return found

    def _backlog(self, before: Handover) -> Rows:
        """Return how long pins go on with what was asked for before (fs), and the bytes that they owe."""
        n, owed = self.timing.hbm.n_pins, before.flying * self.timing.transfer_bytes
        rows = np.zeros((n, 2), np.int64)
        if before.late_fs or owed:
            rows[:, 0] = max(before.late_fs - self.timing.hbm.path_fs, self.timing.hbm.tick_fs)
            rows[:, 1] = owed * (np.arange(n) + 1) // n - owed * np.arange(n) // n
        return rows

    def _left(self, stream: Stream, agcu: AddressUnits, end_fs: int) -> Handover:
        ahead = [agcu.landed_fs[k] for k in range(stream.n_own, agcu.issued)]
        late_fs = max([each - end_fs for each in ahead if each > end_fs], default=0)
        late_fs = (late_fs + GRAIN_FS // 2) // GRAIN_FS * GRAIN_FS
        return Handover(len(ahead), sum(each > end_fs for each in ahead), late_fs, True)

    def _pins(self, log: ActivityLog, end_fs: int, left: Handover) -> Activity:
        """Return what pins did until the end; bytes of what still flies count in the region where it lands."""
        activity = log.activity()
        n = self.timing.hbm.n_pins
        kept, after = activity.split(end_fs, self.first_pin, n)
        return _with_bytes(kept, int(after.sum()) - left.flying * self.timing.transfer_bytes)

    def _activity(self, region: Region, units: list[Component], before: Handover, end_fs: int) -> Activity:
        """Return the activity of strips, mesh, memory units, SIMD pipelines and links."""
        logs = [
            StageLog(unit.busy, unit.starved) if isinstance(unit, StageUnit) else StageLog((), ()) for unit in units
        ]
        carried, cells = [], []
        for stage, unit in zip(region.stages, units, strict=True):
            if isinstance(unit, PeerUnit):
                cell = self.timing.collective(piece_of(stage.operator, region.token_tiles))
                for start in unit.starts:
                    carried.append((start, start + cell.duration_fs))
                    moved = cell.activity
                    cells.append(replace(moved, start_fs=moved.start_fs + start, end_fs=moved.end_fs + start))
        rows = [strip_rows(region, logs, carried, self._begin_fs(before), end_fs)]
        for line, amounts in self._amounts(region).items():
            parts = []
            for log, amount in zip(logs, amounts, strict=True):
                busy = np.array(log.busy, np.int64).reshape(-1, 2)
                if amount and len(busy):
                    columns = [np.full(len(busy), self._shared(line)), busy, np.full(len(busy), BUSY)]
                    parts.append(np.column_stack([*columns, shares(amount, busy[:, 1] - busy[:, 0])]))
            if parts:
                rows.append(union(np.concatenate(parts)))
        return Activity.joined(activity_of(np.concatenate(rows)), *cells)

    def _amounts(self, region: Region) -> dict[int, list[int]]:
        """Return, by line and stage, byte-hops of the mesh, bytes of memory units and SIMD operations of a region."""
        mesh, sram, ops, pcu = [], [], [], self.machine.p.pcu
        for stage in region.stages:
            work, stream, n = stage.work, sum(stage.tiles), region.token_tiles
            taken = 0 if stage.collective else 1
            mesh.append(taken * int(stream * stage.deliver_hops + work.read * n * stage.hops))
            # A block's operands come from memory units once for all its products; a weight at least once.
            operands = work.macs * bytes_of(pcu.lanes + pcu.stages, work.dtype) // (pcu.lanes * pcu.stages)
            sram.append(taken * (stream + max(stream, operands) + n * (work.read + work.written)))
            ops.append(taken * int((work.ops + work.tail_ops) * n))
        return {MESH: mesh, PMU: sram, SIMD: ops}


def _store_share(agcu: AddressUnits, n_bytes: int, n_tiles: int, j: int) -> None:
    agcu.store(share(n_bytes, j, n_tiles))


def piece_of(operator: Operator, token_tiles: int) -> Operator:
    """Return what one token tile brings of a collective."""
    if token_tiles == 1:
        return operator
    dims = dict(operator.dims) | {"elements": -(-operator.dims["elements"] // token_tiles)}
    return replace(operator, dims=dims, output_bytes=-(-operator.output_bytes // token_tiles))


def _with_bytes(activity: Activity, more: int) -> Activity:
    """Return the activity with bytes added to, or taken off, its last intervals of work."""
    if more == 0:
        return activity
    amount = activity.amount.copy()
    busy = np.flatnonzero(activity.state == BUSY)
    for i in busy[np.argsort(-activity.end_fs[busy], kind="stable")].tolist():
        change = max(more, -int(amount[i]))
        amount[i] += change
        more -= change
        if more == 0:
            break
    assert more == 0
    return replace(activity, amount=amount)

"""The log of a replayed program: what every unit did, from the rows that were acted out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.static.machine import StaticMachine
from dieshot.chips.parameters.power import fj_per_cycle
from dieshot.kernels.static_program import (
    ACTIVATE,
    EMIT,
    INSTALL,
    LOAD,
    N_OPS,
    PERMUTE,
    R_A,
    R_D,
    R_N,
    R_OP,
    R_OUT_WIDTH,
    R_START,
    R_UNIT,
    R_X1,
    READ,
    RECEIVE,
    SEND,
    VECTOR,
    WRITE,
)
from dieshot.simulator.engine.cell import BUSY, Activity, ComponentSpec
from dieshot.simulator.engine.cut import cut

Rows = NDArray[np.int64]
HEMISPHERES = ("west", "east")
SUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Lines:
    """First line of the log of each kind of unit, and how many vectors' bytes or products a turn of it is."""

    machine: StaticMachine

    @property
    def first(self) -> dict[str, int]:
        """First line by kind, in the order of `components`."""
        p = self.machine.parameters
        counts = {
            "sram": 4 * p.mem.slices,
            "vector": p.vxm.alus,
            "plane": 2 * p.mxm.planes,
            "permute": 2 * p.sxm.units,
            "link": 2 * (p.c2c.local_links + p.c2c.global_links),
            "stream": 4,
        }
        out, total = {}, 0
        for kind, count in counts.items():
            out[kind] = total
            total += count
        return out

    def components(self) -> list[ComponentSpec]:
        """Return the lines of the log; the chip's static power is the first line's."""
        machine, p = self.machine, self.machine.parameters
        period, lanes = machine.period_fs, machine.lanes
        macs = max(p.mxm.mac_rate.values()) // p.mxm.planes
        links = [f"local{i}" for i in range(p.c2c.local_links)] + [f"global{i}" for i in range(p.c2c.global_links)]
        specs = [
            ComponentSpec(f"{side}/mem{x}/{port}", "sram", period, "byte", lanes)
            for side in HEMISPHERES
            for x in range(p.mem.slices)
            for port in ("read", "write")
        ]
        specs += [ComponentSpec(f"vxm/alu{i}", "vector", period, "op", lanes) for i in range(p.vxm.alus)]
        for plane in range(p.mxm.planes):
            name = f"{HEMISPHERES[plane // 2]}/mxm{plane % 2}"
            specs.append(ComponentSpec(f"{name}/install", "install", period, "byte", machine.n_streams * lanes))
            specs.append(ComponentSpec(f"{name}/array", "tensor", period, "MAC", macs))
        specs += [
            ComponentSpec(f"{side}/sxm{i}", "permute", period, "byte", 2 * lanes)
            for side in HEMISPHERES
            for i in range(p.sxm.units)
        ]
        specs += [
            ComponentSpec(f"c2c/{link}/{way}", "link", period, "byte", lanes)
            for link in links
            for way in ("send", "receive")
        ]
        most = machine.n_streams * lanes * machine.planes_at
        specs += [
            ComponentSpec(f"{side}/streams/{way}", "stream", period, "byte", most, count=machine.n_streams)
            for side in HEMISPHERES
            for way in ("inward", "outward")
        ]
        idle_fj = fj_per_cycle(p.power.idle, period)
        first = specs[0]
        specs[0] = ComponentSpec(first.path, first.kind, period, "byte", lanes, idle_fj)
        return specs


def activity_of(lines: Lines, rows: Rows, puts: Rows, hops: Rows) -> Activity:
    """Return the activity of a program's rows, all acted out; puts, hops: those of the streams and what they moved."""
    machine, first = lines.machine, lines.first
    lanes = machine.lanes
    op, n, d = rows[:, R_OP], rows[:, R_N], rows[:, R_D]
    line = np.zeros(len(rows), np.int64)
    unit = rows[:, R_UNIT]
    places = {
        READ: first["sram"] + 2 * unit,
        WRITE: first["sram"] + 2 * unit + 1,
        VECTOR: first["vector"] + unit,
        LOAD: first["plane"] + 2 * unit,
        ACTIVATE: first["plane"] + 2 * unit + 1,
        PERMUTE: first["permute"] + unit,
        SEND: first["link"] + 2 * unit,
        RECEIVE: first["link"] + 2 * unit + 1,
    }
    macs = lanes * lanes
    amounts = np.zeros((N_OPS, len(rows)), np.int64)
    for each in (READ, WRITE, VECTOR, SEND, RECEIVE):
        amounts[each] = lanes
    amounts[LOAD] = lanes * rows[:, R_A + 1]
    amounts[PERMUTE] = lanes * rows[:, R_OUT_WIDTH]
    amounts[ACTIVATE] = macs // rows[:, R_X1].clip(1)
    length = np.ones(len(rows), np.int64)
    length[op == SEND] = machine.link.interval if machine.link else 1
    pair = (op == ACTIVATE) & (d > 1)
    length[pair] = d[pair]
    for each, place in places.items():
        line[op == each] = place[op == each]
    amount = amounts[op, np.arange(len(rows))]
    kept = (op != INSTALL) & (op != EMIT)
    table = np.stack([line, rows[:, R_START], n, d, length, amount], axis=1)[kept]
    twins = _second_planes(lines, rows)
    return _activity(lines, np.concatenate([table, twins]), _streams(lines, puts, hops))


def _second_planes(lines: Lines, rows: Rows) -> Rows:
    """Return the turns of the second plane of pairs that act as one."""
    paired = (rows[:, R_OP] == ACTIVATE) & (rows[:, R_X1] > 1)
    chosen = rows[paired]
    line = lines.first["plane"] + 2 * (chosen[:, R_UNIT] + 1) + 1
    lanes = lines.machine.lanes
    amount = lanes * lanes - lanes * lanes // chosen[:, R_X1].clip(1)
    return np.stack([line, chosen[:, R_START], chosen[:, R_N], chosen[:, R_D], chosen[:, R_D], amount], axis=1)


def _streams(lines: Lines, puts: Rows, hops: Rows) -> Rows:
    """Return stretches in which vectors were put on streams of one hemisphere and way: line, start, end, byte hops."""
    machine = lines.machine
    eastward, centre = puts[:, 4] < machine.n_streams, machine.planes_at
    east = np.where(puts[:, 6] == centre, eastward, puts[:, 6] > centre)
    outward = eastward == east
    line = lines.first["stream"] + 2 * east.astype(np.int64) + outward
    end = puts[:, 0] + (puts[:, 1] - 1) * puts[:, 2] + 1
    return np.stack([line, puts[:, 0], end, hops * machine.lanes], axis=1)


def _activity(lines: Lines, turns: Rows, stretches: Rows) -> Activity:
    """Join turns without gaps between them and stretches into intervals; combs stay repetitions."""
    line, start, n, d, length, amount = turns.T
    solid = (d == length) | (n == 1)
    whole = np.stack([line, start, start + n * length, n * amount], axis=1)[solid]
    joined = _union(np.concatenate([whole, stretches]))
    comb = ~solid
    fs = lines.machine.period_fs
    columns = [
        np.concatenate([joined[:, 0], line[comb]]),
        np.concatenate([joined[:, 1], start[comb]]) * fs,
        np.concatenate([joined[:, 2], start[comb] + length[comb]]) * fs,
        np.concatenate([joined[:, 3], amount[comb]]),
        np.concatenate([np.ones(len(joined), np.int64), n[comb]]),
        np.concatenate([np.zeros(len(joined), np.int64), d[comb]]) * fs,
    ]
    order = np.lexsort((columns[1], columns[0]))
    component, begin, end, work, repeat, period = (np.ascontiguousarray(column[order]) for column in columns)
    state = np.full(len(order), BUSY, np.int8)
    return Activity(component.astype(np.int32), begin, end, state, work, repeat, period)


def _union(rows: Rows) -> Rows:
    """Join rows (line, start, end, amount) of a line that touch or overlap; amounts add up."""
    if len(rows) == 0:
        return rows
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    far = int(rows[:, 2].max()) + 1
    reach = np.maximum.accumulate(rows[:, 2] + rows[:, 0] * far)
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = rows[1:, 1] + rows[1:, 0] * far > reach[:-1]
    begins[1:] |= rows[1:, 0] != rows[:-1, 0]
    at = np.flatnonzero(begins)
    end = np.maximum.reduceat(rows[:, 2], at)
    return np.stack([rows[at, 0], rows[at, 1], end, np.add.reduceat(rows[:, 3], at)], axis=1)


def cut_program(machine: StaticMachine, activity: Activity, ends: Sequence[int]) -> list[Activity]:
    """Return each operator's share of a program's activity, by the cycles in which operators are complete."""
    repeats = activity.repeat > 1
    whole = activity.where(~repeats)
    combs = activity.where(repeats)
    ends_fs = [end * machine.period_fs for end in ends]
    shares = []
    begin_fs = 0
    singles = [whole]
    spans: list[Activity] = []
    for end_fs in ends_fs:
        inside, crossing = _repetitions(combs, begin_fs, end_fs)
        spans.append(inside)
        singles.append(crossing)
        begin_fs = end_fs
    for span, share in zip(spans, cut(Activity.joined(*singles), ends_fs), strict=True):
        shares.append(Activity.joined(share, span) if len(span) else share)
    return shares


def _repetitions(combs: Activity, begin_fs: int, end_fs: int) -> tuple[Activity, Activity]:
    """Return the repetitions within a span, times since its begin, and those that cross its end, one by one."""
    length_fs, period_fs = combs.end_fs - combs.start_fs, np.maximum(combs.period_fs, 1)
    first = np.maximum(-((combs.start_fs - begin_fs) // period_fs), 0)
    beyond = np.clip((end_fs - combs.start_fs - length_fs) // period_fs + 1, 0, combs.repeat)
    n = beyond - first
    inside = n > 0
    start_fs = combs.start_fs + first * combs.period_fs - begin_fs
    within = Activity(
        combs.component[inside],
        start_fs[inside],
        (start_fs + length_fs)[inside],
        combs.state[inside],
        combs.amount[inside],
        n[inside],
        combs.period_fs[inside],
    )
    at_fs = combs.start_fs + beyond * combs.period_fs
    crossing = (beyond < combs.repeat) & (at_fs >= begin_fs) & (at_fs < end_fs)  # begun here, not in a span before
    one = np.ones(int(crossing.sum()), np.int64)
    across = Activity(
        combs.component[crossing],
        at_fs[crossing],
        (at_fs + length_fs)[crossing],
        combs.state[crossing],
        combs.amount[crossing],
        one,
        0 * one,
    )
    return within, across

"""One program on the chip: every kind of unit acts out its rows, streams and queues look on; nothing ever waits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.mapping.static.machine import StaticMachine
from dieshot.chips.mapping.static.schedule import Program
from dieshot.chips.parts.static.log import Lines, activity_of
from dieshot.chips.parts.static.part import Rows, StaticPart
from dieshot.kernels import static_check as check
from dieshot.kernels.static_program import (
    ACTIVATE,
    EMIT,
    INSTALL,
    LOAD,
    PERMUTE,
    R_A,
    R_B,
    R_D,
    R_LATENCY,
    R_N,
    R_OP,
    R_OPERATOR,
    R_OUT,
    R_OUT2,
    R_OUT_ID,
    R_OUT_STRIDE,
    R_OUT_WIDTH,
    R_QUEUE,
    R_START,
    R_UNIT,
    R_X,
    R_X1,
    R_X2,
    READ,
    RECEIVE,
    SEND,
    VECTOR,
    WRITE,
)
from dieshot.simulator.engine.cell import Activity

LINK_SPACE = 4096  # vectors on their way over a link and in the port behind it
EMPTY = -1
LONG_AGO = -(1 << 40)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a replay shows: cycles to the end of the last unit's last instruction, what every unit did, and counters of
    each operator."""

    cycles: int
    activity: Activity
    counters: tuple[dict[str, int], ...]


def run_program(machine: StaticMachine, program: Program, record: bool = True) -> Outcome:
    """Act a program out cycle by cycle; ScheduleViolation where an operand is missing or a resource taken."""
    env = simpy.Environment()
    rows = program.rows
    streams = _streams(env, machine, rows)
    parts = [
        streams,
        _queues(env, machine, rows),
        _memory(env, machine, program),
        _planes(env, machine, rows),
        _pipelines(env, machine, rows, VECTOR, "ALU", machine.parameters.vxm.alus),
        _pipelines(env, machine, rows, PERMUTE, "permutation unit", 2 * machine.parameters.sxm.units),
        _links(env, machine, rows),
    ]
    for part in parts:
        env.run(until=part.process)
    cycles = max(part.cycles for part in parts)
    owner = rows[:, R_OPERATOR]
    counters = tuple(_counters(machine, rows[owner == i]) for i in range(len(program.ends)))
    if not record:
        return Outcome(cycles, Activity.empty(), counters)
    puts = (streams.rows[:, 3] == 1) & (streams.rows[:, 4] < 2 * machine.n_streams)
    hops = streams.advance.keywords["hops"]  # type: ignore[attr-defined]
    activity = activity_of(Lines(machine), rows, streams.rows[puts], hops[puts])
    return Outcome(cycles, activity, counters)


def _rows(rows: Rows, chosen: NDArray[np.bool_], phase: int, *columns: Rows | int) -> Rows:
    """Return the rows of a unit's own program."""
    picked = rows[chosen]
    out = np.zeros((len(picked), check.N_COLUMN), np.int64)
    out[:, 0], out[:, 1], out[:, 2], out[:, 3] = picked[:, R_START], picked[:, R_N], picked[:, R_D], phase
    for index, column in enumerate(columns):
        out[:, 4 + index] = column if isinstance(column, int) else column[chosen]
    return out


def _positions(machine: StaticMachine, rows: Rows) -> Rows:
    """Return the position of the unit of every row."""
    op, unit, centre = rows[:, R_OP], rows[:, R_UNIT], machine.planes_at
    p = machine.parameters
    east = unit >= machine.n_slices
    x = unit - np.where(east, machine.n_slices, 0) + 1
    out = np.where(east, centre + x, centre - x)
    planes = (op == LOAD) | (op == INSTALL) | (op == ACTIVATE) | (op == EMIT)
    out = np.where(planes, np.where(unit >= p.mxm.planes // 2, 2 * centre, 0), out)
    out = np.where(op == PERMUTE, np.where(unit >= p.sxm.units, centre + machine.edge, centre - machine.edge), out)
    ports = (op == SEND) | (op == RECEIVE)
    out = np.where(ports, np.where(unit % 2 == 1, centre + machine.edge, centre - machine.edge), out)
    return np.where(op == VECTOR, centre, out)


def _streams(env: simpy.Environment, machine: StaticMachine, rows: Rows) -> StaticPart:
    position = _positions(machine, rows)
    takes = [
        _rows(rows, rows[:, at] >= 0, 0, rows[:, at], rows[:, at + 1], position, rows[:, at + 2], rows[:, at + 3])
        for at in (R_A, R_B)
    ]
    result = rows[:, R_OUT_WIDTH], position, rows[:, R_OUT_ID], rows[:, R_OUT_STRIDE]
    puts = [_rows(rows, rows[:, at] >= 0, 1, rows[:, at], *result) for at in (R_OUT, R_OUT2)]
    for put, at in zip(puts, (R_OUT, R_OUT2), strict=True):
        put[:, 0] += rows[rows[:, at] >= 0, R_LATENCY]
    table = np.concatenate([*takes, *puts])
    table[:, 3] ^= table[:, 4] >= 2 * machine.n_streams
    registers = np.full((machine.n_codes, check.RING, check.N_VECTOR), EMPTY, np.int64)
    hops = np.zeros(len(table), np.int64)

    def advance(
        lo: int, hi: int, own: Rows, first: Rows, slots: Rows, which: Rows, turn: Rows, fault: Rows, hops: Rows
    ) -> int:
        return check.move(lo, hi, own, first, slots, which, turn, machine.n_streams, registers, hops, fault)

    return StaticPart(env, "stream", machine.period_fs, table, partial(advance, hops=hops), 1)


def _queues(env: simpy.Environment, machine: StaticMachine, rows: Rows) -> StaticPart:
    """Return the dispatch: an instruction a queue and cycle, of slices and links one for each direction."""
    inward = (rows[:, R_OP] == WRITE) | (rows[:, R_OP] == RECEIVE)
    table = _rows(rows, np.ones(len(rows), np.bool_), 0, 2 * rows[:, R_QUEUE] + inward)
    return _issue(env, machine, table, "instruction slot", 2 * machine.parameters.instruction_queues)


def _pipelines(
    env: simpy.Environment, machine: StaticMachine, rows: Rows, op: int, name: str, n_units: int
) -> StaticPart:
    return _issue(env, machine, _rows(rows, rows[:, R_OP] == op, 0, rows[:, R_UNIT]), name, n_units)


def _issue(env: simpy.Environment, machine: StaticMachine, table: Rows, name: str, n_units: int) -> StaticPart:
    last = np.full(n_units, LONG_AGO, np.int64)

    def advance(lo: int, hi: int, own: Rows, first: Rows, slots: Rows, which: Rows, turn: Rows, fault: Rows) -> int:
        return check.issue(lo, hi, own, first, slots, which, turn, last, fault)

    return StaticPart(env, name, machine.period_fs, table, advance, 1)


def _memory(env: simpy.Environment, machine: StaticMachine, program: Program) -> StaticPart:
    mem, rows = machine.parameters.mem, program.rows
    columns = (rows[:, R_UNIT], rows[:, R_X], rows[:, R_X1])
    reads = rows[:, R_OP] == READ
    writes = rows[:, R_OP] == WRITE
    table = np.concatenate(
        [
            _rows(rows, reads, 0, *columns, rows[:, R_OUT_ID], rows[:, R_OUT_STRIDE]),
            _rows(rows, writes, 1, *columns, rows[:, R_A + 2], rows[:, R_A + 3]),
        ]
    )
    ports = np.full((2 * mem.slices, 2), LONG_AGO, np.int64)
    banks = np.full((2 * mem.slices, mem.banks), LONG_AGO, np.int64)
    content = np.full((2 * mem.slices, mem.rows), EMPTY, np.int64)
    ready = np.zeros_like(content)
    for each in program.preloads:
        content[each.slice, each.address : each.address + each.n] = each.first_id + each.stride * np.arange(each.n)

    def advance(lo: int, hi: int, own: Rows, first: Rows, slots: Rows, which: Rows, turn: Rows, fault: Rows) -> int:
        where = (lo, hi, own, first, slots, which, turn, mem.rows, mem.banks, mem.write_latency)
        return check.access(*where, ports, banks, content, ready, fault)

    return StaticPart(env, "slice", machine.period_fs, table, advance, mem.write_latency)


def _planes(env: simpy.Environment, machine: StaticMachine, rows: Rows) -> StaticPart:
    mxm = machine.parameters.mxm
    op = rows[:, R_OP]
    chosen = (op == LOAD) | (op == INSTALL) | (op == ACTIVATE) | (op == EMIT)
    fourth = np.where(op == LOAD, rows[:, R_A + 1], rows[:, R_X1])
    table = _rows(rows, chosen, 0, op, rows[:, R_UNIT], rows[:, R_X], fourth, rows[:, R_X2])
    planes = np.zeros((mxm.planes, check.N_PLANE), np.int64)
    planes[:, [check.P_LOADING, check.P_TILE]] = EMPTY
    planes[:, [check.P_INSTALLED, check.P_ACTIVATED]] = LONG_AGO
    sums = np.zeros((mxm.planes, 2 * mxm.accumulator_rows, 2), np.int64)
    intervals = machine.activate_interval("int8"), machine.activate_interval("fp16")

    def advance(lo: int, hi: int, own: Rows, first: Rows, slots: Rows, which: Rows, turn: Rows, fault: Rows) -> int:
        return check.multiply(lo, hi, own, first, slots, which, turn, *intervals, mxm.latency, planes, sums, fault)

    return StaticPart(env, "plane", machine.period_fs, table, advance, 1)


def _links(env: simpy.Environment, machine: StaticMachine, rows: Rows) -> StaticPart:
    c2c, op = machine.parameters.c2c, rows[:, R_OP]
    n_links = c2c.local_links + c2c.global_links
    sent = op == SEND
    vector = np.where(sent, rows[:, R_X], rows[:, R_OUT_ID])
    stride = np.where(sent, rows[:, R_X1], rows[:, R_OUT_STRIDE])
    table = _rows(rows, sent | (op == RECEIVE), 0, op, rows[:, R_UNIT], vector, stride)
    timing = machine.link
    interval, flight = (timing.interval, timing.flight) if timing else (1, 0)
    free = np.full(n_links, LONG_AGO, np.int64)
    ends = np.zeros((n_links, 2), np.int64)
    arrivals = np.zeros((n_links, LINK_SPACE, 2), np.int64)

    def advance(lo: int, hi: int, own: Rows, first: Rows, slots: Rows, which: Rows, turn: Rows, fault: Rows) -> int:
        where = (lo, hi, own, first, slots, which, turn, interval, flight, c2c.receive_rows)
        return check.exchange(*where, free, ends, arrivals, fault)

    return StaticPart(env, "link", machine.period_fs, table, advance, interval)


def _counters(machine: StaticMachine, rows: Rows) -> dict[str, int]:
    """Return what was done: products with padding, bytes of weights loaded, read, written and sent."""
    lanes = machine.lanes

    def total(op: int, width: Rows | int = 1) -> int:
        chosen = rows[:, R_OP] == op
        each = width[chosen] if isinstance(width, np.ndarray) else width
        return int((rows[chosen, R_N] * each).sum())

    return {
        "macs_issued": total(ACTIVATE) * lanes * lanes,
        "sram_read_bytes": total(READ) * lanes,
        "sram_write_bytes": total(WRITE) * lanes,
        "installed_bytes": total(LOAD, rows[:, R_A + 1]) * lanes,
        "link_bytes": total(SEND) * lanes,
    }

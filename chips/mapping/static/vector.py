"""Passes through the vector unit: operands stream in from slices, planes or permutation units, ALUs act in a chain, the
result streams out to slices of both hemispheres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dieshot.chips.mapping.static.resource import Choice, Need
from dieshot.chips.mapping.static.schedule import Group, Schedule, buffer_group
from dieshot.chips.mapping.static.sram import Buffer
from dieshot.kernels.static_program import EMIT, PERMUTE, VECTOR

PUT_LATENCY = 1  # from a unit's last register to the stream register beside it
SUM_BYTES = 4


class Rows(NamedTuple):
    """Rows of a buffer that a run reads or writes: the first, and how far apart they are."""

    buffer: Buffer
    row: int = 0
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows of sums in a bank of a plane's (or pair's) accumulators, complete after `contributions`, from cycle `ready`
    on."""

    hemisphere: int
    plane: int
    planes: int
    bank: int
    contributions: int
    ready: int
    ids: int


@dataclass(frozen=True, slots=True)
class Permuted:
    """Rows of a buffer that come by way of a permutation unit. shares: the unit takes what was read for the operand
    before, its lanes another way round."""

    source: Rows
    unit: int = 0
    shares: bool = False


Input = Rows | Sums | Permuted


@dataclass(frozen=True, slots=True)
class Step:
    """One ALU operation. a, b: the number of an input, or -1 - i for the result of step i. reduce: results of so many
    repetitions are added up before one goes on. to: where the result is written; otherwise the next step takes it."""

    is_transcendental: bool
    a: int
    b: int | None = None
    to: Rows | None = None
    reduce: int = 1


class _Pass:
    """One pass being placed: offsets of all that happens from the anchor, the cycle in which the first operand is at
    the vector unit."""

    def __init__(self, schedule: Schedule, n: int, inputs: Sequence[Input], steps: Sequence[Step]) -> None:
        self.schedule = schedule
        self.machine = schedule.machine
        self.n = n
        self.inputs = inputs
        self.steps = steps
        self.needs: list[Need] = []
        self.choices: list[Choice] = []
        self.earliest = 0
        vxm = self.machine.parameters.vxm
        self.latencies = [
            vxm.transcendental_latency if step.is_transcendental else vxm.simple_latency for step in steps
        ]
        self.offsets: list[int] = []
        self.arrivals = [-1] * len(inputs)
        self._time()
        self.hemispheres = self._hemispheres()

    def _time(self) -> None:
        for step, _ in zip(self.steps, self.latencies, strict=True):
            operands = [step.a] if step.b is None else [step.a, step.b]
            results = [-1 - each for each in operands if each < 0]
            at = max((self.offsets[i] + self.latencies[i] for i in results), default=0)
            if any(self.offsets[i] + self.latencies[i] != at for i in results):
                raise ValueError("operands of an ALU that come out of step; wires hold nothing back")
            known = [self.arrivals[each] for each in operands if each >= 0 and self.arrivals[each] >= 0]
            if not results and known:
                at = max(known)
            if any(each != at for each in known):
                raise ValueError("an operand that two steps take in different cycles")
            for each in operands:
                if each >= 0:
                    self.arrivals[each] = at
            self.offsets.append(at)

    def _hemispheres(self) -> list[int]:
        """Choose from which hemisphere each operand comes, so that no slice is read twice at once."""
        chosen: list[int] = []
        used: set[tuple[int, int]] = set()
        for index, each in enumerate(self.inputs):
            if isinstance(each, Sums):
                chosen.append(each.hemisphere)
                continue
            if isinstance(each, Permuted) and each.shares:
                chosen.append(chosen[-1])
                continue
            buffer = (each.source if isinstance(each, Permuted) else each).buffer
            order = [h for h in (index % 2, 1 - index % 2) if h in buffer.hemispheres]
            free = [h for h in order if (h, buffer.pair) not in used]
            if not free:
                raise ValueError(f"operands of one pass in the same slices: {buffer.name}")
            chosen.append(free[0])
            used.add((free[0], buffer.pair))
        return chosen

    def place(self) -> tuple[int, list[list[int]]]:
        """Ask for everything; return the anchor and the choices."""
        for each, arrival, hemisphere in zip(self.inputs, self.arrivals, self.hemispheres, strict=True):
            if isinstance(each, Sums):
                self._want_sums(each, arrival)
            elif isinstance(each, Permuted):
                self._want_permuted(each, arrival, hemisphere)
            else:
                self._want_read(each, arrival, hemisphere)
        for step, offset, latency in zip(self.steps, self.offsets, self.latencies, strict=True):
            self.choices.append(Choice(self.schedule.alu_pool(), 1, offset, self.n, result=latency))
            if step.to is not None:
                self._want_write(step, offset + latency)
        return self.schedule.resources.place(self.earliest, self.needs, self.choices)

    def _read_offset(self, x: int, arrival: int, outward: bool) -> int:
        latency = self.machine.parameters.mem.read_latency
        return arrival - latency - (self.machine.edge - x if outward else x)

    def _want_read(self, rows: Rows, arrival: int, hemisphere: int, outward: bool = False) -> None:
        buffer = rows.buffer
        for byte in range(buffer.bytes):
            offset = self._read_offset(buffer.x(byte), arrival, outward)
            span = (self.n - 1) * rows.stride
            self.needs += self.schedule.read_needs(
                hemisphere, buffer.x(byte), buffer.base + rows.row, span, offset, self.n, 1
            )
            self.earliest = max(self.earliest, buffer.earliest(rows.row, rows.stride, self.n, 1) - offset, -offset)
        tv = arrival - self.machine.edge if outward else arrival
        self.choices.append(Choice(self.schedule.pool(outward, hemisphere), 1, tv, self.n))

    def _want_permuted(self, each: Permuted, arrival: int, hemisphere: int) -> None:
        at_edge = arrival - self.machine.edge - self.machine.permute_latency
        if not each.shares:
            self._want_read(each.source, at_edge, hemisphere, outward=True)
        self.needs.append(Need(("sxm", hemisphere, each.unit), at_edge, self.n))
        self.choices.append(Choice(self.schedule.pool(False, hemisphere), 1, arrival, self.n))

    def _want_sums(self, sums: Sums, arrival: int) -> None:
        issue = arrival - self.machine.planes_at - PUT_LATENCY
        self.earliest = max(self.earliest, sums.ready - issue)
        self.needs.append(Need(("emit", sums.plane), issue, self.n))
        self.choices.append(Choice(_double(self.schedule.pool(False, sums.hemisphere)), 1, arrival, self.n))

    def _want_write(self, step: Step, tv: int) -> None:
        assert step.to is not None
        buffer, row, stride = step.to
        n, d, first = self._repeats(step)
        for hemisphere in buffer.hemispheres:
            for byte in range(buffer.bytes):
                self.needs += self.schedule.write_needs(
                    hemisphere,
                    buffer.x(byte),
                    buffer.base + row,
                    (n - 1) * stride,
                    tv + first + buffer.x(byte),
                    n,
                    d,
                )
            self.choices.append(Choice(self.schedule.pool(True, hemisphere), 1, tv + first, n, d))

    def _repeats(self, step: Step) -> tuple[int, int, int]:
        """Return how many results leave a step, how far apart, and after how many repetitions the first."""
        return self.n // step.reduce, step.reduce, step.reduce - 1


def _double(pool: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return neighbouring pairs of streams as one: what a sum of four bytes takes."""
    return [(*pool[i], *pool[i + 1]) for i in range(0, len(pool), 2)]


def vector_pass(schedule: Schedule, n: int, inputs: Sequence[Input], steps: Sequence[Step]) -> int:
    """Place a pass of n vectors; return the cycle in which the last result can be read."""
    pass_ = _Pass(schedule, n, inputs, steps)
    anchor, picks = pass_.place()
    cursor = 0
    groups: list[Group] = []
    for each, arrival, hemisphere in zip(inputs, pass_.arrivals, pass_.hemispheres, strict=True):
        if isinstance(each, Sums):
            groups.append(_emit(schedule, n, each, anchor + arrival, picks[cursor][0]))
        elif isinstance(each, Permuted):
            at_edge = anchor + arrival - schedule.machine.edge - schedule.machine.permute_latency
            if not each.shares:
                outward = _read(schedule, pass_, each.source, at_edge, hemisphere, picks[cursor][0], True)
                cursor += 1
            groups.append(_permute(schedule, n, each, at_edge, hemisphere, outward, picks[cursor][0]))
        else:
            groups.append(_read(schedule, pass_, each, anchor + arrival, hemisphere, picks[cursor][0], False))
        cursor += 1
    return _steps(schedule, pass_, anchor, groups, picks[cursor:])


def _read(
    schedule: Schedule, pass_: _Pass, rows: Rows, arrival: int, hemisphere: int, pair: int, outward: bool
) -> Group:
    buffer = rows.buffer
    code = schedule.pair_code(outward, hemisphere, pair)
    for byte in range(buffer.bytes):
        start = pass_._read_offset(buffer.x(byte), arrival, outward)
        out = buffer_group(buffer, rows.row, rows.stride, byte, code + byte)
        schedule.read(hemisphere, buffer.x(byte), start, pass_.n, 1, (buffer.base + rows.row, rows.stride), out)
    return Group(code, buffer.bytes, buffer.id(rows.row), rows.stride * buffer.bytes)


def _permute(
    schedule: Schedule, n: int, each: Permuted, at_edge: int, hemisphere: int, taken: Group, back: int
) -> Group:
    machine = schedule.machine
    unit = hemisphere * machine.parameters.sxm.units + each.unit
    width = each.source.buffer.bytes
    out = Group(schedule.pair_code(False, hemisphere, back), width, schedule.sram.ids(n * width), width)
    queue = schedule.queues["sxm"] + unit
    schedule.row(PERMUTE, unit, queue, at_edge, n, a=taken, out=out, latency=machine.permute_latency)
    return out


def _emit(schedule: Schedule, n: int, sums: Sums, arrival: int, member: int) -> Group:
    machine = schedule.machine
    issue = arrival - machine.planes_at - PUT_LATENCY
    # members of the doubled pool count pairs of pairs from above; the lower pair holds the first stream
    code = schedule.pair_code(False, sums.hemisphere, 2 * member + 1)
    out = Group(code, SUM_BYTES, sums.ids, SUM_BYTES)
    queue = schedule.queues["mxm"] + 4 * sums.plane + 3
    x = (sums.contributions, sums.planes, sums.bank * machine.parameters.mxm.accumulator_rows)
    schedule.bank_free[sums.plane, sums.bank] = issue + n
    schedule.row(EMIT, sums.plane, queue, issue, n, out=out, latency=PUT_LATENCY, x=x)
    return out


def _steps(
    schedule: Schedule, pass_: _Pass, anchor: int, groups: Sequence[Group], picks: Sequence[Sequence[int]]
) -> int:
    cursor, last = 0, anchor
    results: list[Group] = []
    for step, offset, latency in zip(pass_.steps, pass_.offsets, pass_.latencies, strict=True):
        alu = picks[cursor][0]
        cursor += 1
        n, d, first = pass_._repeats(step)
        operands = [results[-1 - each] if each < 0 else groups[each] for each in (step.a, step.b) if each is not None]
        a, b = operands[0], operands[1] if len(operands) > 1 else None
        start = anchor + offset
        if step.to is None:
            out, out2 = Group(schedule.machine.bus(alu), 1, schedule.sram.ids(n), 1), -1
        else:
            buffer, row, stride = step.to
            codes = [schedule.pair_code(True, h, picks[cursor + i][0]) for i, h in enumerate(buffer.hemispheres)]
            cursor += len(codes)
            out = Group(codes[0], buffer.bytes, buffer.id(row), stride * buffer.bytes)
            out2 = codes[1] if len(codes) > 1 else -1
            tv = start + latency + first
            last = max(last, _write(schedule, step.to, codes, n, d, tv))
        results.append(out)
        _issue(schedule, alu, start, pass_.n, step.reduce, a, b, out, out2, latency)
    return last


def _issue(
    schedule: Schedule,
    alu: int,
    start: int,
    n: int,
    reduce: int,
    a: Group,
    b: Group | None,
    out: Group,
    out2: int,
    latency: int,
) -> None:
    """Add the rows of an ALU; a step that adds up gives a result with the last of every `reduce` repetitions only."""
    queue = schedule.queues["vxm"] + alu
    if reduce == 1:
        schedule.row(VECTOR, alu, queue, start, n, a=a, b=b, out=out, out2=out2, latency=latency)
        return
    for turn in range(n // reduce):
        at = turn * reduce
        early = _shifted(a, at), _shifted(b, at) if b else None
        if reduce > 1:
            schedule.row(VECTOR, alu, queue, start + at, reduce - 1, a=early[0], b=early[1])
        at += reduce - 1
        late = _shifted(a, at), _shifted(b, at) if b else None
        result = _shifted(out, turn)
        schedule.row(VECTOR, alu, queue, start + at, 1, a=late[0], b=late[1], out=result, out2=out2, latency=latency)


def _shifted(group: Group, turns: int) -> Group:
    return Group(group.code, group.width, group.first_id + turns * group.stride, group.stride)


def _write(schedule: Schedule, to: Rows, codes: Sequence[int], n: int, d: int, tv: int) -> int:
    buffer, row, stride = to
    last = 0
    for hemisphere, code in zip(buffer.hemispheres, codes, strict=True):
        for byte in range(buffer.bytes):
            x = buffer.x(byte)
            a = buffer_group(buffer, row, stride, byte, code + byte)
            ready = schedule.write(hemisphere, x, tv + x, n, d, (buffer.base + row, stride), a)
            buffer.written(row, stride, n, ready, d)
            last = max(last, ready + (n - 1) * d)
    return last

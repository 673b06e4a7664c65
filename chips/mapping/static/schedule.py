"""The schedule under construction: rows of instructions, the resources they take, and what is where at which cycle."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.static.machine import StaticMachine
from dieshot.chips.mapping.static.resource import Need, Resources
from dieshot.chips.mapping.static.sram import Buffer, Preload, Sram
from dieshot.kernels.static_program import N_ROW, READ, WRITE

Int64 = NDArray[np.int64]
NONE = -1


@dataclass(frozen=True, slots=True)
class Group:
    """Vectors that a run takes from or puts on streams: code of the first, streams beside each other, numbers."""

    code: int
    width: int
    first_id: int
    stride: int


@dataclass(frozen=True)
class Program:
    """A whole schedule. rows (n, N_ROW) sorted by start. ends: cycle in which each operator is complete; the last is
    the length that the compiler predicts. resident_vectors: rows of slices that weights and cache take, padded as they
    lie; activation_vectors: those of activations. useful: what operators count for themselves."""

    rows: Int64
    preloads: tuple[Preload, ...]
    resident_vectors: int
    activation_vectors: int
    ends: tuple[int, ...]
    useful: tuple[dict[str, int], ...]

    @property
    def cycles(self) -> int:
        """Predicted length."""
        return self.ends[-1]


@dataclass
class Schedule:
    """Rows placed so far. Templates ask for cycles in `resources`; `operator` is the one whose work is being placed."""

    machine: StaticMachine
    sram: Sram = field(init=False)
    resources: Resources = field(default_factory=Resources)
    rows: list[list[int]] = field(default_factory=list)
    operator: int = 0
    done: dict[int, int] = field(default_factory=dict)
    useful: dict[int, dict[str, int]] = field(default_factory=dict)
    plane_loadable: list[int] = field(init=False)
    plane_installable: list[int] = field(init=False)
    bank_free: dict[tuple[int, int], int] = field(default_factory=dict)  # plane, bank: when its sums have left
    link_sent: dict[int, int] = field(default_factory=dict)  # link: from when its next vector may pass the centre
    link_received: dict[int, int] = field(default_factory=dict)
    n_tiles: int = 0

    def __post_init__(self) -> None:
        self.sram = Sram(self.machine)
        self.plane_loadable = [0] * self.machine.parameters.mxm.planes
        self.plane_installable = [0] * self.machine.parameters.mxm.planes
        self.queues = self.machine.first_queue
        self.pools: dict[Hashable, list[tuple[Hashable, ...]]] = {}

    def row(
        self,
        op: int,
        unit: int,
        queue: int,
        start: int,
        n: int,
        d: int = 1,
        a: Group | None = None,
        b: Group | None = None,
        out: Group | None = None,
        out2: int = NONE,
        latency: int = 0,
        x: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """Add a run of an instruction."""
        nothing = (NONE, 0, 0, 0)
        first = (a.code, a.width, a.first_id, a.stride) if a else nothing
        second = (b.code, b.width, b.first_id, b.stride) if b else nothing
        result = (out.code, out2, out.width, out.first_id, out.stride) if out else (NONE, NONE, 0, 0, 0)
        self.rows.append([op, unit, queue, self.operator, start, n, d, *first, *second, *result, latency, *x])

    def complete(self, cycle: int) -> None:
        """Note that the operator is not complete before `cycle`."""
        self.done[self.operator] = max(self.done.get(self.operator, 0), cycle)

    def count(self, **amounts: int) -> None:
        """Count useful work of the operator."""
        counters = self.useful.setdefault(self.operator, {})
        for name, amount in amounts.items():
            counters[name] = counters.get(name, 0) + amount

    def pool(self, outward: bool, hemisphere: int, low: bool = False) -> list[tuple[Hashable, ...]]:
        """Return the pairs of streams of one direction in one hemisphere, weights' from below, others' from above."""
        key = (outward, hemisphere, low)
        if key not in self.pools:
            n = self.machine.n_streams // 2
            order = range(n) if low else range(n - 1, -1, -1)
            self.pools[key] = [((outward, hemisphere, pair),) for pair in order]
        return self.pools[key]

    def pair_code(self, outward: bool, hemisphere: int, member: int, low: bool = False) -> int:
        """Return the code of the first stream of a pair chosen from `pool`."""
        n = self.machine.n_streams // 2
        return self.machine.code(outward, hemisphere, 2 * (member if low else n - 1 - member))

    def alu_pool(self) -> list[tuple[Hashable, ...]]:
        """Return the ALUs."""
        if "alu" not in self.pools:
            self.pools["alu"] = [(("alu", i),) for i in range(self.machine.parameters.vxm.alus)]
        return self.pools["alu"]

    def read_needs(self, hemisphere: int, x: int, address: int, span: int, offset: int, n: int, d: int) -> list[Need]:
        """Return what reading a slice needs: its read port and every bank that the run touches."""
        return [Need(("read", hemisphere, x), offset, n, d), *self._banks(hemisphere, x, address, span, offset, n, d)]

    def write_needs(self, hemisphere: int, x: int, address: int, span: int, offset: int, n: int, d: int) -> list[Need]:
        """Return what writing a slice needs."""
        return [Need(("write", hemisphere, x), offset, n, d), *self._banks(hemisphere, x, address, span, offset, n, d)]

    def _banks(self, hemisphere: int, x: int, address: int, span: int, offset: int, n: int, d: int) -> list[Need]:
        size = self.machine.parameters.mem.rows // self.machine.parameters.mem.banks
        banks = range(address // size, (address + span) // size + 1)
        return [Need(("bank", hemisphere, x, bank), offset, n, d) for bank in banks]

    def read(self, hemisphere: int, x: int, start: int, n: int, d: int, address: tuple[int, int], out: Group) -> None:
        """Add a run of reads; address and stride."""
        unit = self.machine.slice(hemisphere, x)
        latency = self.machine.parameters.mem.read_latency
        self.row(READ, unit, self.queues["mem"] + unit, start, n, d, out=out, latency=latency, x=(*address, 0))

    def write(self, hemisphere: int, x: int, start: int, n: int, d: int, address: tuple[int, int], a: Group) -> int:
        """Add a run of writes; return the first cycle in which the first can be read."""
        unit = self.machine.slice(hemisphere, x)
        self.row(WRITE, unit, self.queues["mem"] + unit, start, n, d, a=a, x=(*address, 0))
        ready = start + self.machine.parameters.mem.write_latency
        self.complete(ready + (n - 1) * d)
        return ready

    def program(self, n_operators: int) -> Program:
        """Return the finished schedule; operators are complete in order, a cycle apart at least."""
        rows = np.array(self.rows, np.int64).reshape(-1, N_ROW)
        rows = rows[np.argsort(rows[:, 4], kind="stable")]
        ends, latest = [], 0
        for operator in range(n_operators):
            latest = max(latest, self.done.get(operator, 0))
            ends.append(latest)
        for operator in range(n_operators - 2, -1, -1):  # a cycle each at least, and the last is the schedule's own
            ends[operator] = min(ends[operator], ends[operator + 1] - 1)
        useful = tuple(self.useful.get(operator, {}) for operator in range(n_operators))
        sram = self.sram
        return Program(rows, tuple(sram.preloads), sram.resident, sram.activations, tuple(ends), useful)


def buffer_group(buffer: Buffer, row: int, stride: int, byte: int, code: int) -> Group:
    """Return the vectors of one byte plane of a run of rows."""
    return Group(code, 1, buffer.id(row) + byte, stride * buffer.bytes)

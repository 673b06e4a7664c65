"""A statically scheduled chip in plain Python: registers that are really shifted, cycle after cycle."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from dieshot.kernels import static_program as p


class Wrong(Exception):  # noqa: N818
    """Something was not there, or not free."""


def demand(holds: bool, what: str, cycle: int) -> None:
    if not holds:
        raise Wrong(f"{what} in cycle {cycle}")


class NaiveChip:
    """The whole chip; `act_out` returns the cycle after which nothing happens any more."""

    def __init__(self, machine: Any, program: Any) -> None:
        self.machine = machine
        self.by_cycle: dict[int, list[tuple[list[int], int]]] = defaultdict(list)
        for row in program.rows.tolist():
            for turn in range(row[p.R_N]):
                self.by_cycle[row[p.R_START] + turn * row[p.R_D]].append((row, turn))
        self.registers: dict[tuple[int, int], int] = {}  # (stream, position) -> vector
        self.coming: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # cycle -> code, position, vector
        self.content: dict[tuple[int, int], tuple[int, int]] = {}  # (slice, address) -> vector, readable from
        for each in program.preloads:
            for i in range(each.n):
                self.content[each.slice, each.address + i] = (each.first_id + i * each.stride, 0)
        self.buffer: dict[int, tuple[int, int]] = {}  # plane -> tile, vectors
        self.tile: dict[int, tuple[int, int]] = {}  # plane -> tile, cycle
        self.free: dict[Any, int] = defaultdict(int)  # until when a plane or link is taken
        self.sums: dict[tuple[int, int], list[int]] = {}  # (plane, row) -> cycles in which contributions are complete
        self.arrivals: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.end = 0

    def act_out(self) -> int:
        cycle = 0
        while self.by_cycle or self.coming:
            self.cycle(cycle)
            cycle += 1
        return self.end

    def cycle(self, t: int) -> None:
        n = self.machine.n_streams
        last = 2 * self.machine.planes_at
        moved = {(code, at + 1 if code < n else at - 1): v for (code, at), v in self.registers.items()}
        self.registers = {key: v for key, v in moved.items() if 0 <= key[1] <= last}
        self.wires: dict[int, int] = {}
        queues: Counter[Any] = Counter()
        events = self.by_cycle.pop(t, [])
        for row, turn in events:  # results that are due in a later cycle, and wires of this one
            for code in {row[p.R_OUT], row[p.R_OUT2]} - {-1}:
                for lane in range(row[p.R_OUT_WIDTH]):
                    vector = row[p.R_OUT_ID] + turn * row[p.R_OUT_STRIDE] + lane
                    self.coming[t + row[p.R_LATENCY]].append((code + lane, self.position(row), vector))
        puts = self.coming.pop(t, [])
        demand(max(Counter(put[:2] for put in puts).values(), default=0) <= 1, "two drivers", t)
        self.wires = {code: v for code, _, v in puts if code >= 2 * n}
        for row, turn in events:
            queues[row[p.R_QUEUE], row[p.R_OP] in (p.WRITE, p.RECEIVE)] += 1
            for at in (p.R_A, p.R_B):
                self.take(row, turn, at, t)
        demand(max(queues.values(), default=0) <= 1, "two instructions in a queue", t)
        self.registers |= {(code, at): v for code, at, v in puts if code < 2 * n}
        self.memory([each for each in events if each[0][p.R_OP] in (p.READ, p.WRITE)], t)
        for row, turn in events:
            self.unit(row, turn, t)
            self.end = max(self.end, t + 1)

    def take(self, row: list[int], turn: int, at: int, t: int) -> None:
        for lane in range(row[at + 1] if row[at] >= 0 else 0):
            code, vector = row[at] + lane, row[at + 2] + turn * row[at + 3] + lane
            wire = code >= 2 * self.machine.n_streams
            found = self.wires.get(code) if wire else self.registers.get((code, self.position(row)))
            demand(found == vector, "no such vector", t)

    def memory(self, events: list[tuple[list[int], int]], t: int) -> None:
        mem = self.machine.parameters.mem
        banks: Counter[Any] = Counter()
        ports: Counter[Any] = Counter()
        for row, turn in events:
            address = row[p.R_X] + turn * row[p.R_X1]
            demand(0 <= address < mem.rows, "no such row", t)
            banks[row[p.R_UNIT], address // (mem.rows // mem.banks)] += 1
            ports[row[p.R_UNIT], row[p.R_OP]] += 1
            if row[p.R_OP] == p.WRITE:
                vector = row[p.R_A + 2] + turn * row[p.R_A + 3]
                self.content[row[p.R_UNIT], address] = (vector, t + mem.write_latency)
                self.end = max(self.end, t + mem.write_latency)
            else:
                vector = row[p.R_OUT_ID] + turn * row[p.R_OUT_STRIDE]
                found, ready = self.content.get((row[p.R_UNIT], address), (-1, 0))
                demand(found == vector and ready <= t, "another vector in the row", t)
        demand(max([*banks.values(), *ports.values()], default=0) <= 1, "a bank or port twice", t)

    def unit(self, row: list[int], turn: int, t: int) -> None:
        op, unit, (x, x1, x2) = row[p.R_OP], row[p.R_UNIT], row[p.R_X : p.R_X2 + 1]
        mxm = self.machine.parameters.mxm
        if op == p.LOAD:
            tile, loaded = self.buffer.get(unit, (x, 0))
            demand(tile == x, "buffer in use", t)
            self.buffer[unit] = (x, loaded + row[p.R_A + 1])
        elif op == p.INSTALL:
            demand(self.buffer.pop(unit, None) == (x, x2), "tile not loaded", t)
            demand(self.free["plane", unit] <= t, "plane busy", t)
            self.tile[unit] = (x, t)
        elif op == p.ACTIVATE:
            tile, installed = self.tile.get(unit, (-1, t))
            demand(tile == x and installed < t and self.free["plane", unit] <= t, "tile not installed", t)
            self.free["plane", unit] = t + self.machine.activate_interval("fp16" if x1 > 1 else "int8")
            self.sums.setdefault((unit, x2 + turn), []).append(t + mxm.latency)
        elif op == p.EMIT:
            parts = self.sums.pop((unit, x2 + turn), [])
            demand(len(parts) == x and max(parts) <= t, "sums not complete", t)
        elif op == p.SEND:
            demand(self.free["link", unit] <= t, "link busy", t)
            self.free["link", unit] = t + self.machine.link.interval
            arrival = t + self.machine.link.interval + self.machine.link.flight
            self.arrivals[unit].append((arrival, x + turn * x1))
            self.end = max(self.end, t + self.machine.link.interval)
        elif op == p.RECEIVE:
            waiting = [vector for arrival, vector in self.arrivals[unit] if arrival <= t]
            demand(0 < len(waiting) <= self.machine.parameters.c2c.receive_rows, "nothing there, or too much", t)
            demand(waiting[0] == row[p.R_OUT_ID] + turn * row[p.R_OUT_STRIDE], "out of turn", t)
            self.arrivals[unit].pop(0)

    def position(self, row: list[int]) -> int:
        machine, op, unit = self.machine, row[p.R_OP], row[p.R_UNIT]
        if op in (p.READ, p.WRITE):
            return machine.position(unit // machine.n_slices, unit % machine.n_slices + 1)
        if op == p.VECTOR:
            return machine.planes_at
        if op == p.PERMUTE:
            return machine.position(unit // machine.parameters.sxm.units, machine.edge)
        if op in (p.SEND, p.RECEIVE):
            return machine.position(machine.link_hemisphere(unit), machine.edge)
        return machine.position(unit // 2, machine.planes_at)

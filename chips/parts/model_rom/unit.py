"""Parts of a block as SimPy processes: each takes a vector's phase, times it item by item, and hands its items on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.mapping.model_rom.machine import BlockMachine
from dieshot.chips.mapping.model_rom.phase import Cache, Matrix, Stream
from dieshot.chips.parts.model_rom.line import ATTENTION, BUS, PRODUCTS, ROM, SRAM, TABLE, VECTOR, BlockLog
from dieshot.kernels.model_rom import multiply_select, read_banks, stream
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port

Rows = NDArray[np.int64]
LINES = {"vector": VECTOR, "table": TABLE, "bus": BUS}


@dataclass(frozen=True, slots=True)
class Request:
    """A phase, and the cycle in which each of its items is there."""

    phase: Any
    ready: Rows


class Unit(Component):
    """A part that serves one phase after the other; results leave as a batch with their own times (cycles)."""

    def __init__(self, env: simpy.Environment, name: str, machine: BlockMachine, log: BlockLog) -> None:
        self.machine = machine
        self.log = log
        self.requests = Port(env, 0)
        self.results = Port(env, 0)
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Serve; the batch of results is handed over when its first item is there."""
        while True:
            request = yield self.requests.receive()
            done = self.serve(request.phase, request.ready)
            yield self.env.timeout(max(0, int(done[0]) * self.machine.period_fs - int(self.env.now)))
            self.results.send(done)

    def serve(self, phase: Any, ready: Rows) -> Rows:
        """Return the cycle in which each item of the result is there."""
        raise NotImplementedError


class RomArray(Unit):
    """Product formers, ROM and adder trees of a block."""

    def __init__(self, env: simpy.Environment, machine: BlockMachine, log: BlockLog) -> None:
        self.free = np.zeros(2, np.int64)
        self.held = np.zeros(max(1, machine.arrival_cycles), np.int64)
        super().__init__(env, "rom", machine, log)

    def serve(self, phase: Matrix, ready: Rows) -> Rows:
        """Multiply a vector by a matrix; items of the result are groups of columns."""
        machine, rom = self.machine, self.machine.parameters.rom
        done = np.empty(-(-phase.N // rom.columns), np.int64)
        rows = self.log.rows(len(ready) * (len(done) + 1))
        n_log = multiply_select(
            ROM,
            PRODUCTS,
            rom.rows,
            rom.columns,
            phase.K,
            phase.N,
            rom.codes,
            machine.arrival_cycles,
            machine.result_cycles,
            self.free,
            self.held,
            ready,
            done,
            self.log.open,
            rows,
        )
        self.log.keep(n_log)
        return done


class Pipeline(Unit):
    """A unit that items pass one after the other: vector lanes, the table's read-out, the bus."""

    def __init__(
        self, env: simpy.Environment, name: str, machine: BlockMachine, log: BlockLog, rate: int, special_rate: int = 1
    ) -> None:
        self.rate, self.special_rate = rate, special_rate
        self.free = np.zeros(1, np.int64)
        super().__init__(env, name, machine, log)

    def serve(self, phase: Stream, ready: Rows) -> Rows:
        """Pass the items; all are as large as can be, the last ones smaller."""
        n = len(ready)
        elements = np.diff(np.arange(n + 1) * phase.elements // n)
        done = np.empty(n, np.int64)
        rows = self.log.rows(n)
        n_log = stream(
            LINES[self.name],
            self.rate,
            self.special_rate,
            phase.ops,
            phase.specials,
            phase.latency,
            self.free,
            elements,
            ready,
            done,
            self.log.open,
            rows,
        )
        self.log.keep(n_log)
        return done


class CacheBanks(Unit):
    """Banks of the SRAM beside a block, and the multipliers that they feed."""

    def __init__(self, env: simpy.Environment, machine: BlockMachine, log: BlockLog) -> None:
        self.bank_free = np.zeros(machine.n_banks, np.int64)
        self.free = np.zeros(1, np.int64)
        super().__init__(env, "cache", machine, log)

    def serve(self, phase: Cache | Matrix, ready: Rows) -> Rows:
        """Read or write the words of a phase; of a matrix, both matrices of its low-rank path."""
        if isinstance(phase, Cache):
            lane_ready = ready if phase.gated else np.full(phase.n_items, ready[0])
            word_ready = np.full(phase.n_items, ready[0])
            return self._pass(phase.words, phase.macs, phase.lane_cycles, word_ready, lane_ready)
        down, up = phase.lora
        macs = self.machine.word_bytes // self.machine.parameters.lora.element
        cycles = self.machine.lane_cycles(macs)
        first = regrouped(ready, self.machine.beats(down))
        low = self._pass(down, macs, cycles, np.full_like(first, first[0]), first)
        high = np.full(self.machine.beats(up), low[-1])
        return self._pass(up, macs, cycles, high, high)

    def _pass(self, words: int, macs: int, lane_cycles: int, word_ready: Rows, lane_ready: Rows) -> Rows:
        p = self.machine.parameters
        done = np.empty(len(word_ready), np.int64)
        rows = self.log.rows(2 * len(done))
        n_log = read_banks(
            SRAM,
            ATTENTION,
            words,
            0,
            self.machine.word_bytes,
            macs,
            lane_cycles,
            p.sram.latency,
            p.attention.latency if lane_cycles else 0,
            self.bank_free,
            self.free,
            word_ready,
            lane_ready,
            np.zeros(p.sram.latency + p.attention.buffer, np.int64),
            done,
            self.log.open,
            rows,
        )
        self.log.keep(n_log)
        return done


def regrouped(ready: Rows, n_items: int) -> Rows:
    """Return when each of `n_items` equal parts of a vector is there, whose own items are there in `ready`."""
    if len(ready) == n_items:
        return ready
    last = -(-np.arange(1, n_items + 1) * len(ready) // n_items) - 1
    return np.ascontiguousarray(np.maximum.accumulate(ready)[last])

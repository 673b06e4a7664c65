"""A block at work on one token: wires its parts, and lets the token pass through the phases of its operators."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from dieshot.chips.mapping.model_rom.machine import BlockMachine
from dieshot.chips.mapping.model_rom.phase import Matrix, Phase, Stream
from dieshot.chips.parts.model_rom.line import BlockLog
from dieshot.chips.parts.model_rom.unit import CacheBanks, Pipeline, Request, RomArray, Rows, Unit, regrouped
from dieshot.simulator.engine.cell import Activity
from dieshot.simulator.engine.component import Component


@dataclass(frozen=True, slots=True)
class TokenRun:
    """Cycle in which the last result of each operator was there, and what happened until the last."""

    ends: tuple[int, ...]
    activity: Activity


class TokenControl(Component):
    """Hands a token's vector from part to part; an operator ends with its last item."""

    def __init__(
        self,
        env: simpy.Environment,
        machine: BlockMachine,
        operators: Sequence[Sequence[Phase]],
        units: dict[str, Unit],
    ) -> None:
        self.machine = machine
        self.operators = operators
        self.units = units
        self.ends: list[int] = []
        super().__init__(env, "control")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Carry out the operators of one token."""
        ready = np.zeros(1, np.int64)
        for phases in self.operators:
            for phase in phases:
                last = int(ready.max())
                inputs = np.full(phase.n_items, last) if phase.barrier else regrouped(ready, phase.n_items)
                ready = yield from self._pass(phase, inputs)
            self.ends.append(int(ready.max()))
        yield self.env.timeout(self.ends[-1] * self.machine.period_fs - int(self.env.now))

    def _pass(self, phase: Phase, inputs: Rows) -> Generator[simpy.Event, Any, Rows]:
        unit = self.units[_unit_of(phase)]
        unit.requests.send(Request(phase, inputs))
        if not (isinstance(phase, Matrix) and any(phase.lora)):
            alone: Rows = yield unit.results.receive()
            return alone
        # The low-rank path runs beside the ROM.
        cache = self.units["cache"]
        cache.requests.send(Request(phase, inputs))
        done: Rows = yield unit.results.receive()
        beside: Rows = yield cache.results.receive()
        both: Rows = np.maximum(done, regrouped(beside, len(done)))
        return both


def _unit_of(phase: Phase) -> str:
    if isinstance(phase, Stream):
        return phase.unit
    return "rom" if isinstance(phase, Matrix) else "cache"


def run_token(machine: BlockMachine, operators: Sequence[Sequence[Phase]], record: bool) -> TokenRun:
    """Simulate a token's operators from a quiet block to a quiet block."""
    env, log, p = simpy.Environment(), BlockLog(record), machine.parameters
    units: dict[str, Unit] = {
        "rom": RomArray(env, machine, log),
        "vector": Pipeline(env, "vector", machine, log, p.vector.rate, p.vector.transcendental_rate),
        "cache": CacheBanks(env, machine, log),
        "table": Pipeline(env, "table", machine, log, p.rom.table_row),
        "bus": Pipeline(env, "bus", machine, log, p.bus.width),
    }
    control = TokenControl(env, machine, operators, units)
    env.run(until=control.process)
    return TokenRun(tuple(control.ends), log.activity(control.ends[-1], machine.period_fs))

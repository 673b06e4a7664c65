"""PE arrays: systolic, bit-serial and digital in-memory, described by the same few cycles."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.kernels.systolic import (
    END,
    LIMIT,
    N_STATE,
    N_TIMES,
    NO_OVERLAP,
    OK,
    STALL_STATIONARY,
    STALL_STREAM,
    pass_folds,
)
from dieshot.simulator.engine.component import Component
from dieshot.simulator.engine.port import Port
from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]

MOST_PES = 1 << 40
NO_OVERLAP_NAME, FOLD_OVERLAP_NAME = "none", "folds"


@dataclass(frozen=True)
class ArrayTiming:
    """What an array's cycles depend on.

    rows, columns: PEs. step_cycles: cycles a PE works on one operand. row_skew, column_skew (0 or 1): cycles by which a
    row or column lags behind the one before. depth_cycles: pipeline behind the last PE (adder tree). load_cycles: to
    write one tile of stationary operands, a row a cycle. switch_cycles: to make another buffer, or another stored tile,
    the active one. buffers: operand registers of a PE, counted where folds overlap; NO_OVERLAP where they do not.
    n_stored_tiles: weight tiles that the array keeps.
    """

    rows: int
    columns: int
    step_cycles: int = 1
    row_skew: int = 1
    column_skew: int = 1
    depth_cycles: int = 0
    switch_cycles: int = 1
    buffers: int = NO_OVERLAP
    n_stored_tiles: int = 1

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "step_cycles", "n_stored_tiles"):
            if getattr(self, name) < 1:
                raise InputError("not possible", key=name, value=getattr(self, name), expected="at least 1")
        if self.rows * self.columns > MOST_PES:
            raise InputError("array too large", value=f"{self.rows}x{self.columns}", expected="at most 2**40 PEs")
        if self.buffers not in (NO_OVERLAP, 1, 2):
            raise InputError("not possible", key="buffers", value=self.buffers, expected="1 or 2")

    @property
    def load_cycles(self) -> int:
        """Cycles to write one tile of stationary operands."""
        return self.rows

    @property
    def tail_cycles(self) -> int:
        """Cycles from the last step of the first PE to the last result."""
        return (self.rows - 1) * self.row_skew + (self.columns - 1) * self.column_skew + self.depth_cycles

    @property
    def n_pes(self) -> int:
        """PEs of the array."""
        return self.rows * self.columns


def systolic(rows: int, columns: int, overlap: str, buffers: int = 2, switch_cycles: int = 1) -> ArrayTiming:
    """Return an array whose operands and sums move one PE a cycle; folds overlap ('folds') or not ('none')."""
    folds = buffers if overlap == FOLD_OVERLAP_NAME else NO_OVERLAP
    return ArrayTiming(rows, columns, switch_cycles=switch_cycles, buffers=folds)


def bit_serial(array: ArrayTiming, operand_bits: int, bits_per_cycle: int = 1) -> ArrayTiming:
    """Return the array with streaming operands fed `bits_per_cycle` at a time."""
    if operand_bits < 1 or bits_per_cycle < 1:
        raise InputError("not possible", key="operand_bits", value=operand_bits, expected="at least 1")
    return replace(array, step_cycles=-(-operand_bits // bits_per_cycle))


def digital_in_memory(array: ArrayTiming, operand_bits: int, n_stored_tiles: int = 1) -> ArrayTiming:
    """Return a digital in-memory array: operand bits go to all columns at once, a tree adds up the rows of each.

    It keeps `n_stored_tiles` weight tiles in its cells; selecting another costs the array's switch_cycles.
    """
    tree_depth = max(0, (array.rows - 1).bit_length())
    serial = bit_serial(array, operand_bits)
    return replace(serial, row_skew=0, column_skew=0, depth_cycles=tree_depth, n_stored_tiles=n_stored_tiles)


def time_folds(array: ArrayTiming, loads: bool, state: Rows, folds: Rows, name: str = "array") -> Rows:
    """Time folds (n, N_FOLD) on an array; return (n, N_TIMES) as `pass_folds` has them. state is changed in place.

    loads: whether the dataflow keeps an operand in the PEs; else results stay there and are read out. InputError names
    the component and fold that cannot be timed in 63 bits.
    """
    times = np.zeros((len(folds), N_TIMES), np.int64)
    tail, switch, step = array.tail_cycles, array.switch_cycles, array.step_cycles
    read = 0 if loads else array.rows
    status = pass_folds(tail, switch, read, step, array.buffers, state, folds, len(folds), times)
    if status != OK:
        problem = f"{name}: fold {-1 - status} cannot be timed, its cycles are negative or pass {LIMIT}"
        raise InputError(problem, value=", ".join(map(str, folds[-1 - status].tolist())))
    return times


class SystolicArray(Component):
    """The array of a core: takes batches of folds with the times of their operands, and says when each is done.

    stalled_cycles: lost so far to operands that came late; first_wait_cycles: of these, before the first fold.
    """

    def __init__(
        self, env: simpy.Environment, name: str, array: ArrayTiming, loads: bool, work: Port, done: Port
    ) -> None:
        self.array = array
        self.loads = loads
        self.work = work
        self.done = done
        self.state = np.zeros(N_STATE, np.int64)
        self.end_cycle = 0
        self.stalled_cycles = 0
        self.first_wait_cycles = 0
        super().__init__(env, name)

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Time one batch after the other; folds of consecutive batches overlap as those of one batch do."""
        while True:
            batch, folds = yield self.work.receive()
            times = time_folds(self.array, self.loads, self.state, folds, self.name)
            stalls = times[:, STALL_STATIONARY] + times[:, STALL_STREAM]
            if self.end_cycle == 0:
                self.first_wait_cycles = int(stalls[0])
            self.end_cycle = int(times[-1, END])
            self.stalled_cycles += int(stalls.sum())
            self.done.send((batch, times))

"""A systolic chip as its compiler sees it: rates, room, and costs of code; plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parameters.systolic import SystolicParameters
from dieshot.chips.parts.systolic import core_program
from dieshot.chips.parts.systolic.core_program import AFTER, MACS, N_STEP, NONE, SystolicTiming
from dieshot.chips.parts.systolic.mxu import stream_cycles
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.traces.dtype import DTYPE_BITS

Rows = NDArray[np.int64]

ACCUMULATOR_BYTES = 4
SPILL_SHARE = 8  # a tensor that takes more than this part of the scratchpads is kept in HBM


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to carry out an operator: steps (n, N_STEP; AFTER counts from the first of these), the sequencer's time
    before (fs), what handing results among cores takes after (fs), the scratchpad room of its tensors (bytes)."""

    steps: Rows
    issue_fs: int
    exchange_fs: int = 0
    resident_bytes: int = 0
    counters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SystolicMachine:
    """Parameters and timing of a chip, and what follows from both."""

    p: SystolicParameters
    timing: SystolicTiming
    mac_rate: Mapping[str, int]

    @property
    def n_cores(self) -> int:
        """Cores that share every operator."""
        return self.p.cores.count

    @property
    def spill_bytes(self) -> int:
        """Tensors above this are kept in HBM between operators."""
        return self.timing.vmem_bytes // SPILL_SHARE

    def spilled(self, n_bytes: int) -> int:
        """Return how many bytes of a tensor go through HBM."""
        return n_bytes if n_bytes > self.spill_bytes else 0

    def stream_cycles(self, n_rows: int, dtype: str) -> int:
        """Return the cycles in which rows of operands of a format pass an array."""
        mxu = self.p.mxu
        return stream_cycles(n_rows, mxu.rows * mxu.columns, self.mac_rate[dtype], mxu.sublane_rows, mxu.least_fold)

    def weight_load_cycles(self, n_rows: int, weight_dtype: str) -> int:
        """Return the cycles in which rows of weights go into an array."""
        row_bits = self.p.mxu.columns * DTYPE_BITS[weight_dtype]
        return -(-n_rows * row_bits // (8 * self.p.mxu.weight_load))

    def vector_fs(self, ops: float, transcendental_ops: float = 0.0, gathered_rows: float = 0.0) -> int:
        """Return the time of one core's lanes for a tile, in fs: arithmetic, transcendental functions and rows gathered
        or scattered go through units of their own, and one instruction word serves all three in a cycle."""
        vector = self.p.vector
        units = (
            ops / vector.rate,
            transcendental_ops / vector.transcendental_rate,
            gathered_rows / vector.rows_per_cycle,
        )
        return int(-(-(max(units) + vector.overhead) * FS_PER_SECOND // vector.clock))

    def exchange_fs(self, n_bytes: int) -> int:
        """Return what it takes cores to add up, or hand each other, a tensor; nothing with one core."""
        if self.n_cores == 1:
            return 0
        return self.p.cores.exchange_latency + -(-n_bytes * FS_PER_SECOND // self.p.cores.exchange_bandwidth)


def step_row(**columns: int) -> Rows:
    """Return one step; columns by their lower-case names, others 0."""
    row = np.zeros(N_STEP, np.int64)
    row[AFTER] = NONE
    for name, value in columns.items():
        row[getattr(core_program, name.upper())] = value
    return row


def stacked(rows: Sequence[Rows]) -> Rows:
    """Return steps one after the other."""
    return np.stack(rows)


def issued_macs(steps: Rows) -> int:
    """Return the MACs of steps, padding included."""
    return int(steps[:, MACS].sum())

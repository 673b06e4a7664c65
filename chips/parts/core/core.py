"""Cores that share a memory: each a PE array and a scratchpad in parts, as SimPy parts."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.parts.core.array import ArrayTiming, SystolicArray
from dieshot.chips.parts.core.fold import Gemm
from dieshot.chips.parts.core.scratchpad import Scratchpad
from dieshot.chips.parts.core.tiling import Tiling, batch_bounds, tile_gemm
from dieshot.chips.parts.memory.memory import Memory, SharedMemory
from dieshot.chips.parts.memory.sram import SramTiming, read_vectors
from dieshot.simulator.engine.port import Port

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class BankTiming:
    """Banks that hold one operand: `n_banks` words of `width_bytes`, `n_ports` of each a cycle."""

    n_banks: int
    width_bytes: int
    n_ports: int = 1


@dataclass(frozen=True)
class CoreTiming:
    """A core: its array, the period of its clock, its scratchpad, and the width of operands and of stored sums.

    banks: of either operand in either half; None: as wide as the array. layout: of matrices in memory, see
    `tiling.tile_gemm`. double_buffered: whether one half fills while the array works from the other; else all of the
    scratchpad is filled, then worked from. request_bytes: what a core asks of its memory at a time.
    """

    array: ArrayTiming
    cycle_fs: int
    scratchpad_bytes: int
    operand_bytes: int = 2
    sum_bytes: int = 2
    banks: BankTiming | None = None
    layout: str = "tiles"
    double_buffered: bool = True
    request_bytes: int = 1 << 17

    @property
    def n_halves(self) -> int:
        """Parts of the scratchpad that are filled in turn."""
        return 2 if self.double_buffered else 1


@dataclass(frozen=True)
class CoreRun:
    """What a GEMM came to: cycles until the last sum is in memory, and until the arrays' last MAC (exclusive).

    terms: cycles of the core that was done last, by what they went to; they add up to cycles. n_folds, n_batches,
    busy_pe_cycles: of all cores; utilization: of their PEs.
    """

    cycles: int
    array_cycles: int
    n_folds: int
    n_batches: int
    busy_pe_cycles: int
    utilization: float
    terms: dict[str, int]


@dataclass(frozen=True)
class _Core:
    pad: Scratchpad
    array: SystolicArray
    n_folds: int
    n_batches: int


def run_gemm(core: CoreTiming, memory: Memory, gemm: Gemm, dataflow: str = "ws", n_cores: int = 1) -> CoreRun:
    """Run a GEMM whose operands lie in memory, to the last sum written back.

    Column tiles of the array go to the cores in even shares, neighbours together; a core without one stays idle.
    InputError where one fold does not fit in its part of the scratchpad.
    """
    env = simpy.Environment()
    shared = SharedMemory(env, "memory", memory)
    extent = gemm.M if dataflow == "is" else gemm.N
    n_tiles = -(-extent // core.array.columns)
    shares = [slice(i * n_tiles // n_cores, (i + 1) * n_tiles // n_cores) for i in range(n_cores)]
    cores = [_build(env, core, shared, gemm, dataflow, i, s) for i, s in enumerate(shares) if s.stop > s.start]
    env.run(until=env.all_of([each.pad.finished for each in cores]))
    ends = [max(each.array.end_cycle, -(-each.pad.stored_fs // core.cycle_fs)) for each in cores]
    last = cores[int(np.argmax(ends))]
    cycles = max(ends)
    busy = gemm.M * gemm.N * gemm.n_kept * core.array.step_cycles
    return CoreRun(
        cycles,
        max(each.array.end_cycle for each in cores),
        sum(each.n_folds for each in cores),
        sum(each.n_batches for each in cores),
        busy,
        busy / (core.array.n_pes * cycles * n_cores),
        _terms(last.array, cycles),
    )


def _build(
    env: simpy.Environment,
    core: CoreTiming,
    memory: SharedMemory,
    gemm: Gemm,
    dataflow: str,
    number: int,
    share: slice,
) -> _Core:
    array, n_halves = core.array, core.n_halves
    widths = (core.operand_bytes, core.sum_bytes)
    tiling = tile_gemm(
        gemm, dataflow, array.rows, array.columns, core.scratchpad_bytes, *widths, core.layout, share, n_halves
    )
    kept_bytes = int(tiling.fetched_bytes[:, 1].sum()) if tiling.keeps_streamed else 0
    bounds = batch_bounds(tiling, (core.scratchpad_bytes - kept_bytes) // n_halves)
    steps, load_cycles = feed_cycles(core, tiling, dataflow)
    work, done = Port(env, 0), Port(env, 0)
    pad = Scratchpad(
        env, f"core{number}/scratchpad", memory, core.cycle_fs, core.request_bytes, tiling, bounds, steps, load_cycles,
        n_halves, array.rows if dataflow == "os" else 0, number, work, done,
    )  # fmt: skip
    part = SystolicArray(env, f"core{number}/array", array, dataflow != "os", work, done)
    return _Core(pad, part, len(steps), len(bounds) - 1)


def _terms(array: SystolicArray, cycles: int) -> dict[str, int]:
    return {
        "first_operands": array.first_wait_cycles,
        "array": array.end_cycle - array.stalled_cycles,
        "waiting_for_operands": array.stalled_cycles - array.first_wait_cycles,
        "write_back": cycles - array.end_cycle,
    }


def feed_cycles(core: CoreTiming, tiling: Tiling, dataflow: str) -> tuple[Rows, Rows]:
    """Return the steps of every fold, and the cycles to write its held operand (both: folds), as the banks feed them.

    An operand vector has one element for every row or column, side by side, and vectors follow each other. InputError
    for banks that are not possible.
    """
    steps = tiling.steps.copy()
    load = np.full(len(steps), 0 if dataflow == "os" else core.array.load_cycles)
    if core.banks is None:
        return steps, load
    for lanes in (tiling.rows, tiling.columns) if dataflow == "os" else (tiling.rows,):
        for n in np.unique(lanes).tolist():
            taken = vector_cycles(core.banks, n * core.operand_bytes, int(tiling.steps[0]))
            fed = -(-taken // core.array.step_cycles)
            steps[lanes == n] = np.maximum(steps[lanes == n], fed)
    if dataflow != "os":
        for n, rows in np.unique(np.stack((tiling.columns, tiling.rows)), axis=1).T.tolist():
            lost = vector_cycles(core.banks, n * core.operand_bytes, rows) - rows
            load[(tiling.columns == n) & (tiling.rows == rows)] += lost
    return steps, load


def vector_cycles(banks: BankTiming, vector_bytes: int, n_vectors: int) -> int:
    """Return the cycles in which banks hand over vectors that lie one behind the other, one vector at a time."""
    row_bytes = banks.n_banks * banks.width_bytes
    period = row_bytes // gcd(vector_bytes, row_bytes)  # after so many, banks are hit as by the first
    sram = SramTiming(banks.n_banks, banks.width_bytes, banks.n_ports, 1, vector_bytes)
    finish = read_vectors(sram, np.arange(min(period, n_vectors), dtype=np.int64) * vector_bytes).finish_cycles
    whole, rest = divmod(n_vectors, len(finish))
    return whole * int(finish[-1]) + (int(finish[rest - 1]) if rest else 0)

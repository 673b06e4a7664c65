"""One core: a PE array, a scratchpad in two halves, and a memory behind it, as SimPy parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

from dieshot.chips.parts.array import ArrayTiming, SystolicArray
from dieshot.chips.parts.fold import Gemm
from dieshot.chips.parts.memory import Memory
from dieshot.chips.parts.scratchpad import N_TILE, STATIONARY_BYTES, STEPS, STREAM_BYTES, SUM_BYTES, Scratchpad
from dieshot.simulator.engine.port import Port
from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class CoreTiming:
    """A core: its array, the period of its clock, its scratchpad, and the width of operands and of stored sums."""

    array: ArrayTiming
    cycle_fs: int
    scratchpad_bytes: int
    operand_bytes: int = 2
    sum_bytes: int = 2


@dataclass(frozen=True)
class CoreRun:
    """What a GEMM came to: cycles until the last sum is in memory, and until the array's last MAC (exclusive)."""

    cycles: int
    array_cycles: int
    n_folds: int
    n_batches: int
    busy_pe_cycles: int
    utilization: float


def run_gemm(core: CoreTiming, memory: Memory, gemm: Gemm) -> CoreRun:
    """Run a weight-stationary GEMM whose operands lie in memory, to the last sum written back.

    Column tiles in turn, each down all of K; inputs are fetched once where all of them fit beside the two halves, else
    with every fold. InputError where one fold does not fit in half of the scratchpad.
    """
    resident_bytes = gemm.M * gemm.K * core.operand_bytes
    weight_bytes = core.array.n_pes * core.operand_bytes
    keeps_inputs = resident_bytes + 2 * weight_bytes <= core.scratchpad_bytes
    tiles = fold_tiles(core, gemm, keeps_inputs)
    half_bytes = (core.scratchpad_bytes - (resident_bytes if keeps_inputs else 0)) // 2
    bounds = batch_bounds(tiles, half_bytes, keeps_inputs)
    env = simpy.Environment()
    work, done = Port(env, 0), Port(env, 0)
    pad = Scratchpad(env, "scratchpad", memory, core.cycle_fs, tiles, bounds, work, done)
    array = SystolicArray(env, "array", core.array, True, work, done)
    env.run(until=pad.finished)
    cycles = max(array.end_cycle, -(-pad.stored_fs // core.cycle_fs))
    busy = gemm.M * gemm.N * gemm.n_kept * core.array.step_cycles
    return CoreRun(cycles, array.end_cycle, len(tiles), len(bounds) - 1, busy, busy / (core.array.n_pes * cycles))


def fold_tiles(core: CoreTiming, gemm: Gemm, keeps_inputs: bool) -> Rows:
    """Return what each fold moves and how long it streams: (folds, N_TILE)."""
    rows = _pieces(gemm.n_kept, core.array.rows)
    inputs = rows * gemm.group // gemm.kept
    columns = _pieces(gemm.N, core.array.columns)
    tiles = np.zeros((len(columns), len(rows), N_TILE), np.int64)
    tiles[:, :, STATIONARY_BYTES] = columns[:, None] * rows[None, :] * core.operand_bytes
    tiles[:, :, STREAM_BYTES] = gemm.M * inputs * core.operand_bytes
    tiles[:, :, STEPS] = gemm.M
    tiles[:, -1, SUM_BYTES] = gemm.M * columns * core.sum_bytes
    if keeps_inputs:
        tiles[1:, :, STREAM_BYTES] = 0
    return tiles.reshape(-1, N_TILE)


def batch_bounds(tiles: Rows, half_bytes: int, keeps_inputs: bool) -> Rows:
    """Return the first fold of every batch, and the number of folds: each batch fits in `half_bytes`."""
    held = tiles[:, STATIONARY_BYTES] + (0 if keeps_inputs else tiles[:, STREAM_BYTES])
    if int(held.max()) > half_bytes:
        problem = "a fold does not fit in half of the scratchpad"
        raise InputError(problem, value=f"{half_bytes} B", expected=f"at least {int(held.max())} B")
    total = np.cumsum(held)
    bounds = [0]
    while bounds[-1] < len(tiles):
        before = int(total[bounds[-1] - 1]) if bounds[-1] else 0
        bounds.append(int(np.searchsorted(total, before + half_bytes, side="right")))
    return np.array(bounds, np.int64)


def _pieces(extent: int, size: int) -> Rows:
    n = -(-extent // size)
    pieces = np.full(n, size, np.int64)
    pieces[-1] = extent - (n - 1) * size
    return pieces

"""GEMM kernels of a GPU: the CTAs of a tiling and the tiles that they load."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.gpu.gemm_tiling import (
    PARTIAL_BYTES,
    GemmShape,
    GemmTiling,
    conversion_ops,
    k_tile,
    matrix_cycles,
    n_stages,
    n_steps,
)
from dieshot.chips.mapping.gpu.machine import DTYPE_BYTES, GpuMachine
from dieshot.chips.parts.gpu.tile_kernel import TileKernel
from dieshot.kernels import sm

Rows = NDArray[np.int64]


def build(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> TileKernel:
    """Return the kernel of a tiling: one CTA a tile and split, in an order that keeps the reuse in the L2."""
    panels = _Panels(shape, tiling)
    ctas, classes = _ctas(machine, shape, tiling, panels)
    n_groups = tiling.n_groups
    stages = n_stages(machine, shape, tiling.rows, tiling.columns, tiling.swapped)
    macs = classes[:, sm.C_STEPS] * (classes[:, sm.C_MACS1] + classes[:, sm.C_MACS2])
    issued = int(macs[ctas[:, sm.K_CLASS]].sum()) * n_groups
    kept = shape.weights.kept(shape.k)
    skipped = {"skipped_macs": shape.m * shape.n * (shape.k - kept)} if shape.weights.sparse else {}
    return TileKernel(
        name=f"gemm {shape.m}x{shape.n}x{shape.k} {shape.label()} {tiling.label()}",
        kind="gemm",
        classes=classes,
        ctas=ctas,
        tile_bytes=panels.tile_bytes,
        resident=panels.resident(shape),
        n_stages=stages,
        n_groups=n_groups,
        slots_per_sm=1,
        persistent=True,
        fj_per_amount=machine.energies(shape.dtype),
        prologue_fs=machine.matrix_prologue_fs,
        counters={"macs": shape.m * shape.n * kept, "macs_issued": issued} | skipped,
    )


class _Panels:
    """Tiles of both operands: every row panel of X and column panel of W, cut along K. Ids run along K first."""

    def __init__(self, shape: GemmShape, tiling: GemmTiling) -> None:
        step = k_tile(shape)
        self.n_k = n_steps(shape)
        k_sizes = np.minimum(step, shape.k - step * np.arange(self.n_k))
        along_m = tiling.columns if tiling.swapped else tiling.rows
        along_n = tiling.rows if tiling.swapped else tiling.columns
        self.m_sizes = [_cut(rows, along_m) for rows in shape.group_rows]
        self.n_sizes = _cut(shape.n, along_n)
        m_all = np.concatenate(self.m_sizes)
        self.n_x_tiles = len(m_all) * self.n_k
        x_tiles = (m_all[:, None] * k_sizes[None, :] * DTYPE_BYTES[shape.dtype]).ravel()
        w_row_bytes = np.asarray([shape.weights.row_bytes(k) for k in k_sizes.tolist()], np.int64)
        w_tiles = (self.n_sizes[:, None] * w_row_bytes[None, :]).ravel()
        active = [rows for rows in shape.group_rows if rows]
        self.tile_bytes = np.concatenate([x_tiles] + [w_tiles] * len(active)).astype(np.int64)

    def resident(self, shape: GemmShape) -> Rows:
        """Return the tiles of X that are in the L2 at the start: the last ones written."""
        sizes = self.tile_bytes[: self.n_x_tiles]
        from_end = np.cumsum(sizes[::-1])[::-1]
        return np.flatnonzero(from_end <= shape.resident_x_bytes).astype(np.int64)


def _cut(length: int, piece: int) -> Rows:
    n = -(-length // piece)
    return np.minimum(piece, length - piece * np.arange(n)).astype(np.int64)


def _raster(tiles_m: int, tiles_n: int, side: int) -> tuple[Rows, Rows]:
    """Return (m, n) of all tiles in bands of `side` tiles along M, M fastest within a band."""
    band = np.arange(tiles_m) // side
    m_parts: list[Rows] = []
    n_parts: list[Rows] = []
    for index in range(int(band[-1]) + 1):
        rows = np.flatnonzero(band == index)
        m_parts.append(np.tile(rows, tiles_n))
        n_parts.append(np.repeat(np.arange(tiles_n), len(rows)))
    return np.concatenate(m_parts).astype(np.int64), np.concatenate(n_parts).astype(np.int64)


def _band(machine: GpuMachine, tiling: GemmTiling) -> int:
    """Return the band height (tiles along M) that makes the CTAs running at one time cover a square of the output."""
    along_m = tiling.columns if tiling.swapped else tiling.rows
    along_n = tiling.rows if tiling.swapped else tiling.columns
    return max(1, round(math.sqrt(machine.timing.n_sms * along_n / along_m)))


def _ctas(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling, panels: _Panels) -> tuple[Rows, Rows]:
    kinds: dict[tuple[int, int, int, int], int] = {}
    rows: list[Rows] = []
    first_m_panel = 0
    expert = 0
    split_steps = _split_steps(panels.n_k, tiling.split)
    for sizes in panels.m_sizes:
        if len(sizes) == 0:
            continue
        m, n = _raster(len(sizes), len(panels.n_sizes), _band(machine, tiling))
        first_w = panels.n_x_tiles + expert * len(panels.n_sizes) * panels.n_k
        for start, steps in split_steps:
            block = np.full((len(m), sm.N_CTA), -1, np.int64)
            block[:, sm.K_TILE_A] = (first_m_panel + m) * panels.n_k + start
            block[:, sm.K_TILE_B] = first_w + n * panels.n_k + start
            last = int(start + steps == panels.n_k)
            block[:, sm.K_CLASS] = _classify(sizes[m], panels.n_sizes[n], steps, last, kinds)
            rows.append(block)
        first_m_panel += len(sizes)
        expert += 1
    ctas = _interleave(rows, tiling.split)
    classes = np.zeros((len(kinds), sm.N_CLASS), np.int64)
    for (size_m, size_n, steps, last), index in kinds.items():
        classes[index] = _class_row(machine, shape, tiling, (size_m, size_n), steps, bool(last))
    return ctas, classes


def _interleave(blocks: Sequence[Rows], split: int) -> Rows:
    """Put the splits of one tile next to each other, so that they run at the same time."""
    if split == 1:
        return np.concatenate(blocks)
    parts = [np.stack(blocks[i : i + split], axis=1).reshape(-1, sm.N_CTA) for i in range(0, len(blocks), split)]
    return np.ascontiguousarray(np.concatenate(parts))


def _split_steps(n_k: int, split: int) -> list[tuple[int, int]]:
    edges = [n_k * i // split for i in range(split + 1)]
    return [(edges[i], edges[i + 1] - edges[i]) for i in range(split)]


def _classify(size_m: Rows, size_n: Rows, steps: int, last: int, kinds: dict[tuple[int, int, int, int], int]) -> Rows:
    pairs, inverse = np.unique(np.stack((size_m, size_n), axis=1), axis=0, return_inverse=True)
    ids = [kinds.setdefault((int(a), int(b), steps, last), len(kinds)) for a, b in pairs]
    return np.asarray(ids, np.int64)[inverse.ravel()]


def _class_row(
    machine: GpuMachine, shape: GemmShape, tiling: GemmTiling, size: tuple[int, int], steps: int, has_k_end: bool
) -> Rows:
    row = np.zeros(sm.N_CLASS, np.int64)
    step = k_tile(shape)
    end = shape.k - step * (n_steps(shape) - 1) if has_k_end else step
    x_bytes, weights = DTYPE_BYTES[shape.dtype], shape.weights
    n_groups = tiling.n_groups
    for k, read, into in ((step, sm.C_READ, sm.C_IN), (end, sm.C_READ_LAST, sm.C_IN_LAST)):
        small, large = sorted((size[0] * k * x_bytes, size[1] * weights.row_bytes(k)))
        row[into] = small + large
        row[read] = small + large // tiling.cluster
    # Weights in another format than the operands' pass the vector unit first, and the matrix unit's turn is the second.
    time, macs = (sm.C_TENSOR2, sm.C_MACS2) if weights.converted else (sm.C_TENSOR1, sm.C_MACS1)
    n_converting = -(-conversion_ops(machine, shape, tiling) // n_groups)
    row[sm.C_STEPS] = steps
    row[sm.C_SIMT] = machine.fs(n_converting / machine.fma_rate)
    row[sm.C_OPS] = n_converting
    row[time] = machine.fs(matrix_cycles(machine, shape, tiling) / n_groups)
    row[macs] = tiling.rows * tiling.columns * weights.kept(step) // n_groups
    out_bytes = PARTIAL_BYTES if tiling.split > 1 else shape.output_bytes_per_element
    ops = int(tiling.rows * tiling.columns * machine.epilogue_ops_per_element) // n_groups
    row[sm.C_EPILOGUE] = machine.fs(ops / machine.fma_rate)
    row[sm.C_EPILOGUE_OPS] = ops
    row[sm.C_STORE] = -(-size[0] * size[1] * out_bytes // n_groups)
    return row

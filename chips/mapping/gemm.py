"""GEMM on a GPU: candidates for tile, orientation, split and cluster, ranked by closed form, and their CTAs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.machine import DTYPE_BYTES, GROUP_ROWS, GpuMachine
from dieshot.chips.mapping.weights import WeightLayout
from dieshot.chips.parts.tile_kernel import TileKernel
from dieshot.kernels import sm

K_TILE_BYTES = 128  # one swizzle atom of shared memory
MAX_STAGES = 8
NARROW_ROWS = (16, 32)
WIDE_ROWS = (64, 128)
COLUMNS = (8, 16, 32, 64, 96, 128, 160, 192, 224, 256)
SPLITS = (1, 2, 3, 4, 6, 8, 16)
PARTIAL_BYTES = 4  # partial sums are fp32

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GemmShape:
    """Y (M x N) = X (M x K) W (K x N), the weights private to each of the groups (experts) with M_g rows."""

    group_rows: tuple[int, ...]
    n: int
    k: int
    dtype: str
    weights: WeightLayout
    output_bytes_per_element: int
    resident_x_bytes: int = 0

    @property
    def m(self) -> int:
        """Rows of all groups."""
        return sum(self.group_rows)

    def label(self) -> str:
        """Return the formats: of X, of the weights where they differ, and whether these are sparse."""
        stored = f" x {self.weights.dtype}" if self.weights.converted else ""
        return f"{self.dtype}{stored}{' 2:4' if self.weights.sparse else ''}"


@dataclass(frozen=True, slots=True)
class GemmTiling:
    """One way to cut a GEMM: tile of `rows` x `columns` (rows along N when `swapped`), K in `split` parts."""

    rows: int
    columns: int
    swapped: bool
    split: int
    cluster: int

    @property
    def n_groups(self) -> int:
        """Groups of warps that share a tile."""
        return max(1, self.rows // GROUP_ROWS)

    def label(self) -> str:
        """Return a short name."""
        side = "nm" if self.swapped else "mn"
        return f"{self.rows}x{self.columns}{side} split {self.split} cluster {self.cluster}"


def candidates(machine: GpuMachine, shape: GemmShape) -> list[GemmTiling]:
    """Return the most promising tilings by the closed form, best first; as many as are to be simulated."""
    ranked = sorted(
        _possible(machine, shape), key=lambda tiling: (estimate_cycles(machine, shape, tiling), tiling.label())
    )
    return ranked[: machine.candidates_simulated]


def _possible(machine: GpuMachine, shape: GemmShape) -> Iterator[GemmTiling]:
    # The compressed operand of a sparse instruction is its rows.
    for swapped in (True,) if shape.weights.sparse else (False, True):
        across = max(shape.group_rows) if swapped else shape.n
        for rows in NARROW_ROWS + WIDE_ROWS:
            if rows < GROUP_ROWS and not swapped and max(shape.group_rows) > rows:
                continue
            for columns in COLUMNS:
                if columns >= 2 * across and columns > COLUMNS[0]:
                    continue
                if rows < GROUP_ROWS and columns > GROUP_ROWS:
                    continue
                if n_stages(machine, shape, rows, columns, swapped) < 2:
                    continue
                for split in SPLITS:
                    if split > 1 and n_steps(shape) < 4 * split:
                        continue
                    for cluster in (1, 2):
                        tiling = GemmTiling(rows, columns, swapped, split, cluster)
                        if cluster == 1 or min(_grid(shape, tiling)) >= cluster:
                            yield tiling


def k_tile(shape: GemmShape) -> int:
    """Return the elements of K that one step covers."""
    return K_TILE_BYTES // DTYPE_BYTES[shape.dtype]


def n_steps(shape: GemmShape) -> int:
    """Return the steps over all of K."""
    return -(-shape.k // k_tile(shape))


def n_stages(machine: GpuMachine, shape: GemmShape, rows: int, columns: int, swapped: bool) -> int:
    """Return how many steps fit in shared memory, converted weights included, beside the output's staging buffer."""
    staging = min(rows * columns * shape.output_bytes_per_element, machine.shared_memory_bytes // 4)
    n_weight_rows, n_x_rows = (rows, columns) if swapped else (columns, rows)
    step_bytes = n_weight_rows * shape.weights.operand_row_bytes(k_tile(shape)) + n_x_rows * K_TILE_BYTES
    return min(MAX_STAGES, (machine.shared_memory_bytes - staging) // step_bytes)


def _grid(shape: GemmShape, tiling: GemmTiling) -> tuple[int, int]:
    """Return tiles along M (all groups) and along N."""
    along_m = tiling.columns if tiling.swapped else tiling.rows
    along_n = tiling.rows if tiling.swapped else tiling.columns
    return sum(-(-rows // along_m) for rows in shape.group_rows), -(-shape.n // along_n)


def estimate_cycles(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> float:
    """Return the closed-form estimate by which candidates are ranked: waves of CTAs against DRAM and L2 traffic."""
    tiles_m, tiles_n = _grid(shape, tiling)
    n_sms = machine.timing.n_sms
    n_ctas = tiles_m * tiles_n * tiling.split
    steps = -(-n_steps(shape) // tiling.split)
    matrix = _matrix_cycles(machine, shape, tiling)
    convert = _conversion_ops(machine, shape, tiling) / machine.fma_rate
    share = min(1.0, n_ctas / n_sms)
    load, read = _load_bytes(shape, tiling)
    per_step = max(
        # Groups of warps convert and multiply in turns; one alone does one after the other.
        max(matrix, convert) if tiling.n_groups > 1 else matrix + convert,
        load / machine.ingress_bytes_per_cycle,
        read * n_sms * share / machine.l2_bytes_per_cycle,
    )
    waves = -(-n_ctas // n_sms)
    epilogue = tiling.rows * tiling.columns * machine.epilogue_ops_per_element / machine.fma_rate
    compute = waves * (steps * per_step + epilogue)
    busiest = max(compute, _dram_cycles(machine, shape, tiling))
    return busiest + _latency_cycles(machine) + _reduce_cycles(machine, shape, tiling)


def _latency_cycles(machine: GpuMachine) -> float:
    """Return what the first data take, and the refresh that the last of them may meet."""
    timing = machine.timing
    way_fs = timing.send_fs + timing.lookup_fs + timing.hbm.idle_latency_fs + timing.respond_fs
    return (way_fs + timing.hbm.refresh_fs) / timing.period_fs


def _dram_cycles(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> float:
    element = DTYPE_BYTES[shape.dtype]
    active = sum(1 for rows in shape.group_rows if rows)
    unique = active * shape.n * shape.weights.row_bytes(shape.k) + shape.m * shape.k * element
    return unique / machine.hbm_bytes_per_cycle


def _reduce_cycles(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> float:
    if tiling.split == 1:
        return 0.0
    timing = machine.timing
    launch = (timing.launch_fs + timing.drain_fs) / timing.period_fs + _latency_cycles(machine)
    return launch + tiling.split * shape.m * shape.n * PARTIAL_BYTES / machine.l2_bytes_per_cycle


def _load_bytes(shape: GemmShape, tiling: GemmTiling) -> tuple[int, int]:
    """Return the bytes that a CTA takes in for one step, and those of them that it reads from the L2 itself.

    In a cluster the larger operand is read once for all.
    """
    n_weight_rows, n_x_rows = (tiling.rows, tiling.columns) if tiling.swapped else (tiling.columns, tiling.rows)
    small, large = sorted((n_weight_rows * shape.weights.row_bytes(k_tile(shape)), n_x_rows * K_TILE_BYTES))
    return small + large, small + large // tiling.cluster


def _matrix_cycles(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> float:
    """Return the cycles of the matrix unit for one step of a tile, all groups of warps together."""
    step = k_tile(shape)
    sparse_row_bytes = shape.weights.operand_row_bytes(step) if shape.weights.sparse else 0
    cycles = machine.matrix_cycles(tiling.rows, tiling.columns, step, shape.dtype, sparse_row_bytes)
    return cycles + machine.matrix_issue_overhead_cycles


def _conversion_ops(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> int:
    """Return the operations of the vector unit that bring one step's weights into the operands' format."""
    if not shape.weights.converted:
        return 0
    n_rows = tiling.rows if tiling.swapped else tiling.columns
    return int(n_rows * shape.weights.kept(k_tile(shape)) * machine.conversion_ops_per_weight)


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
    conversion_ops = -(-_conversion_ops(machine, shape, tiling) // n_groups)
    row[sm.C_STEPS] = steps
    row[sm.C_SIMT] = machine.fs(conversion_ops / machine.fma_rate)
    row[sm.C_OPS] = conversion_ops
    row[time] = machine.fs(_matrix_cycles(machine, shape, tiling) / n_groups)
    row[macs] = tiling.rows * tiling.columns * weights.kept(step) // n_groups
    out_bytes = PARTIAL_BYTES if tiling.split > 1 else shape.output_bytes_per_element
    ops = int(tiling.rows * tiling.columns * machine.epilogue_ops_per_element) // n_groups
    row[sm.C_EPILOGUE] = machine.fs(ops / machine.fma_rate)
    row[sm.C_EPILOGUE_OPS] = ops
    row[sm.C_STORE] = -(-size[0] * size[1] * out_bytes // n_groups)
    return row

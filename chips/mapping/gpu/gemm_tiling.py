"""How a GPU can cut a GEMM: tile, orientation, split and cluster, ranked by closed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dieshot.chips.mapping.gpu.machine import DTYPE_BYTES, GROUP_ROWS, GpuMachine
from dieshot.chips.mapping.gpu.weights import WeightLayout

K_TILE_BYTES = 128  # one swizzle atom of shared memory
MAX_STAGES = 8
NARROW_ROWS = (16, 32)
WIDE_ROWS = (64, 128)
COLUMNS = (8, 16, 32, 64, 96, 128, 160, 192, 224, 256)
SPLITS = (1, 2, 3, 4, 6, 8, 16)
PARTIAL_BYTES = 4  # partial sums are fp32


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
    matrix = matrix_cycles(machine, shape, tiling)
    convert = conversion_ops(machine, shape, tiling) / machine.fma_rate
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


def matrix_cycles(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> float:
    """Return the cycles of the matrix unit for one step of a tile, all groups of warps together."""
    step = k_tile(shape)
    sparse_row_bytes = shape.weights.operand_row_bytes(step) if shape.weights.sparse else 0
    cycles = machine.matrix_cycles(tiling.rows, tiling.columns, step, shape.dtype, sparse_row_bytes)
    return cycles + machine.matrix_issue_overhead_cycles


def conversion_ops(machine: GpuMachine, shape: GemmShape, tiling: GemmTiling) -> int:
    """Return the operations of the vector unit that bring one step's weights into the operands' format."""
    if not shape.weights.converted:
        return 0
    n_rows = tiling.rows if tiling.swapped else tiling.columns
    return int(n_rows * shape.weights.kept(k_tile(shape)) * machine.conversion_ops_per_weight)

"""The GPU as a kernel author sees it: rates in cycles, sizes in bytes, costs of the software; plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dieshot.chips.parts.gpu.tile_kernel import DieTiming

DTYPE_BYTES: Mapping[str, int] = {"fp8": 1, "int8": 1, "bf16": 2, "fp16": 2, "fp32": 4}
GROUP_ROWS = 64  # rows of one warp-group instruction


@dataclass(frozen=True, slots=True)
class GpuMachine:
    """Rates per SM and cycle, capacities, and software costs of one GPU (see chips/parameters/gpu.py)."""

    timing: DieTiming
    mac_rate: Mapping[str, int]
    sparse_gain: int
    sparse_index_bits: int
    warp_mma_fraction: float
    fma_rate: int
    transcendental_rate: int
    shared_memory_bytes: int
    shared_memory_bytes_per_cycle: int
    ingress_bytes_per_cycle: int
    l2_bytes_per_cycle: float
    hbm_bytes_per_cycle: float
    resident_ctas: int
    epilogue_ops_per_element: float
    softmax_ops_per_score: float
    rope_ops_per_element: float
    elementwise_ops_factor: float
    conversion_ops_per_weight: float
    matrix_issue_overhead_cycles: int
    matrix_prologue_fs: int
    attention_prologue_fs: int
    candidates_simulated: int
    fj_per_mac: Mapping[str, int]
    fj_per_op: int
    fj_per_fill_byte: int
    fj_per_l2_byte: int
    fj_per_hbm_byte: int

    def fs(self, cycles: float) -> int:
        """Return the time of a number of SM cycles, rounded up to whole cycles, in fs."""
        whole = int(cycles)
        return (whole + (cycles > whole)) * self.timing.period_fs

    def matrix_cycles(self, rows: int, columns: int, k: int, dtype: str, sparse_row_bytes: int = 0) -> float:
        """Return the cycles in which the matrix unit multiplies (rows x k) by (k x columns) out of shared memory.

        Warp-group instructions of 64 rows read both operands from shared memory, which bounds narrow tiles; tiles below
        64 rows use warp-level instructions at a fraction of the rate. sparse_row_bytes: of one of the rows where they
        are 2:4-compressed, 0 where they are not.
        """
        column_bytes = k * DTYPE_BYTES[dtype]
        rate = self.mac_rate[dtype] * (self.sparse_gain if sparse_row_bytes else 1)
        if rows < GROUP_ROWS:
            return rows * columns * k / (rate * self.warp_mma_fraction)
        n_groups = rows // GROUP_ROWS
        multiply = GROUP_ROWS * columns * k / rate
        read_bytes = GROUP_ROWS * (sparse_row_bytes or column_bytes) + columns * column_bytes
        return n_groups * max(multiply, read_bytes / self.shared_memory_bytes_per_cycle)

    def energies(self, dtype: str | None) -> dict[str, int]:
        """Return the event energies by component kind for matrix work in `dtype`."""
        return {
            "tensor": self.fj_per_mac[dtype] if dtype is not None else 0,
            "simt": self.fj_per_op,
            "copy": self.fj_per_fill_byte,
            "l2": self.fj_per_l2_byte,
            "hbm_channel": self.fj_per_hbm_byte,
        }

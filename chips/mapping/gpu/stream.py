"""Memory-bound kernels: CTAs that stream chunks in, work on them in the vector unit and store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.gpu.machine import GpuMachine
from dieshot.chips.parts.gpu.tile_kernel import TileKernel
from dieshot.kernels import sm

CHUNK_BYTES = 16384

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StreamShape:
    """Bytes in (of which `resident_bytes` are in the L2), bytes out, issue slots and transcendental operations,
    CTAs."""

    name: str
    kind: str
    read_bytes: int
    write_bytes: int
    ops: int
    transcendental_ops: int
    n_ctas: int
    resident_bytes: int = 0


def chunks(read_bytes: int, write_bytes: int) -> int:
    """Return how many CTAs of the usual chunk a stream of this size is cut into."""
    return max(1, -(-max(read_bytes, write_bytes) // CHUNK_BYTES))


def _spread(total: int, n: int) -> Rows:
    """Return n parts of `total` that differ by at most one, larger ones first."""
    parts = np.full(n, total // n, np.int64)
    parts[: total % n] += 1
    return parts


def build(machine: GpuMachine, shape: StreamShape) -> TileKernel:
    """Return the kernel of a stream: one step a CTA, several CTAs resident on an SM."""
    n = shape.n_ctas
    parts = np.stack([_spread(total, n) for total in (shape.read_bytes, shape.write_bytes)], axis=1)
    sizes, kind = np.unique(parts, axis=0, return_inverse=True)
    classes = np.zeros((len(sizes), sm.N_CLASS), np.int64)
    classes[:, sm.C_STEPS] = 1
    for column in (sm.C_READ, sm.C_READ_LAST, sm.C_IN, sm.C_IN_LAST):
        classes[:, column] = sizes[:, 0]
    ops = -(-shape.ops // n)
    cycles = ops / machine.fma_rate + shape.transcendental_ops / n / machine.transcendental_rate
    classes[:, sm.C_SIMT] = max(machine.fs(cycles), machine.timing.period_fs)
    classes[:, sm.C_OPS] = ops + -(-shape.transcendental_ops // n)
    classes[:, sm.C_STORE] = sizes[:, 1]
    ctas = np.full((n, sm.N_CTA), -1, np.int64)
    ctas[:, sm.K_CLASS] = kind.ravel()
    ctas[:, sm.K_TILE_A] = np.arange(n)
    from_end = np.cumsum(parts[::-1, 0])[::-1]
    return TileKernel(
        name=shape.name,
        kind=shape.kind,
        classes=classes,
        ctas=ctas,
        tile_bytes=np.maximum(parts[:, 0], 1),
        resident=np.flatnonzero(from_end <= shape.resident_bytes).astype(np.int64),
        n_stages=1,
        n_groups=1,
        slots_per_sm=machine.resident_ctas,
        persistent=False,
        fj_per_amount=machine.energies(None),
    )

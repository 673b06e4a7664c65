"""A photonic chip as its compiler sees it: rates, room and costs of code; plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parameters.photonic import PhotonicParameters
from dieshot.chips.parts.photonic.program import NONE, PhotonicTiming, Step, no_runs
from dieshot.kernels.photonic import CORE, COUNT, N_RUN, SETTLE, VECTORS, WRITE
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.traces.dtype import DTYPE_BITS

Rows = NDArray[np.int64]

SUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class Draft:
    """A step before it is placed in a program; fields as of Step, `after` counts from the plan's first step, -1: none.

    share: of the operator's weights that are loaded; the plan turns shares into bytes that add up.
    """

    share: int = 0
    load: int = 0
    gated: bool = False
    runs: Rows = field(default_factory=no_runs)
    streamed: bool = False
    after: int = NONE
    ops: float = 0.0
    transcendental: float = 0.0
    store: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to carry out an operator: its steps, AFTER counting from the first of them, and its name."""

    name: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class PhotonicMachine:
    """Parameters and timing of a chip, and what follows from both."""

    p: PhotonicParameters
    timing: PhotonicTiming

    @property
    def rows(self) -> int:
        """Inputs of an array."""
        return self.p.array.rows

    @property
    def columns(self) -> int:
        """Outputs of an array."""
        return self.p.array.columns

    @property
    def host_bytes_per_s(self) -> int:
        """What the host's memory and the link both move."""
        host = self.timing.host
        return min(host.memory_bytes_per_s, host.link_bytes_per_s)

    def write_fs(self, rows: int, columns: int) -> int:
        """Return the time in which the converters of one array write a block."""
        return -(-rows * columns // self.p.weights.lanes) * FS_PER_SECOND // self.p.weights.rate

    def vector_fs(self, ops: float, transcendental: float) -> int:
        """Return the time of the lanes for a tile; arithmetic and transcendental functions have units of their own."""
        vector = self.p.vector
        if not ops and not transcendental:
            return 0
        cycles = max(ops / vector.rate, transcendental / vector.transcendental_rate) + vector.overhead
        return int(-(-cycles * FS_PER_SECOND // self.p.clock))

    def spilled(self, n_bytes: int) -> int:
        """Return how many bytes of a tensor are kept in the host's memory between operators."""
        return n_bytes if n_bytes > self.p.sram.activations // 2 else 0

    def run(self, core: int, vectors: int, count: int, rows: int, columns: int, write: bool = True) -> list[int]:
        """Return a run of blocks on a core; unless they are written, they are those that passed last."""
        write_fs, settle_fs = (self.write_fs(rows, columns), self.p.weights.settle) if write else (0, 0)
        return [core, vectors, write_fs, settle_fs, count, rows, columns]

    def plan(self, name: str, drafts: Sequence[Draft], weight_bytes: int = 0) -> Plan:
        """Return drafts as steps that load `weight_bytes` by their shares, exactly."""
        shares = np.array([draft.share for draft in drafts], np.float64)
        loads = _divided(weight_bytes, shares)
        steps = []
        for draft, weights in zip(drafts, loads, strict=True):
            load = weights + draft.load
            hold = min(load, self.timing.weight_sram_bytes) if len(draft.runs) else 0
            fs = self.vector_fs(draft.ops, draft.transcendental)
            ops = int(draft.ops + draft.transcendental)
            steps.append(
                Step(0, load, draft.gated, hold, draft.runs, draft.streamed, draft.after, fs, ops, draft.store)
            )
        return Plan(name, tuple(steps))

    def bound_fs(self, plan: Plan) -> int:
        """Return what a plan takes at least: of arrays, lanes and host the one that is busy longest."""
        runs = np.concatenate([step.runs for step in plan.steps])
        busy = runs[:, VECTORS] * self.timing.issue_fs + runs[:, SETTLE]
        each = np.maximum(busy, runs[:, WRITE]) if self.timing.buffers == 2 else busy + runs[:, WRITE]
        arrays = np.bincount(runs[:, CORE], weights=(runs[:, COUNT] * each).astype(np.float64))
        host = sum(step.load + step.store for step in plan.steps) * FS_PER_SECOND // self.host_bytes_per_s
        return max(int(arrays.max(initial=0.0)), sum(step.vector_fs for step in plan.steps), host)

    def value_bits(self, dtype: str) -> int:
        """Return the bits of a value in SRAM."""
        return DTYPE_BITS[dtype]


def stacked(runs: Sequence[Sequence[int]]) -> Rows:
    """Return runs as rows."""
    return np.array(runs, np.int64).reshape(-1, N_RUN)


def pieces(total: int, most: int) -> list[int]:
    """Return a length in pieces of at most `most`, the last one shorter."""
    return [min(most, total - first) for first in range(0, total, most)]


def _divided(total: int, shares: NDArray[np.float64]) -> list[int]:
    """Return whole parts of a total in proportion to shares; without shares the first has all."""
    if not shares.any():
        return [total, *[0] * (len(shares) - 1)]
    ends = np.floor(total * (np.cumsum(shares) / shares.sum())).astype(np.int64)
    ends[-1] = total
    return [int(part) for part in np.diff(ends, prepend=0)]

"""A compiled stretch of operators as the parts of a systolic chip see it: steps in program order, and their timing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.core.array import ArrayTiming
from dieshot.chips.parts.memory.hbm import HbmDesign

Rows = NDArray[np.int64]

# One step of the program: a tile that is loaded, multiplied, worked on by the vector lanes and stored, each if any.
# OPERATOR: number of its operator. LOAD: bytes from HBM, of the whole chip. GATED: whether they are there only when
# the operator before is done. HOLD: bytes of the scratchpads from the load to the end of the step. FOLDS: of one array,
# each of STREAM cycles and with LOAD_CYCLES of weights. MACS: of the whole chip, padding included. AFTER: step whose
# results this one needs (NONE: those of the operator before). WAIT: fs from there. VECTOR: fs of the lanes. OPS: their
# operations, chip. STORE: bytes to HBM, chip. TOUCHED, WORKED: bytes between scratchpads
# and arrays, and lanes, chip.
(OPERATOR, LOAD, GATED, HOLD, FOLDS, STREAM, LOAD_CYCLES, MACS, AFTER, WAIT, VECTOR, OPS, STORE, TOUCHED,
 WORKED, N_STEP) = range(16)  # fmt: skip
NONE = -1


@dataclass(frozen=True, slots=True)
class DmaTiming:
    """Engines that move data between HBM and the scratchpads. slots: transfers under way on all engines together."""

    engines: int
    slots: int
    transfer_bytes: int
    overhead_fs: int
    fs_per_mib: int

    def occupancy_fs(self, n_bytes: int) -> int:
        """Return how long a transfer keeps its engine's data path."""
        return -(-n_bytes * self.fs_per_mib >> 20)

    def transfer_fs(self, n_bytes: int) -> int:
        """Return how long a transfer takes an engine with nothing else to do, where the memory does not delay it."""
        return self.overhead_fs + self.occupancy_fs(n_bytes)


@dataclass(frozen=True, slots=True)
class SystolicTiming:
    """What the parts of the chip need to know, in plain integers. array: of each of the arrays, all alike.

    vmem_bytes, vmem_fs_per_mib: of the scratchpads together. vmem_access_fs: before the first data of a tile.
    """

    period_fs: int
    array: ArrayTiming
    vmem_bytes: int
    vmem_fs_per_mib: int
    vmem_access_fs: int
    dma: DmaTiming
    hbm: HbmDesign
    drain_fs: int

    @property
    def quantum_fs(self) -> int:
        """The longest window in which a request of a DMA engine cannot have been answered."""
        return self.hbm.least_latency_fs


@dataclass(frozen=True, slots=True)
class CoreProgram:
    """steps (n, N_STEP), those of one operator together. issue_fs (operators): from the end of the one before to its
    begin; exchange_fs (operators): from its last step to its end, results handed on between cores. resident_bytes:
    of the scratchpads, what tensors take."""

    steps: Rows
    issue_fs: tuple[int, ...]
    exchange_fs: tuple[int, ...]
    resident_bytes: int = 0

    @property
    def last_step(self) -> Rows:
        """The last step of every operator."""
        return np.searchsorted(self.steps[:, OPERATOR], np.arange(len(self.issue_fs)), side="right") - 1

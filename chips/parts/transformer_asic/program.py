"""A stretch of fused groups as the parts of the die see it: steps in the order of the program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.core.array import ArrayTiming
from dieshot.chips.parts.systolic.core_program import GATED, HOLD, LOAD, CoreProgram, SystolicTiming
from dieshot.chips.parts.systolic.core_program import OPERATOR as GROUP

Rows = NDArray[np.int64]

# One step: a tile that is loaded, multiplied, passed on to a unit and stored, each if any. GROUP, LOAD, GATED and HOLD
# are those of the systolic program, a group in place of an operator: what the DMA engines look at. FOLDS: of one array,
# each of STREAM cycles and with LOAD_CYCLES of weights. MACS: passes of the multipliers on the whole die, padding
# included. IN_BLOCKS: whether the arrays are split, with the shorter ways of a block. EARLY: whether every fold gives
# results, and not the last one alone. AFTER: step whose results this one takes in as they come (NONE: what is loaded).
# CHAIN: cycles over which it takes all of them in for the first time. UNIT: number of the unit behind the arrays, or by
# itself without folds (NONE: no unit), for UNIT_CYCLES and OPS operations. STORE: bytes to HBM. RELEASE: bytes of the
# SRAM that it gives back. TOUCHED, WORKED: bytes between SRAM and arrays, and units.
(FOLDS, STREAM, LOAD_CYCLES, MACS, IN_BLOCKS, EARLY, AFTER, CHAIN, UNIT, UNIT_CYCLES, OPS, STORE, RELEASE, TOUCHED,
 WORKED, N_STEP) = range(4, 20)  # fmt: skip
NONE = -1

NORM, ROPE, SOFTMAX, ACTIVATION, ROUTER, N_UNITS = range(6)
UNIT_NAMES = ("norm", "rope", "softmax", "activation", "router")

__all__ = ["GATED", "GROUP", "HOLD", "LOAD"]


@dataclass(frozen=True, slots=True)
class DieTiming:
    """core: what arrays, SRAM, DMA engines and memory need to know. block: of a split one. latency_cycles: of units."""

    core: SystolicTiming
    block: ArrayTiming
    latency_cycles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupTimes:
    """When a group began to multiply, handed out its last result of the arrays, and was over (fs)."""

    begin_fs: int
    multiplied_fs: int
    end_fs: int


def fused_program(steps: Rows, issue_fs: tuple[int, ...], resident_bytes: int) -> CoreProgram:
    """Return the program of steps; issue_fs (groups): of setting up each group."""
    return CoreProgram(steps, issue_fs, (0,) * len(issue_fs), resident_bytes)

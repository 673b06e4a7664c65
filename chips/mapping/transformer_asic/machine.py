"""The die as what orders its work sees it: rates, room, what it refuses; and the steps of a program under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dieshot.chips.parameters.transformer_asic import TransformerAsicParameters
from dieshot.chips.parts.transformer_asic import program
from dieshot.chips.parts.transformer_asic.program import AFTER, N_STEP, NONE, UNIT, UNIT_NAMES, DieTiming, Rows
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.operator import Operator

SPILL_SHARE = 12  # a tensor that takes more than this part of the SRAM is kept in HBM
ROWS_SHARE = 4  # rows of a wave, normed and narrowed, take at most this part
TURN_SHARE = 16  # keys and values of a turn of the attention loop, or rows that stream in, take at most this part
KINDS = (
    "embedding",
    "norm",
    "gemm",
    "grouped_gemm",
    "rope_kv_append",
    "attention",
    "activation",
    "route",
    "moe_combine",
    "sample",
)
MATRIX_KINDS = ("gemm", "grouped_gemm")


@dataclass(frozen=True, slots=True)
class AsicMachine:
    """Parameters and timing of a die, and what follows from both."""

    p: TransformerAsicParameters
    timing: DieTiming

    @property
    def sram_bytes(self) -> int:
        """Room on the die."""
        return self.p.sram.capacity

    @property
    def n_blocks(self) -> int:
        """Blocks of all arrays that attention works on."""
        return self.p.array.count * self.p.array.split**2

    @property
    def pes(self) -> int:
        """PEs of all arrays."""
        return self.p.array.count * self.p.array.rows * self.p.array.columns

    def passes(self, dtype: str, weight_dtype: str) -> int:
        """Return how often a multiplication of two formats goes through a PE."""
        each: dict[str, int] = {"fp8": self.p.array.passes.fp8, "bf16": self.p.array.passes.bf16}
        return each[dtype] * each[weight_dtype]

    def spilled(self, n_bytes: int) -> int:
        """Return how many bytes of a tensor go through HBM."""
        return n_bytes if n_bytes > self.sram_bytes // SPILL_SHARE else 0

    def unit_cycles(self, unit: int, elements: int) -> int:
        """Return the cycles that a unit takes elements in."""
        return int(-(-elements // getattr(self.p.units, UNIT_NAMES[unit]).rate))


def refuse(machine: AsicMachine, operator: Operator) -> None:
    """Raise UnsupportedError for an operator without a unit, or a format that the arrays do not take."""
    name, formats = machine.p.name, ("bf16", "fp8")
    if operator.kind not in KINDS:
        raise UnsupportedError(
            f"{name} has no unit for {operator.kind} (operator {operator.name}); its operators are {', '.join(KINDS)}"
        )
    used = {operator.dtype} if operator.macs else set()
    used |= {dtype for dtype in (operator.weight_dtype if operator.macs else None, operator.kv_dtype) if dtype}
    for dtype in sorted(used - set(formats)):
        raise UnsupportedError(
            f"{name} has no arrays for {dtype} (operator {operator.name}); they multiply {', '.join(formats)}"
        )


@dataclass(slots=True)
class Draft:
    """Steps of a program as they are written down."""

    steps: list[list[int]] = field(default_factory=list)

    def add(self, **columns: int) -> int:
        """Add a step, columns by their lower-case names, others 0 or NONE; return its number."""
        row = [0] * N_STEP
        row[AFTER] = row[UNIT] = NONE
        for name, value in columns.items():
            row[getattr(program, name.upper())] = value
        self.steps.append(row)
        return len(self.steps) - 1

    def interleave(self, first: int, others: Sequence[list[int]], wanted: Sequence[int]) -> list[int]:
        """Spread steps that stand by themselves evenly among those from `first` on, of which none looks at another;
        return the new numbers of the steps `wanted`."""
        mine = self.steps[first:]
        places = [(index / len(mine), 0, index, step) for index, step in enumerate(mine)]
        places += [(index / len(others), 1, index, step) for index, step in enumerate(others)]
        places.sort(key=lambda place: place[:2])
        self.steps[first:] = [step for *_, step in places]
        number_of = {index: first + at for at, (_, other, index, _) in enumerate(places) if not other}
        return [number_of[number - first] for number in wanted]

    def rows(self) -> Rows:
        """Return the steps (n, N_STEP)."""
        return np.array(self.steps, np.int64).reshape(-1, N_STEP)


def before(source: Sequence[int], part: int, n_parts: int) -> int:
    """Return the step of a source (in the order of its rows) that hands out the last row of a part of them."""
    return source[-(-(part + 1) * len(source) // n_parts) - 1] if source else NONE


def shares(total: int, each: int) -> list[int]:
    """Return a total in parts of `each`, the last one smaller."""
    return [min(each, total - begin) for begin in range(0, total, each)]


def portion(n_bytes: int, begin: int, end: int, total: int) -> int:
    """Return the bytes of elements begin .. end - 1 of `total`, those up to an element rounded up.

    Portions of consecutive elements add up to the whole; of waves that each begin at 0, to no less.
    """
    return -(-n_bytes * end // total) + (-n_bytes * begin // total)

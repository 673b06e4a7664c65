"""A GEMM as folds of an array: which operand stays, how often it is exchanged, and how many PEs each fold uses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.core.array import ArrayTiming, Rows, time_folds
from dieshot.kernels.systolic import (
    COUNT,
    END,
    FIRST_START,
    INTERVAL,
    LIMIT,
    LOAD_CYCLES,
    N_FOLD,
    N_STATE,
    N_STEPS,
    NO_OVERLAP,
    record_columns,
    record_tiles,
)
from dieshot.simulator.errors import InputError, listed, nearest_name

MOST_PACKED = 1 << 25  # columns of all folds together

DATAFLOWS = {"ws": "weight_stationary", "os": "output_stationary", "is": "input_stationary"}


@dataclass(frozen=True)
class Gemm:
    """M x K times K x N; of every `group` weights along K, `kept` are stored (1 of 1: dense)."""

    M: int
    N: int
    K: int
    kept: int = 1
    group: int = 1

    def __post_init__(self) -> None:
        for name in ("M", "N", "K", "kept", "group"):
            if getattr(self, name) < 1:
                raise InputError("not possible", key=name, value=getattr(self, name), expected="at least 1")
        if self.kept > self.group:
            raise InputError("not possible", value=f"{self.kept}:{self.group}", expected="N:M with N at most M")
        if self.macs > LIMIT:
            raise InputError("too large", value=f"{self.M},{self.N},{self.K}", expected=f"at most {LIMIT} MACs")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense product."""
        return self.M * self.N * self.K

    @property
    def n_kept(self) -> int:
        """Weights kept along K."""
        return self.K // self.group * self.kept + min(self.kept, self.K % self.group)


@dataclass(frozen=True)
class Folding:
    """What lies along the rows and columns of the array and what streams."""

    dataflow: str
    row_extent: int
    column_extent: int
    n_steps: int

    @property
    def loads(self) -> bool:
        """Whether an operand is loaded into the PEs; else sums stay in them."""
        return self.dataflow != "os"


def fold(gemm: Gemm, dataflow: str) -> Folding:
    """Return how a dataflow ('ws', 'os', 'is') lays a GEMM on an array; InputError for any other."""
    if dataflow not in DATAFLOWS:
        nearest = nearest_name(dataflow, DATAFLOWS)
        raise InputError("unknown dataflow", value=dataflow, expected=listed(DATAFLOWS), nearest=nearest)
    if dataflow == "ws":
        return Folding(dataflow, gemm.n_kept, gemm.N, gemm.M)
    if dataflow == "is":
        return Folding(dataflow, gemm.n_kept, gemm.M, gemm.N)
    return Folding(dataflow, gemm.M, gemm.N, gemm.n_kept)


@dataclass(frozen=True)
class GemmPass:
    """A GEMM timed on an array.

    end_cycle: after the last MAC (exclusive). terms: cycles by what they are for; they add up to end_cycle.
    """

    array: ArrayTiming
    folding: Folding
    n_row_tiles: int
    n_column_tiles: int
    first_start: int
    interval: int
    end_cycle: int

    @property
    def n_folds(self) -> int:
        """Folds of the whole GEMM."""
        return self.n_row_tiles * self.n_column_tiles

    @property
    def fold_cycles(self) -> int:
        """Cycles that a PE works in one fold."""
        return self.folding.n_steps * self.array.step_cycles

    @property
    def busy_pe_cycles(self) -> int:
        """Cycles summed over all PEs in which they multiply."""
        return self.folding.row_extent * self.folding.column_extent * self.fold_cycles

    @property
    def terms(self) -> dict[str, int]:
        """Cycles by what they are for."""
        tail = self.array.tail_cycles
        between = self.interval - self.fold_cycles if self.n_folds > 1 else 0
        load, repeats = self.first_start, self.n_folds - 1
        if self.array.buffers == NO_OVERLAP:
            return {
                "load": load * self.n_folds,
                "stream": self.fold_cycles * self.n_folds,
                "skew_and_drain": tail * self.n_folds,
                "between_folds": (between - load - tail) * repeats if repeats else 0,
            }
        stream = self.fold_cycles * self.n_folds
        return {"load": load, "stream": stream, "skew_and_drain": tail, "between_folds": between * repeats}

    def words(self, gemm: Gemm) -> dict[str, int]:
        """Return operands that the array takes from its scratchpad, and sums that it hands over."""
        inputs, weights, sums = gemm.M * gemm.K, gemm.n_kept * gemm.N, gemm.M * gemm.N
        if self.folding.dataflow == "os":
            inputs, weights = inputs * self.n_column_tiles, weights * self.n_row_tiles
        elif self.folding.dataflow == "ws":
            inputs, sums = inputs * self.n_column_tiles, sums * self.n_row_tiles
        else:
            weights, sums = weights * self.n_column_tiles, sums * self.n_row_tiles
        return {"inputs": inputs, "weights": weights, "sums": sums}

    def busy_pes(self, start: int, stop: int) -> Rows:
        """Return the PEs at work in each cycle from `start` to `stop` (exclusive)."""
        array, folding = self.array, self.folding
        rows = min(array.rows, folding.row_extent)
        columns = min(array.columns, folding.column_extent)
        record = np.empty(stop - start, np.int64)
        record_tiles(
            array.row_skew,
            array.column_skew,
            self.fold_cycles,
            self.first_start,
            self.interval,
            self.n_row_tiles,
            self.n_column_tiles,
            rows,
            columns,
            folding.row_extent - (self.n_row_tiles - 1) * array.rows,
            folding.column_extent - (self.n_column_tiles - 1) * array.columns,
            start,
            np.zeros(3, np.int64),
            record,
        )
        return record


def time_gemm(array: ArrayTiming, gemm: Gemm, dataflow: str) -> GemmPass:
    """Time a dense or N:M-sparse GEMM whose operands are all in the scratchpad."""
    folding = fold(gemm, dataflow)
    row_tiles = -(-folding.row_extent // array.rows)
    column_tiles = -(-folding.column_extent // array.columns)
    n_folds = row_tiles * column_tiles
    stored = folding.loads and n_folds <= array.n_stored_tiles and array.n_stored_tiles > 1
    load_cycles = array.load_cycles if folding.loads and not stored else 0
    item = np.array([[0, 0, folding.n_steps, load_cycles, n_folds]], np.int64)
    times = time_folds(array, folding.loads, np.zeros(N_STATE, np.int64), item)[0]
    return GemmPass(
        array, folding, row_tiles, column_tiles, int(times[FIRST_START]), int(times[INTERVAL]), int(times[END])
    )


@dataclass(frozen=True)
class PackedPass:
    """A GEMM with unstructured zeros timed on an array: starts (folds), rows and steps of every column (folds, C).

    busy_pe_cycles counts zeros that a PE multiplies, where the dataflow cannot leave them out.
    """

    array: ArrayTiming
    starts: Rows
    column_rows: Rows
    column_steps: Rows
    end_cycle: int

    @property
    def n_folds(self) -> int:
        """Folds of the whole GEMM."""
        return len(self.starts)

    @property
    def busy_pe_cycles(self) -> int:
        """Cycles summed over all PEs in which they multiply."""
        return int((self.column_rows * self.column_steps).sum()) * self.array.step_cycles

    def busy_pes(self, start: int, stop: int) -> Rows:
        """Return the PEs at work in each cycle from `start` to `stop` (exclusive)."""
        array, record = self.array, np.empty(stop - start, np.int64)
        skews = (array.row_skew, array.column_skew)
        carry = np.zeros(3, np.int64)
        record_columns(
            *skews, array.step_cycles, self.starts, self.column_rows, self.column_steps, start, carry, record
        )
        return record


def time_packed_gemm(array: ArrayTiming, gemm: Gemm, dataflow: str, kept: NDArray[np.int64]) -> PackedPass:
    """Time a GEMM whose zero weights are left out, each column packing its own; kept (N): nonzeros of every column.

    A tile lasts as long as its fullest column. InputError where the dataflow streams weights past inputs that stay, or
    there are too many folds.
    """
    fold(gemm, dataflow)
    if dataflow == "is":
        raise InputError("weights that stream are not packed by column", value="is", expected="ws, os")
    tiles = -(-gemm.N // array.columns)
    _refuse_many(tiles * array.columns)
    padded = np.zeros(tiles * array.columns, np.int64)
    padded[: gemm.N] = kept
    by_tile = padded.reshape(tiles, array.columns)
    n_folds = (
        int((-(-by_tile.max(axis=1) // array.rows)).sum()) if dataflow == "ws" else tiles * -(-gemm.M // array.rows)
    )
    _refuse_many(n_folds * array.columns)
    rows, steps = (_stationary if dataflow == "ws" else _streaming)(array, gemm, by_tile)
    return _time_columns(array, rows, steps, dataflow == "ws")


def time_skipping_gemm(array: ArrayTiming, gemm: Gemm, nonempty: NDArray[np.int64]) -> PackedPass:
    """Time an input-stationary GEMM with zero weights; nonempty (row tiles): streamed vectors that are not all zeros.

    The sums of a column meet a whole vector of weights, so nothing less than a vector can be left out. InputError for
    too many folds.
    """
    row_tiles, column_tiles = -(-gemm.K // array.rows), -(-gemm.M // array.columns)
    _refuse_many(row_tiles * column_tiles * array.columns)
    used_rows, used_columns = np.full(row_tiles, array.rows), np.full(column_tiles, array.columns)
    used_rows[-1] = gemm.K - (row_tiles - 1) * array.rows
    used_columns[-1] = gemm.M - (column_tiles - 1) * array.columns
    used = np.repeat(np.arange(array.columns) < used_columns[:, None], row_tiles, axis=0)
    rows = np.where(used, np.tile(used_rows, column_tiles)[:, None], 0)
    steps = np.where(used, np.tile(nonempty, column_tiles)[:, None], 0)
    return _time_columns(array, rows, steps, True)


def _refuse_many(columns: int) -> None:
    if columns > MOST_PACKED:
        expected = f"folds of at most {MOST_PACKED} columns together"
        raise InputError("too many folds with unstructured density", value=columns, expected=expected)


def _time_columns(array: ArrayTiming, rows: Rows, steps: Rows, loads: bool) -> PackedPass:
    """Time folds whose columns use `rows` and make `steps` each (folds, C); empty folds are left out."""
    longest = steps.max(axis=1, initial=0)
    rows, steps, longest = rows[longest > 0], steps[longest > 0], longest[longest > 0]
    folds = np.zeros((len(rows), N_FOLD), np.int64)
    folds[:, N_STEPS], folds[:, COUNT] = longest, 1
    folds[:, LOAD_CYCLES] = array.load_cycles if loads else 0
    times = time_folds(array, loads, np.zeros(N_STATE, np.int64), folds)
    starts = np.ascontiguousarray(times[:, FIRST_START])
    return PackedPass(array, starts, rows, steps, int(times[:, END].max(initial=0)))


def _stationary(array: ArrayTiming, gemm: Gemm, kept: Rows) -> tuple[Rows, Rows]:
    """Return rows and steps of every column (folds, C) where weights stay: a column fills as many rows as it has
    weights."""
    n_row_tiles = -(-kept.max(axis=1) // array.rows)
    tile = np.repeat(np.arange(len(kept)), n_row_tiles)
    within = np.arange(len(tile)) - np.repeat(np.cumsum(n_row_tiles) - n_row_tiles, n_row_tiles)
    rows = np.clip(kept[tile] - (within * array.rows)[:, None], 0, array.rows)
    return rows, np.where(rows > 0, gemm.M, 0)


def _streaming(array: ArrayTiming, gemm: Gemm, kept: Rows) -> tuple[Rows, Rows]:
    """Return rows and steps of every column (folds, C) where sums stay: a column streams as long as it has weights."""
    n_row_tiles = -(-gemm.M // array.rows)
    used = np.full(n_row_tiles, array.rows, np.int64)
    used[-1] = gemm.M - (n_row_tiles - 1) * array.rows
    steps = np.repeat(kept, n_row_tiles, axis=0)
    rows = np.where(steps > 0, np.tile(used, len(kept))[:, None], 0)
    return rows, steps

"""A GEMM in memory as the folds of an array: what each fold fetches and stores, and where that lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.parts.core.fold import Gemm, fold
from dieshot.simulator.errors import InputError, listed, nearest_name

Rows = NDArray[np.int64]

LAYOUTS = ("tiles", "rows")
ALIGNMENT_BYTES = 4096  # of each matrix in memory

# What a fold fetches or stores; of a matrix piece: where it begins, bytes of a row, rows, and from row to row.
HELD, STREAMED, SUMS, N_OPERANDS = range(4)
ADDRESS, ROW_BYTES, N_ROWS, PITCH_BYTES, N_PIECE = range(5)


@dataclass(frozen=True)
class Tiling:
    """Folds in order: pieces (folds, N_OPERANDS, N_PIECE), no rows where nothing is to be moved; steps, used rows and
    columns of the array (folds). keeps_streamed: whether the streaming operand stays in the scratchpad."""

    pieces: Rows
    steps: Rows
    rows: Rows
    columns: Rows
    keeps_streamed: bool

    @property
    def fetched_bytes(self) -> Rows:
        """Bytes that each fold fetches (folds, 2: held, streamed)."""
        moved: Rows = self.pieces[:, :SUMS, ROW_BYTES] * self.pieces[:, :SUMS, N_ROWS]
        return moved


@dataclass(frozen=True)
class _Axis:
    """One extent of the GEMM cut into tiles: starts and sizes (tiles), and their sum."""

    starts: Rows
    sizes: Rows
    total: int


@dataclass(frozen=True)
class _Matrix:
    """Where a matrix lies. outer_rows: whether the axis that tiles go along last is that of its rows."""

    base: int
    element_bytes: int
    layout: str
    outer_rows: bool

    def pieces(self, outer: _Axis, inner: _Axis) -> Rows:
        """Return the pieces (outer tiles, inner tiles, N_PIECE) of a matrix cut along both axes."""
        out = np.zeros((len(outer.sizes), len(inner.sizes), N_PIECE), np.int64)
        if self.layout == "tiles":
            before = outer.starts[:, None] * inner.total + outer.sizes[:, None] * inner.starts
            out[:, :, ROW_BYTES], out[:, :, N_ROWS] = outer.sizes[:, None] * inner.sizes, 1
        else:
            row, column = (outer, inner) if self.outer_rows else (inner, outer)
            starts, sizes = np.meshgrid(row.starts, column.starts, indexing="ij"), row.sizes[:, None]
            before, lengths = starts[0] * column.total + starts[1], np.broadcast_to(column.sizes, starts[0].shape)
            n_rows = np.broadcast_to(sizes, starts[0].shape)
            if not self.outer_rows:
                before, lengths, n_rows = before.T, lengths.T, n_rows.T
            whole = lengths == column.total  # rows without a gap between them are one
            out[:, :, ROW_BYTES] = np.where(whole, lengths * n_rows, lengths)
            out[:, :, N_ROWS] = np.where(whole, 1, n_rows)
            out[:, :, PITCH_BYTES] = np.where(whole, 0, column.total * self.element_bytes)
        out[:, :, ADDRESS] = self.base + before * self.element_bytes
        out[:, :, ROW_BYTES] *= self.element_bytes
        return out


def tile_gemm(
    gemm: Gemm,
    dataflow: str,
    array_rows: int,
    array_columns: int,
    scratchpad_bytes: int,
    operand_bytes: int,
    sum_bytes: int,
    layout: str,
    outer_tiles: slice | None = None,
    n_halves: int = 2,
) -> Tiling:
    """Cut a GEMM into folds: column tiles of the array in turn (those of `outer_tiles`), each down all row tiles.

    layout: 'tiles', every tile in one piece in the order of use, or 'rows', matrices row by row. The streaming operand
    is fetched once where all of it fits beside the largest fold of every half; else with every fold. InputError for an
    unknown layout.
    """
    if layout not in LAYOUTS:
        nearest = nearest_name(layout, LAYOUTS)
        raise InputError("unknown layout", key="layout", value=layout, expected=listed(LAYOUTS), nearest=nearest)
    folding = fold(gemm, dataflow)
    row_axis, column_axis = _cut(folding.row_extent, array_rows), _cut(folding.column_extent, array_columns)
    step_axis, depth_axis = _cut(folding.n_steps, folding.n_steps), _dense(gemm, row_axis)
    held, streamed, sums = _places(gemm, dataflow, operand_bytes, sum_bytes, layout)
    shape = (len(column_axis.sizes), len(row_axis.sizes))
    pieces = np.zeros((*shape, N_OPERANDS, N_PIECE), np.int64)
    if dataflow == "os":
        deep = _cut(gemm.K, gemm.K)
        pieces[:, :1, HELD] = held.pieces(column_axis, step_axis)
        pieces[:, :, STREAMED] = streamed.pieces(row_axis, deep)[None, :, 0]
        pieces[:, :, SUMS] = sums.pieces(column_axis, row_axis)
    else:
        pieces[:, :, HELD] = held.pieces(column_axis, row_axis if dataflow == "ws" else depth_axis)
        inner = depth_axis if dataflow == "ws" else row_axis
        pieces[:, :, STREAMED] = streamed.pieces(inner, step_axis)[None, :, 0]
        pieces[:, -1, SUMS] = sums.pieces(column_axis, step_axis)[:, 0]
    fetched = pieces[:, :, :SUMS, ROW_BYTES] * pieces[:, :, :SUMS, N_ROWS]
    streamed_bytes = int(fetched[0, :, STREAMED].sum())
    keeps = streamed_bytes + n_halves * int(fetched[:, :, HELD].max()) <= scratchpad_bytes
    chosen = outer_tiles or slice(0, shape[0])
    pieces = pieces[chosen]
    if keeps:
        pieces[1:, :, STREAMED] = 0
    n_folds = pieces.shape[0] * pieces.shape[1]
    return Tiling(
        np.ascontiguousarray(pieces.reshape(n_folds, N_OPERANDS, N_PIECE)),
        np.full(n_folds, folding.n_steps, np.int64),
        np.tile(row_axis.sizes, pieces.shape[0]),
        np.repeat(column_axis.sizes[chosen], pieces.shape[1]),
        keeps,
    )


def _places(
    gemm: Gemm, dataflow: str, operand_bytes: int, sum_bytes: int, layout: str
) -> tuple[_Matrix, _Matrix, _Matrix]:
    """Return where the operand that is held, the one that streams and the sums lie: inputs, weights, sums in turn."""
    weights_at = _aligned(gemm.M * gemm.K * operand_bytes)
    sums_at = weights_at + _aligned(gemm.n_kept * gemm.N * operand_bytes)
    # Inputs are M x K, weights K x N, sums M x N; the outer axis of a panel is the one that its tiles share.
    inputs = _Matrix(0, operand_bytes, layout, outer_rows=dataflow != "ws")
    weights = _Matrix(weights_at, operand_bytes, layout, outer_rows=dataflow == "is")
    sums = _Matrix(sums_at, sum_bytes, layout, outer_rows=dataflow == "is")
    return (inputs, weights, sums) if dataflow == "is" else (weights, inputs, sums)


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _cut(extent: int, size: int) -> _Axis:
    starts = np.arange(0, extent, size, dtype=np.int64)
    return _Axis(starts, np.minimum(size, extent - starts), extent)


def _dense(gemm: Gemm, kept: _Axis) -> _Axis:
    """Return the inputs that belong to tiles of kept weights: a group's are shared out among its weights."""
    if gemm.kept == gemm.group:
        return _Axis(kept.starts, kept.sizes, gemm.K)
    groups, within = np.divmod(np.append(kept.starts, gemm.n_kept), gemm.kept)
    bounds = groups * gemm.group + within * gemm.group // gemm.kept
    bounds[-1] = gemm.K
    return _Axis(bounds[:-1], np.diff(bounds), gemm.K)


def batch_bounds(tiling: Tiling, half_bytes: int) -> Rows:
    """Return the first fold of every batch, and the number of folds: what a batch holds fits in `half_bytes`.

    A held operand that a fold shares with the fold before is fetched again where a batch begins between them; the
    tiling's pieces are changed for that. InputError where one fold does not fit.
    """
    fetched = tiling.fetched_bytes
    held = fetched[:, HELD] + (0 if tiling.keeps_streamed else fetched[:, STREAMED])
    total = np.concatenate(([0], np.cumsum(held)))
    fetches = np.flatnonzero(tiling.pieces[:, HELD, N_ROWS])
    bounds = [0]
    while bounds[-1] < len(held):
        begin = bounds[-1]
        extra = 0
        if tiling.pieces[begin, HELD, N_ROWS] == 0:
            owner = fetches[np.searchsorted(fetches, begin) - 1]
            tiling.pieces[begin, HELD] = tiling.pieces[owner, HELD]
            extra = int(fetched[owner, HELD])
        end = int(np.searchsorted(total, total[begin] + half_bytes - extra, side="right")) - 1
        if end <= begin:
            problem = "a fold does not fit in its part of the scratchpad"
            raise InputError(problem, value=f"{half_bytes} B", expected=f"at least {int(held[begin]) + extra} B")
        bounds.append(end)
    return np.array(bounds, np.int64)

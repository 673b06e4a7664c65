"""Attention on a GPU: tiled prefill with causal skipping, and decode with the KV cache split over CTAs and
recombined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.attention_dims import AttentionDims
from dieshot.chips.mapping.gpu.machine import DTYPE_BYTES, GROUP_ROWS, GpuMachine
from dieshot.chips.mapping.gpu.stream import StreamShape
from dieshot.chips.mapping.gpu.stream import build as build_stream
from dieshot.chips.parts.gpu.tile_kernel import TileKernel
from dieshot.kernels import sm

PREFILL_ROWS = 128
KV_TILE_TOKENS = 128
KV_PAGE_TOKENS = 64
NARROW_ROWS = 16
PARTIAL_BYTES = 4
LENGTH_BYTES = 4
DECODE_STAGES = 2  # decode kernels double-buffer the pages; their other shared memory holds scores and partial sums

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AttentionShape(AttentionDims):
    """One layer's attention on one GPU, and what of its operands the L2 holds."""

    resident_q_bytes: int = 0
    resident_kv_bytes: int = 0

    @property
    def rows_per_kv_head(self) -> int:
        """Query rows that share one KV head's keys."""
        return self.q_len * self.group

    @property
    def is_decode(self) -> bool:
        """Whether all query rows of a KV head fit in one tile, so that the keys are worth splitting."""
        return self.rows_per_kv_head <= GROUP_ROWS


def kv_pages(shape: AttentionShape) -> int:
    """Return the pages of the KV cache that one sequence's new token looks at; the cache is read by whole pages."""
    seen = min(shape.kv_len, shape.window) if shape.window else shape.kv_len
    return -(-seen // KV_PAGE_TOKENS)


def prefill_kernel(machine: GpuMachine, shape: AttentionShape) -> TileKernel:
    """Return the prefill kernel: a CTA a tile of 128 queries and head, longest first, keys streamed in tiles.

    Heads whose keys and values fit in the L2 together run together, as FlashAttention-3 schedules causal tiles.
    """
    q_bytes, kv_bytes = DTYPE_BYTES[shape.dtype], DTYPE_BYTES[shape.kv_dtype]
    n_q, n_kv = -(-shape.q_len // PREFILL_ROWS), -(-shape.kv_len // KV_TILE_TOKENS)
    q_sizes = np.minimum(PREFILL_ROWS, shape.q_len - PREFILL_ROWS * np.arange(n_q))
    kv_sizes = np.minimum(KV_TILE_TOKENS, shape.kv_len - KV_TILE_TOKENS * np.arange(n_kv))
    first, last = _visible(shape, n_q)
    kinds, classes = _prefill_classes(machine, shape, q_sizes, kv_sizes, first, last)
    order = np.argsort(-(last - first), kind="stable")
    batch, head = np.divmod(np.arange(shape.batch * shape.heads), shape.heads)
    sequence_head = batch * shape.kv_heads + head // (shape.heads // shape.kv_heads)
    n_heads_all = len(head)
    ctas = np.full((n_q * n_heads_all, sm.N_CTA), -1, np.int64)
    block, index = _sections(order, n_heads_all, _heads_in_l2(machine, shape))
    n_q_tiles = n_q * n_heads_all
    ctas[:, sm.K_CLASS] = kinds[block]
    ctas[:, sm.K_TILE_A] = index * n_q + block
    ctas[:, sm.K_TILE_B] = n_q_tiles + sequence_head[index] * n_kv + first[block]
    row_bytes = shape.head_dim * q_bytes
    tiles_q = np.tile(q_sizes * row_bytes, n_heads_all)
    tiles_kv = np.tile(2 * kv_sizes * shape.head_dim * kv_bytes, shape.batch * shape.kv_heads)
    tile_bytes = np.concatenate((tiles_q, tiles_kv)).astype(np.int64)
    stage_bytes = 2 * KV_TILE_TOKENS * shape.head_dim * kv_bytes
    free = machine.shared_memory_bytes - PREFILL_ROWS * row_bytes
    return TileKernel(
        name=f"attention prefill {shape.batch}x{shape.q_len}/{shape.kv_len} {_heads(shape)}",
        kind="attention",
        classes=classes,
        ctas=ctas,
        tile_bytes=tile_bytes,
        resident=_resident(tile_bytes, n_q_tiles, shape),
        n_stages=max(2, min(4, free // stage_bytes)),
        n_groups=PREFILL_ROWS // GROUP_ROWS,
        slots_per_sm=1,
        persistent=False,
        fj_per_amount=machine.energies(shape.dtype),
        prologue_fs=machine.attention_prologue_fs,
        counters=_issued(ctas, classes, PREFILL_ROWS // GROUP_ROWS),
    )


def _heads(shape: AttentionShape) -> str:
    return f"{shape.heads}:{shape.kv_heads}x{shape.head_dim}"


def _heads_in_l2(machine: GpuMachine, shape: AttentionShape) -> int:
    """Return how many query heads share keys and values that fill half of the L2: those run together."""
    kv_bytes = 2 * shape.kv_len * shape.head_dim * DTYPE_BYTES[shape.kv_dtype]
    kv_heads = max(1, machine.timing.l2_capacity_bytes // 2 // kv_bytes)
    return kv_heads * (shape.heads // shape.kv_heads)


def _sections(order: Rows, n_heads: int, section: int) -> tuple[Rows, Rows]:
    """Return (query tile, head) of all CTAs: section after section of heads, in each the longest query tiles first."""
    blocks: list[Rows] = []
    heads: list[Rows] = []
    for first in range(0, n_heads, section):
        some = np.arange(first, min(first + section, n_heads))
        blocks.append(np.repeat(order, len(some)))
        heads.append(np.tile(some, len(order)))
    return np.concatenate(blocks), np.concatenate(heads)


def offsets_kernel(machine: GpuMachine, shape: AttentionShape) -> TileKernel:
    """Return the small kernel before a ragged prefill: one block sums the sequence lengths and resets the tile
    counter."""
    stream = StreamShape(
        name=f"attention offsets of {shape.batch} sequences",
        kind="attention",
        read_bytes=LENGTH_BYTES * shape.batch,
        write_bytes=2 * LENGTH_BYTES * (shape.batch + 1),
        ops=int(shape.batch * machine.elementwise_ops_factor),
        transcendental_ops=0,
        n_ctas=1,
    )
    return build_stream(machine, stream)


def _issued(ctas: Rows, classes: Rows, n_groups: int) -> dict[str, int]:
    per_step = classes[:, sm.C_MACS1] + classes[:, sm.C_MACS2]
    issued = (per_step * classes[:, sm.C_STEPS])[ctas[:, sm.K_CLASS]].sum() * n_groups
    return {"macs_issued": int(issued)}


def _resident(tile_bytes: Rows, n_q_tiles: int, shape: AttentionShape) -> Rows:
    """Return the tiles in the L2 at the start: the newest queries, then the newest keys."""
    parts = []
    for start, stop, have in (
        (n_q_tiles, len(tile_bytes), shape.resident_kv_bytes),
        (0, n_q_tiles, shape.resident_q_bytes),
    ):
        from_end = np.cumsum(tile_bytes[start:stop][::-1])[::-1]
        parts.append(start + np.flatnonzero(from_end <= have))
    return np.concatenate(parts).astype(np.int64)


def _visible(shape: AttentionShape, n_q: int) -> tuple[Rows, Rows]:
    """Return the first and one past the last key tile that any query of each query tile sees."""
    q_first = PREFILL_ROWS * np.arange(n_q) + shape.kv_len - shape.q_len
    q_last = np.minimum(q_first + PREFILL_ROWS, shape.kv_len) - 1
    stop = q_last + 1 if shape.causal else np.full(n_q, shape.kv_len)
    start = np.maximum(0, q_first + 1 - shape.window) if shape.window else np.zeros(n_q, np.int64)
    return (start // KV_TILE_TOKENS).astype(np.int64), (-(-stop // KV_TILE_TOKENS)).astype(np.int64)


def _prefill_classes(
    machine: GpuMachine, shape: AttentionShape, q_sizes: Rows, kv_sizes: Rows, first: Rows, last: Rows
) -> tuple[Rows, Rows]:
    ends = np.stack((last - first, q_sizes, kv_sizes[last - 1]), axis=1)
    distinct, kinds = np.unique(ends, axis=0, return_inverse=True)
    classes = np.zeros((len(distinct), sm.N_CLASS), np.int64)
    token_bytes = 2 * shape.head_dim * DTYPE_BYTES[shape.kv_dtype]
    for row, (steps, rows, last_tokens) in zip(classes, distinct.tolist(), strict=True):
        row[sm.C_STEPS] = steps
        row[sm.C_READ] = row[sm.C_IN] = KV_TILE_TOKENS * token_bytes
        row[sm.C_READ_LAST] = row[sm.C_IN_LAST] = last_tokens * token_bytes
        row[sm.C_ONCE] = rows * shape.head_dim * DTYPE_BYTES[shape.dtype]
        _set_work(machine, shape, row, GROUP_ROWS, KV_TILE_TOKENS)
        row[sm.C_STORE] = -(-rows * shape.head_dim * 2 // 2)
    return kinds.ravel(), classes


def _set_work(machine: GpuMachine, shape: AttentionShape, row: Rows, rows: int, tokens: int) -> None:
    """Set what a group of warps does with `rows` queries and a tile of `tokens` keys, and its epilogue."""
    scores = rows * tokens
    softmax = scores * machine.softmax_ops_per_score / machine.fma_rate + scores / machine.transcendental_rate
    row[sm.C_TENSOR1] = machine.fs(machine.matrix_cycles(rows, tokens, shape.head_dim, shape.dtype))
    row[sm.C_TENSOR2] = machine.fs(machine.matrix_cycles(rows, shape.head_dim, tokens, shape.dtype))
    row[sm.C_SIMT] = machine.fs(softmax)
    row[sm.C_MACS1] = row[sm.C_MACS2] = scores * shape.head_dim
    row[sm.C_OPS] = int(scores * (machine.softmax_ops_per_score + 1))
    ops = int(rows * shape.head_dim * machine.epilogue_ops_per_element)
    row[sm.C_EPILOGUE] = machine.fs(ops / machine.fma_rate)
    row[sm.C_EPILOGUE_OPS] = ops


def decode_splits(machine: GpuMachine, shape: AttentionShape) -> list[int]:
    """Return the numbers of parts worth trying: whole, and what fills the SMs once or twice."""
    heads = shape.batch * shape.kv_heads
    pages = kv_pages(shape)
    wanted = {1, machine.timing.n_sms // heads, 2 * machine.timing.n_sms // heads}
    return sorted({max(1, min(parts, pages)) for parts in wanted})


def decode_kernels(machine: GpuMachine, shape: AttentionShape, n_splits: int) -> list[TileKernel]:
    """Return the decode kernels: a CTA a sequence, KV head and split, and the recombination when there are splits."""
    pages = kv_pages(shape)
    heads = shape.batch * shape.kv_heads
    rows = NARROW_ROWS if shape.rows_per_kv_head <= NARROW_ROWS else GROUP_ROWS
    edges = [pages * i // n_splits for i in range(n_splits + 1)]
    steps = np.diff(edges)
    distinct, kinds = np.unique(steps, return_inverse=True)
    classes = np.stack([_decode_class(machine, shape, rows, int(count), n_splits) for count in distinct])
    page_bytes = 2 * KV_PAGE_TOKENS * shape.head_dim * DTYPE_BYTES[shape.kv_dtype]
    q_bytes = shape.rows_per_kv_head * shape.head_dim * DTYPE_BYTES[shape.dtype]
    tile_bytes = np.concatenate((np.full(heads, q_bytes), np.full(heads * pages, page_bytes))).astype(np.int64)
    ctas = np.full((heads * n_splits, sm.N_CTA), -1, np.int64)
    head = np.repeat(np.arange(heads), n_splits)
    ctas[:, sm.K_CLASS] = np.tile(kinds, heads)
    ctas[:, sm.K_TILE_A] = head
    ctas[:, sm.K_TILE_B] = heads + head * pages + np.tile(np.asarray(edges[:-1]), heads)
    slots = 2
    main = TileKernel(
        name=f"attention decode {shape.batch}x{pages} pages {_heads(shape)} split {n_splits}",
        kind="attention",
        classes=classes,
        ctas=ctas,
        tile_bytes=tile_bytes,
        resident=_resident(tile_bytes, heads, shape),
        n_stages=DECODE_STAGES,
        n_groups=1,
        slots_per_sm=slots,
        persistent=False,
        fj_per_amount=machine.energies(shape.dtype),
        prologue_fs=machine.attention_prologue_fs,
        counters=_issued(ctas, classes, 1),
    )
    return [main] if n_splits == 1 else [main, _combine(machine, shape, n_splits)]


def _decode_class(machine: GpuMachine, shape: AttentionShape, rows: int, steps: int, n_splits: int) -> Rows:
    row = np.zeros(sm.N_CLASS, np.int64)
    page_bytes = 2 * KV_PAGE_TOKENS * shape.head_dim * DTYPE_BYTES[shape.kv_dtype]
    row[sm.C_STEPS] = steps
    for column in (sm.C_READ, sm.C_READ_LAST, sm.C_IN, sm.C_IN_LAST):
        row[column] = page_bytes
    row[sm.C_ONCE] = shape.rows_per_kv_head * shape.head_dim * DTYPE_BYTES[shape.dtype]
    _set_work(machine, shape, row, rows, KV_PAGE_TOKENS)
    width = 2 if n_splits == 1 else PARTIAL_BYTES
    statistics = 0 if n_splits == 1 else 2 * PARTIAL_BYTES * shape.rows_per_kv_head
    row[sm.C_STORE] = shape.rows_per_kv_head * shape.head_dim * width + statistics
    return row


def _combine(machine: GpuMachine, shape: AttentionShape, n_splits: int) -> TileKernel:
    outputs = shape.batch * shape.heads * shape.q_len * shape.head_dim
    partial = n_splits * (outputs + 2 * shape.batch * shape.heads * shape.q_len) * PARTIAL_BYTES
    stream = StreamShape(
        name=f"attention combine {n_splits} splits",
        kind="attention",
        read_bytes=partial,
        write_bytes=outputs * 2,
        ops=int(outputs * n_splits * machine.elementwise_ops_factor * 2),
        transcendental_ops=shape.batch * shape.heads * shape.q_len * n_splits,
        n_ctas=shape.batch * shape.heads * shape.q_len,
        resident_bytes=partial,
    )
    return build_stream(machine, stream)

"""Attention on a systolic chip: a loop over sequences, blocks of queries and blocks of cached keys and values.

One turn of the loop fetches its block of the cache while the turn before computes; queries multiply keys, the lanes
make the softmax, its weights multiply values, and the lanes add up. Of a paged cache, rows of the block are first
gathered head by head, and turns follow each other: the compiled body is one straight schedule that ends when its last
result is there. A dense cache is an operand like any other: several sequences make a turn, and turns overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dieshot.chips.mapping.attention_dims import AttentionDims
from dieshot.chips.mapping.systolic.gemm import BLOCK_SHARE, TILE_FACTORS
from dieshot.chips.mapping.systolic.machine import ACCUMULATOR_BYTES, Plan, Rows, SystolicMachine, stacked, step_row
from dieshot.chips.parts.systolic.core_program import AFTER, GATED, HOLD, LOAD, NONE, STORE
from dieshot.traces.dtype import DTYPE_BITS, bytes_of


@dataclass(frozen=True, slots=True)
class AttentionShape(AttentionDims):
    """One layer's attention on one chip; from_cache: whether keys are read from the cache or come from before."""

    from_cache: bool
    input_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one core does: sequences, KV heads, and its part of the keys where there are fewer heads than cores."""

    sequences: int
    kv_heads: int
    parts: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the loop: query tokens and cached tokens, and whether queries come in and results go out."""

    queries: int
    keys: int
    first: bool
    last: bool


def share_of(shape: AttentionShape, n_cores: int) -> Share:
    """Return one core's share: heads are divided first, then sequences, then the keys."""
    by_head = min(n_cores, shape.kv_heads)
    by_sequence = min(n_cores // by_head, shape.batch)
    parts = max(1, n_cores // (by_head * by_sequence))
    return Share(-(-shape.batch // by_sequence), -(-shape.kv_heads // by_head), parts)


def pages(machine: SystolicMachine, shape: AttentionShape) -> int:
    """Return the pages of the cache that a sequence's newest token sees; whole pages are read."""
    seen = min(shape.kv_len, shape.window) if shape.window else shape.kv_len
    return -(-seen // machine.p.attention.page)


def kv_block(machine: SystolicMachine, shape: AttentionShape, share: Share) -> int:
    """Return the cached tokens of a turn: as many as the kernel takes, or as fit in a part of the scratchpads."""
    token_bytes = machine.n_cores * share.kv_heads * bytes_of(2 * shape.head_dim, shape.kv_dtype)
    return max(1, min(machine.p.attention.kv_block, machine.timing.vmem_bytes // BLOCK_SHARE // token_bytes))


def turns(machine: SystolicMachine, shape: AttentionShape, share: Share) -> Iterator[Turn]:
    """Yield the turns of one sequence: blocks of keys that no query of the block sees are left out."""
    kernel, parts = machine.p.attention, share.parts
    block = kv_block(machine, shape, share)
    keys_all = -(-pages(machine, shape) // parts) * kernel.page if shape.q_len == 1 else -(-shape.kv_len // parts)
    for first_query in range(0, shape.q_len, kernel.query_block):
        queries = min(kernel.query_block, shape.q_len - first_query)
        seen = keys_all
        if shape.causal and shape.q_len > 1:
            last_query = first_query + queries + shape.kv_len - shape.q_len
            seen = min(keys_all, -(-last_query // (block * parts)) * block)
        begin = 0
        if shape.window and shape.q_len > 1:
            oldest = max(0, first_query + shape.kv_len - shape.q_len + 1 - shape.window)
            begin = min(oldest // parts // block * block, max(0, seen - 1))
        blocks = list(range(begin, seen, block))
        for key in blocks:
            yield Turn(queries, min(block, seen - key), key == blocks[0], key == blocks[-1])


def build(machine: SystolicMachine, shape: AttentionShape) -> Plan:
    """Return the plan of an attention operator."""
    share = share_of(shape, machine.n_cores)
    pairs: list[tuple[Rows, Rows]] = []
    loops = list(turns(machine, shape, share))
    together = _together(machine, shape, share, loops)
    for sequence in range(0, share.sequences, together):
        some = replace(share, sequences=min(together, share.sequences - sequence))
        for turn in loops:
            pairs.append(_turn_steps(machine, shape, some, turn))
    steps = _overlapped(pairs) if is_dense(machine) else _one_by_one(pairs)
    if shape.input_bytes > machine.spill_bytes:
        _spread_load([scores for scores, _ in pairs], shape.input_bytes)
    if shape.output_bytes > machine.spill_bytes:
        _spread_store(steps, shape.output_bytes)
    program = machine.p.program
    partial = shape.output_bytes * ACCUMULATOR_BYTES * 8 // DTYPE_BITS[shape.dtype]
    exchange = machine.exchange_fs(partial * share.parts) if share.parts > 1 else 0
    resident = sum(n for n in (shape.input_bytes, shape.output_bytes) if n <= machine.spill_bytes)
    return Plan(stacked(steps), program.operator + program.attention, exchange, resident)


def is_dense(machine: SystolicMachine) -> bool:
    """Whether the cache lies head by head."""
    return machine.p.attention.cache == "dense"


def _together(machine: SystolicMachine, shape: AttentionShape, share: Share, loops: list[Turn]) -> int:
    """Return how many sequences make a turn."""
    if not is_dense(machine) or len(loops) > 1:
        return 1
    kv_bytes = share.kv_heads * bytes_of(2 * loops[0].keys * shape.head_dim, shape.kv_dtype)
    tile_bytes = machine.p.software.weight_tile * max(TILE_FACTORS) // machine.n_cores
    return max(1, tile_bytes // kv_bytes)


def _spread_load(steps: list[Rows], n_bytes: int) -> None:
    """Let the steps fetch queries from HBM in even parts."""
    each, rest = divmod(n_bytes, len(steps))
    for index, step in enumerate(steps):
        part = each + (1 if index < rest else 0)
        step[LOAD] += part
        step[HOLD] += part
        step[GATED] = 1


def _spread_store(steps: list[Rows], n_bytes: int) -> None:
    """Let the steps store results in even parts."""
    each, rest = divmod(n_bytes, len(steps))
    for index, step in enumerate(steps):
        step[STORE] += each + (1 if index < rest else 0)


def _one_by_one(pairs: list[tuple[Rows, Rows]]) -> list[Rows]:
    """Return the steps of turns that follow each other."""
    steps = [step for pair in pairs for step in pair]
    for number, step in enumerate(steps):
        step[AFTER] = number - 1 if number else NONE
    return steps


def _overlapped(pairs: list[tuple[Rows, Rows]]) -> list[Rows]:
    """Return the steps of turns of which each begins while the lanes still work on the one before."""
    steps: list[Rows] = []
    waiting: tuple[int, Rows] | None = None
    for scores, values in [*pairs, (None, None)]:
        mine = len(steps)
        if scores is not None:
            steps.append(scores)
        if waiting is not None:
            number, step = waiting
            step[AFTER] = number
            steps.append(step)
        waiting = (mine, values) if values is not None else None
    return steps


def _turn_steps(machine: SystolicMachine, shape: AttentionShape, share: Share, turn: Turn) -> tuple[Rows, Rows]:
    """Return the two steps of one turn: scores and their softmax, weighted values."""
    mxu, n_cores, dense = machine.p.mxu, machine.n_cores, is_dense(machine)
    n_heads = share.sequences * share.kv_heads
    rows = turn.queries * shape.group
    lanes = machine.p.vector.row_lanes
    padded = n_heads * -(-rows // lanes) * lanes
    scores = padded * turn.keys
    kv_bytes = n_cores * n_heads * bytes_of(2 * turn.keys * shape.head_dim, shape.kv_dtype)
    load = kv_bytes if shape.from_cache else 0
    stream = machine.stream_cycles(rows, shape.dtype)
    streamed = -(-rows // mxu.sublane_rows) * mxu.sublane_rows
    d_rows, d_columns = -(-shape.head_dim // mxu.rows), -(-shape.head_dim // mxu.columns)
    qk_folds = n_heads * d_rows * -(-turn.keys // mxu.columns)
    pv_folds = n_heads * d_columns * -(-turn.keys // mxu.rows)
    ops = scores * machine.p.software.softmax_ops_per_score
    if shape.kv_dtype != shape.dtype:
        ops += 2 * n_heads * turn.keys * shape.head_dim * machine.p.software.dequantise_ops_per_weight
    qk = step_row(
        load=load,
        hold=load,
        wait=0 if dense else machine.p.attention.block,
        folds=-(-qk_folds // mxu.count),
        stream=stream,
        load_cycles=machine.weight_load_cycles(min(shape.head_dim, mxu.rows), shape.dtype),
        macs=n_cores * qk_folds * streamed * mxu.rows * mxu.columns,
        vector=machine.vector_fs(ops, scores, 0 if dense else _gathered_rows(share, shape, turn)),
        ops=int(n_cores * (ops + scores)),
        touched=kv_bytes // 2 + n_cores * padded * shape.head_dim * 2,
        worked=kv_bytes + n_cores * scores * ACCUMULATOR_BYTES,
    )
    out = padded * shape.head_dim
    scattered = 2 * n_heads * rows if turn.last and not dense else 0
    pv = step_row(
        folds=-(-pv_folds // mxu.count),
        stream=stream,
        load_cycles=machine.weight_load_cycles(min(turn.keys, mxu.rows), shape.dtype),
        macs=n_cores * pv_folds * streamed * mxu.rows * mxu.columns,
        vector=machine.vector_fs(2 * out, padded if turn.last else 0, scattered),
        ops=int(n_cores * 2 * out),
        touched=kv_bytes // 2 + n_cores * scores * 2,
        worked=n_cores * out * ACCUMULATOR_BYTES,
    )
    return qk, pv


def _gathered_rows(share: Share, shape: AttentionShape, turn: Turn) -> int:
    """Return the rows of a block's keys and values, gathered head by head, and of queries, taken in and turned."""
    queries = 2 * turn.queries * shape.group if turn.first else 0
    return share.kv_heads * (2 * turn.keys + queries)

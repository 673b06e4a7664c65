"""Attention on a systolic chip: a loop over sequences, blocks of queries and blocks of cached keys and values.

One turn of the loop fetches its block of the cache while the turn before computes; then rows of the block are gathered
head by head, queries multiply keys, the lanes make the softmax, its weights multiply values, and the lanes add up.
Turns follow each other: the compiled body is one straight schedule that ends when its last result is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dieshot.chips.mapping.systolic_machine import ACCUMULATOR_BYTES, Plan, Rows, SystolicMachine, stacked, step_row
from dieshot.chips.parts.core_program import NONE, STORE
from dieshot.traces.dtype import DTYPE_BITS, bytes_of

SUBLANES = 8  # query rows of a head are padded to this


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """One layer's attention on one chip: `q_len` queries at the end of `kv_len` keys, a sequence each of `batch`."""

    batch: int
    q_len: int
    kv_len: int
    heads: int
    kv_heads: int
    head_dim: int
    causal: bool
    window: int
    dtype: str
    kv_dtype: str
    from_cache: bool
    input_bytes: int
    output_bytes: int

    @property
    def group(self) -> int:
        """Query heads that share one KV head."""
        return self.heads // self.kv_heads


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


def turns(machine: SystolicMachine, shape: AttentionShape, parts: int) -> Iterator[Turn]:
    """Yield the turns of one sequence: blocks of keys that no query of the block sees are left out."""
    kernel = machine.p.attention
    keys_all = -(-pages(machine, shape) // parts) * kernel.page if shape.q_len == 1 else -(-shape.kv_len // parts)
    for first_query in range(0, shape.q_len, kernel.query_block):
        queries = min(kernel.query_block, shape.q_len - first_query)
        seen = keys_all
        if shape.causal and shape.q_len > 1:
            last_query = first_query + queries + shape.kv_len - shape.q_len
            seen = min(keys_all, -(-last_query // (kernel.kv_block * parts)) * kernel.kv_block)
        begin = 0
        if shape.window and shape.q_len > 1:
            oldest = max(0, first_query + shape.kv_len - shape.q_len + 1 - shape.window)
            begin = min(oldest // parts // kernel.kv_block * kernel.kv_block, max(0, seen - 1))
        blocks = list(range(begin, seen, kernel.kv_block))
        for key in blocks:
            yield Turn(queries, min(kernel.kv_block, seen - key), key == blocks[0], key == blocks[-1])


def build(machine: SystolicMachine, shape: AttentionShape) -> Plan:
    """Return the plan of an attention operator."""
    share = share_of(shape, machine.n_cores)
    steps: list[Rows] = []
    loops = list(turns(machine, shape, share.parts))
    gated = 1 if shape.input_bytes > machine.spill_bytes else 0
    for sequence in range(share.sequences):
        for number, turn in enumerate(loops):
            once = shape.input_bytes if gated and sequence == 0 and number == 0 else 0
            steps.extend(_turn_steps(machine, shape, share, turn, len(steps) - 1, once))
    if shape.output_bytes > machine.spill_bytes:
        _spread_store(steps, shape.output_bytes)
    program = machine.p.program
    partial = shape.output_bytes * ACCUMULATOR_BYTES * 8 // DTYPE_BITS[shape.dtype]
    exchange = machine.exchange_fs(partial * share.parts) if share.parts > 1 else 0
    resident = sum(n for n in (shape.input_bytes, shape.output_bytes) if n <= machine.spill_bytes)
    return Plan(stacked(steps), program.operator + program.attention, exchange, resident)


def _spread_store(steps: list[Rows], n_bytes: int) -> None:
    """Let the steps store results in even parts."""
    each, rest = divmod(n_bytes, len(steps))
    for index, step in enumerate(steps):
        step[STORE] += each + (1 if index < rest else 0)


def _turn_steps(
    machine: SystolicMachine, shape: AttentionShape, share: Share, turn: Turn, before: int, input_bytes: int
) -> tuple[Rows, Rows]:
    """Return the steps of one turn; `before`: the step that it follows (-1: it is the first)."""
    mxu, n_cores = machine.p.mxu, machine.n_cores
    rows = turn.queries * shape.group
    padded = max(share.kv_heads * (-(-rows // SUBLANES) * SUBLANES), _padded(rows * share.kv_heads, machine))
    scores = padded * turn.keys
    kv_bytes = n_cores * share.kv_heads * bytes_of(2 * turn.keys * shape.head_dim, shape.kv_dtype)
    load = kv_bytes if shape.from_cache else 0
    stream = machine.stream_cycles(rows, shape.dtype)
    streamed = -(-rows // mxu.sublane_rows) * mxu.sublane_rows
    d_rows, d_columns = -(-shape.head_dim // mxu.rows), -(-shape.head_dim // mxu.columns)
    qk_folds = share.kv_heads * d_rows * -(-turn.keys // mxu.columns)
    pv_folds = share.kv_heads * d_columns * -(-turn.keys // mxu.rows)
    softmax = machine.p.software.softmax_ops_per_score
    qk = step_row(
        load=load + input_bytes,
        gated=1 if input_bytes else 0,
        hold=load + input_bytes,
        after=before if before >= 0 else NONE,
        wait=machine.p.attention.block,
        folds=-(-qk_folds // mxu.count),
        stream=stream,
        load_cycles=machine.weight_load_cycles(min(shape.head_dim, mxu.rows), shape.dtype),
        macs=n_cores * qk_folds * streamed * mxu.rows * mxu.columns,
        vector=machine.vector_fs(scores * softmax, scores, _gathered_rows(share, shape, turn)),
        ops=int(n_cores * scores * (softmax + 1)),
        touched=kv_bytes // 2 + n_cores * padded * shape.head_dim * 2,
        worked=kv_bytes + n_cores * scores * ACCUMULATOR_BYTES,
    )
    out = padded * shape.head_dim
    scattered = 2 * share.kv_heads * rows if turn.last else 0
    pv = step_row(
        after=before + 1,
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


def _padded(rows: int, machine: SystolicMachine) -> int:
    lanes = machine.p.vector.row_lanes
    return -(-rows // lanes) * lanes


def _gathered_rows(share: Share, shape: AttentionShape, turn: Turn) -> int:
    """Return the rows of a block's keys and values, gathered head by head, and of queries, taken in and turned."""
    queries = 2 * turn.queries * shape.group if turn.first else 0
    return share.kv_heads * (2 * turn.keys + queries)

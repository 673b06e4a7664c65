"""Attention on arrays that fall into blocks: keys lie in them while queries pass, values while softmax weights do.

A turn takes the keys and values of some sequences, as many as have room, and all their queries pass it: the scores go
through the softmax unit as they come, and their weights back into the arrays, which score the next turn meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dieshot.chips.mapping.attention_dims import AttentionDims, attention_dims
from dieshot.chips.mapping.transformer_asic.machine import TURN_SHARE, AsicMachine, Draft, before, portion, shares
from dieshot.chips.parts.transformer_asic.program import HOLD, LOAD, RELEASE, SOFTMAX
from dieshot.traces.dtype import bytes_of
from dieshot.traces.operator import Operator

OPS_PER_SCORE = 5  # scale, maximum, difference, exponential, sum
LEAST_ROWS = 64  # of a copy, where several blocks hold the same keys and share the queries


@dataclass(frozen=True, slots=True)
class AttentionPart:
    """What one program does: attention of so many sequences. warm: keys and values of its first turn are there;
    following: sequences of the next program, of which those of the first turn come in beside."""

    sequences: int
    warm: bool = False
    following: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """Sequences that go together, keys that lie in the arrays, queries that pass them. loaded_keys: keys that come with
    it; freed_keys: that go with it. last: no more keys for these queries."""

    sequences: int
    queries: int
    keys: int
    loaded_keys: int
    freed_keys: int
    last: bool


def shape_of(operator: Operator) -> AttentionDims:
    """Return the shape of an attention operator."""
    return AttentionDims(**attention_dims(operator))


def pages(machine: AsicMachine, operator: Operator) -> int | None:
    """Return the pages of the cache that a sequence's newest token sees; None where several tokens are new."""
    shape = shape_of(operator)
    if shape.q_len > 1 or operator.kv_dtype is None:
        return None
    return -(-_seen(shape) // machine.p.attention.page)


def keys_of(machine: AsicMachine, operator: Operator) -> int:
    """Return the cached tokens of a sequence that are read, whole pages for a single new token."""
    n_pages = pages(machine, operator)
    if n_pages is not None:
        return n_pages * machine.p.attention.page
    shape = shape_of(operator)
    return min(shape.kv_len, shape.q_len + shape.window - 1) if shape.window else shape.kv_len


def useful_macs(machine: AsicMachine, operator: Operator, sequences: int) -> int:
    """Return the MACs that are no padding; those of whole pages where pages are read, as all that is equal."""
    shape = shape_of(operator)
    if pages(machine, operator) is None:
        return portion(operator.macs, 0, sequences, shape.batch)
    return 2 * sequences * shape.heads * shape.head_dim * keys_of(machine, operator)


def parts_of(machine: AsicMachine, operator: Operator) -> list[tuple[AttentionPart, int]]:
    """Return the programs that attention takes, each with how often it runs: sequences in waves of the cache."""
    shape = shape_of(operator)
    tensors = (*operator.inputs.values(), operator.output_bytes)
    sequence_bytes = kv_bytes(shape, keys_of(machine, operator))
    spilled = sum(map(machine.spilled, tensors))
    each = max(1, machine.p.program.cache_wave // max(1, sequence_bytes + spilled // shape.batch))
    sizes = shares(shape.batch, each)
    ahead = (*sizes[1:], 0) if operator.kv_dtype is not None else (0,) * len(sizes)
    waves = (
        AttentionPart(size, index > 0 and operator.kv_dtype is not None, following)
        for index, (size, following) in enumerate(zip(sizes, ahead, strict=True))
    )
    return list(Counter(waves).items())


def kv_bytes(shape: AttentionDims, keys: int) -> int:
    """Return the bytes of keys and values of one sequence."""
    return bytes_of(2 * keys * shape.kv_heads * shape.head_dim, shape.kv_dtype)


def resident_bytes(machine: AsicMachine, operator: Operator, part: AttentionPart) -> int:
    """Return the room that queries and results take, and what comes in for the next program or is there from before."""
    total = sum(n for n in (*operator.inputs.values(), operator.output_bytes) if not machine.spilled(n))
    total += _first_bytes(machine, operator, part.following) if part.following else 0
    return total + (_first_bytes(machine, operator, part.sequences) if part.warm else 0)


def _first_bytes(machine: AsicMachine, operator: Operator, sequences: int) -> int:
    """Return the keys and values of the first turn of some sequences."""
    first = next(turns(machine, operator, sequences))
    return first.sequences * kv_bytes(shape_of(operator), first.loaded_keys)


def draft_attention(
    machine: AsicMachine, draft: Draft, number: int, operator: Operator, part: AttentionPart, source: Sequence[int]
) -> list[int]:
    """Write down attention as group `number`, queries from the steps of `source`; return the steps with results."""
    loops = list(turns(machine, operator, part.sequences))
    n_first = sum(turn.loaded_keys > 0 for turn in loops)
    begin = len(draft.steps)
    out: list[int] = []
    waiting: tuple[int, Turn] | None = None
    begun = done = 0
    for turn in [*loops, None]:
        scored = None
        if turn is not None:
            begun += turn.loaded_keys > 0
            after = before(source, begun - 1, n_first)
            scored = _score(machine, draft, number, operator, turn, after), turn
        if waiting is not None:
            last = _weigh(machine, draft, number, operator, waiting[1], waiting[0], done)
            done += waiting[1].sequences * waiting[1].queries if waiting[1].last else 0
            out += [last] if waiting[1].last else []
        waiting = scored
    if part.warm:
        warm_bytes = _first_bytes(machine, operator, part.sequences)
        draft.steps[begin][LOAD] -= warm_bytes
        draft.steps[begin][HOLD] -= warm_bytes
        freed = next(step for step in draft.steps[begin:] if step[RELEASE] >= warm_bytes)
        freed[RELEASE] -= warm_bytes
    if part.following:
        draft.add(group=number, load=_first_bytes(machine, operator, part.following))
    return out


def turns(machine: AsicMachine, operator: Operator, sequences: int) -> Iterator[Turn]:
    """Yield the turns of some sequences; keys that no query of a block sees are left out."""
    shape = shape_of(operator)
    keys = keys_of(machine, operator)
    room = machine.sram_bytes // TURN_SHARE
    queries = _spilled_queries(machine, operator, shape, min(shape.q_len, machine.p.attention.query_block))
    each = max(1, kv_bytes(shape, keys) + queries)
    together = _together(machine, shape, keys, min(sequences, room // each))
    block = max(1, min(keys, room // max(1, kv_bytes(shape, 1))))
    for some in shares(sequences, together):
        for begin in range(0, keys, block):
            end = min(begin + block, keys)
            passing = [each for each in _query_blocks(machine, shape, keys) if each[2] < end and begin < each[1]]
            for index, (queries, seen, _) in enumerate(passing):
                loaded, freed = (end - begin if index == at else 0 for at in (0, len(passing) - 1))
                yield Turn(some, queries, min(end, seen) - begin, loaded, freed, seen <= end)


def _together(machine: AsicMachine, shape: AttentionDims, keys: int, most: int) -> int:
    """Return how many sequences make a turn: of at most `most`, those that leave the fewest blocks empty."""
    block = machine.p.array.columns // machine.p.array.split
    tiles = shape.kv_heads * -(-keys // block) * -(-shape.head_dim // block)

    def filled(sequences: int) -> float:
        return sequences * tiles / (-(-sequences * tiles // machine.n_blocks) * machine.n_blocks)

    return max(range(1, most + 1), key=lambda sequences: (round(filled(sequences), 2), sequences), default=1)


def _query_blocks(machine: AsicMachine, shape: AttentionDims, keys: int) -> Iterator[tuple[int, int, int]]:
    """Yield queries of a block, the keys that its last one sees, and the first key that its first one sees."""
    offset = keys - shape.q_len
    first = 0
    for queries in shares(shape.q_len, machine.p.attention.query_block):
        seen = min(keys, first + queries + offset) if shape.causal else keys
        oldest = max(0, first + offset + 1 - shape.window) if shape.window and shape.q_len > 1 else 0
        yield queries, seen, oldest
        first += queries


def _seen(shape: AttentionDims) -> int:
    return min(shape.kv_len, shape.window) if shape.window else shape.kv_len


@dataclass(frozen=True, slots=True)
class _Folds:
    """Tiles on the blocks of all arrays: folds of one array, cycles of rows and of loading, MACs with padding."""

    folds: int
    stream: int
    load_cycles: int
    macs: int


def _folds(machine: AsicMachine, shape: AttentionDims, turn: Turn, along: int, across: int) -> _Folds:
    """Return the folds of a turn whose tiles have `along` rows and `across` columns, for each sequence and KV head."""
    array = machine.p.array
    block_rows, block_columns = array.rows // array.split, array.columns // array.split
    rows = turn.queries * shape.group
    tiles = turn.sequences * shape.kv_heads * -(-along // block_rows) * -(-across // block_columns)
    copies = max(1, min(machine.n_blocks // tiles, -(-rows // LEAST_ROWS)))
    passes = machine.passes(shape.dtype, shape.kv_dtype)
    n_folds = -(-tiles // machine.n_blocks)
    held = turn.sequences * shape.kv_heads * copies * bytes_of(along * across, shape.kv_dtype)
    return _Folds(
        folds=n_folds,
        stream=-(-rows // copies) * passes,
        load_cycles=-(-held // (array.count * n_folds * array.weight_load)),
        macs=tiles * rows * block_rows * block_columns * passes,
    )


def _score(machine: AsicMachine, draft: Draft, number: int, operator: Operator, turn: Turn, after: int) -> int:
    """Write down the scores of a turn and their softmax; keys and values come with it."""
    shape = shape_of(operator)
    folds = _folds(machine, shape, turn, shape.head_dim, turn.keys)
    loads = turn.sequences * kv_bytes(shape, turn.loaded_keys) if operator.kv_dtype else 0
    spilled = _spilled_queries(machine, operator, shape, turn.sequences * turn.queries)
    scores = turn.sequences * shape.heads * turn.queries * turn.keys
    return draft.add(
        group=number,
        load=loads + spilled,
        hold=loads + spilled,
        gated=1 if shape.q_len > 1 or spilled else 0,
        in_blocks=1,
        folds=folds.folds,
        stream=folds.stream,
        load_cycles=folds.load_cycles,
        macs=folds.macs,
        early=1,
        after=after,
        chain=folds.stream,
        unit=SOFTMAX,
        unit_cycles=machine.unit_cycles(SOFTMAX, scores),
        ops=OPS_PER_SCORE * scores,
        touched=turn.sequences * kv_bytes(shape, turn.keys) // 2
        + bytes_of(turn.sequences * shape.heads * turn.queries * shape.head_dim, shape.dtype),
        worked=2 * bytes_of(scores, shape.dtype),
    )


def _spilled_queries(machine: AsicMachine, operator: Operator, shape: AttentionDims, queries: int) -> int:
    """Return the bytes of so many queries that come from HBM; without a cache, with their keys and values."""
    n_bytes = sum(map(machine.spilled, operator.inputs.values()))
    return portion(n_bytes, 0, queries, shape.batch * shape.q_len)


def _weigh(
    machine: AsicMachine, draft: Draft, number: int, operator: Operator, turn: Turn, scores: int, done: int
) -> int:
    """Write down the weighted values of a turn."""
    shape = shape_of(operator)
    folds = _folds(machine, shape, turn, turn.keys, shape.head_dim)
    total = shape.batch * shape.q_len
    freed = turn.sequences * kv_bytes(shape, turn.freed_keys) if operator.kv_dtype else 0
    stored = portion(machine.spilled(operator.output_bytes), done, done + turn.sequences * turn.queries, total)
    return draft.add(
        group=number,
        release=_spilled_queries(machine, operator, shape, turn.sequences * turn.queries) + freed,
        in_blocks=1,
        folds=folds.folds,
        stream=folds.stream,
        load_cycles=folds.load_cycles,
        macs=folds.macs,
        after=scores,
        chain=folds.folds * folds.stream,
        store=stored if turn.last else 0,
        touched=turn.sequences * (kv_bytes(shape, turn.keys) // 2)
        + bytes_of(turn.sequences * shape.heads * turn.queries * turn.keys, shape.dtype),
    )

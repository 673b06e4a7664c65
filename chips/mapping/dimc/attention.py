"""Attention on in-memory cores: keys and values are weights that were written token by token.

Pairs of a sequence and a KV head are dealt to chiplets; where there are fewer pairs, chiplets share the keys of one and
combine what they have at the end. The queries of a group are the vectors of a pair's tiles. Queries and softmax weights
are narrowed to the cache's format, in which the arrays multiply them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from dieshot.chips.mapping.attention_dims import AttentionDims, attention_dims
from dieshot.chips.mapping.dimc.machine import DimcMachine, ceil_div, spread
from dieshot.chips.parts.dimc.program import Step, Tiles
from dieshot.traces.dtype import bytes_of
from dieshot.traces.operator import Operator
from dieshot.traces.work import Formats, Work, keys_read, visible_keys, work_of

STATISTICS = 2  # maximum and sum of a softmax, beside its weighted values


@dataclass(frozen=True, slots=True)
class Share:
    """pairs: of each chiplet. parts: chiplets that share the keys of a pair. keys: of one pair on one chiplet, whole
    tiles. rows: vectors that a tile of keys sees in the mean, rounded up."""

    pairs: tuple[int, ...]
    parts: int
    keys: int
    rows: int


def whole_tiles(machine: DimcMachine, operator: Operator) -> AttentionDims:
    """Return the dimensions with the keys that a decode step sees as whole tiles: all that are equal are one region."""
    dims = AttentionDims(**attention_dims(operator))
    if dims.q_len > 1:
        return dims
    seen = min(dims.kv_len, dims.window) if dims.window else dims.kv_len
    tile = machine.p.array.rows
    return replace(dims, kv_len=-(-seen // tile) * tile, window=0)


def work(dims: AttentionDims, operator: Operator) -> Work:
    """Return the counts of an attention operator of these dimensions."""
    sizes = {key: getattr(dims, key) for key in operator.dims if key != "causal"} | {"causal": int(dims.causal)}
    formats = Formats(operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    return work_of("attention", sizes, formats)


def share_of(machine: DimcMachine, dims: AttentionDims) -> Share:
    """Return what each chiplet does."""
    n_pairs, tile = dims.batch * dims.kv_heads, machine.p.array.rows
    keys = keys_read(dims.q_len, dims.kv_len, dims.window)
    parts = max(1, machine.n_chiplets // n_pairs) if n_pairs < machine.n_chiplets else 1
    parts = min(parts, -(-keys // tile))
    busy = spread(n_pairs * parts, machine.n_chiplets)
    own = ceil_div(ceil_div(keys, parts), tile) * tile
    visible = visible_keys(dims.q_len, dims.kv_len, dims.causal, dims.window)
    return Share(busy, parts, own, -(-dims.group * visible // keys))


def build(machine: DimcMachine, operator: Operator, index: int) -> list[Step]:
    """Return the steps: scores and their softmax, weighted values and their combination."""
    dims = whole_tiles(machine, operator)
    share, counts = share_of(machine, dims), work(dims, operator)
    bits = machine.weight_bits(dims.kv_dtype, operator.name)
    kv_bytes = counts.kv_read_bytes if machine.streams else 0
    return [
        _scores(machine, dims, share, counts, bits, index, kv_bytes - kv_bytes // 2),
        _values(machine, dims, share, counts, bits, index, operator.output_dtype, kv_bytes // 2),
    ]


def _scores(
    machine: DimcMachine, dims: AttentionDims, share: Share, counts: Work, bits: int, index: int, load: int
) -> Step:
    array = machine.p.array
    k_tiles = -(-dims.head_dim // array.rows)
    n_tiles = -(-share.keys // machine.columns(bits))
    query = bytes_of(dims.head_dim, dims.kv_dtype)
    transcendental = machine.p.simd.transcendental_ops
    softmax = counts.vector_ops + transcendental * counts.transcendental_ops
    softmax += machine.p.simd.quantise_ops * (
        counts.transcendental_ops + dims.batch * dims.q_len * dims.heads * dims.head_dim
    )
    softmax /= dims.batch * dims.kv_heads * share.parts * share.rows
    tiles = _tiles(machine, share, k_tiles * n_tiles, bits)
    return Step(
        index,
        share.rows,
        gather=tuple(machine.from_others(pairs * query) for pairs in share.pairs),
        spread=tuple(pairs * query for pairs in share.pairs),
        tiles=tiles,
        groups=max(each.passes for each in tiles),
        vector_cycles=bits,
        reduce=(0,) * machine.n_chiplets,
        sums=_sums(machine, share, k_tiles * n_tiles, bits),
        tree_cycles=machine.tree_cycles(k_tiles),
        simd_ops=tuple(ceil(pairs * softmax) for pairs in share.pairs),
        load_bytes=load,
    )


def _values(
    machine: DimcMachine,
    dims: AttentionDims,
    share: Share,
    counts: Work,
    bits: int,
    index: int,
    output_dtype: str,
    load: int,
) -> Step:
    array = machine.p.array
    k_tiles = -(-share.keys // array.rows)
    n_tiles = -(-dims.head_dim // machine.columns(bits))
    sums = dims.head_dim * array.accumulator
    n_cores = min(k_tiles, max(1, machine.chiplet_cores // (max(share.pairs) * n_tiles)))
    slices = -(-n_cores // machine.slice_cores)
    shared = share.parts - 1
    combined = (dims.head_dim + STATISTICS) * array.accumulator * shared // share.parts
    per_output = machine.p.simd.epilogue_ops + machine.quantise_ops(output_dtype) + 2 * shared
    tiles = _tiles(machine, share, k_tiles * n_tiles, bits)
    return Step(
        index,
        share.rows,
        spread=(0,) * machine.n_chiplets,
        tiles=tiles,
        groups=max(each.passes for each in tiles),
        vector_cycles=bits,
        reduce=tuple(pairs * sums * slices if slices > 1 else 0 for pairs in share.pairs),
        sums=_sums(machine, share, n_cores * n_tiles, bits),
        tree_cycles=machine.tree_cycles(n_cores),
        share=tuple(pairs * combined for pairs in share.pairs) if shared else (),
        simd_ops=tuple(ceil(pairs * dims.head_dim * per_output / share.parts) for pairs in share.pairs),
        load_bytes=load,
    )


def _tiles(machine: DimcMachine, share: Share, n_tiles: int, bits: int) -> tuple[Tiles, ...]:
    array, columns = machine.p.array, machine.columns(bits)
    return tuple(
        Tiles(
            -(-pairs * n_tiles // machine.chiplet_cores),
            pairs * n_tiles * array.tile,
            pairs * n_tiles * share.rows * array.rows * columns,
        )
        for pairs in share.pairs
    )


def _sums(machine: DimcMachine, share: Share, n_tiles: int, bits: int) -> tuple[int, ...]:
    """Return the bytes of sums of so many tiles of every pair, by chiplet."""
    each = n_tiles * machine.columns(bits) * machine.p.array.accumulator
    return tuple(pairs * each for pairs in share.pairs)

"""GEMM on a systolic chip: weights are held, rows stream; candidates for the tile of weights and the order of loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dieshot.chips.mapping.systolic.machine import ACCUMULATOR_BYTES, Plan, Rows, SystolicMachine, stacked, step_row
from dieshot.chips.parts.systolic.core_program import GATED, HOLD, LOAD
from dieshot.traces.dtype import bytes_of

TILE_FACTORS = (1, 2, 4)  # of the weight tile that the parameters name, to choose from
BLOCK_SHARE = 4  # a block of rows takes at most this part of the scratchpads


@dataclass(frozen=True, slots=True)
class GemmShape:
    """Rows times weights. rows: of every expert that has some, or all in one. shard_k: whether the cores share K, and
    add up, instead of N. spilled_in, spilled_out: whether rows and results go through HBM."""

    rows: tuple[int, ...]
    n: int
    k: int
    dtype: str
    weight_dtype: str
    output_dtype: str
    weight_bytes: int
    shard_k: bool
    spilled_in: bool
    spilled_out: bool


@dataclass(frozen=True, slots=True)
class GemmTiling:
    """tile_n: columns of weights, of one core, that go in at a time. block_m: rows that pass before the next block.
    rows_first: whether all blocks pass a tile of weights before the next tile is loaded."""

    tile_n: int
    block_m: int
    rows_first: bool


def core_extent(machine: SystolicMachine, shape: GemmShape) -> tuple[int, int]:
    """Return N and K of one core's share."""
    n_cores = machine.n_cores
    return (shape.n, -(-shape.k // n_cores)) if shape.shard_k else (-(-shape.n // n_cores), shape.k)


def candidates(machine: SystolicMachine, shape: GemmShape) -> list[GemmTiling]:
    """Return tilings, best by closed form first."""
    found = list(dict.fromkeys(_tilings(machine, shape)))
    return sorted(found, key=lambda tiling: estimate_fs(machine, shape, tiling))


def _tilings(machine: SystolicMachine, shape: GemmShape) -> Iterator[GemmTiling]:
    n, k = core_extent(machine, shape)
    columns = machine.p.mxu.columns
    column_bytes = bytes_of(k, shape.weight_dtype)
    most_rows = max(shape.rows)
    fits = machine.timing.vmem_bytes // BLOCK_SHARE // max(1, bytes_of(shape.k, shape.dtype))
    blocks = {most_rows} if not shape.spilled_in else {max(1, min(most_rows, fits))}
    for factor in TILE_FACTORS:
        wanted = machine.p.software.weight_tile * factor // machine.n_cores // column_bytes
        tile_n = max(columns, min(wanted // columns, -(-n // columns)) * columns)
        for block_m in blocks:
            yield GemmTiling(tile_n, block_m, rows_first=True)
            if block_m < most_rows:
                yield GemmTiling(tile_n, block_m, rows_first=False)


def least_tile_bytes(machine: SystolicMachine, shape: GemmShape) -> int:
    """Return the bytes of the narrowest tile of weights, that of one array's columns on every core."""
    _, k = core_extent(machine, shape)
    return machine.n_cores * machine.p.mxu.columns * bytes_of(k, shape.weight_dtype)


def traffic_bytes(shape: GemmShape, n_tiles: int, n_blocks: int, tiling: GemmTiling) -> int:
    """Return bytes between HBM and the scratchpads."""
    m = sum(shape.rows)
    x = bytes_of(m * shape.k, shape.dtype) if shape.spilled_in else 0
    y = bytes_of(m * shape.n, shape.output_dtype) if shape.spilled_out else 0
    if n_blocks == 1:
        return shape.weight_bytes + x + y
    if tiling.rows_first:
        return shape.weight_bytes + x * n_tiles + y
    return shape.weight_bytes * n_blocks + x + y


def estimate_fs(machine: SystolicMachine, shape: GemmShape, tiling: GemmTiling) -> float:
    """Return a closed form of the time: the busier of arrays and memory, and what neither overlaps."""
    n, k = core_extent(machine, shape)
    mxu = machine.p.mxu
    n_tiles = -(-n // tiling.tile_n)
    n_blocks = -(-max(shape.rows) // tiling.block_m)
    cycles = sum(
        _folds(machine, k, min(tiling.tile_n, n)) * n_tiles * max(*_fold_cycles(machine, shape, rows, k))
        for rows in shape.rows
    )
    memory_fs = traffic_bytes(shape, n_tiles, n_blocks, tiling) / machine.timing.hbm.bytes_per_fs
    first_fs = tiling.tile_n * machine.n_cores * bytes_of(k, shape.weight_dtype) / machine.timing.hbm.bytes_per_fs
    return max(cycles * machine.timing.period_fs, memory_fs) + first_fs + mxu.rows * machine.timing.period_fs


def _folds(machine: SystolicMachine, k: int, n: int) -> int:
    mxu = machine.p.mxu
    return -(-(-(-k // mxu.rows) * -(-n // mxu.columns)) // mxu.count)


def _fold_cycles(machine: SystolicMachine, shape: GemmShape, rows: int, k: int) -> tuple[int, int]:
    mxu = machine.p.mxu
    stream = machine.stream_cycles(rows, shape.dtype)
    return stream, machine.weight_load_cycles(min(k, mxu.rows), shape.weight_dtype)


def build(machine: SystolicMachine, shape: GemmShape, tiling: GemmTiling) -> Plan:
    """Return the plan of a tiling."""
    n, _ = core_extent(machine, shape)
    tiles = [min(tiling.tile_n, n - first) for first in range(0, n, tiling.tile_n)]
    steps: list[Rows] = []
    for rows in shape.rows:
        blocks = [min(tiling.block_m, rows - first) for first in range(0, rows, tiling.block_m)]
        order = [(t, b) for t in range(len(tiles)) for b in range(len(blocks))]
        if not tiling.rows_first:
            order.sort(key=lambda pair: pair[1])
        held = -1
        for position, (tile, block) in enumerate(order):
            turn = tile if tiling.rows_first else block
            fresh = turn != held
            held = turn
            loads_weights = fresh if tiling.rows_first else True
            loads_rows = shape.spilled_in and (fresh or tiling.rows_first) and (len(blocks) > 1 or position == 0)
            steps.extend(_steps(machine, shape, tiles[tile], blocks[block], loads_weights, loads_rows))
    _set_exact_load(steps, shape)
    m = sum(shape.rows)
    exchange = machine.exchange_fs(bytes_of(m * shape.n, shape.output_dtype)) if shape.shard_k else 0
    resident = 0 if shape.spilled_in else bytes_of(m * shape.k, shape.dtype)
    resident += 0 if shape.spilled_out else bytes_of(m * shape.n, shape.output_dtype)
    return Plan(stacked(steps), machine.p.program.operator, exchange, resident)


def _steps(
    machine: SystolicMachine,
    shape: GemmShape,
    tile_n: int,
    rows: int,
    loads_weights: bool,
    loads_rows: bool,
) -> Iterator[Rows]:
    """Yield the step of one tile of weights and one block of rows, after the loading of rows that are spilled."""
    n_cores, mxu = machine.n_cores, machine.p.mxu
    k = core_extent(machine, shape)[1]
    if loads_rows:
        n_bytes = bytes_of(rows * shape.k, shape.dtype)
        yield step_row(load=n_bytes, gated=1, hold=n_bytes)
    stream, load_cycles = _fold_cycles(machine, shape, rows, k)
    k_folds, n_folds = -(-k // mxu.rows), -(-tile_n // mxu.columns)
    padded = -(-rows // mxu.sublane_rows) * mxu.sublane_rows
    weights = n_cores * bytes_of(tile_n * k, shape.weight_dtype)
    outputs = rows * tile_n
    ops = outputs * (machine.p.software.epilogue_ops_per_element + (k_folds - 1) * mxu.accumulate_ops)
    if shape.weight_dtype != shape.dtype:
        ops += tile_n * k * machine.p.software.dequantise_ops_per_weight
    output_bytes = n_cores * bytes_of(outputs, shape.output_dtype) // (n_cores if shape.shard_k else 1)
    x_bytes = n_cores * n_folds * bytes_of(rows * k, shape.dtype)
    yield step_row(
        load=weights if loads_weights else 0,
        hold=weights if loads_weights else 0,
        folds=_folds(machine, k, tile_n),
        stream=stream,
        load_cycles=load_cycles,
        macs=n_cores * k_folds * n_folds * padded * mxu.rows * mxu.columns,
        vector=machine.vector_fs(ops),
        ops=int(n_cores * ops),
        store=output_bytes if shape.spilled_out else 0,
        touched=weights + x_bytes,
        worked=n_cores * outputs * ACCUMULATOR_BYTES + output_bytes,
    )


def _set_exact_load(steps: list[Rows], shape: GemmShape) -> None:
    """Give the last step what biases, and the rounding of shares, leave between the tiles and the operator's bytes."""
    total = sum(int(step[LOAD]) for step in steps if not step[GATED])
    missing = shape.weight_bytes - total
    if missing > 0:
        steps[-1][LOAD] += missing
        steps[-1][HOLD] += missing

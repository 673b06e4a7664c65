"""GEMM on in-memory cores: tiles of weights over chiplets and cores, inputs gathered, partial sums added up.

Columns of weights are shared out over chiplets, so that sums stay on one; where there are too few, chiplets share K and
add up over their links. On a chiplet, `along_k` cores share K. The best by closed form is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from dieshot.chips.mapping.dimc.machine import DimcMachine, ceil_div, spread
from dieshot.chips.parts.dimc.program import Step, Tiles
from dieshot.traces.dtype import bytes_of


@dataclass(frozen=True, slots=True)
class GemmShape:
    """Rows times `matrices` equal matrices of weights, each with its own `rows` rows (experts; 1 of a plain GEMM)."""

    rows: int
    n: int
    k: int
    matrices: int
    dtype: str
    output_dtype: str
    operand_bits: int
    weight_bits: int


@dataclass(frozen=True, slots=True)
class Layout:
    """k_chiplets: chiplets that share K. along_k: cores of a chiplet that do."""

    k_chiplets: int
    along_k: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles along K and N of one chiplet in a layout, and how they lie on its cores."""

    k_tiles: int
    n_tiles: tuple[int, ...]
    along_k: int
    along_n: int

    def passes(self, n_tiles: int) -> int:
        """Return the tiles that a core has of so many columns of tiles."""
        return -(-self.k_tiles // self.along_k) * -(-n_tiles // self.along_n)


def grid_of(machine: DimcMachine, shape: GemmShape, layout: Layout) -> Grid:
    """Return the tiles of every chiplet."""
    k_tiles = ceil_div(ceil_div(shape.k, machine.p.array.rows), layout.k_chiplets)
    columns = shape.matrices * -(-shape.n // machine.columns(shape.weight_bits))
    groups = spread(columns, machine.n_chiplets // layout.k_chiplets)
    n_tiles = tuple(n for n in groups for _ in range(layout.k_chiplets))
    along_k = min(layout.along_k, k_tiles)
    return Grid(k_tiles, n_tiles, along_k, max(1, machine.chiplet_cores // along_k))


def layouts(machine: DimcMachine, shape: GemmShape) -> Iterator[Layout]:
    """Yield the layouts to choose from: powers of two, and all of K."""
    k_tiles = -(-shape.k // machine.p.array.rows)
    k_chiplets = 1
    while k_chiplets <= machine.n_chiplets:
        if machine.n_chiplets % k_chiplets == 0:
            most = min(machine.chiplet_cores, -(-k_tiles // k_chiplets))
            for along_k in sorted({*(1 << i for i in range(most.bit_length())), most}):
                yield Layout(k_chiplets, along_k)
        k_chiplets *= 2


def best_layout(machine: DimcMachine, shape: GemmShape) -> Layout:
    """Return the layout that is fastest by closed form."""
    return min(layouts(machine, shape), key=lambda layout: estimate_cycles(machine, shape, layout))


def estimate_cycles(machine: DimcMachine, shape: GemmShape, layout: Layout) -> float:
    """Return a closed form of the cycles: vectors on their way in beside the first tile, then tile after tile, and what
    trees, ports and lanes do behind the last group of columns; links between chiplets, and depths of trees."""
    step = build(machine, shape, layout, 0)
    tile = max(machine.p.array.select, shape.rows * shape.operand_bits)
    ports = machine.p.noc.port * machine.n_slices
    vectors = shape.rows * max(step.spread) / ports
    behind = max(
        max(step.sums) / (machine.tree_bytes * machine.chiplet_cores),
        max(step.reduce) / ports,
        max(step.simd_ops) / (machine.p.simd.lanes * machine.n_slices),
    )
    link = 0.0
    if machine.p.d2d is not None:
        moved = max(step.gather) + max(step.share, default=0)
        link = shape.rows * moved * machine.p.clock / machine.p.d2d.rate
        link += machine.p.d2d.latency / machine.clock.period_fs * (1 + (layout.k_chiplets > 1))
    work = max(tile, vectors) + (step.n_passes - 1) * tile + shape.rows * behind / step.groups
    return work + link + step.tree_cycles


def build(machine: DimcMachine, shape: GemmShape, layout: Layout, operator: int, load_bytes: int = 0) -> Step:
    """Return the step of a GEMM in a layout."""
    grid, bits = grid_of(machine, shape, layout), shape.weight_bits
    array, columns = machine.p.array, machine.columns(bits)
    tiles = tuple(
        Tiles(grid.passes(n), grid.k_tiles * n * array.tile, grid.k_tiles * n * shape.rows * array.rows * columns)
        if n
        else Tiles(0, 0, 0)
        for n in grid.n_tiles
    )
    k_bytes = bytes_of(-(-shape.k // layout.k_chiplets), shape.dtype) * shape.matrices
    used = min(machine.slice_cores, grid.along_k)
    slice_k = min(grid.k_tiles, used * -(-grid.k_tiles // grid.along_k)) * array.rows
    slice_n = max(1, machine.slice_cores // grid.along_k) * -(-max(grid.n_tiles) // grid.along_n)
    inputs = min(shape.matrices, -(-slice_n // -(-shape.n // columns)))  # of as many matrices as a slice has columns of
    spread_bytes = bytes_of(slice_k, shape.dtype) * machine.n_slices * inputs
    across = -(-grid.along_k // machine.slice_cores)
    sums = [n * columns * array.accumulator for n in grid.n_tiles]
    outputs = -(-shape.n * shape.matrices // machine.n_chiplets)
    per_output = machine.p.simd.epilogue_ops + machine.quantise_ops(shape.output_dtype)
    shared = layout.k_chiplets - 1
    return Step(
        operator,
        shape.rows,
        gather=(machine.from_others(k_bytes),) * machine.n_chiplets,
        spread=tuple(spread_bytes if n else 0 for n in grid.n_tiles),
        tiles=tiles,
        vector_cycles=shape.operand_bits,
        groups=-(-max(grid.n_tiles) // grid.along_n),
        reduce=tuple(each * across if across > 1 else 0 for each in sums),
        sums=tuple(each * grid.along_k for each in sums),
        tree_cycles=machine.tree_cycles(grid.along_k),
        share=tuple(each * shared // layout.k_chiplets for each in sums) if shared else (),
        simd_ops=(ceil(outputs * (per_output + shared)),) * machine.n_chiplets,
        load_bytes=load_bytes,
    )

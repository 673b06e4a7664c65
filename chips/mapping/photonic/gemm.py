"""Matrix products on optical arrays: which operand is written into them, and which passes as vectors.

Written weights serve all rows of the operator; written rows serve all weights, which then pass as vectors. The first
suits many rows, the second few rows and slow writing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dieshot.chips.mapping.photonic.machine import SUM_BYTES, Draft, PhotonicMachine, Plan, Rows, pieces, stacked
from dieshot.traces.dtype import DTYPE_BITS
from dieshot.traces.operator import Operator


@dataclass(frozen=True, slots=True)
class Product:
    """vectors x depth times depth x columns; `spilled`: bytes of the operator's rows that come from the host."""

    vectors: int
    columns: int
    depth: int
    bits: int
    spilled: int = 0


def plans(machine: PhotonicMachine, operator: Operator) -> list[Plan]:
    """Return both ways to carry out a GEMM, grouped or not."""
    return [_plan(machine, operator, written) for written in ("weights", "rows")]


def _plan(machine: PhotonicMachine, operator: Operator, written: str) -> Plan:
    dims = operator.dims
    groups = [n for n in operator.group_rows if n] if operator.group_rows else [dims["M"]]
    m = sum(groups)
    rescale = m * dims["K"] * machine.p.software.rescale_ops + operator.vector_ops
    drafts = [Draft(ops=rescale + (m * dims["K"] * machine.p.weights.decomposition if written == "rows" else 0))]
    bits = DTYPE_BITS[operator.weight_dtype or operator.dtype]
    spilled = machine.spilled(operator.input_bytes)
    for rows in groups:
        product = Product(rows, dims["N"], dims["K"], bits, spilled * rows // m)
        drafts.extend(weights_written(machine, product) if written == "weights" else rows_written(machine, product))
    # Weights come again for every block of rows whose sums there is room for.
    loaded = sum(draft.share for draft in drafts)
    drafts.append(Draft(after=len(drafts) - 1, store=machine.spilled(operator.output_bytes)))
    there = len(groups) * dims["N"] * dims["K"]
    return machine.plan(f"{written} written", drafts, operator.weight_bytes * loaded // there)


def most_vectors(machine: PhotonicMachine, columns: int) -> int:
    """Return the vectors for which there is room for the sums of all arrays, or of the columns if they are fewer."""
    width = min(columns, machine.columns * machine.p.cores)
    return machine.p.sram.sums // (SUM_BYTES * width)


def weights_written(machine: PhotonicMachine, product: Product) -> Iterator[Draft]:
    """Yield the steps of written weights: stripes of columns side by side on the arrays, down the depth in tiles; a
    tile that holds the whole depth may hold more stripes, one after the other."""
    abreast = machine.columns * machine.p.cores
    whole = machine.p.software.tile * 8 // (abreast * product.depth * product.bits)
    for vectors in pieces(product.vectors, most_vectors(machine, product.columns)):
        for width in pieces(product.columns, abreast * max(1, whole)):
            deep = product.depth if whole > 1 else tile_depth(machine, width, product)
            for depth in pieces(product.depth, deep):
                spilled = product.spilled * vectors * depth // (product.vectors * product.depth)
                runs = block_runs(machine, vectors, width, depth)
                yield Draft(depth * width, spilled, spilled > 0, runs, after=0)


def tile_depth(machine: PhotonicMachine, width: int, product: Product) -> int:
    """Return the depth of a tile of weights, in whole blocks, so that every array has one at least."""
    blocks = machine.p.software.tile * 8 // (width * machine.rows * product.bits)
    stripes = -(-width // machine.columns)
    return machine.rows * max(blocks, machine.p.cores // stripes, 1)


def rows_written(machine: PhotonicMachine, product: Product) -> Iterator[Draft]:
    """Yield the steps of written rows: every array has another part of the depth, and weights pass as vectors; a tile
    may hold all vectors of more parts, one after the other."""
    cores, tile = machine.p.cores, machine.p.software.tile
    for width in pieces(product.vectors, machine.columns * cores):
        stripes = -(-width // machine.columns)
        abreast = machine.rows * max(1, cores // stripes)
        for columns in pieces(product.columns, max(1, machine.p.sram.sums // (SUM_BYTES * width))):
            deep = max(1, tile * 8 // (columns * abreast * product.bits)) * abreast
            for depth in pieces(product.depth, deep):
                length = max(1, tile * 8 // (depth * product.bits))
                for number, vectors in enumerate(pieces(columns, length)):
                    spilled = 0 if number else product.spilled * width * depth // (product.vectors * product.depth)
                    runs = block_runs(machine, vectors, width, depth, write=number == 0)
                    yield Draft(depth * vectors, spilled, spilled > 0, runs, streamed=True, after=0)


def block_runs(machine: PhotonicMachine, vectors: int, width: int, depth: int, write: bool = True) -> Rows:
    """Return the runs of one tile: each stripe of columns has arrays of its own, which share the depth.

    More stripes than arrays take turns; like blocks of an array follow each other.
    """
    cores = machine.p.cores
    stripes = pieces(width, machine.columns)
    sharing = max(1, cores // len(stripes))
    whole, edge = divmod(depth, machine.rows)
    alike: dict[tuple[int, int, int], int] = {}
    for number, columns in enumerate(stripes):
        first = number * sharing % cores
        for position in range(sharing):
            count = whole // sharing + (position < whole % sharing)
            if count:
                run = (first + position, machine.rows, columns)
                alike[run] = alike.get(run, 0) + count
        if edge:
            run = (first + whole % sharing, edge, columns)
            alike[run] = alike.get(run, 0) + 1
    return stacked([machine.run(core, vectors, n, rows, cols, write) for (core, rows, cols), n in alike.items()])

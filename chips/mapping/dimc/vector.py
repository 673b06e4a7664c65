"""Operators without matrix work: the lanes of all slices share the elements, and tell each other what all must know."""

from __future__ import annotations

from math import ceil

from dieshot.chips.mapping.dimc.machine import DimcMachine
from dieshot.chips.parts.dimc.program import Step
from dieshot.traces.dtype import BLOCKS
from dieshot.traces.operator import Operator

SCALAR_BYTES = 8  # of a token that chiplets tell each other: a sum, or a maximum with its index
NORM_SHARE = 2  # of a norm's operations one half makes the sum, the other scales


def build(machine: DimcMachine, operator: Operator, index: int) -> list[Step]:
    """Return the steps of an operator."""
    n_items = operator.dims["tokens"]
    ops = operator.vector_ops + machine.p.simd.transcendental_ops * operator.transcendental_ops
    ops += _narrowed(operator) * machine.quantise_ops(operator.output_dtype)
    load = operator.weight_bytes if machine.streams else 0
    if operator.kind == "norm":
        halves = _lanes(machine, ops / NORM_SHARE / n_items)
        told = _told(machine)
        return [
            Step(index, n_items, simd_ops=halves, publish=told, load_bytes=load),
            Step(index, n_items, simd_ops=halves),
        ]
    if operator.kind == "rope_kv_append":
        ops += _reopened(machine, operator) * machine.p.simd.quantise_ops
        written = ceil(operator.kv_write_bytes / machine.n_chiplets / n_items)
        return [
            Step(
                index,
                n_items,
                simd_ops=_lanes(machine, ops / n_items),
                spread=(written,) * machine.n_chiplets,
                load_bytes=load,
                store_bytes=operator.kv_write_bytes if machine.streams else 0,
            )
        ]
    moved = ceil(operator.weight_bytes / machine.n_chiplets / n_items)
    told = _told(machine) if operator.kind in ("sample", "route") else ()
    lanes = _lanes(machine, max(ops / n_items, 1))
    return [Step(index, n_items, spread=(moved,) * machine.n_chiplets, simd_ops=lanes, publish=told, load_bytes=load)]


def _lanes(machine: DimcMachine, ops: float) -> tuple[int, ...]:
    return (ceil(ops / machine.n_chiplets),) * machine.n_chiplets


def _told(machine: DimcMachine) -> tuple[int, ...]:
    """Return what comes in from all others where each tells a number of every token."""
    others = machine.n_chiplets - 1
    return (others * SCALAR_BYTES,) * machine.n_chiplets if others else ()


def _narrowed(operator: Operator) -> int:
    """Return the elements of the result that are narrowed from the carrier's format."""
    if operator.kind in ("sample", "route") or operator.output_dtype == operator.dtype:
        return 0
    dims = operator.dims
    return dims["tokens"] * dims.get("ffn", dims.get("hidden", 0))


def _reopened(machine: DimcMachine, operator: Operator) -> int:
    """Return the elements of keys and values that are narrowed again.

    A block of the cache along the positions has one exponent: with every value that joins it the block is read,
    narrowed again and written.
    """
    dims = operator.dims
    new = dims["tokens"] * dims["kv_heads"] * dims["head_dim"]
    scale = BLOCKS.get(operator.kv_dtype or "")
    return new * (1 + (scale.elements if scale else 1))

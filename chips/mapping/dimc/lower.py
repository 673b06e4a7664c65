"""From an operator to its steps, and what tells operators apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from math import ceil

from dieshot.chips.mapping.dimc import attention, gemm, vector
from dieshot.chips.mapping.dimc.machine import DimcMachine
from dieshot.chips.parts.dimc.program import Exchange, Step
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.machine import COLLECTIVES
from dieshot.traces.operator import Operator

MULTIPLIES = ("gemm", "grouped_gemm")
Exchanges = Callable[[Operator], Exchange]


def operator_key(machine: DimcMachine, operator: Operator) -> Hashable:
    """Return what tells operators apart on a card; decode attention sees whole tiles of keys."""
    dims = dict(operator.dims)
    if operator.kind == "attention" and operator.dims["q_len"] == 1:
        dims |= {"kv_len": attention.whole_tiles(machine, operator).kv_len, "window": 0}
    sizes = (operator.input_bytes, operator.weight_bytes, operator.output_bytes, operator.kv_write_bytes)
    formats = (operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    return (operator.kind, tuple(dims.items()), formats, sizes, operator.group_rows)


def refuse(machine: DimcMachine, operator: Operator) -> None:
    """Raise UnsupportedError for an operator whose formats the arrays do not take; note what its MACs run at."""
    if operator.kind == "attention":
        if operator.kv_dtype is None:
            raise UnsupportedError(f"{machine.p.name} attends to a cache only (operator {operator.name} has none)")
        machine.operand_bits(operator.dtype, operator.name)
        bits = machine.weight_bits(operator.kv_dtype, operator.name)
        rate = machine.core_macs(bits, bits)
    elif operator.macs:
        operand = machine.operand_bits(operator.dtype, operator.name)
        rate = machine.core_macs(operand, machine.weight_bits(operator.weight_dtype or operator.dtype, operator.name))
    else:
        return
    machine.used[operator.dtype] = max(machine.used.get(operator.dtype, 0), int(rate * machine.n_cores))


def steps_of(machine: DimcMachine, operator: Operator, index: int, exchanges: Exchanges) -> list[Step]:
    """Return the steps of an operator, the `index`th of its stretch."""
    if operator.kind in COLLECTIVES:
        return [Step(index, 1, exchange=exchanges(operator))]
    if operator.kind in MULTIPLIES:
        return _multiply(machine, operator, index)
    if operator.kind == "attention":
        return attention.build(machine, operator, index)
    return vector.build(machine, operator, index)


def stored_bytes(machine: DimcMachine, operator: Operator) -> int:
    """Return what the weights of a GEMM take of SRAM: whole tiles with the exponents of their blocks.

    A core that has a tile less of one operator has one more of another: layers are laid out in turn over the cores.
    """
    if operator.kind not in MULTIPLIES or machine.streams:
        return int(operator.resident_weight_bytes)
    shape = _shape(machine, operator, operator.dims["M"], operator.dims.get("experts", 1))
    step = gemm.build(machine, shape, _layout(machine, operator), 0)
    tiles = sum(tiles.select_bytes for tiles in step.tiles)
    return ceil(tiles * operator.resident_weight_bytes / (shape.matrices * shape.n * shape.k * shape.weight_bits / 8))


def note_rows(machine: DimcMachine, operator: Operator) -> None:
    """Remember the fewest rows that a GEMM is seen with: weights lie in one way, for prompts and tokens alike."""
    if operator.kind in MULTIPLIES:
        rows = operator.dims["M"]
        machine.rows[operator.name] = min(rows, machine.rows.get(operator.name, rows))


def _layout(machine: DimcMachine, operator: Operator) -> gemm.Layout:
    """Return how the weights of a GEMM lie, or those of each of its experts."""
    rows = machine.rows.get(operator.name, operator.dims["M"])
    if operator.kind == "grouped_gemm":
        rows = -(-rows // operator.dims["experts"])
    return gemm.best_layout(machine, _shape(machine, operator, rows, 1))


def _shape(machine: DimcMachine, operator: Operator, rows: int, matrices: int) -> gemm.GemmShape:
    weights = operator.weight_dtype or operator.dtype
    return gemm.GemmShape(
        rows,
        operator.dims["N"],
        operator.dims["K"],
        matrices,
        operator.dtype,
        operator.output_dtype,
        machine.operand_bits(operator.dtype, operator.name),
        machine.weight_bits(weights, operator.name),
    )


def _multiply(machine: DimcMachine, operator: Operator, index: int) -> list[Step]:
    """Return a step for all matrices with equally many rows; the experts' lie beside each other."""
    rows = Counter(n for n in operator.group_rows if n) if operator.group_rows else Counter({operator.dims["M"]: 1})
    n_matrices, layout = sum(rows.values()), _layout(machine, operator)
    steps, loaded = [], 0
    for number, (n_rows, matrices) in enumerate(sorted(rows.items())):
        last = number == len(rows) - 1
        load = operator.weight_bytes - loaded if last else operator.weight_bytes * matrices // n_matrices
        loaded += load
        shape = _shape(machine, operator, n_rows, matrices)
        steps.append(gemm.build(machine, shape, layout, index, load if machine.streams else 0))
    return steps

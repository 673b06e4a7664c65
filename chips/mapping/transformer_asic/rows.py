"""Groups whose rows pass one by one: a norm, a matrix operator's weights tile by tile, and the unit behind.

Tiles of weights go in one after the other, and all rows of the wave pass each: block by block, as many rows as the
arrays keep partial sums of, their tiles along K following each other. Rows come out complete in the last of these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dieshot.chips.mapping.transformer_asic.group import UNIT_OF, RowsGroup, rows_of, unit_elements
from dieshot.chips.mapping.transformer_asic.machine import (
    ROWS_SHARE,
    TURN_SHARE,
    AsicMachine,
    Draft,
    before,
    portion,
    shares,
)
from dieshot.chips.mapping.transformer_asic.tiles import column_bytes, tile_columns, tile_steps
from dieshot.chips.parts.transformer_asic.program import FOLDS, GROUP, LOAD, NONE
from dieshot.traces.dtype import bytes_of
from dieshot.traces.operator import Operator


@dataclass(frozen=True, slots=True)
class RowsPart:
    """What one program does of a group. blocks: rows of every matrix, one or that of each expert. columns: of weights.

    fed: whether its rows come in; else they are there. ahead: rows of the next program that come in beside.
    """

    blocks: tuple[int, ...]
    columns: int
    fed: bool = True
    ahead: int = 0

    @property
    def rows(self) -> int:
        """Rows of all matrices."""
        return sum(self.blocks)


def parts_of(machine: AsicMachine, group: RowsGroup) -> list[tuple[RowsPart, int]]:
    """Return the programs that a group takes, each with how often it runs one after the other."""
    rows, columns = group.rows, group.columns
    spills = any(machine.spilled(n) for n in (*group.first.inputs.values(), group.last.output_bytes))
    most = max(1, _most_rows(machine, group)) if spills else rows
    if group.main is not None and group.main.kind == "grouped_gemm":
        packed = _packed(machine, group.main, most)
        return [(RowsPart(blocks, columns), n) for blocks, n in Counter(packed).items()]
    if rows > most:
        sizes = shares(rows, most)
        following = (*sizes[1:], 0) if group.main is not None else (0,) * len(sizes)
        waves = (
            RowsPart((size,), columns, fed=group.main is None or index == 0, ahead=ahead)
            for index, (size, ahead) in enumerate(zip(sizes, following, strict=True))
        )
        return list(Counter(waves).items())
    if group.main is None or group.main.weight_bytes <= machine.p.program.weight_wave:
        return [(RowsPart((rows,), columns), 1)]
    tile = tile_columns(machine, group.main)
    each = max(1, machine.p.program.weight_wave // (tile * column_bytes(group.main))) * tile
    parts = shares(columns, each)
    rest = Counter(parts[1:]).items()
    return [(RowsPart((rows,), parts[0]), 1), *((RowsPart((rows,), part, fed=False), n) for part, n in rest)]


def _packed(machine: AsicMachine, main: Operator, most: int) -> Iterator[tuple[int, ...]]:
    """Yield the rows of experts that work together: as many as a wave has weights, and the die has room for rows."""
    matrix_bytes = main.dims["N"] * column_bytes(main)
    blocks: list[int] = []
    for rows in (part for n in main.group_rows if n for part in shares(n, most)):
        if blocks and ((len(blocks) + 1) * matrix_bytes > machine.p.program.weight_wave or sum(blocks) + rows > most):
            yield tuple(blocks)
            blocks = []
        blocks.append(rows)
    if blocks:
        yield tuple(blocks)


def resident_bytes(machine: AsicMachine, group: RowsGroup, part: RowsPart) -> int:
    """Return the room that tensors of a part take beside the tiles that stream."""
    total = sum(n for n in group.first.inputs.values() if not machine.spilled(n))
    total += 0 if machine.spilled(group.last.output_bytes) else group.last.output_bytes
    if group.main is not None:
        total += bytes_of((part.rows + part.ahead) * group.main.dims["K"], group.main.dtype)
    return total


def _most_rows(machine: AsicMachine, group: RowsGroup) -> int:
    row_bytes = max(1, -(-group.last.output_bytes // group.rows))
    if group.main is not None:
        row_bytes = bytes_of(group.main.dims["K"], group.main.dtype)
    fits = machine.sram_bytes // ROWS_SHARE // row_bytes
    block = machine.p.array.accumulator_rows
    return fits // block * block if fits > block else fits


def draft_rows(
    machine: AsicMachine, draft: Draft, number: int, group: RowsGroup, part: RowsPart, source: Sequence[int]
) -> list[int]:
    """Write down a part of a group as group `number`, its rows from the steps of `source`; return those of its own."""
    if group.main is None:
        return _unit_steps(machine, draft, number, group.first, part.rows, source, leaves=True)
    fed = _feed(machine, draft, number, group, part.rows, source) if part.fed else source
    if len(part.blocks) > 1:
        fed = fed[-1:]  # the rows of an expert come from all over
    out: list[int] = []
    first, handed = len(draft.steps), 0
    for rows in part.blocks:
        blocks = shares(rows, machine.p.array.accumulator_rows)
        out = tile_steps(machine, draft, number, group, part.columns, blocks, fed, handed)
        handed += rows * part.columns
    if len(part.blocks) == 1:
        _set_exact_load(draft, number, group.main, part, group.columns)
    if part.ahead:
        beside = Draft()
        _feed(machine, beside, number, group, part.ahead, ())
        out = draft.interleave(first, beside.steps, out)
    return out


def _feed(
    machine: AsicMachine, draft: Draft, number: int, group: RowsGroup, rows: int, source: Sequence[int]
) -> Sequence[int]:
    """Let rows come in, through the unit ahead of the arrays if there is one."""
    assert group.main is not None
    if group.front is not None:
        return _unit_steps(machine, draft, number, group.front, rows, source, leaves=False)
    if spilled_inputs(machine, group.main):
        return _load_steps(machine, draft, number, group.main, rows)
    return source


def spilled_inputs(machine: AsicMachine, operator: Operator) -> int:
    """Return the bytes of an operator's inputs that come from HBM."""
    return sum(machine.spilled(n) for n in operator.inputs.values())


def _load_steps(machine: AsicMachine, draft: Draft, number: int, main: Operator, rows: int) -> list[int]:
    """Load rows that need no unit into the room that is kept for them."""
    pieces = _streams(machine, spilled_inputs(machine, main), rows_of(main), rows)
    return [draft.add(group=number, load=n_bytes, gated=1) for _, _, n_bytes in pieces]


def _unit_steps(
    machine: AsicMachine,
    draft: Draft,
    number: int,
    operator: Operator,
    rows: int,
    source: Sequence[int],
    leaves: bool,
) -> list[int]:
    """Pass rows through a unit, from HBM and back where they are kept there. leaves: whether its results go back."""
    unit, all_rows = UNIT_OF[operator.kind], rows_of(operator)
    inputs = spilled_inputs(machine, operator)
    looked_up = operator.weight_bytes if operator.kind == "embedding" else 0
    loads, gains = inputs + looked_up, operator.weight_bytes - looked_up
    stores = operator.kv_write_bytes + _stored_by_unit(machine, operator, leaves)
    elements, ops = unit_elements(operator), operator.vector_ops + operator.transcendental_ops
    pieces = list(_streams(machine, max(loads, stores), all_rows, rows))
    steps = []
    for index, (begin, end, _) in enumerate(pieces):
        load = portion(loads, begin, end, all_rows) + (0 if index else gains)
        steps.append(
            draft.add(
                group=number,
                load=load,
                gated=1 if inputs else 0,
                hold=load,
                release=load,
                after=NONE if inputs else before(source, index, len(pieces)),
                unit=unit,
                unit_cycles=0 if unit == NONE else machine.unit_cycles(unit, portion(elements, begin, end, all_rows)),
                ops=portion(ops, begin, end, all_rows),
                store=portion(stores, begin, end, all_rows),
                worked=portion(operator.input_bytes + operator.output_bytes, begin, end, all_rows),
            )
        )
    return steps


def _stored_by_unit(machine: AsicMachine, operator: Operator, leaves: bool) -> int:
    """Return what a unit sends to HBM: its results, or, where those feed the arrays, the residual stream alone."""
    if leaves:
        return machine.spilled(operator.output_bytes)
    return machine.spilled(next(iter(operator.inputs.values()))) * operator.dims["writes_residual"]


def _streams(machine: AsicMachine, n_bytes: int, all_rows: int, rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield rows (begin, end) and their bytes, in pieces that have room, or in the arrays' blocks where they stay."""
    each = machine.p.array.accumulator_rows
    if n_bytes:
        each = max(1, min(each, machine.sram_bytes // TURN_SHARE * all_rows // n_bytes))
    for begin in range(0, rows, each):
        end = min(begin + each, rows)
        yield begin, end, portion(n_bytes, begin, end, all_rows)


def _set_exact_load(draft: Draft, number: int, main: Operator, part: RowsPart, columns: int) -> None:
    """Load biases, and what rounding left of the operator's bytes, with the last tile."""
    mine = [step for step in draft.steps if step[GROUP] == number and step[FOLDS]]
    missing = portion(main.weight_bytes, 0, part.columns, columns) - sum(step[LOAD] for step in mine)
    if missing > 0:
        last = next(step for step in reversed(mine) if step[LOAD])
        last[LOAD] += missing

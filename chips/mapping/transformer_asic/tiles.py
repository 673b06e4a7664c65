"""Tiles of a matrix on the arrays: weights go in one tile after the other, and all rows pass each, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from dieshot.chips.mapping.transformer_asic.group import UNIT_OF, RowsGroup, unit_elements
from dieshot.chips.mapping.transformer_asic.machine import AsicMachine, Draft, before, portion, shares
from dieshot.traces.dtype import bytes_of
from dieshot.traces.operator import Operator


def column_bytes(main: Operator) -> int:
    """Return the bytes of one column of weights."""
    return bytes_of(main.dims["K"], main.weight_dtype or main.dtype)


def tile_columns(machine: AsicMachine, main: Operator) -> int:
    """Return the columns of a tile of weights: as few as keep all arrays busy with whole folds."""
    array = machine.p.array
    k_tiles = -(-main.dims["K"] // array.rows)
    return array.columns * (array.count // gcd(k_tiles, array.count))


def tile_steps(
    machine: AsicMachine,
    draft: Draft,
    number: int,
    group: RowsGroup,
    all_columns: int,
    blocks: Sequence[int],
    source: Sequence[int],
    handed: int = 0,
) -> list[int]:
    """Write down all tiles of one matrix; return the steps that hand out the last tile, in the order of rows.

    handed: results of the group that others have handed out before.
    """
    main = group.main
    assert main is not None
    array, k = machine.p.array, main.dims["K"]
    passes = machine.passes(main.dtype, main.weight_dtype or main.dtype)
    k_tiles = -(-k // array.rows)
    weight_row = bytes_of(array.columns, main.weight_dtype or main.dtype)
    load_cycles = -(-min(k, array.rows) * weight_row // array.weight_load)
    out: list[int] = []
    for columns in shares(all_columns, tile_columns(machine, main)):
        n_tiles = -(-columns // array.columns)
        weights = bytes_of(columns * k, main.weight_dtype or main.dtype)
        n_folds = -(-k_tiles * n_tiles // array.count)
        out = []
        for index, rows in enumerate(blocks):
            last = index == len(blocks) - 1
            common = {
                "group": number,
                "stream": rows * passes,
                "load_cycles": load_cycles,
                "after": before(source, index, len(blocks)),
                "chain": rows * passes,
            }
            macs = k_tiles * n_tiles * rows * array.rows * array.columns * passes
            touched = (0 if index else weights) + n_folds * _rows_bytes(machine, main, rows)
            # The first rows begin as soon as the weights of one fold are there, those after them find all.
            rounds = 1 if index else n_folds
            for turn in range(rounds):
                mine = portion(weights, turn, turn + 1, rounds)
                step = draft.add(
                    folds=n_folds // rounds,
                    load=0 if index else mine,
                    hold=0 if index else mine,
                    release=mine if last else 0,
                    macs=portion(macs, turn, turn + 1, rounds),
                    touched=portion(touched, turn, turn + 1, rounds),
                    **common,
                    **(_finished(machine, group, handed, handed + rows * columns) if turn == rounds - 1 else {}),
                )
            handed += rows * columns
            out.append(step)
    return out


def _rows_bytes(machine: AsicMachine, main: Operator, rows: int) -> int:
    """Return the bytes of rows that go out to all arrays in a fold: a slice of K each, tiles side by side share it."""
    array, k = machine.p.array, main.dims["K"]
    n_slices = min(-(-k // array.rows), array.count)
    return bytes_of(rows * min(k, n_slices * array.rows), main.dtype)


def _finished(machine: AsicMachine, group: RowsGroup, begin: int, end: int) -> dict[str, int]:
    """Return the columns of the step that hands out results begin .. end - 1: the unit behind, and what goes to HBM."""
    main, back = group.main, group.back
    assert main is not None
    whole = main.dims["M"] * main.dims["N"]
    store = machine.spilled(group.last.output_bytes) + (back.kv_write_bytes if back else 0)
    stored = {"store": portion(store, begin, end, whole)}
    if back is None:
        return stored | {"worked": bytes_of(end - begin, main.output_dtype)}
    unit = UNIT_OF[back.kind]
    return stored | {
        "unit": unit,
        "unit_cycles": machine.unit_cycles(unit, portion(unit_elements(back), begin, end, whole)),
        "ops": portion(back.vector_ops + back.transcendental_ops, begin, end, whole),
        "worked": portion(back.output_bytes, begin, end, whole),
    }

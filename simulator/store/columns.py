"""Rows of many shapes as columns of one type each: whole numbers, numbers, truths, or else text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dieshot.simulator.store.outcome import Kept, Value
from dieshot.simulator.store.schema import State

if TYPE_CHECKING:
    import pyarrow

INT64 = 1 << 63
EXACT = 1 << 53


def table(kept: Iterable[Kept], shapes: Mapping[int, Sequence[str]]) -> pyarrow.Table:
    """Return rows as a table with the store's own columns and the rows', sorted by name."""
    import pyarrow

    rows = list(kept)
    by_name: dict[str, Any] = {
        "run": pyarrow.array([row.run for row in rows], pyarrow.int64()),
        "key": pyarrow.array([row.key for row in rows], pyarrow.string()),
        "state": pyarrow.array([State(row.state).word for row in rows], pyarrow.string()),
        "error": pyarrow.array([row.error for row in rows], pyarrow.string()),
    }
    for name, values in _gathered(rows, shapes).items():
        by_name[name] = _column(values)
    return pyarrow.table({name: by_name[name] for name in sorted(by_name)})


def union(tables: Sequence[pyarrow.Table]) -> pyarrow.Table:
    """Return the rows of all tables; a column has the type that holds the values of all, null where it is missing."""
    import pyarrow

    names = sorted({name for each in tables for name in each.column_names})
    wide = [_widest([each.schema.field(name).type for each in tables if name in each.column_names]) for name in names]
    schema = pyarrow.schema(list(zip(names, wide, strict=True)))
    return pyarrow.concat_tables([_fitted(each, schema) for each in tables]) if tables else schema.empty_table()


def is_plain(kind: pyarrow.DataType) -> bool:
    """Tell whether a type is one that the store writes."""
    import pyarrow

    return kind in (pyarrow.null(), pyarrow.bool_(), pyarrow.int64(), pyarrow.float64(), pyarrow.string())


def _gathered(rows: Sequence[Kept], shapes: Mapping[int, Sequence[str]]) -> dict[str, Sequence[Value]]:
    """Return the values of each column, None for rows that lack it."""
    if len({row.shape for row in rows}) == 1:
        return dict(zip(shapes[rows[0].shape], zip(*(row.cells for row in rows), strict=True), strict=True))
    names = {name for shape in {row.shape for row in rows} for name in shapes[shape]}
    found: dict[str, list[Value]] = {name: [None] * len(rows) for name in names}
    for index, row in enumerate(rows):
        for name, value in zip(shapes[row.shape], row.cells, strict=True):
            found[name][index] = value
    return dict(found)


def _column(values: Sequence[Value]) -> pyarrow.Array:
    """Return values as one array: the type follows from the values, whatever their order."""
    import pyarrow

    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pyarrow.nulls(len(values))
    if not kinds <= {bool, int, float, str}:
        raise ValueError("a row with a list or a mapping for a value")
    alone = {bool: pyarrow.bool_(), float: pyarrow.float64(), str: pyarrow.string()}
    if len(kinds) == 1 and (kind := next(iter(kinds))) in alone:
        return pyarrow.array(values, alone[kind])
    fits = all(-INT64 <= value < INT64 for value in values if type(value) is int) if int in kinds else True
    if kinds == {int} and fits:
        return pyarrow.array(values, pyarrow.int64())
    if kinds <= {int, float} and fits:
        return pyarrow.array([None if value is None else float(value) for value in values], pyarrow.float64())
    return pyarrow.array([_text(value) for value in values], pyarrow.string())


def _text(value: Value) -> str | None:
    """Return a value as text, the same for 1 and 1.0: which of them a file had may no longer be known."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    whole = isinstance(value, int) or (value.is_integer() and abs(value) < EXACT)
    return str(int(value)) if whole else repr(value)


def _widest(kinds: Sequence[pyarrow.DataType]) -> pyarrow.DataType:
    import pyarrow

    distinct = {kind for kind in kinds if kind != pyarrow.null()}
    if not distinct:
        return pyarrow.null()
    if len(distinct) == 1:
        return distinct.pop()
    return pyarrow.float64() if distinct == {pyarrow.int64(), pyarrow.float64()} else pyarrow.string()


def _fitted(table: pyarrow.Table, schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    fitted = []
    for field in schema:
        if field.name not in table.column_names:
            fitted.append(pyarrow.nulls(len(table), field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type and field.type == pyarrow.string():
            fitted.append(pyarrow.array([_text(value) for value in column.to_pylist()], pyarrow.string()))
        else:
            fitted.append(column.cast(field.type, safe=False))
    return pyarrow.table(fitted, schema=schema)

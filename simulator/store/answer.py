"""The rows that answer a question, read once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dieshot.simulator.store.sandbox import asked_well

if TYPE_CHECKING:
    import pyarrow

KINDS = {"int64": "integer", "double": "number", "float": "number", "bool": "boolean", "null": "null"}


class Answer:
    """Rows in batches; names: the columns in order. Columns that may have been meant are named in an error."""

    def __init__(self, schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch], meant: Sequence[str]) -> None:
        self.names: list[str] = list(schema.names)
        self._schema = schema
        self._batches = iter(batches)
        self._meant = meant

    @property
    def kinds(self) -> dict[str, str]:
        """What each column holds: integer, number, boolean, null or text."""
        return {field.name: KINDS.get(str(field.type), "text") for field in self._schema}

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows."""
        for batch in self.batches():
            yield from zip(*map(_values, batch.columns), strict=True)

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """Yield the rows, some thousand at a time."""
        while (batch := self._next()) is not None:
            yield batch

    def table(self) -> pyarrow.Table:
        """Return all rows."""
        import pyarrow

        return pyarrow.Table.from_batches(list(self.batches()), self._schema)

    def write_parquet(self, file: Path) -> int:
        """Write the rows to a file; return how many."""
        from pyarrow import parquet

        n = 0
        with parquet.ParquetWriter(file, self._schema, compression="zstd") as writer:
            for batch in self.batches():
                writer.write_batch(batch)
                n += batch.num_rows
        return n

    def _next(self) -> pyarrow.RecordBatch | None:
        with asked_well("SQL", self._meant):
            return next(self._batches, None)


def chosen(table: pyarrow.Table, rows: Sequence[int]) -> Answer:
    """Return some rows of a table."""
    taken = table.take(list(rows)) if rows else table.slice(0, 0)
    return Answer(table.schema, taken.to_batches(), table.column_names)


def _values(column: pyarrow.Array) -> list[Any]:
    if not column.null_count and str(column.type) in ("int64", "double"):
        values: list[Any] = column.to_numpy().tolist()  # some times faster than one by one
        return values
    return column.to_pylist()  # type: ignore[no-any-return]

"""Questions to a store in SQL, answered by duckdb over Parquet and what the ledger still holds; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.answer import Answer
from dieshot.simulator.store.sandbox import asked_well, closed_in, quoted, sandbox
from dieshot.simulator.store.snapshot import Snapshot, snapshot

if TYPE_CHECKING:
    import duckdb
    import pyarrow

BATCH_ROWS = 8_192
FIRST, LAST = ("point", "run", "state"), ("error", "key")


@dataclass(frozen=True, slots=True)
class Question:
    """SQL expressions as a user writes them, None for all; `limit` counts the rows of the answer."""

    where: str | None = None
    select: str | None = None
    order: str | None = None
    limit: int | None = None

    def sql(self, sorted_by: str | None) -> str:
        """Return the statement; ties, and rows without an order, are sorted by a column if there is one."""
        # A line break ends a comment that a condition may end with.
        met = f" WHERE ({self.where}\n)" if self.where else ""
        by = [each for each in (self.order, sorted_by) if each]
        sorted_rows = " ORDER BY " + "\n, ".join(by) if by else ""
        cut = f" LIMIT {self.limit:d}" if self.limit is not None else ""
        return f"SELECT {self.select or '*'}\n FROM (SELECT * FROM results{met}{sorted_rows}\n){cut}"


def ask(
    folder: Path,
    where: str | None = None,
    select: str | None = None,
    order: str | None = None,
    limit: int | None = None,
    sweep: str | int | None = None,
) -> pyarrow.Table:
    """Return the rows of runs that have ended which meet a condition; see `asked`."""
    with asked(folder, Question(where, select, order, limit), sweep) as answer:
        return answer.table()


@contextmanager
def asked(folder: Path, question: Question, sweep: str | int | None = None) -> Iterator[Answer]:
    """Hold the answer to a question open; sweep is a name or a number.

    Rows are in order of point (of a sweep) or of run unless another order is asked for; ties keep that order. Columns:
    point, run, state, then those of the rows by name, error, key. Works on read-only stores, and beside a client.
    """
    found = snapshot(folder, sweep)
    with sandbox() as connection:
        with asked_well(str(folder), ()):
            names, sorted_by = _provide(connection, found)
        reader = _read(connection, question, names, sorted_by or ("run" if question.order else None))
        yield Answer(reader.schema, reader, names)


def rows(folder: Path, sweep: str | int | None, columns: Sequence[str] | None) -> pyarrow.Table:
    """Return rows, or some columns of them."""
    return ask(folder, select=None if columns is None else ", ".join(quoted(name) for name in columns), sweep=sweep)


def _provide(connection: duckdb.DuckDBPyConnection, found: Snapshot) -> tuple[list[str], str | None]:
    """Make the view `results` and lock the door; return its columns, and the one to sort by if it is out of order."""
    names = {name for table in found.tables for name in table.schema.names} | {"run", "state", "error", "key"}
    for index, table in enumerate(found.tables):
        connection.register(f"part_{index}", table)
    union = " UNION ALL BY NAME ".join(f"SELECT * FROM part_{index}" for index in range(len(found.tables)))
    nothing = "SELECT NULL::BIGINT AS run, NULL::TEXT AS state, NULL::TEXT AS error, NULL::TEXT AS key WHERE false"
    connection.execute(f"CREATE VIEW parts AS {union or nothing}")
    source, sorted_by = "parts", None
    if found.spans is not None:
        names |= {"point"}
        connection.register("spans", found.spans)
        source, sorted_by = _by_point(found.spans)
    ordered = [*(name for name in FIRST if name in names), *sorted(names - {*FIRST, *LAST}), *LAST]
    connection.execute(f"CREATE VIEW results AS SELECT {', '.join(quoted(name) for name in ordered)} FROM {source}")
    closed_in(connection)
    return ordered, sorted_by


def _by_point(spans: pyarrow.Table) -> tuple[str, str | None]:
    """Return where to find rows with their points, and the column to sort them by unless they are in order."""
    from pyarrow import compute

    apart = set(compute.unique(compute.subtract(spans["first_run"], spans["first_point"])).to_pylist())
    if len(apart) == 1:  # all points follow each other as their runs do
        shift, first = apart.pop(), spans["first_run"][0].as_py()
        stop = first + compute.sum(spans["points"]).as_py()
        return f"(SELECT *, run - {shift} AS point FROM parts WHERE run >= {first} AND run < {stop})", None
    each = "SELECT *, unnest(range(points)) AS ahead FROM spans"
    points = f"SELECT first_point + ahead AS point, first_run + ahead AS run FROM ({each})"
    return f"(SELECT * FROM ({points}) JOIN parts USING (run))", "point"


def _read(
    connection: duckdb.DuckDBPyConnection, question: Question, names: Sequence[str], sorted_by: str | None
) -> pyarrow.RecordBatchReader:
    try:
        return _reader(connection, question.sql(sorted_by), "SQL", names)
    except InputError:
        # Which of the expressions it was: the first that fails alone.
        for part in ("where", "order", "select"):
            alone = Question(**{part: getattr(question, part)})
            _reader(connection, alone.sql(None), f"--{part}", names)
        raise


def _reader(
    connection: duckdb.DuckDBPyConnection, text: str, key: str, names: Sequence[str]
) -> pyarrow.RecordBatchReader:
    with asked_well(key, names):
        if len(connection.extract_statements(text)) != 1:
            raise InputError("more than one SQL statement", key=key, expected="one expression")
        relation = connection.sql(text)
        read = getattr(relation, "to_arrow_reader", None) or relation.fetch_record_batch  # the older name
        return read(BATCH_ROWS)

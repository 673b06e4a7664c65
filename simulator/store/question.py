"""Questions to a store in SQL, answered by duckdb over Parquet and what the ledger still holds; nothing is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.store.snapshot import Snapshot, snapshot

if TYPE_CHECKING:
    import duckdb
    import pyarrow

BATCH_ROWS = 8_192
FIRST, LAST = ("point", "run", "state"), ("error", "key")
# A question may come from anyone: it sees the tables that it is given, no file, no network, no variable of ours.
LOCKS = (
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_persistent_secrets = false",
    "SET temp_directory = ''",
    "SET threads = 1",  # sums in one order
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
_COLUMN = re.compile(r'column (?:named )?"([^"]+)"')
_HINT = re.compile(r"\s*(LINE \d+:|Candidate bindings:|Did you mean).*", re.DOTALL)


class Answer:
    """The rows of an answer, read once, in batches."""

    def __init__(self, reader: pyarrow.RecordBatchReader, names: Sequence[str]) -> None:
        self.schema = reader.schema
        self._reader = reader
        self._names = names

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """Yield the rows, some thousand at a time."""
        with _asked_well(self._names):
            yield from self._reader

    def table(self) -> pyarrow.Table:
        """Return all rows."""
        import pyarrow

        return pyarrow.Table.from_batches(list(self.batches()), self.schema)


def ask(
    folder: Path,
    where: str | None = None,
    select: str | None = None,
    order: str | None = None,
    limit: int | None = None,
    sweep: str | int | None = None,
) -> pyarrow.Table:
    """Return the rows of runs that have ended which meet a condition; see `asked`."""
    with asked(folder, where, select, order, limit, sweep) as answer:
        return answer.table()


@contextmanager
def asked(
    folder: Path,
    where: str | None = None,
    select: str | None = None,
    order: str | None = None,
    limit: int | None = None,
    sweep: str | int | None = None,
) -> Iterator[Answer]:
    """Hold the answer to a question open; where, select and order are SQL, sweep is a name or a number.

    Rows are in order of point (of a sweep) or of run unless another order is asked for; ties keep that order. Columns:
    point, run, state, then those of the rows by name, error, key. Works on read-only stores, and beside a client.
    """
    found = snapshot(folder, sweep)
    connection = _connected()
    try:
        names = _provide(connection, found)
        with _asked_well(names):
            text = _sql(names, where, select, order, limit, sorted_by="run" if sweep is None else "point")
            if len(connection.extract_statements(text)) != 1:
                raise InputError("more than one SQL statement", key="SQL", expected="a condition or columns")
            relation = connection.sql(text)
            read = getattr(relation, "to_arrow_reader", None) or relation.fetch_record_batch  # the older name
            reader = read(BATCH_ROWS)
        yield Answer(reader, names)
    finally:
        connection.close()


def rows(folder: Path, sweep: str | int | None, columns: Sequence[str] | None) -> pyarrow.Table:
    """Return rows, or some columns of them."""
    select = None if columns is None else ", ".join(_quoted(name) for name in columns)
    return ask(folder, select=select, sweep=sweep)


def _connected() -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(":memory:")
    for lock in LOCKS[:-2]:
        connection.execute(lock)
    return connection


def _provide(connection: duckdb.DuckDBPyConnection, found: Snapshot) -> list[str]:
    """Make the view `results` of a snapshot, lock the door, and return its columns in order."""
    names = {name for table in found.tables for name in table.schema.names} | {"run", "state", "error", "key"}
    for index, table in enumerate(found.tables):
        connection.register(f"part_{index}", table)
    union = " UNION ALL BY NAME ".join(f"SELECT * FROM part_{index}" for index in range(len(found.tables)))
    nothing = "SELECT NULL::BIGINT AS run, NULL::TEXT AS state, NULL::TEXT AS error, NULL::TEXT AS key WHERE false"
    connection.execute(f"CREATE VIEW parts AS {union or nothing}")
    if found.spans is not None:
        names |= {"point"}
        connection.register("spans", found.spans)
    ordered = [*(name for name in FIRST if name in names), *sorted(names - {*FIRST, *LAST}), *LAST]
    chosen = ", ".join(_quoted(name) for name in ordered)
    connection.execute(f"CREATE VIEW results AS SELECT {chosen} FROM {_source(found)}")
    for lock in LOCKS[-2:]:
        connection.execute(lock)
    return ordered


def _source(found: Snapshot) -> str:
    if found.spans is None:
        return "parts"
    from pyarrow import compute

    apart = set(compute.unique(compute.subtract(found.spans["first_run"], found.spans["first_point"])).to_pylist())
    if len(apart) == 1:  # all points follow each other as their runs do
        shift, first = apart.pop(), found.spans["first_run"][0].as_py()
        stop = first + compute.sum(found.spans["points"]).as_py()
        return f"(SELECT *, run - {shift} AS point FROM parts WHERE run >= {first} AND run < {stop})"
    each = "SELECT *, unnest(range(points)) AS ahead FROM spans"
    points = f"SELECT first_point + ahead AS point, first_run + ahead AS run FROM ({each})"
    return f"(SELECT * FROM ({points}) JOIN parts USING (run))"


def _sql(
    names: Sequence[str], where: str | None, select: str | None, order: str | None, limit: int | None, sorted_by: str
) -> str:
    # A line break ends a comment that a condition may end with.
    met = f" WHERE ({where}\n)" if where else ""
    by = f"{order}\n, {sorted_by}" if order else sorted_by
    cut = f" LIMIT {limit:d}" if limit is not None else ""
    return f"SELECT {select or '*'}\n FROM (SELECT * FROM results{met} ORDER BY {by}{cut})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _asked_well(names: Sequence[str]) -> Iterator[None]:
    """Turn what duckdb says into an InputError of one line with the nearest column."""
    import duckdb
    import pyarrow

    try:
        yield
    except (duckdb.Error, pyarrow.ArrowException) as error:
        text = str(error)
        found = _COLUMN.search(text)
        near = nearest_name(found[1], names) if found else None
        raise InputError(" ".join(_HINT.sub("", text).split()), key="SQL", nearest=near) from error

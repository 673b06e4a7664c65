"""What a store holds at one moment, for readers: tables of final runs and the points of a sweep."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.store import shard
from dieshot.simulator.store.columns import union
from dieshot.simulator.store.compact import rows_in_ledger
from dieshot.simulator.store.error import GoneError
from dieshot.simulator.store.ledger import reading
from dieshot.simulator.store.schema import RANGE

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import dataset


TRIES = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Tables of rows in order of run; spans (first point, first run, points) of the sweep asked for, None without."""

    tables: list[pyarrow.Table | dataset.Dataset]
    spans: pyarrow.Table | None


def snapshot(folder: Path, sweep: str | int | None) -> Snapshot:
    """Read the store as it is now. Parquet files of whole ranges are left on the disk, for they stay as they are."""
    for _ in range(TRIES):
        with suppress(GoneError):  # a client has moved rows into a newer file meanwhile
            return _snapshot(folder, sweep)
    return _snapshot(folder, sweep)


def _snapshot(folder: Path, sweep: str | int | None) -> Snapshot:
    with reading(folder) as connection:
        number = None if sweep is None else sweep_number(connection, folder, str(sweep))
        shards = {part: (file, n) for part, file, n in connection.execute("SELECT part, file, runs FROM shard")}
        spans = None if number is None else _spans(connection, number)
        in_ledger = [part for (part,) in connection.execute(f"SELECT DISTINCT run / {RANGE} FROM outcome")]
        tables: list[pyarrow.Table | dataset.Dataset] = []
        for part in sorted({*shards, *in_ledger}):
            if part in shards and part not in in_ledger and shards[part][1] == RANGE:
                tables.append(shard.on_disk(folder, part, *shards[part]))
                continue
            filed = [shard.read(folder, part, *shards[part])] if part in shards else []
            tables.append(union([*filed, *rows_in_ledger(folder, connection, part)]).sort_by("run"))
    return Snapshot(tables, spans)


def sweep_number(connection: sqlite3.Connection, folder: Path, name: str) -> int:
    """Return the number of a sweep given by name (the last of that name) or number; InputError if there is none."""
    found = connection.execute(
        "SELECT sweep FROM sweep WHERE CAST(sweep AS TEXT) = ?1 OR name = ?1 ORDER BY name = ?1 DESC, sweep DESC",
        (name,),
    ).fetchone()
    if found is None:
        names = sorted({str(each) for (each,) in connection.execute("SELECT name FROM sweep")})
        raise InputError(
            "no such sweep in the store", file=str(folder), key="sweep", value=name, expected=listed(names),
            nearest=nearest_name(name, names),
        )  # fmt: skip
    return int(found[0])


def _spans(connection: sqlite3.Connection, sweep: int) -> pyarrow.Table:
    import pyarrow

    names = ("first_point", "first_run", "points")
    rows = connection.execute(
        "SELECT first_point, first_run, points FROM span WHERE sweep = ? ORDER BY first_point", (sweep,)
    ).fetchall()
    values = list(zip(*rows, strict=True)) or [(), (), ()]
    return pyarrow.table({name: pyarrow.array(each, pyarrow.int64()) for name, each in zip(names, values, strict=True)})

"""Rows move from the ledger to Parquet: a range of runs at a time, once all of its runs have come to their end."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dieshot.simulator.store import shard
from dieshot.simulator.store.columns import table, union
from dieshot.simulator.store.error import damaged
from dieshot.simulator.store.ledger import ledger_file
from dieshot.simulator.store.outcome import kept, shapes
from dieshot.simulator.store.schema import RANGE, State

if TYPE_CHECKING:
    import pyarrow

Writing = Callable[[], AbstractContextManager[sqlite3.Connection]]


def ripe(connection: sqlite3.Connection) -> list[int]:
    """Return the ranges that can go to Parquet: whole ones without open runs, the rest once no run at all is open."""
    parts = connection.execute(
        """SELECT part, sum(runs), sum(CASE WHEN state IN (?, ?) THEN runs ELSE 0 END) FROM tally
           GROUP BY part ORDER BY part""",
        (State.WAITING, State.LEASED),
    ).fetchall()
    all_final = not any(n_open for _, _, n_open in parts)
    able = [part for part, n, n_open in parts if not n_open and (n == RANGE or all_final)]
    has_rows = "SELECT 1 FROM outcome WHERE run >= ? AND run < ? LIMIT 1"
    return [part for part in able if connection.execute(has_rows, (part * RANGE, (part + 1) * RANGE)).fetchone()]


def move(folder: Path, connection: sqlite3.Connection, writing: Writing, part: int) -> None:
    """Move the rows of a range into its file, a new one; at any moment a row is in the one place or the other."""
    old = connection.execute("SELECT file, runs FROM shard WHERE part = ?", (part,)).fetchone()
    tables = [shard.read(folder, part, *old)] if old else []
    joined = union([*tables, *rows_in_ledger(folder, connection, part)])
    name = shard.write(folder, part, joined.sort_by("run") if old else joined)
    with writing():
        connection.execute("INSERT OR REPLACE INTO shard VALUES (?, ?, ?)", (part, name, len(joined)))
        connection.execute("DELETE FROM outcome WHERE run >= ? AND run < ?", (part * RANGE, (part + 1) * RANGE))


def take_out(folder: Path, connection: sqlite3.Connection, runs: list[int]) -> list[tuple[str | None, int, int]]:
    """Write the files of a range anew without some of its runs; return (file, runs, range) for the ledger to name."""
    import pyarrow
    from pyarrow import compute

    without = []
    for part in sorted({run // RANGE for run in runs}):
        old = connection.execute("SELECT file, runs FROM shard WHERE part = ?", (part,)).fetchone()
        if old is None:
            continue
        rows = shard.read(folder, part, *old)
        left = rows.filter(compute.invert(compute.is_in(rows["run"], pyarrow.array(runs, pyarrow.int64()))))
        without.append((shard.write(folder, part, left) if len(left) else None, len(left), part))
    return without


def rows_in_ledger(folder: Path, connection: sqlite3.Connection, part: int | None = None) -> list[pyarrow.Table]:
    """Return the rows of a range, or of all, that are in the ledger, in order of run and some thousand a table."""
    file = ledger_file(folder)
    first, stop = (0, 1 << 62) if part is None else (part * RANGE, (part + 1) * RANGE)
    by_shape, rows, tables = shapes(connection, file), kept(connection, file, first, stop), []
    while batch := list(islice(rows, shard.ROWS_AT_ONCE)):
        try:
            tables.append(table(batch, by_shape))
        except (ValueError, KeyError) as error:  # also those of pyarrow
            raise damaged(file, f"rows {batch[0].run} to {batch[-1].run}: {error}") from error
    return tables

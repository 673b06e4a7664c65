"""The row of a run that has come to its end, and how the ledger keeps it until a Parquet file does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from dieshot.simulator.store.error import damaged
from dieshot.simulator.store.schema import FINAL

Value = str | int | float | bool | None
Row = Mapping[str, Value]
ROWS_AT_ONCE = 1024
OWN = ("run", "key", "state", "error")  # columns that the store adds


class FinishedRun(NamedTuple):
    """A run at its end: the row of what was asked for and came out, or why nothing did; worker's seconds."""

    run: int
    row: Row
    error: str | None
    seconds: float


class Shapes:
    """The columns that rows have, each set of them written once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[tuple[str, ...], tuple[int, tuple[str, ...]]] = {}

    def encoded(self, row: Row) -> tuple[int, str]:
        """Return the number of a row's columns and its cells as text; within a transaction."""
        names = tuple(row)
        if names not in self._numbers:
            self._numbers[names] = self._number(names)
        shape, columns = self._numbers[names]
        cells = list(itemgetter(*columns)(row)) if len(columns) > 1 else [row[name] for name in columns]
        return shape, json.dumps(cells, separators=(",", ":"))

    def forget(self) -> None:
        """Read the numbers anew: a transaction that wrote some was rolled back."""
        self._numbers.clear()

    def _number(self, names: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
        taken = [name for name in names if name in OWN]
        if taken:
            raise ValueError(f"column {taken[0]!r} of a row is the store's own")
        columns = tuple(sorted(names))
        text = json.dumps(columns)
        self._connection.execute("INSERT OR IGNORE INTO shape (columns) VALUES (?)", (text,))
        found = self._connection.execute("SELECT shape FROM shape WHERE columns = ?", (text,)).fetchone()
        return int(found[0]), columns


class Kept(NamedTuple):
    """A final run as the ledger has it; `cells` in the order of its shape's columns."""

    run: int
    key: str
    state: int
    error: str | None
    shape: int
    cells: list[Value]


def shapes(connection: sqlite3.Connection, file: Path) -> dict[int, tuple[str, ...]]:
    """Return the columns of every shape."""
    found = {}
    for shape, text in connection.execute("SELECT shape, columns FROM shape"):
        (columns,) = _lists([text], 1, file)
        if not all(isinstance(name, str) for name in columns) or set(columns) & set(OWN):
            raise damaged(file, f"shape {shape}")
        found[shape] = tuple(str(name) for name in columns)
    return found


def kept(connection: sqlite3.Connection, file: Path, first_run: int, stop_run: int) -> Iterator[Kept]:
    """Yield the outcomes of a range of runs that are in the ledger, in order."""
    rows = connection.execute(
        """SELECT outcome.run, lower(hex(run.key)), run.state, outcome.error, outcome.shape, outcome.cells
           FROM outcome CROSS JOIN run USING (run) WHERE outcome.run >= ? AND outcome.run < ? ORDER BY outcome.run""",
        (first_run, stop_run),
    )
    while some := rows.fetchmany(ROWS_AT_ONCE):
        all_cells = _lists((row[-1] for row in some), len(some), file)
        for (run, key, state, error, shape, _), cells in zip(some, all_cells, strict=True):
            if state not in FINAL:
                raise damaged(file, f"run {run} has a row and no end")
            yield Kept(run, key, state, error, shape, cells)


def _lists(texts: Iterable[str], n: int, file: Path) -> list[list[Value]]:
    """Return the lists that JSON texts stand for, parsed together: half the time of one by one."""
    try:
        found = json.loads(f"[{','.join(texts)}]")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) != n or not all(isinstance(each, list) for each in found):
        raise damaged(file, "a row that is no list of values")
    return found

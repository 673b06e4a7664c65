"""Points of a sweep and the runs that they share: how keys become runs, and which of them nobody has taken up."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator

from dieshot.simulator.store.ledger import transaction
from dieshot.simulator.store.schema import KEY_BYTES, KEY_INDEX, RANGE, RANGE_BITS, State

Span = tuple[int, int, int, int]  # first point, first run, points, fresh


def take_in(connection: sqlite3.Connection, keys: Iterable[bytes], digest: hashlib._Hash, first_point: int) -> int:
    """Put keys into a table of their own outside the ledger, add them to the digest, return how many there are."""
    connection.execute("DROP TABLE IF EXISTS temp.incoming")
    connection.execute("CREATE TEMP TABLE incoming (point INTEGER PRIMARY KEY, key BLOB NOT NULL)")
    with transaction(connection, "DEFERRED"):  # it does not touch the ledger, however long the keys take
        connection.executemany("INSERT INTO incoming VALUES (?, ?)", enumerate(_checked(keys, digest), first_point))
    return int(connection.execute("SELECT count(*) FROM incoming").fetchone()[0])


def place(connection: sqlite3.Connection, sweep: int) -> None:
    """Give the keys that were taken in their runs, new or known, as points of a sweep; within a transaction."""
    n_before = n_runs(connection)
    connection.execute("DROP TABLE IF EXISTS temp.appeared")
    connection.execute("CREATE TEMP TABLE appeared (point INTEGER PRIMARY KEY, run INTEGER)")
    connection.execute(
        """INSERT INTO appeared SELECT min(point), (SELECT run FROM run WHERE run.key = incoming.key)
           FROM incoming GROUP BY key ORDER BY 1"""
    )
    n_new = _add_runs(connection, n_before)
    _tally_new(connection, n_before, n_new)
    connection.executemany(
        "INSERT INTO span VALUES (?, ?, ?, ?, ?)",
        ((sweep, *span) for span in _spans(_placed(connection, sweep, n_before))),
    )
    connection.execute(
        "UPDATE sweep SET points = points + (SELECT count(*) FROM incoming) WHERE sweep = ?",
        (sweep,),
    )


def forget(connection: sqlite3.Connection) -> None:
    """Drop what `take_in` and `place` kept outside the ledger."""
    connection.execute("DROP TABLE IF EXISTS temp.appeared")
    connection.execute("DROP TABLE IF EXISTS temp.incoming")


def n_runs(connection: sqlite3.Connection) -> int:
    """Return how many runs the ledger has; they are numbered from 0."""
    return int(connection.execute("SELECT coalesce(max(run) + 1, 0) FROM run").fetchone()[0])


def runs_of(connection: sqlite3.Connection, sweep: int, first_point: int, n: int) -> list[int]:
    """Return the runs of points that follow each other; fewer where the sweep ends."""
    rows = connection.execute(
        """SELECT first_point, first_run, points FROM span WHERE sweep = ?1 AND first_point < ?3 AND first_point >=
           (SELECT coalesce(max(first_point), 0) FROM span WHERE sweep = ?1 AND first_point <= ?2) ORDER BY 1""",
        (sweep, first_point, first_point + n),
    )
    runs: list[int] = []
    for at, first_run, points in rows:
        start, stop = max(first_point, at), min(first_point + n, at + points)
        runs.extend(range(first_run + start - at, first_run + stop - at))
    return runs


def waiting(connection: sqlite3.Connection, sweep: int, lowest: int, limit: int) -> list[tuple[int, int]]:
    """Return up to `limit` (run, point) in order of run, of runs from `lowest` on that wait."""
    found = connection.execute(
        """SELECT run.run, span.first_point + run.run - span.first_run FROM span CROSS JOIN run
           WHERE span.sweep = ?1 AND span.fresh = 1 AND span.first_run >=
               (SELECT coalesce(max(first_run), 0) FROM span WHERE sweep = ?1 AND fresh = 1 AND first_run <= ?2)
           AND run.run >= max(?2, span.first_run) AND run.run < span.first_run + span.points
           AND run.state = ?3 ORDER BY span.first_run, run.run LIMIT ?4""",
        (sweep, lowest, State.WAITING, limit),
    )
    return [(run, point) for run, point in found]


def _checked(keys: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for key in keys:
        if len(key) != KEY_BYTES:
            raise ValueError(f"key of a run has {len(key)} bytes, expected {KEY_BYTES}")
        digest.update(key)
        yield key


def _add_runs(connection: sqlite3.Connection, n_before: int) -> int:
    """Add the runs of keys that are new, in order of appearance; return how many."""
    n_new = int(connection.execute("SELECT count(*) FROM appeared WHERE run IS NULL").fetchone()[0])
    rebuilds = n_new > n_before  # keys are random: to sort them all is faster than to find a place for each
    if rebuilds:
        connection.execute("DROP INDEX run_of_key")
    connection.execute(
        """INSERT INTO run SELECT ?1 + row_number() OVER (ORDER BY point) - 1, key, ?2, 0
           FROM appeared CROSS JOIN incoming USING (point) WHERE run IS NULL ORDER BY point""",
        (n_before, State.WAITING),
    )
    if rebuilds:
        connection.execute(KEY_INDEX)
    return n_new


def _tally_new(connection: sqlite3.Connection, n_before: int, n_new: int) -> None:
    for part in range(n_before >> RANGE_BITS, (n_before + n_new + RANGE - 1) >> RANGE_BITS):
        n = min(n_before + n_new, (part + 1) * RANGE) - max(n_before, part * RANGE)
        connection.execute(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET runs = runs + excluded.runs",
            (part, State.WAITING, n),
        )


def _placed(connection: sqlite3.Connection, sweep: int, n_before: int) -> Iterator[tuple[int, int, bool]]:
    """Yield point, run and whether it is the sweep's first point with this run, in order of point."""
    grows = connection.execute("SELECT 1 FROM span WHERE sweep = ? LIMIT 1", (sweep,)).fetchone() is not None
    rows = connection.execute(
        """SELECT incoming.point, run.run, appeared.point IS NOT NULL FROM incoming CROSS JOIN run USING (key)
           LEFT JOIN appeared ON appeared.point = incoming.point ORDER BY incoming.point"""
    )
    for point, run, appears in rows:
        yield point, run, bool(appears) and not (grows and run < n_before and _has(connection, sweep, run))


def _has(connection: sqlite3.Connection, sweep: int, run: int) -> bool:
    """Tell whether a sweep has points with this run."""
    found = connection.execute(
        """SELECT first_run + points FROM span WHERE sweep = ? AND fresh = 1 AND first_run <= ?
           ORDER BY first_run DESC LIMIT 1""",
        (sweep, run),
    ).fetchone()
    return found is not None and run < found[0]


def _spans(placed: Iterator[tuple[int, int, bool]]) -> Iterator[Span]:
    """Yield points together whose runs follow each other within one range."""
    first_point = first_run = n = 0
    fresh = False
    for point, run, appears in placed:
        if n and run == first_run + n and appears == fresh and run % RANGE:
            n += 1
            continue
        if n:
            yield first_point, first_run, n, fresh
        first_point, first_run, n, fresh = point, run, 1, appears
    if n:
        yield first_point, first_run, n, fresh

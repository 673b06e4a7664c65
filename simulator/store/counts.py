"""How many runs are in which state, of a sweep or of the whole store."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass

from dieshot.simulator.store.schema import RANGE_BITS, State


@dataclass(frozen=True, slots=True)
class Counts:
    """Runs by state.

    seconds: what workers have spent on the runs that were finished for the sweep. First and last finish: seconds since
    1970, None where nothing has finished.
    """

    total: int
    waiting: int
    leased: int
    done: int
    failed: int
    set_aside: int
    seconds: float
    first_finish_s: float | None
    last_finish_s: float | None

    @property
    def final(self) -> int:
        """Runs that have come to their end, well or badly."""
        return self.done + self.failed + self.set_aside

    @property
    def open(self) -> int:
        """Runs that are still to do."""
        return self.waiting + self.leased


Extent = list[tuple[int, int]]


def extent(connection: sqlite3.Connection, sweep: int) -> Extent:
    """Return how many runs of each range a sweep has, as (range, runs): it changes with the sweep's points only."""
    return connection.execute(
        f"""SELECT first_run >> {RANGE_BITS}, sum(points) FROM span WHERE sweep = ? AND fresh = 1
            GROUP BY 1 ORDER BY 1""",
        (sweep,),
    ).fetchall()


def counts(connection: sqlite3.Connection, sweep: int | None, known: Extent | None = None) -> Counts:
    """Return the counts of a sweep, each of its runs once, or of all runs. known: the sweep's extent."""
    if sweep is None:
        found = Counter(dict(connection.execute("SELECT state, sum(runs) FROM tally GROUP BY state")))
    else:
        found = _of_sweep(connection, sweep, extent(connection, sweep) if known is None else known)
    seconds, first_finish_s, last_finish_s = connection.execute(
        """SELECT coalesce(sum(seconds), 0.0), min(first_finish_s), max(last_finish_s) FROM sweep
           WHERE ?1 IS NULL OR sweep = ?1""",
        (sweep,),
    ).fetchone()
    by_state = {state.word: found[state] for state in State}
    return Counts(
        sum(by_state.values()),
        seconds=seconds,
        first_finish_s=first_finish_s,
        last_finish_s=last_finish_s,
        **by_state,
    )


def _of_sweep(connection: sqlite3.Connection, sweep: int, parts: Extent) -> Counter[int]:
    """Add up ranges of runs that are the sweep's as a whole, and look at each run of the others."""
    found: Counter[int] = Counter()
    for part, n in parts:
        tally = connection.execute("SELECT state, runs FROM tally WHERE part = ?", (part,)).fetchall()
        if n != sum(runs for _, runs in tally):
            tally = connection.execute(_PARTLY, (part, sweep)).fetchall()
        for state, runs in tally:
            found[state] += runs
    return found


_PARTLY = f"""SELECT run.state, count(*) FROM span CROSS JOIN run
    ON run.run >= span.first_run AND run.run < span.first_run + span.points
    WHERE span.sweep = ?2 AND span.fresh = 1 AND span.first_run >= ?1 << {RANGE_BITS}
    AND span.first_run < (?1 + 1) << {RANGE_BITS} GROUP BY run.state"""

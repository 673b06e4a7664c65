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


def counts(connection: sqlite3.Connection, sweep: int | None) -> Counts:
    """Return the counts of a sweep, each of its runs once, or of all runs."""
    found = _of_all(connection) if sweep is None else _of_sweep(connection, sweep)
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


def _of_all(connection: sqlite3.Connection) -> Counter[int]:
    return Counter(dict(connection.execute("SELECT state, sum(runs) FROM tally GROUP BY state")))


def _of_sweep(connection: sqlite3.Connection, sweep: int) -> Counter[int]:
    """Add up ranges of runs that are the sweep's as a whole, and look at each run of the others."""
    found: Counter[int] = Counter()
    parts = connection.execute(
        f"""WITH mine AS (SELECT first_run >> {RANGE_BITS} AS part, sum(points) AS runs FROM span
            WHERE sweep = ? AND fresh = 1 GROUP BY 1)
            SELECT mine.part, mine.runs = sum(tally.runs) FROM mine JOIN tally USING (part) GROUP BY mine.part""",
        (sweep,),
    ).fetchall()
    for part, whole in parts:
        of_part = "SELECT state, runs FROM tally WHERE part = ?1" if whole else _PARTLY
        for state, runs in connection.execute(of_part, (part,) if whole else (part, sweep)):
            found[state] += runs
    return found


_PARTLY = f"""SELECT run.state, count(*) FROM span CROSS JOIN run
    ON run.run >= span.first_run AND run.run < span.first_run + span.points
    WHERE span.sweep = ?2 AND span.fresh = 1 AND span.first_run >= ?1 << {RANGE_BITS}
    AND span.first_run < (?1 + 1) << {RANGE_BITS} GROUP BY run.state"""

"""What a store is at, for a look from another terminal; nothing is written."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dieshot.simulator.store.counts import counts
from dieshot.simulator.store.ledger import reading
from dieshot.simulator.store.lock import holder


def status(folder: Path) -> dict[str, Any]:
    """Return counts of the store and of each sweep, who is at work on it, and what has been handed out.

    `client`: the process that has the store, None for nobody (0: one that left no number). `leases`: by chunk, the
    oldest first, with worker, runs and whether their time is over. Times are seconds since 1970.
    """
    client = holder(folder)
    now_s = time.time()
    with reading(folder) as connection:
        sweeps = [
            {"sweep": number, "name": name, "points": points, "added_s": added_s} | asdict(counts(connection, number))
            for number, name, points, added_s in connection.execute(
                "SELECT sweep, name, points, added_s FROM sweep ORDER BY sweep"
            ).fetchall()
        ]
        leases = connection.execute(
            "SELECT chunk, worker, count(*), min(run), min(until_s) FROM lease GROUP BY chunk, worker ORDER BY 5, 4"
        ).fetchall()
        deaths = connection.execute("SELECT run, deaths, reason FROM death ORDER BY run").fetchall()
        total = asdict(counts(connection, None))
    return {
        "store": str(folder),
        "client": client,
        **total,
        "sweeps": sweeps,
        "leases": [
            {
                "chunk": chunk,
                "worker": worker,
                "runs": n,
                "first_run": first,
                "until_s": until,
                "overdue": until < now_s,
            }
            for chunk, worker, n, first, until in leases
        ],
        "deaths": [{"run": run, "deaths": n, "reason": reason} for run, n, reason in deaths],
    }

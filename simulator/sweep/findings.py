"""What a sweep has found: its counts, why runs failed, which runs are the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dieshot.simulator.store.question import ask
from dieshot.simulator.sweep.row import COST

if TYPE_CHECKING:
    from dieshot.simulator.sweep.sweep import SweepResult

# What is best where a sweep has no objectives: figure, and the order that puts the best first.
BEST = {"tokens_per_s_user": "DESC", "tokens_per_s_system": "DESC", "energy_per_token_j": "ASC", COST: "ASC"}
SUCCEEDED = "state = 'done'"
MOST_ERRORS = 1000


def findings(result: SweepResult) -> dict[str, Any]:
    """Return a sweep's result as one record."""
    counts, before = result.counts, result.before
    record: dict[str, Any] = {
        "sweep": result.document.name,
        "method": result.document.method,
        "note": result.document.note,
        "store": str(result.folder),
        "number": result.number,
        "points": result.n_points,
        "runs": {name: getattr(counts, name) for name in ("total", "done", "failed", "set_aside", "waiting")},
        "already_there": before.final,
        "wall_s": result.wall_s,
        "worker_s": counts.seconds,
        "varied": list(result.space.varied),
        "units": dict(result.space.units),
        "errors": errors(result),
    }
    return record | {"best": best(result)}


def errors(result: SweepResult) -> list[dict[str, Any]]:
    """Return the distinct errors of runs that failed or were set aside, the most frequent first."""
    if not result.counts.failed + result.counts.set_aside:
        return []
    found = ask(result.folder, "error IS NOT NULL", "histogram(error) AS told", sweep=result.number)
    told = found.column("told")[0].as_py() or []
    by_count = sorted(told, key=lambda each: (-each[1], each[0]))
    return [{"error": error, "runs": n} for error, n in by_count[:MOST_ERRORS]]


def best(result: SweepResult) -> dict[str, dict[str, Any]]:
    """Return the best run by each of several figures: its values on the axes, and its figures."""
    return {figure: row for figure, order in BEST.items() if (row := _first(result, figure, order)) is not None}


def _first(result: SweepResult, figure: str, order: str) -> dict[str, Any] | None:
    if not result.counts.done:
        return None
    where = f"{SUCCEEDED} AND {figure} IS NOT NULL"
    found = ask(result.folder, where, order=f"{figure} {order}", limit=1, sweep=result.number).to_pylist()
    return with_values(result, found[0]) if found else None


def with_values(result: SweepResult, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the values of its point: a run that several sweeps share has the columns of the first only."""
    return {name: value for name, value in row.items() if value is not None} | result.space.values(row["point"])

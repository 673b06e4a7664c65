"""What a sweep has found: its counts, why runs failed, which runs are the best."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dieshot.simulator.store.question import ask
from dieshot.simulator.sweep.indices import Sensitivity
from dieshot.simulator.sweep.pareto import pareto
from dieshot.simulator.sweep.row import COST

if TYPE_CHECKING:
    from dieshot.simulator.sweep.sweep import SweepResult

# What is best where a sweep has no objectives: figure, and the order that puts the best first.
BEST = {"tokens_per_s_user": "DESC", "tokens_per_s_system": "DESC", "energy_per_token_j": "ASC", COST: "ASC"}
SUCCEEDED = "state = 'done'"
MOST_ERRORS = MOST_OF_FRONT = 1000
_NUMBER = re.compile(r"\d[\d.,]*")


def findings(result: SweepResult) -> dict[str, Any]:
    """Return a sweep's result as one record."""
    counts, document = result.counts, result.document
    record: dict[str, Any] = {
        "sweep": document.name,
        "method": document.method,
        "note": document.note,
        "store": str(result.folder),
        "number": result.number,
        "points": result.n_points,
        "runs": {name: getattr(counts, name) for name in ("total", "done", "failed", "set_aside", "waiting")},
        "already_there": result.n_before,
        "wall_s": result.wall_s,
        "worker_s": counts.seconds,
        "varied": list(result.space.varied),
        "units": dict(result.space.units),
        "errors": errors(result),
    }
    if isinstance(result.space, Sensitivity):
        return record | {"sensitivity": _sensitivity(result, result.space)}
    if document.objectives:
        return record | {"objectives": list(map(str, document.objectives)), "pareto": front(result)}
    return record | {"best": best(result)}


def errors(result: SweepResult) -> list[dict[str, Any]]:
    """Return the errors of runs that failed or were set aside, the most frequent first.

    Errors that differ in numbers only are told once: an example, how many there are, and of how many points.
    """
    if not result.counts.failed + result.counts.set_aside:
        return []
    told = ask(result.folder, "error IS NOT NULL", "histogram(error) AS told", sweep=result.number)
    kinds: dict[str, list[tuple[str, int]]] = {}
    for error, n in told.column("told")[0].as_py() or []:
        kinds.setdefault(_NUMBER.sub("#", error), []).append((error, n))
    found = sorted((-sum(n for _, n in alike), min(alike)[0], len(alike)) for alike in kinds.values())
    return [{"error": error, "alike": n, "points": -minus} for minus, error, n in found[:MOST_ERRORS]]


def best(result: SweepResult) -> dict[str, dict[str, Any]]:
    """Return the best run by each of several figures: its values on the axes, and its figures."""
    return {figure: row for figure, order in BEST.items() if (row := _first(result, figure, order)) is not None}


def front(result: SweepResult) -> list[dict[str, Any]]:
    """Return the runs that no other run beats in one objective without losing in another, the first objective's first.

    Each distinct run once; at most MOST_OF_FRONT.
    """
    if not result.counts.done:
        return []
    objectives, constraints = result.document.objectives, result.document.constraints
    figures = [*(each.figure for each in objectives), *(each.figure for each in constraints)]
    rows = columns(result, ("point", "run", *figures), SUCCEEDED)
    ahead = {rows[index]["run"]: rows[index] for index in reversed(pareto(rows, objectives, constraints))}
    ordered = sorted(ahead.values(), key=lambda row: ([each.cost(row) for each in objectives], row["point"]))
    chosen = [row["point"] for row in ordered[:MOST_OF_FRONT]]
    if not chosen:
        return []
    whole = ask(result.folder, f"point IN ({', '.join(map(str, chosen))})", sweep=result.number).to_pylist()
    by_point = {row["point"]: with_values(result, row) for row in whole}
    return [by_point[point] for point in chosen]


def columns(result: SweepResult, names: Iterable[str], where: str | None = None) -> list[dict[str, Any]]:
    """Return some columns of the rows, by point; those that no row has are not there."""
    wanted = "|".join(re.escape(name) for name in dict.fromkeys(names)).replace("'", "''")
    return list(ask(result.folder, where, f"COLUMNS('^({wanted})$')", sweep=result.number).to_pylist())


def with_values(result: SweepResult, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the values of its point: a run that several sweeps share has the columns of the first only."""
    return {name: value for name, value in row.items() if value is not None} | result.space.values(row["point"])


def _first(result: SweepResult, figure: str, order: str) -> dict[str, Any] | None:
    if not result.counts.done:
        return None
    where = f"{SUCCEEDED} AND {figure} IS NOT NULL"
    found = ask(result.folder, where, order=f"{figure} {order}", limit=1, sweep=result.number).to_pylist()
    return with_values(result, found[0]) if found else None


def _sensitivity(result: SweepResult, space: Sensitivity) -> dict[str, Any]:
    by_point = {row["point"]: row for row in columns(result, ("point", *space.figures), SUCCEEDED)}
    rows = [by_point.get(point) for point in range(space.n_points)]
    return {"analysis": space.analysis, "indices": space.indices(rows), "points_left_out": space.left_out(rows)}

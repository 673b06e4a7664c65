"""Rows that no other row beats in all of several goals."""

from __future__ import annotations

from dieshot.simulator.cli.rows import Rows
from dieshot.simulator.errors import InputError, nearest_name


def best(rows: Rows, goals: str, most: int | None) -> Rows:
    """Return the rows on the Pareto front of goals such as "min:energy_per_token_j,max:tokens_per_s_user"."""
    import pyarrow

    from dieshot.simulator.sweep.objective import parse_objectives
    from dieshot.simulator.sweep.pareto import pareto

    objectives = parse_objectives(goals)
    for objective in objectives:
        if objective.figure not in rows.names:
            near = nearest_name(objective.figure, rows.names)
            raise InputError(f"no column {objective.figure}", key="--pareto", nearest=near)
    table = pyarrow.Table.from_batches(list(rows.batches), rows.schema)
    figures = table.select([objective.figure for objective in dict.fromkeys(objectives)])
    kept = table.take(sorted(pareto(figures.to_pylist(), objectives)))
    return Rows(rows.schema, (kept if most is None else kept.slice(0, most)).to_batches())

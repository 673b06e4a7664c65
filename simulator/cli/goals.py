"""Rows that no other row beats in all of several goals."""

from __future__ import annotations

from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.store.answer import Answer, chosen


def best(answer: Answer, goals: str, most: int | None) -> Answer:
    """Return the rows on the Pareto front of goals such as "min:energy_per_token_j,max:tokens_per_s_user"."""
    from dieshot.simulator.sweep.objective import parse_objectives
    from dieshot.simulator.sweep.pareto import pareto

    objectives = parse_objectives(goals)
    for objective in objectives:
        if objective.figure not in answer.names:
            near = nearest_name(objective.figure, answer.names)
            raise InputError(f"no column {objective.figure}", key="--pareto", nearest=near)
    table = answer.table()
    figures = table.select(list(dict.fromkeys(objective.figure for objective in objectives)))
    return chosen(table, pareto(figures.to_pylist(), objectives)[:most])

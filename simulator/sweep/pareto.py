"""The Pareto front: the runs that no other run beats in one objective without losing in another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.sweep.objective import Constraint, Objective, is_feasible

Row = Mapping[str, Any]


def pareto(rows: Sequence[Row], objectives: Sequence[Objective], constraints: Sequence[Constraint] = ()) -> list[int]:
    """Return the indices of the rows that are not dominated, in their order; equals are all kept.

    A row dominates another that is nowhere better and somewhere worse. Rows without a figure (a run that failed), or
    out of bounds, take no part.
    """
    costs = np.array([[each.cost(row) for each in objectives] for row in rows], dtype=np.float64)
    costs = costs.reshape(len(rows), len(objectives))
    feasible = np.array([is_feasible(row, constraints) for row in rows], dtype=bool)
    taking = np.flatnonzero(feasible & ~np.isnan(costs).any(axis=1))
    found: list[int] = taking[nondominated(costs[taking])].tolist()
    return found


def nondominated(costs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows of (n, m) costs that no other row dominates, ascending; costs are finite or infinite, not NaN."""
    n, m = costs.shape
    if n == 0 or m == 0:
        return np.arange(n)
    order = np.lexsort(costs.T[::-1])  # by the first cost, then the next
    ordered = costs[order]
    is_first = np.concatenate(([True], (ordered[1:] != ordered[:-1]).any(axis=1)))  # of rows that are equal
    distinct = ordered[is_first]
    kept = _front_of_two(distinct) if m <= 2 else _front(distinct)
    return np.sort(order[kept[np.cumsum(is_first) - 1]])


def _front_of_two(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of distinct sorted rows of one or two costs are not dominated: each is below all before it."""
    last = costs[:, -1]
    lowest_before = np.minimum.accumulate(np.concatenate(([np.inf], last[:-1])))
    kept: NDArray[np.bool_] = last < lowest_before
    kept[0] = True
    return kept


def _front(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which of distinct sorted rows are not dominated: a row is dominated only by rows before it."""
    kept = np.zeros(len(costs), dtype=bool)
    front = np.empty((0, costs.shape[1]))
    for index, row in enumerate(costs):
        if not (front <= row).all(axis=1).any():
            kept[index] = True
            front = np.vstack((front, row))
    return kept

"""The Pareto front against its definition."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.objective import Constraint, Objective, is_feasible, parse_objectives
from dieshot.simulator.sweep.pareto import nondominated, pareto

COSTS = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf]), min_size=m, max_size=m), max_size=40)
)


def naive(costs: list[list[float]]) -> list[int]:
    """Return the indices of rows that no other row dominates, by comparing all with all."""
    return [
        index
        for index, row in enumerate(costs)
        if not any(
            all(a <= b for a, b in zip(other, row, strict=True)) and any(a < b for a, b in zip(other, row, strict=True))
            for other in costs
        )
    ]


@given(COSTS)
def test_the_front_is_as_defined(costs: list[list[float]]) -> None:
    array = np.array(costs, dtype=float).reshape(len(costs), len(costs[0]) if costs else 2)
    assert nondominated(array).tolist() == naive(costs)


def test_failed_runs_and_runs_out_of_bounds_take_no_part() -> None:
    rows: list[dict[str, Any]] = [
        {"energy_per_token_j": 1.0, "tokens_per_s_user": 10.0},
        {"energy_per_token_j": 2.0, "tokens_per_s_user": 30.0},
        {"energy_per_token_j": 2.0, "tokens_per_s_user": 20.0},
        {"error": "does not fit"},
        {"energy_per_token_j": 0.1, "tokens_per_s_user": None},
        {"energy_per_token_j": math.nan, "tokens_per_s_user": 90.0},
        {"energy_per_token_j": 1.0, "tokens_per_s_user": 10.0},
    ]
    objectives = parse_objectives("min:energy_per_token_j, max:tokens_per_s_user")
    assert objectives == (Objective("energy_per_token_j"), Objective("tokens_per_s_user", maximize=True))
    assert pareto(rows, objectives) == [0, 1, 6]
    assert pareto(rows, objectives, [Constraint("tokens_per_s_user", at_most=25)]) == [0, 2, 6]
    assert pareto([], objectives) == [] and pareto(rows[3:5], objectives) == []


def test_bounds_include_their_ends() -> None:
    bound = Constraint("cycles", at_least=2, at_most=4)
    kept = [value for value in (1, 2, 3, 4, 5, None) if is_feasible({"cycles": value}, [bound])]
    assert kept == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("energy_per_token_j", "not an objective; expected min:FIGURE or max:FIGURE, with commas between; got "
         "'energy_per_token_j'"),
        ("min:energy_per_tokn_j", "unknown figure 'energy_per_tokn_j'; expected a figure such as "
         "time_per_output_token_s, tokens_per_s_user or energy_per_token_j; did you mean 'energy_per_token_j'?"),
        (" , ", "no objective; expected min:FIGURE or max:FIGURE, with commas between; got ' , '"),
    ],
)  # fmt: skip
def test_objectives_that_are_none(text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_objectives(text)
    assert str(refused.value) == says

"""Searches: generations that do not depend on who runs them, and that find what is best."""

from collections.abc import Callable
from typing import Any

import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.document import read_sweep
from dieshot.simulator.sweep.search import Search
from dieshot.simulator.sweep.space import Listing

Row = dict[str, Any]
BASE: dict[str, Any] = {
    "system": "corsair-card",
    "model": "qwen3-0.6b",
    "method": "search",
    "trials": 60,
    "generation": 8,
    "seed": 5,
    "batch": {"from": 1, "to": 64, "scale": "log"},
    "precision": ["mxint8", "mxint4"],
    "set": {"chip.simd.lanes": {"factor": {"from": 0.5, "to": 4}}, "chip.control.operator": {"factor": [0.5, 1, 2]}},
    "objectives": [{"minimize": "time_per_output_token_s"}],
}


def figures(values: Row) -> Row:
    """Return figures that are best at batch 8, 3 times the lanes, mxint4 and the shortest control."""
    far = abs(values["batch"] - 8) / 8 + abs(values["chip.simd.lanes"] - 3) + values["chip.control.operator"]
    far += 5 * (values["precision"] == "mxint8")
    return {"time_per_output_token_s": 1 + far, "energy_per_token_j": 1 / values["batch"]}


def carried_out(search: Search, figures: Callable[[Row], Row | None] = figures) -> list[list[Row]]:
    generations = []
    while (points := search.ask()) is not None:
        values = [points.values(index) for index in range(len(points))]
        search.tell([figures(each) for each in values])
        generations.append(values)
    return generations


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_the_same_seed_asks_the_same(sampler: str) -> None:
    document = read_sweep(BASE | {"sampler": sampler})
    first, again = carried_out(Search(document)), carried_out(Search(document))
    assert first == again
    assert [len(each) for each in first] == [8] * 7 + [4]
    assert carried_out(Search(read_sweep(BASE | {"sampler": sampler, "seed": 6}))) != first


def test_a_search_finds_better_than_chance() -> None:
    def best(sampler: str, seed: int) -> float:
        found = carried_out(Search(read_sweep(BASE | {"sampler": sampler, "seed": seed})))
        return min(figures(values)["time_per_output_token_s"] for each in found for values in each)

    seeds = range(3)
    assert sum(best("tpe", seed) for seed in seeds) < sum(best("random", seed) for seed in seeds)
    assert best("tpe", 0) < 1.9  # 1.5 is the best there is


def test_runs_that_fail_are_told_and_do_not_stop_it() -> None:
    found = carried_out(Search(read_sweep(BASE)), lambda values: None if values["batch"] > 16 else figures(values))
    assert sum(map(len, found)) == 60
    nothing = carried_out(Search(read_sweep(BASE)), lambda values: {"error": "does not fit"})
    assert sum(map(len, nothing)) == 60


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_bounds_and_several_objectives(sampler: str) -> None:
    more = {"objectives": [{"minimize": "time_per_output_token_s"}, {"maximize": "energy_per_token_j"}],
            "constraints": [{"figure": "energy_per_token_j", "at_most": 0.25}], "sampler": sampler}  # fmt: skip
    found = carried_out(Search(read_sweep(BASE | more)))
    kept = [sum(figures(values)["energy_per_token_j"] <= 0.25 for values in each) for each in found]
    assert sum(kept[-4:-1]) >= 16  # of 24; a batch of 4 or more
    assert found == carried_out(Search(read_sweep(BASE | more)))


def test_points_are_requests_with_keys() -> None:
    points = Search(read_sweep(BASE)).ask()
    assert isinstance(points, Listing)
    request = points.request(0)
    assert request.seed == 5 and request.sets[0].startswith("chip.simd.lanes=*")
    assert len(list(points.keys())) == 8


def test_a_search_has_to_be_told_before_it_is_asked_again() -> None:
    search = Search(read_sweep(BASE))
    search.ask()
    with pytest.raises(RuntimeError, match="told before"):
        search.ask()
    with pytest.raises(ValueError, match="2 rows for 8 points"):
        search.tell([None, None])


@pytest.mark.parametrize(
    ("without", "says"),
    [
        ("trials", "sweep: trials: missing key; expected trials: method search needs it"),
        ("objectives", "sweep: objectives: missing key; expected objectives: method search needs it"),
    ],
)
def test_what_a_search_needs(without: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        read_sweep({key: node for key, node in BASE.items() if key != without})
    assert str(refused.value) == says


def test_nothing_to_search_is_refused() -> None:
    fixed = {key: node for key, node in BASE.items() if key not in ("batch", "precision", "set")}
    with pytest.raises(InputError, match="nothing to search; expected a list or a range of values"):
        Search(read_sweep(fixed))

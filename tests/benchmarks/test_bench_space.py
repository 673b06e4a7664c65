"""Points of large sweeps: keys a second, of a grid and of drawn points; the front of many runs."""

import itertools
from typing import Any

import numpy as np
import pytest

from dieshot.simulator.sweep.document import read_sweep
from dieshot.simulator.sweep.pareto import nondominated
from dieshot.simulator.sweep.points import space_of

N_KEYS = 50_000
GRID: dict[str, Any] = {
    "system": ["dgx-h100", "h100-sxm"],
    "model": "llama-3-8b",
    "batch": {"from": 1, "to": 100},
    "prompt": {"from": 1, "to": 1000},
    "set": {"chip.hbm.pin_rate": {"factor": [0.5, 1, 2, 3, 4]}},
}
DRAWN: dict[str, Any] = {
    "method": "random",
    "samples": 10**6,
    "set": {"chip.hbm.pin_rate": {"factor": {"from": 0.5, "to": 2}}, "chip.sm.resident_ctas": "own"},
}


@pytest.mark.parametrize("more", [{}, DRAWN], ids=["grid", "drawn"])
def test_keys_of_a_million_points(benchmark: Any, more: dict[str, Any]) -> None:
    space = space_of(read_sweep(GRID | more))
    assert len(space) == 10**6
    keys = benchmark.pedantic(lambda: list(itertools.islice(space.keys(), N_KEYS)), rounds=3, warmup_rounds=1)
    assert len(set(keys)) == N_KEYS
    benchmark.extra_info["us a key"] = benchmark.stats.stats.min / N_KEYS * 1e6


@pytest.mark.parametrize(("n", "objectives"), [(10**6, 2), (10**5, 3)])
def test_front_of_many_runs(benchmark: Any, n: int, objectives: int) -> None:
    costs = np.random.default_rng(1).random((n, objectives))
    found = benchmark.pedantic(nondominated, (costs,), rounds=1)
    assert 0 < len(found) < n // 100

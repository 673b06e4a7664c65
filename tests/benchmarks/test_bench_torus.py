"""How fast collectives over links to neighbours are simulated, all algorithms tried."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.links.fabric_choice import choose_fabric
from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.params import LinkParameters, find_document, resolve
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

LOCAL = LocalCosts(700_000, 10**9, 0, 1_300_000_000)
LONGEST_S = 0.02  # a step of a decode has a few such collectives that differ


@pytest.mark.parametrize(
    ("name", "n_chips"), [("ici-v5e", 8), ("ici-v7", 8), ("ici-8i", 8), ("neuronlink-v2", 12), ("neuronlink-v3", 16)]
)
def test_a_short_all_reduce_over_neighbours(benchmark: BenchmarkFixture, name: str, n_chips: int) -> None:
    parameters = resolve(find_document("links", name), LinkParameters).values
    operator = make_operator(
        "x", "all_reduce", {"elements": 1 << 14, "group": n_chips}, Formats("int8", None, "int8"), ""
    )

    def run() -> Cell:
        return choose_fabric(parameters, LOCAL, 0, n_chips).carry_out(operator, n_chips)

    assert benchmark(run).counters["link_bytes"] > 1 << 14
    assert benchmark.stats.stats.median < LONGEST_S

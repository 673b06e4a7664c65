"""How fast networks are simulated, beside BookSim2 on the same mesh and load."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.network import Network, RouterParameters, Wiring
from dieshot.simulator.studies.micro.noc import Load, traffic
from dieshot.simulator.studies.micro.noc_topology import topology

FILE = Path(__file__).parents[1] / "data" / "booksim2_mesh.csv"
ROWS = list(csv.DictReader(line for line in FILE.read_text().splitlines() if not line.startswith("#")))


@pytest.mark.parametrize("rate", ["0.05", "0.20", "0.35"])
def test_mesh(benchmark: BenchmarkFixture, rate: str) -> None:
    shape = topology("mesh:8x8")
    wiring = Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)
    network = Network(wiring, RouterParameters())
    sources, packets = traffic(shape, Load(float(rate), 1, "uniform", 10_000, 3_000, 0))
    arguments = (sources, packets, 3_000, 13_000, 23_000)
    outcome = benchmark.pedantic(network.deliver, arguments, rounds=5, warmup_rounds=1)
    assert (outcome.delivered[packets[:, 0] < 13_000, 2] == 1).all()
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["cycles_per_s"] = outcome.end_cycle / seconds
    benchmark.extra_info["flits_per_s"] = outcome.flit_hops / seconds
    reference = next(row for row in ROWS if row["offered_rate"] == rate)
    benchmark.extra_info["booksim2_cycles_per_s"] = float(reference["cycles_per_s"])
    assert outcome.end_cycle / seconds > float(reference["cycles_per_s"])

"""How fast networks are simulated, beside BookSim2 on the same mesh and load."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.noc.network import Network, RouterParameters, Wiring
from dieshot.simulator.studies.micro.noc import Load, traffic
from dieshot.simulator.studies.micro.noc_topology import topology

FILE = Path(__file__).parents[1] / "data" / "booksim2_mesh.csv"
ROWS = list(csv.DictReader(line for line in FILE.read_text().splitlines() if not line.startswith("#")))
LEAST_SPEEDUP = {"0.05": 1, "0.20": 50, "0.35": 1}  # over BookSim2, whose figures come from another machine


def send(benchmark: BenchmarkFixture, name: str, load: Load, **parameters: int) -> float:
    """Return the cycles simulated a second, noted with the flits that passed a router a second."""
    shape = topology(name)
    wiring = Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)
    network = Network(wiring, RouterParameters(**parameters))
    sources, packets = traffic(shape, load)
    start, stop = load.warmup_cycles, load.warmup_cycles + load.n_cycles
    arguments = (sources, packets, start, stop, stop + load.n_cycles)
    outcome = benchmark.pedantic(network.deliver, arguments, rounds=7, warmup_rounds=1)
    measured = (packets[:, 0] >= start) & (packets[:, 0] < stop)
    assert (outcome.delivered[measured, 2] == load.packet_flits).all()
    seconds = benchmark.stats.stats.min
    benchmark.extra_info["cycles_per_s"] = outcome.end_cycle / seconds
    benchmark.extra_info["flits_per_s"] = outcome.flit_hops / seconds
    return float(outcome.end_cycle / seconds)


@pytest.mark.parametrize("rate", LEAST_SPEEDUP)
def test_mesh(benchmark: BenchmarkFixture, rate: str) -> None:
    cycles_per_s = send(benchmark, "mesh:8x8", Load(float(rate), 1, "uniform", 10_000, 3_000, 0))
    reference = float(next(row for row in ROWS if row["offered_rate"] == rate)["cycles_per_s"])
    benchmark.extra_info["booksim2_cycles_per_s"] = reference
    benchmark.extra_info["times_booksim2"] = cycles_per_s / reference
    assert cycles_per_s / reference > LEAST_SPEEDUP[rate]


@pytest.mark.parametrize("name", ["torus:8x8", "ring:16", "crossbar:16", "fattree:4,3", "dragonfly:4,2,2"])
def test_other_networks(benchmark: BenchmarkFixture, name: str) -> None:
    send(benchmark, name, Load(0.2, 4, "uniform", 10_000, 3_000, 0))

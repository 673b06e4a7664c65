"""How fast links and collectives are simulated."""

from __future__ import annotations

import numpy as np
import pytest
import simpy
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.links.channel import Channel, channel_timing
from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.schedule import schedule
from dieshot.simulator.params import LinkParameters, find_document, resolve
from dieshot.simulator.studies.micro.topology import chip_graph

N_MESSAGES, N_FLITS = 100_000, 20


@pytest.mark.parametrize("level", ["flit", "packet"])
def test_flits_over_a_link(benchmark: BenchmarkFixture, level: str) -> None:
    timing = channel_timing(resolve(find_document("links", "nvlink4-nvswitch"), LinkParameters).values)
    gaps = np.random.default_rng(1).exponential(N_FLITS * timing.flit_fs / 0.8, N_MESSAGES)
    items = np.cumsum(gaps).astype(np.int64), np.zeros(N_MESSAGES, np.int64), np.full(N_MESSAGES, N_FLITS, np.int64)
    finished = benchmark(lambda: Channel("bench", timing, 1, level).carry(*items)[1])
    assert (np.diff(finished) >= 0).all()
    # No simulator of the reference goes to the flit of a link; its network simulator does 2.8 k cycles/s of 64 routers.
    benchmark.extra_info["flits_per_s"] = N_MESSAGES * N_FLITS / benchmark.stats.stats.median


@pytest.mark.parametrize("size", [1 << 20, 1 << 30])
def test_ring_all_reduce_as_the_reference_does_it(benchmark: BenchmarkFixture, size: int) -> None:
    def run() -> int:
        env = simpy.Environment()
        network = LinkNetwork(env, chip_graph("ring:8", 19_531_250_000, 500_000_000))
        plan = schedule("all-reduce", "ring", 8, size, 4, 1)
        env.run(Collective(env, "ring", network, plan, EndpointCosts(10_000_000, 1_966_080_000, True)).process)
        return len(plan.transfers)

    n_transfers = benchmark(run)
    benchmark.extra_info["transfers_per_s"] = n_transfers / benchmark.stats.stats.median
    benchmark.extra_info["reference_wall_s"] = 0.01  # ASTRA-sim analytical, one process, start included


@pytest.mark.parametrize(
    ("algorithm", "topology", "n_chips"), [("one-shot", "ring:64", 64), ("direct", "switch:256", 256)]
)
def test_all_reduce_of_many_chips(benchmark: BenchmarkFixture, algorithm: str, topology: str, n_chips: int) -> None:
    plan = schedule("all-reduce", algorithm, n_chips, 1 << 26, 8 if algorithm == "one-shot" else 1)

    def run() -> int:
        env = simpy.Environment()
        network = LinkNetwork(env, chip_graph(topology, 2_500_000_000, 350_000_000))
        env.run(Collective(env, algorithm, network, plan, EndpointCosts()).process)
        return sum(len(network.route(t.source, t.destination)) for t in plan.transfers)

    n_hops = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    benchmark.extra_info["hops_per_s"] = n_hops / benchmark.stats.stats.median
    benchmark.extra_info["transfers_per_s"] = len(plan.transfers) / benchmark.stats.stats.median

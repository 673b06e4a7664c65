"""All-reduce against the analytical network of ASTRA-sim, under assumptions that its own figures imply.

They were worked out from the 24 figures, not read in its source: a message costs 10 ns at the endpoint; data is cut
into four chunks done one after the other; a chip adds what came at 1,600 GB/s with three accesses a byte; what passes
a switch is stored before it goes on ("aware") or goes on at once ("unaware"). Left over are 3 ns a chunk and rounding
to whole nanoseconds there.
"""

import csv
from pathlib import Path

import pytest
import simpy

from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.schedule import schedule
from dieshot.simulator.studies.micro.topology import chip_graph

ROWS = Path(__file__).parents[1] / "data" / "astra_sim_all_reduce.csv"
MIB = 1 << 20
NS = 10**6
FS = 10**15
N_CHIPS, N_CHUNKS = 8, 4
N_STEPS = N_CHUNKS * 2 * (N_CHIPS - 1)
ROUNDING_NS = 3 * N_CHUNKS + 2 * N_STEPS  # less than 1 ns for every link and every addition


def rows() -> list[dict[str, str]]:
    with ROWS.open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(list(row.values())[:4]))
def test_ring_all_reduce_takes_as_long(row: dict[str, str]) -> None:
    fs_per_mib = FS * MIB // (int(row["rate_gib_per_s"]) << 30)
    costs = EndpointCosts(10 * NS, 3 * MIB * FS // (1600 * 10**9), row["congestion"] == "aware")
    env = simpy.Environment()
    network = LinkNetwork(env, chip_graph(row["topology"], fs_per_mib, 500 * NS))
    plan = schedule("all-reduce", "ring", N_CHIPS, int(row["bytes"]), N_CHUNKS, 1)
    env.run(Collective(env, "ring", network, plan, costs).process)
    reference_ns = int(row["latency_ns"])
    assert abs(env.now / NS - reference_ns) <= ROUNDING_NS
    assert env.now / NS == pytest.approx(reference_ns, rel=2e-3)

"""An 8 x 8 mesh under uniform traffic against BookSim2."""

import csv
from pathlib import Path

import pytest

from dieshot.simulator.studies.micro.noc import noc

FILE = Path(__file__).parents[1] / "data" / "booksim2_mesh.csv"
ROWS = list(csv.DictReader(line for line in FILE.read_text().splitlines() if not line.startswith("#")))
STABLE = [row for row in ROWS if row["unstable"] == "0"]


@pytest.mark.parametrize("row", STABLE[:-1], ids=lambda row: row["offered_rate"])
def test_latency_is_the_reference_within_5_percent(row: dict[str, str]) -> None:
    ours = noc("mesh:8x8", float(row["offered_rate"]), cycles=6_000, seed=1)
    assert ours["stable"]
    assert ours["latency_mean_cycles"] == pytest.approx(float(row["packet_latency_cycles"]), rel=0.05)
    assert ours["accepted_rate"] == pytest.approx(float(row["offered_rate"]), rel=0.05)
    assert ours["hops_mean"] == pytest.approx(float(row["hops"]), rel=0.02)


def test_the_network_just_below_saturation_is_the_reference() -> None:
    row = STABLE[-1]
    ours = noc("mesh:8x8", float(row["offered_rate"]), cycles=6_000, seed=1)
    assert ours["network_latency_mean_cycles"] == pytest.approx(float(row["network_latency_cycles"]), rel=0.05)
    assert ours["accepted_rate"] == pytest.approx(float(row["accepted_rate"]), rel=0.05)


def test_saturation_lies_where_the_reference_turns_unstable() -> None:
    rate = noc("mesh:8x8", 0.1, cycles=10_000, saturation=True)["saturation_rate"]
    unstable = [float(row["offered_rate"]) for row in ROWS if row["unstable"] == "1"]
    assert float(STABLE[-1]["offered_rate"]) <= rate < min(unstable)

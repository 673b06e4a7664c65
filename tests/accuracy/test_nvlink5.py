"""Measured all-reduces of B200s: NVLink 5 by its published rate and the library as with NVLink 4, nothing fitted.

Launch and adding are those of the H100. Short messages come out too fast: none of these libraries needs
less than 5 us here, where eight H100s take 3.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dieshot.simulator.engine.fabric import Fabric
from dieshot.simulator.studies.setup import set_up
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

ALL_REDUCE = Path(__file__).parents[1] / "data" / "b200_all_reduce.csv"
MIB = 1 << 20


def errors(fabric: Fabric, least: int, most: int) -> list[float]:
    """Return simulated over measured less 1, for the fastest library of every (chips, bytes) in a range of sizes."""
    best: dict[tuple[int, int], float] = {}
    with ALL_REDUCE.open() as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            key = int(row["n_chips"]), int(row["bytes"])
            if least <= key[1] <= most:
                best[key] = min(best.get(key, float("inf")), float(row["latency_us"]))
    found = []
    for (n_chips, n_bytes), us in sorted(best.items()):
        dims = {"elements": n_bytes // 2, "group": n_chips}
        operator = make_operator("sum", "all_reduce", dims, Formats("bf16", None, "bf16"), "x")
        found.append(fabric.carry_out(operator, n_chips, record=False).duration_fs / 1e9 / us - 1)
    return found


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    built = set_up("dgx-h100", ["fabric=nvlink5-nvswitch"]).placed(8, 1).fabric
    assert built is not None
    return built


def test_long_messages(fabric: Fabric) -> None:
    found = errors(fabric, 16 * MIB, 1 << 40)
    assert len(found) == 14
    assert sum(map(abs, found)) / len(found) < 0.10
    assert max(map(abs, found)) < 0.27


def test_short_messages_are_too_fast_by_less_than_three(fabric: Fabric) -> None:
    found = errors(fabric, 1024, 128 << 10)
    assert all(-0.67 < error < 0 for error in found)

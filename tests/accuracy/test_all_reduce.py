"""Measured all-reduces of H100s, apart from those to which the links were fitted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dieshot.simulator.engine.fabric import Fabric
from dieshot.simulator.studies.setup import set_up
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

ALL_REDUCE = Path(__file__).parents[1] / "data" / "h100_all_reduce.csv"
FS_PER_US = 10**9
FITTED_FROM_BYTES = 128 << 10  # the fit saw every other row from here


def fastest() -> dict[tuple[int, int], float]:
    """Return the shortest measured latency in us of every (chips, bytes), over the libraries."""
    best: dict[tuple[int, int], float] = {}
    with ALL_REDUCE.open() as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            key = int(row["n_chips"]), int(row["bytes"])
            best[key] = min(best.get(key, float("inf")), float(row["latency_us"]))
    return dict(sorted(best.items()))


def simulated_us(fabric: Fabric, n_chips: int, bytes_: int) -> float:
    dims = {"elements": bytes_ // 2, "group": n_chips}
    operator = make_operator("sum", "all_reduce", dims, Formats("bf16", None, "bf16"), "x")
    return fabric.carry_out(operator, n_chips, record=False).duration_fs / FS_PER_US


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    built = set_up("dgx-h100").placed(8, 1).fabric
    assert built is not None
    return built


def mean_error_percent(fabric: Fabric, rows: list[tuple[tuple[int, int], float]]) -> float:
    return 100 * sum(abs(simulated_us(fabric, *key) / us - 1) for key, us in rows) / len(rows)


def test_rows_that_the_fit_did_not_see(fabric: Fabric) -> None:
    rows = [item for item in fastest().items() if item[0][1] >= FITTED_FROM_BYTES][1::2]
    assert len(rows) == 21
    assert mean_error_percent(fabric, rows) <= 8


def test_eight_chips_at_a_quarter_to_four_mib(fabric: Fabric) -> None:
    rows = [item for item in fastest().items() if item[0][0] == 8 and 1 << 18 <= item[0][1] <= 1 << 22]
    assert len(rows) == 5
    assert mean_error_percent(fabric, rows) <= 17


def test_reads_are_bounded_by_the_window_over_the_round_trip() -> None:
    size, window_bytes, round_trip_s = 1 << 24, 200_000, 2 * 0.7e-6
    patient = "fabric.staging_setup=1s"  # so that no algorithm through a library's buffers is chosen
    narrow = set_up("dgx-h100", [f"fabric.read_window={window_bytes}B", patient]).placed(8, 1).fabric
    wide = set_up("dgx-h100", ["fabric.read_window=1GB", patient]).placed(8, 1).fabric
    assert narrow is not None and wide is not None
    reading_us = 1e6 * 2 * 7 / 8 * size * round_trip_s / window_bytes
    assert reading_us < simulated_us(narrow, 8, size) < 1.07 * reading_us  # launch, barriers and adding come on top
    assert simulated_us(wide, 8, size) < 0.5 * reading_us

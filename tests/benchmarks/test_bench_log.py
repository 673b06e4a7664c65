"""Speed of the log: recording 100 cells of 20,000 intervals (aim: 1 s, 10 MB), and one window (aim: 50 ms)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dieshot.simulator.engine.cell import BUSY, STALL_MEMORY, Activity, Cell, ComponentSpec, Placement
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.log.recorder import Recorder
from dieshot.simulator.log.total import totals

N_CELLS = 100
N_INTERVALS = 20_000
SPECS = [ComponentSpec(f"sm{i}/tensor", "tensor", 569_801, "MAC", 4096, 50_000) for i in range(400)] + [
    ComponentSpec(f"hbm/channel{i}", "hbm", 625_000, "byte", 64, 10_000) for i in range(100)
]


def gemm_cell(seed: int, spread: int) -> Cell:
    """Return a cell in which every component waits and works in turn.

    The tiles of a wave take the same time on every component, but for up to `spread` clocks.
    """
    rng = np.random.default_rng(seed)
    turns = N_INTERVALS // len(SPECS)
    length_fs = np.tile(rng.integers(200, 4000, turns), (len(SPECS), 1)) * 569_801
    length_fs += rng.integers(0, spread + 1, (len(SPECS), turns)) * 569_801
    end_fs = length_fs.cumsum(axis=1)
    state = np.tile(np.where(np.arange(turns) % 2, BUSY, STALL_MEMORY), len(SPECS))
    activity = Activity(
        np.repeat(np.arange(len(SPECS), dtype=np.int32), turns),
        (end_fs - length_fs).ravel(),
        end_fs.ravel(),
        state.astype(np.int8),
        np.where(state == BUSY, 128 * 128 * 64, 0),
        np.ones(N_INTERVALS, np.int64),
        np.zeros(N_INTERVALS, np.int64),
    )
    counters = {"macs": 10**12, "hbm_bytes": 10**9}
    return Cell(("gemm", seed), f"gemm {seed}", "gemm", int(end_fs.max()), activity, {"tensor": 300}, counters)


def record(path: Path, cells: list[Cell], compression: str) -> None:
    """Record a run of all cells, each placed 80 times."""
    with Recorder(path, compression) as recorder:
        recorder.components(SPECS)
        recorder.stages([8])
        start_fs = 0
        for cell in cells:
            number = recorder.add_cell(cell)
            recorder.add_placements([Placement(number, start_fs, 80, cell.duration_fs, 0, -1)])
            start_fs += 80 * cell.duration_fs
        recorder.summary({})


@pytest.mark.parametrize("spread", [0, 20])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_record(benchmark: Any, tmp_path: Path, compression: str, spread: int) -> None:
    cells = [gemm_cell(seed, spread) for seed in range(N_CELLS)]
    path = tmp_path / "run.h5"
    benchmark.pedantic(record, (path, cells, compression), rounds=3, warmup_rounds=1)
    benchmark.extra_info["file_bytes"] = path.stat().st_size
    assert path.stat().st_size < 20_000_000


def test_window(benchmark: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    record(path, [gemm_cell(seed, 20) for seed in range(N_CELLS)], "gzip")

    def read() -> int:
        with open_run(path) as run:
            return int(run.cycles("chip3/sm17/tensor", 1_000_000, 1_010_000).amount.sum())

    assert benchmark(read) > 0


def test_totals(benchmark: Any) -> None:
    cell = gemm_cell(0, 20)
    counted = benchmark(totals, cell.activity, SPECS, cell.duration_fs)
    assert counted.amount.sum() == cell.activity.amount.sum()

"""A result file of schema version 1, kept for ever: it must stay readable, and today's recorder must still write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dieshot.simulator.engine.cell import BUSY, STALL_LAUNCH, STALL_MEMORY, Activity, Cell, ComponentSpec, Placement
from dieshot.simulator.log.digest import digest
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.log.recorder import Recorder

GOLDEN = "tests/data/run_v1.h5"
SPECS = (
    ComponentSpec("sm0/tensor", "tensor", 10, "MAC", 100, static_fj_per_cycle=2, count=4),
    ComponentSpec("hbm/channel0", "hbm", 16, "byte", 64, static_fj_per_cycle=1),
    ComponentSpec("dispatcher", "control", 10, "op", 0),
)


def activity(*rows: tuple[int, int, int, int, int, int, int]) -> Activity:
    """Return an activity of rows (component, start, end, state, amount, repeat, period)."""
    columns = np.array(rows, np.int64).reshape(-1, 7).T.copy()
    return Activity(columns[0].astype(np.int32), columns[1], columns[2], columns[3].astype(np.int8), *columns[4:])


GEMM = Cell(
    key=("gemm", 128, 128, 64, "fp8"),
    name="qkv_proj",
    kind="gemm",
    duration_fs=125,
    activity=activity(
        (0, 0, 20, STALL_LAUNCH, 0, 1, 0),
        (0, 20, 35, STALL_MEMORY, 0, 3, 30),
        (0, 35, 50, BUSY, 150, 3, 30),
        (1, 20, 60, BUSY, 160, 1, 0),
        (2, 0, 20, BUSY, 1, 1, 0),
    ),
    fj_per_amount={"tensor": 3, "hbm": 40},
    counters={"macs": 450, "hbm_bytes": 160},
)
NORM = Cell(("norm", 128), "add_norm", "norm", 48, activity((1, 0, 48, BUSY, 96, 1, 0)), {"hbm": 40}, {"hbm_bytes": 96})


def record_golden(path: Path) -> None:
    """Record the run that the golden file holds: two stages of two chips, three steps."""
    with Recorder(path) as recorder:
        recorder.provenance(chip="name: toy\n", system="name: toy-4\n", trace="step 0\nstep 1\n", seed=7)
        recorder.provenance(trace_digest="0123", versions={"dieshot": "0.1.0"}, command=["run", "toy-4"], options={})
        recorder.parameters([{"path": "hbm.pin_rate", "value": 6400, "unit": "bit/s", "kind": "published"}])
        recorder.components(SPECS)
        recorder.stages([2, 2])
        gemm, norm = recorder.add_cell(GEMM), recorder.add_cell(NORM)
        recorder.operators(
            {"step": [0, 0], "name": ["qkv_proj", "add_norm"], "cell": [gemm, norm], "hbm_bytes": [160, 96]}
        )
        recorder.add_placements([Placement(gemm, 5, 3, 180, 0, 0), Placement(norm, 130, 3, 180, 0, 1)])
        recorder.add_placements([Placement(norm, 200, 1, 0, 1, 1)])
        recorder.summary({"tokens_per_s_user": 41.5, "système": "toy-4"}, duration_fs=600)
        recorder.wall_clock({"date": "2026-11-21", "wall_s": 0.25, "peak_rss_bytes": 1000})


@pytest.fixture(scope="module")
def golden(repository: Path) -> Path:
    """The file as it was recorded when version 1 was new."""
    return repository / GOLDEN


def test_tables_of_version_1(golden: Path) -> None:
    with open_run(golden) as run:
        assert run.complete
        assert run.duration_fs == 600
        assert run.specs == SPECS
        assert run.stages == ((0, 2), (2, 2))
        assert run.summary == {"tokens_per_s_user": 41.5, "système": "toy-4"}
        assert run.provenance["trace"] == "step 0\nstep 1\n"
        assert run.provenance["seed"] == "7"
        assert run.wall_clock == {"date": "2026-11-21", "wall_s": 0.25, "peak_rss_bytes": 1000}
        assert [cell.name for cell in run.cells] == ["qkv_proj", "add_norm"]
        assert run.cells[0].counters == GEMM.counters
        assert run.operators()["name"].tolist() == ["qkv_proj", "add_norm"]
        assert run.operators()["hbm_bytes"].tolist() == [160, 96]
        assert run.parameters()["value"].tolist() == ["6400"]
        assert run.placements["start_fs"].tolist() == [5, 130, 200]


def test_cycles_of_version_1(golden: Path) -> None:
    with open_run(golden) as run:
        tensor = run.cycles("chip1/sm0/tensor", 0, 14)
        names = [tensor.state[code] for code in tensor.codes]
        # The cell starts inside cycle 0, which is its local cycle 0; local cycle 3 holds the end of a stall.
        assert names[:4] == ["stall_launch", "stall_launch", "stall_memory", "stall_memory"]
        assert names[4:] == ["busy", *["stall_memory"] * 2, "busy", *["stall_memory"] * 2, "busy", *["idle"] * 3]
        assert tensor.amount.tolist() == [0, 0, 0, 0, 150, 0, 0, 150, 0, 0, 150, 0, 0, 0]
        assert tensor.energy_fj.tolist() == [8, 8, 8, 8, 458, 8, 8, 458, 8, 8, 458, 8, 8, 8]
        assert tensor.power_w[4] == 45.8
        assert tensor.utilization[4] == 1.5
        hbm = run.cycles("chip3/hbm/channel0", 12, 16)
        assert hbm.amount.tolist() == [32, 32, 32, 0]
        assert hbm.utilization.tolist() == [0.5, 0.5, 0.5, 0.0]
        assert run.totals("chip0/hbm/channel0").amount == 3 * (160 + 96)


def test_the_recorder_still_writes_version_1(golden: Path, tmp_path: Path) -> None:
    record_golden(tmp_path / "run.h5")
    assert digest(tmp_path / "run.h5") == digest(golden)

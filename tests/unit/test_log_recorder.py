"""The recorder: what reaches the disk and when, what it refuses, and that equal content is equal bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from dieshot.simulator.engine.cell import BUSY, Activity, Cell, ComponentSpec, Placement
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.digest import digest
from dieshot.simulator.log.key import key_digest
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.log.recorder import Recorder

SPECS = [ComponentSpec(f"sm{i}", "sm", 10, "MAC", 4) for i in range(8)]


def cell_of(*rows: tuple[int, int, int, int, int, int, int], name: str = "gemm", duration_fs: int = 1000) -> Cell:
    """Return a cell of rows (component, start, end, state, amount, repeat, period)."""
    columns = np.array(rows, np.int64).reshape(-1, 7).T.copy()
    activity = Activity(columns[0].astype(np.int32), columns[1], columns[2], columns[3].astype(np.int8), *columns[4:])
    return Cell(("key", name), name, "gemm", duration_fs, activity, {"sm": 5})


def busy_cell(seed: int, n_rows: int) -> Cell:
    """Return a cell with one row after another on every component."""
    rng = np.random.default_rng(seed)
    end_fs = rng.integers(1, 50, (len(SPECS), n_rows)).cumsum(axis=1)
    start_fs = np.concatenate([np.zeros((len(SPECS), 1), np.int64), end_fs[:, :-1]], axis=1)
    total = end_fs.size
    component = np.repeat(np.arange(len(SPECS), dtype=np.int32), n_rows)
    ones, amount = np.ones(total, np.int64), rng.integers(0, 9, total)
    busy = np.full(total, BUSY, np.int8)
    activity = Activity(component, start_fs.ravel(), end_fs.ravel(), busy, amount, ones, 0 * ones)
    return Cell(("busy", seed), f"busy {seed}", "gemm", int(end_fs.max()), activity, {"sm": 5})


def record(path: Path, compression: str = "gzip", flush_every: int = 0, n_cells: int = 5) -> None:
    """Record a run of some cells, flushing after every few of them."""
    with Recorder(path, compression) as recorder:
        recorder.components(SPECS)
        recorder.stages([2])
        start_fs = 0
        for seed in range(n_cells):
            cell = busy_cell(seed, 3000)
            number = recorder.add_cell(cell)
            recorder.add_placements([Placement(number, start_fs, 2, cell.duration_fs, 0, -1)])
            recorder.operators({"name": ["x" * 3**seed], "step": [seed]})
            start_fs += 2 * cell.duration_fs
            if flush_every and seed % flush_every == 0:
                recorder.flush()
        recorder.summary({"cells": n_cells})


def test_equal_content_is_equal_bytes_however_often_it_was_flushed(tmp_path: Path) -> None:
    for name, flush_every in (("once.h5", 0), ("again.h5", 0), ("each.h5", 1), ("second.h5", 2)):
        record(tmp_path / name, flush_every=flush_every)
    contents = {(tmp_path / name).read_bytes() for name in ("once.h5", "again.h5", "each.h5", "second.h5")}
    assert len(contents) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.h5", "each.h5", "once.h5", "second.h5"]


def test_every_compression_holds_the_same(tmp_path: Path) -> None:
    for compression in ("gzip", "zstd", "none"):
        record(tmp_path / compression, compression)
    assert len({digest(tmp_path / compression) for compression in ("gzip", "zstd", "none")}) == 1
    record(tmp_path / "other", n_cells=4)
    assert digest(tmp_path / "other") != digest(tmp_path / "gzip")


def test_the_wall_clock_is_outside_the_digest(tmp_path: Path) -> None:
    for name, wall_s in (("slow", 9.5), ("fast", 0.5)):
        with Recorder(tmp_path / name) as recorder:
            recorder.wall_clock({"wall_s": wall_s, "host": name})
            recorder.summary({"a": 1})
    assert digest(tmp_path / "slow") == digest(tmp_path / "fast")


def test_every_dataset_says_its_unit_and_meaning(tmp_path: Path) -> None:
    record(tmp_path / "run.h5")
    datasets = []
    with h5py.File(tmp_path / "run.h5") as file:
        file.visititems(lambda _, node: datasets.append(dict(node.attrs)) if isinstance(node, h5py.Dataset) else None)
    assert len(datasets) > 40
    assert all(attributes["units"] and attributes["long_name"] for attributes in datasets)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import test_log_recorder as written
from dieshot.simulator.log.recorder import Recorder
with Recorder(sys.argv[1]) as recorder:
    recorder.components(written.SPECS)
    recorder.stages([1])
    for seed in range(6):
        cell = written.busy_cell(seed, 3000)
        number = recorder.add_cell(cell)
        recorder.add_placements([written.Placement(number, seed * 10**6, 1, 0, 0, -1)])
        if seed == 3:
            recorder.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_what_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    command = [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not path.exists()
    with open_run(tmp_path / "run.h5.part") as run:
        assert not run.complete
        assert [cell.name for cell in run.cells] == ["busy 0", "busy 1", "busy 2", "busy 3"]
        assert run.summary == {}
        assert run.cycles("chip0/sm3", 0, 100).amount.sum() > 0
        assert run.totals("chip0/sm3").amount == sum(
            int(busy_cell(seed, 3000).activity.amount[9000:12000].sum()) for seed in range(4)
        )


def test_a_run_that_fails_keeps_its_part_and_the_old_result(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    record(path, n_cells=1)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="out of tiles"), Recorder(path) as recorder:
        recorder.components(SPECS)
        recorder.add_cell(busy_cell(0, 10))
        assert path.read_bytes() == before
        raise RuntimeError("out of tiles")
    assert path.read_bytes() == before
    with open_run(tmp_path / "run.h5.part") as run:
        assert not run.complete
        assert len(run.cells) == 1


def test_a_finished_run_replaces_the_old_result(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    record(path, n_cells=1)
    record(path, n_cells=2)
    with open_run(path) as run:
        assert run.complete
        assert len(run.cells) == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["missing/run.h5", "file/run.h5", ""])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"^\S+: (cannot be written \(.+\)|is a folder); expected a file"):
        Recorder(tmp_path / where).__enter__()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        Recorder(tmp_path / "run.h5").__enter__()


def test_an_unknown_compression_names_the_nearest() -> None:
    with pytest.raises(InputError, match="expected one of gzip, zstd, none; got 'gzp'; did you mean 'gzip'"):
        Recorder("run.h5", "gzp")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ((8, 0, 9, 1, 0, 1, 0), "interval 0 has a component that does not exist"),
        ((0, 0, 9, 0, 0, 1, 0), "a state that does not exist"),
        ((0, 0, 9, 9, 0, 1, 0), "a state that does not exist"),
        ((0, -1, 9, 1, 0, 1, 0), "a start before the cell's"),
        ((0, 9, 8, 1, 0, 1, 0), "an end before its start"),
        ((0, 0, 9, 1, -1, 1, 0), "an amount below zero"),
        ((0, 0, 9, 1, 0, 0, 0), "fewer than one repetition"),
        ((0, 0, 9, 1, 0, 2, 8), "repetitions that overlap"),
        ((0, 0, 1001, 1, 0, 1, 0), "an end after the cell's"),
        ((0, 0, 1, 1, 0, 1001, 1), "an end after the cell's"),
        ((0, 0, 1, 1, 0, 2**62, 2**62), "an end after the cell's"),
    ],
)
def test_an_activity_that_breaks_its_contract_is_refused(
    tmp_path: Path, row: tuple[int, int, int, int, int, int, int], fault: str
) -> None:
    with Recorder(tmp_path / "run.h5") as recorder:
        recorder.components(SPECS)
        with pytest.raises(ValueError, match=fault):
            recorder.add_cell(cell_of(row))
        assert recorder.add_cell(cell_of((0, 0, 1000, 1, 0, 1, 0), (1, 0, 1, 1, 0, 1000, 1))) == 0


def test_overlapping_intervals_are_refused_and_touching_ones_are_not(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.h5") as recorder:
        recorder.components(SPECS)
        with pytest.raises(ValueError, match="intervals of component 2 overlap at 49 fs"):
            recorder.add_cell(cell_of((2, 49, 60, 1, 0, 1, 0), (2, 0, 50, 2, 0, 1, 0)))
        with pytest.raises(ValueError, match="intervals of component 2 overlap"):
            recorder.add_cell(cell_of((2, 0, 10, 1, 0, 50, 20), (2, 989, 995, 2, 0, 1, 0)))
        recorder.add_cell(cell_of((2, 50, 60, 1, 0, 1, 0), (2, 0, 50, 2, 0, 1, 0)))
        recorder.add_cell(cell_of((2, 0, 10, 1, 0, 50, 20), (2, 990, 995, 2, 0, 1, 0)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cell": 1}, "placement 0 has a cell that is not recorded"),
        ({"cell": -1}, "a cell that is not recorded"),
        ({"stage": 2}, "a stage that is not recorded"),
        ({"start_fs": -1}, "a start before the run's"),
        ({"repeat": 0}, "fewer than one copy"),
        ({"stride_fs": 999}, "copies that overlap"),
        ({"repeat": 2**40, "stride_fs": 2**40}, "an end beyond"),
        ({"operator": -2}, "an operator below -1"),
    ],
)
def test_a_placement_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, int], fault: str) -> None:
    good = Placement(0, 0, 2, 1000, 1, -1)
    with Recorder(tmp_path / "run.h5") as recorder:
        recorder.components(SPECS)
        recorder.stages([1, 1])
        recorder.add_cell(cell_of((0, 0, 9, 1, 0, 1, 0)))
        recorder.add_placements([good])
        with pytest.raises(ValueError, match=fault):
            recorder.add_placements([replace(good, **change)])


def test_a_run_whose_placements_name_no_operator_does_not_close_whole(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names operator 1, but 1 are recorded"), Recorder(tmp_path / "r") as recorder:
        recorder.components(SPECS)
        recorder.stages([1])
        recorder.add_placements([Placement(recorder.add_cell(busy_cell(0, 2)), 0, 1, 0, 0, 1)])
        recorder.operators({"name": ["only one"]})
    assert not (tmp_path / "r").exists()
    with open_run(tmp_path / "r.part") as run:
        assert not run.complete
        assert len(run.cells) == 1


def test_texts_of_any_length_and_language_come_back(tmp_path: Path) -> None:
    names = ["", "gemm", "attention über 8 Köpfe", "x" * 3000, "层"]
    with Recorder(tmp_path / "run.h5") as recorder:
        for name in names:
            recorder.operators({"name": [name], "hbm_bytes": [len(name)], "share": [0.5], "fused": [True]})
        with pytest.raises(ValueError, match="expected"):
            recorder.operators({"name": ["other columns"]})
        with pytest.raises(ValueError, match="zero byte"):
            recorder.operators({"name": ["a\0"], "hbm_bytes": [1], "share": [0.5], "fused": [True]})
        with pytest.raises(ValueError, match="different lengths"):
            recorder.operators({"name": ["a"], "hbm_bytes": [1, 2], "share": [0.5], "fused": [True]})
        with pytest.raises(ValueError, match="cannot hold"):
            recorder.operators({"name": ["a"], "hbm_bytes": [1.5], "share": [0.5], "fused": [True]})
    with open_run(tmp_path / "run.h5") as run:
        operators = run.operators()
        assert operators["name"].tolist() == names
        assert operators["hbm_bytes"].dtype == np.int64
        assert operators["share"].tolist() == [0.5] * 5
        assert run.operators_frame().shape == (5, 4)
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["operators/hbm_bytes"].attrs["units"] == b"byte"


@dataclass(frozen=True)
class Leaf:
    """A parameter record as a dataclass."""

    path: str
    value: float
    range: tuple[float, float] | None
    overridden: bool


def test_parameters_are_kept_field_by_field(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.h5") as recorder:
        recorder.parameters([Leaf("l2.latency", 250.5, (200, 300), True), {"path": "name", "value": "h100"}])
        with pytest.raises(ValueError, match="no column 'colour'"):
            recorder.parameters([{"colour": "red"}])
    with open_run(tmp_path / "run.h5") as run:
        columns = run.parameters()
        assert columns["value"].tolist() == ["250.5", '"h100"']
        assert columns["range"].tolist() == ["[200, 300]", ""]
        assert columns["overridden"].tolist() == [1, 0]


def test_a_summary_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.h5") as recorder:
        with pytest.raises(ValueError, match="not JSON compliant"):
            recorder.summary({"power_w": float("nan")})
        recorder.summary({"power_w": np.float64(1.5), "cycles": np.int64(3), "each": np.arange(2)})
    with open_run(tmp_path / "run.h5") as run:
        assert run.summary == {"power_w": 1.5, "cycles": 3, "each": [0, 1]}


def test_the_digest_of_a_key_is_the_same_in_every_process() -> None:
    key = ("gemm", 128, 1.5, True, None, frozenset({"a", "b"}), (np.int64(3),), {"x": 1, "y": (2,)})
    assert key_digest(key) == "ccfa2629e2270d0f9d5dd6107157c5b1af86b8aad4a8f3f46c354c6af183ee3c"
    assert key_digest((1, "2")) != key_digest(("1", 2)) != key_digest((("1",), 2))
    with pytest.raises(TypeError, match="a cell's key cannot hold a object"):
        key_digest((object(),))

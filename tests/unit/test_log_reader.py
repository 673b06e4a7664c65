"""The reader: what it finds in a result file, and that a file from a stranger is refused in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from dieshot.simulator.errors import InputError
from dieshot.simulator.log.digest import digest
from dieshot.simulator.log.reader import MOST_CYCLES, open_run
from dieshot.simulator.log.recorder import Recorder
from dieshot.simulator.log.schema import SCHEMA_NAME

Damage = Callable[[h5py.File], object]


@pytest.fixture(scope="module")
def golden(repository: Path) -> Path:
    """A sound result file."""
    return repository / "tests/data/run_v1.h5"


def read_everything(path: Path) -> None:
    """Touch every table, every cell and the cycles of every component."""
    with open_run(path) as run:
        _ = (run.summary, run.provenance, run.wall_clock, run.cells, run.placements)
        run.operators()
        run.parameters()
        for cell in range(len(run.cells)):
            run.cell(cell)
            run.cell_totals(cell)
        for component in run.components():
            run.totals(component.path)
            if component.n_cycles:
                run.cycles(component.path, 0, min(component.n_cycles, 1000))
    digest(path)


def test_components_by_pattern(golden: Path) -> None:
    with open_run(golden) as run:
        assert len(run.components()) == 12
        tensors = run.components("chip*/sm*/tensor")
        assert [component.path for component in tensors] == [f"chip{chip}/sm0/tensor" for chip in range(4)]
        assert [component.stage for component in tensors] == [0, 0, 1, 1]
        assert {component.n_cycles for component in tensors} == {60}
        assert run.components("chip9/*") == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("chip0/sm0/tensr", "did you mean 'chip0/sm0/tensor'"),
        ("chip3/hbm/channel", "did you mean 'chip3/hbm/channel0'"),
        ("chip4/dispatcher", "one of the 3 components of chip0 to chip3; did you mean 'chip0/dispatcher'"),
        ("dispatcher", "did you mean 'chip0/dispatcher'"),
        ("chip00/dispatcher", "unknown component"),
        ("", "unknown component"),
    ],
)
def test_an_unknown_component_is_one_line_with_the_nearest(golden: Path, name: str, told: str) -> None:
    with open_run(golden) as run, pytest.raises(InputError) as raised:
        run.cycles(name, 0, 1)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_window_ends_with_the_run(golden: Path) -> None:
    with open_run(golden) as run:
        assert len(run.cycles("chip0/sm0/tensor", 59, 60).codes) == 1
        for start, stop in ((59, 61), (-1, 2), (3, 3), (4, 3)):
            with pytest.raises(InputError, match=r"bad window; expected 0 <= start < stop <= 60; got '-?\d+:\d+'"):
                run.cycles("chip0/sm0/tensor", start, stop)


def test_a_window_holds_at_most_ten_million_cycles(tmp_path: Path, golden: Path) -> None:
    def lasts_long(file: h5py.File) -> None:
        file.attrs["duration_fs"] = np.int64(10 * (MOST_CYCLES + 1))

    path = damaged(golden, tmp_path, lasts_long)
    with open_run(path) as run:
        window = run.cycles("chip0/sm0/tensor", 0, MOST_CYCLES)
        assert int(window.amount.sum()) == run.totals("chip0/sm0/tensor").amount == 3 * 450
        with pytest.raises(InputError, match="at most 10000000 cycles"):
            run.cycles("chip0/sm0/tensor", 0, MOST_CYCLES + 1)


def test_an_unknown_cell_is_refused(golden: Path) -> None:
    with open_run(golden) as run, pytest.raises(InputError, match="expected a cell below 2; got 2"):
        run.activity(2)


def test_a_run_without_cells_can_be_read(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.h5") as recorder:
        recorder.wall_clock({"wall_s": 0.5})
    read_everything(tmp_path / "run.h5")


def damaged(golden: Path, tmp_path: Path, damage: Damage) -> Path:
    """Return a copy of the golden file after `damage`."""
    path = tmp_path / "damaged.h5"
    shutil.copy(golden, path)
    with h5py.File(path, "r+") as file:
        damage(file)
    return path


def set_value(dataset: str, row: int, value: int) -> Damage:
    """Return damage that changes one number."""

    def damage(file: h5py.File) -> None:
        file[dataset][row] = value

    return damage


def replaced(dataset: str, **content: object) -> Damage:
    """Return damage that puts another dataset in the place of one."""

    def damage(file: h5py.File) -> None:
        del file[dataset]
        file.create_dataset(dataset, **content)

    return damage


def linked(dataset: str, link: object) -> Damage:
    """Return damage that puts a link in the place of a dataset."""

    def damage(file: h5py.File) -> None:
        del file[dataset]
        file[dataset] = link

    return damage


def virtual(file: h5py.File) -> None:
    """Put a dataset in place whose data is in another file."""
    layout = h5py.VirtualLayout(shape=(2,), dtype=np.int64)
    layout[:] = h5py.VirtualSource("/etc/other.h5", "data", shape=(2,))
    del file["cells/duration_fs"]
    file.create_virtual_dataset("cells/duration_fs", layout)


FLOATS = np.zeros(2)
ROOT_DAMAGE: dict[str, Damage] = {
    "schema: expected 'dieshot-run'": lambda file: file.attrs.__delitem__("schema"),
    "schema: not a result file": lambda file: file.attrs.__setitem__("schema", "other"),
    "schema_version: unknown version; expected 1; got 2": lambda file: file.attrs.__setitem__("schema_version", 2),
    "damaged result file (duration_fs is -1)": lambda file: file.attrs.__setitem__("duration_fs", np.int64(-1)),
}
DAMAGE: dict[str, Damage] = {
    "no cell table": lambda file: file.__delitem__("cells"),
    "no start column": lambda file: file.__delitem__("placements/start_fs"),
    "a group for a dataset": lambda file: (file.__delitem__("cells/kind"), file.create_group("cells/kind")),
    "a dataset for a group": replaced("provenance", data=3),
    "floats for integers": replaced("cells/duration_fs", data=FLOATS),
    "big-endian integers": replaced("cells/duration_fs", data=np.array([125, 48], ">i8")),
    "objects for texts": replaced("cells/name", data=["a", "b"], dtype=h5py.string_dtype()),
    "references for numbers": replaced("cells/duration_fs", shape=(2,), dtype=h5py.ref_dtype),
    "compound rows": replaced("operators/step", data=np.zeros(2, [("a", "i8")])),
    "two axes": replaced("cells/duration_fs", data=np.zeros((2, 2), np.int64)),
    "no axis": replaced("cells/duration_fs", data=np.int64(3)),
    "too few rows": replaced("cells/duration_fs", data=np.zeros(1, np.int64)),
    "too many components": replaced("cells/totals/amount", data=np.zeros((2, 4), np.int64)),
    "a petabyte": replaced("operators/step", shape=(2**47,), dtype=np.int64, chunks=(2**10,)),
    "a huge chunk": replaced("operators/step", shape=(2,), maxshape=(None,), chunks=(2**24,), dtype=np.int64),
    "an unknown filter": replaced("operators/step", data=np.zeros(2, np.int64), chunks=(2,), compression="lzf"),
    "data in another file": replaced(
        "cells/duration_fs", shape=(2,), dtype=np.int64, external=[("/etc/passwd", 0, 16)]
    ),
    "virtual data": virtual,
    "an external link": linked("cells/duration_fs", h5py.ExternalLink("/etc/other.h5", "/x")),
    "a soft link": linked("cells/duration_fs", h5py.SoftLink("/cells/first_interval")),
    "an external summary": linked("summary", h5py.ExternalLink("/etc/other.h5", "/x")),
    "an external group": linked("provenance", h5py.ExternalLink("/etc/other.h5", "/x")),
    "a summary that is no JSON": replaced("summary", data=np.bytes_(b"{")),
    "a summary that is a list": replaced("summary", data=np.bytes_(b"[1]")),
    "deep JSON": replaced("summary", data=np.bytes_(b"[" * 100_000)),
    "a text that is no UTF-8": replaced("summary", data=np.bytes_(b"\xff")),
    "a clock without period": set_value("components/clock_period_fs", 0, 0),
    "a negative count": set_value("components/count", 0, -4),
    "chips that overlap": set_value("stages/first_chip", 1, 1),
    "chips without end": set_value("stages/n_chips", 1, 2**40),
    "a cell without duration": set_value("cells/duration_fs", 0, 0),
    "intervals of nobody": set_value("cells/first_interval", 0, 2**40),
    "negative intervals": set_value("cells/first_interval", 0, -1),
    "intervals that do not add up": set_value("cells/n_intervals", 0, 6),
    "a component that is not": set_value("cells/activity/component", 0, 3),
    "an interval of another component": set_value("cells/activity/component", 0, 1),
    "a state that is not": set_value("cells/activity/state", 0, 77),
    "an end before the start": set_value("cells/activity/end_fs", 0, -5),
    "an end after the cell": set_value("cells/activity/end_fs", 4, 10**6),
    "intervals that overlap": set_value("cells/activity/end_fs", 0, 21),
    "repetitions without end": set_value("cells/activity/repeat", 1, 2**62),
    "a placement of no cell": set_value("placements/cell", 0, 2),
    "a placement on no stage": set_value("placements/stage", 0, -1),
    "a placement after the end": set_value("placements/start_fs", 0, 10**6),
    "copies without end": set_value("placements/repeat", 0, 2**62),
    "an operator that is not": set_value("placements/operator", 0, 2),
    "energies that are none": lambda file: file["cells/fj_per_amount"].__setitem__(0, np.bytes_(b'{"tensor": "x"}')),
}


@pytest.mark.parametrize("told", ROOT_DAMAGE)
def test_a_file_of_another_kind_is_refused_at_the_door(golden: Path, tmp_path: Path, told: str) -> None:
    path = damaged(golden, tmp_path, ROOT_DAMAGE[told])
    with pytest.raises(InputError) as raised:
        open_run(path)
    assert str(path) in str(raised.value)
    for part in told.split(": "):
        assert part in str(raised.value)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line(golden: Path, tmp_path: Path, damage: str) -> None:
    path = damaged(golden, tmp_path, DAMAGE[damage])
    with pytest.raises(InputError) as raised:
        read_everything(path)
    assert str(raised.value).startswith(f"{path}: damaged result file (")
    assert "\n" not in str(raised.value)


def test_what_is_no_hdf5_file_is_one_line(golden: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.h5"
    sound = golden.read_bytes()
    for content in (
        b"",
        b"text\n",
        np.random.default_rng(0).bytes(5000),
        sound[:1000],
        sound[:-1],
        sound[: len(sound) // 2],
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a result file, or cut short"):
            open_run(path)
    with pytest.raises(InputError, match="no such file"):
        open_run(tmp_path / "missing.h5")
    with pytest.raises(InputError, match="is a folder"):
        open_run(tmp_path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(InputError, match=SCHEMA_NAME):
        open_run(path)


def test_flipped_bytes_never_raise_anything_else(golden: Path, tmp_path: Path) -> None:
    path = tmp_path / "flipped.h5"
    sound = golden.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        content = bytearray(sound)
        for at in rng.integers(0, len(sound), 20):
            content[at] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        try:
            read_everything(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 30

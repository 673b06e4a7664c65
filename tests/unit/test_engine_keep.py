"""Cells kept between runs of a process: found again, bounded, never changed, and the same bytes as without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dieshot.chips.parts.gpu import die
from dieshot.simulator.engine import keep
from dieshot.simulator.engine.cell import Activity, Cell
from dieshot.simulator.engine.keep import KeptCells, kept_cells, subject_of
from dieshot.simulator.log.digest import digest
from dieshot.simulator.studies.run import run

ROW_BYTES = 4 + 1 + 5 * 8


def cell(key: object, n_rows: int) -> Cell:
    wide = np.arange(n_rows)
    activity = Activity(
        wide.astype(np.int32), wide, wide + 1, wide.astype(np.int8), wide.copy(), wide.copy(), wide.copy()
    )
    return Cell(key, "c", "c", n_rows, activity, {})


def test_outcomes_are_found_by_subject_and_key() -> None:
    store = KeptCells()
    store.put(b"chip", 1, [cell(1, 3)], "one")
    assert store.get(b"chip", 1) == "one"
    assert store.get(b"chip", 2) is None
    assert store.get(b"other", 1) is None
    assert subject_of(1, "a") == subject_of(1, "a") != subject_of(1, "b")


def test_the_latest_used_stay() -> None:
    store = KeptCells(capacity_bytes=41 * ROW_BYTES)
    for key in range(4):
        store.put(b"", key, [cell(key, 10)], key)
    assert store.get(b"", 0) == 0
    store.put(b"", 4, [cell(4, 10)], 4)
    assert [store.get(b"", key) for key in range(5)] == [0, None, 2, 3, 4]
    assert store.n_bytes == 40 * ROW_BYTES
    store.put(b"", 5, [cell(5, 11)], 5)
    assert store.get(b"", 5) is None  # would drive too many out
    store.put(b"", 4, [cell(4, 10)], "again")
    assert (store.get(b"", 4), store.n_bytes) == (4, 40 * ROW_BYTES)


def test_nobody_changes_what_is_kept() -> None:
    kept = cell(1, 3)
    KeptCells().put(b"", 1, [kept], kept)
    with pytest.raises(ValueError, match="read-only"):
        kept.activity.amount[0] = 7


def test_nothing_is_kept_where_the_store_is_off() -> None:
    store = kept_cells()
    store.put(b"", 1, [cell(1, 0)], 1)
    assert store.get(b"", 1) is None


def test_runs_that_find_cells_are_those_that_simulate_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulated: list[str] = []
    build = die.Die.__init__

    def noted(self: die.Die, timing: Any, kernel: Any, *others: Any, **more: Any) -> None:
        build(self, timing, kernel, *others, **more)
        simulated.append(kernel.name)

    monkeypatch.setattr(die.Die, "__init__", noted)
    fresh: dict[int, str] = {}
    for store in (KeptCells(0), KeptCells()):
        monkeypatch.setattr("dieshot.chips.gpu.kept_cells", lambda store=store: store)
        for generate in (3, 2, 3):
            simulated.clear()
            path = tmp_path / f"{generate}.h5"
            run("dgx-h100", "qwen3-0.6b", prompt=16, generate=generate, tensor_parallel=8, output=path)
            assert digest(path) == fresh.setdefault(generate, digest(path))
    assert keep.CAPACITY_BYTES > store.n_bytes > 0
    assert simulated == []

"""Decisions kept between processes: the same as worked out, never in the way."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dieshot.chips.mapping.gpu import library
from dieshot.simulator.engine import decisions, keep
from dieshot.simulator.engine.decisions import Decisions, code_digest, store_folder
from dieshot.simulator.log.digest import digest
from dieshot.simulator.studies.run import run

SHORT: dict[str, Any] = {"prompt": 4, "generate": 2}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIESHOT_CACHE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_a_decision_is_there_for_the_same_subject_and_key_only(folder: Path) -> None:
    Decisions(("chip", 1)).put(("gemm", 5), 3)
    assert Decisions(("chip", 1)).get(("gemm", 5), 4) == 3
    assert Decisions(("chip", 2)).get(("gemm", 5), 4) is None
    assert Decisions(("chip", 1)).get(("gemm", 6), 4) is None
    assert Decisions(("chip", 1)).get(("gemm", 5), 3) is None  # there is no such alternative any more


def test_other_code_decides_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Decisions("x").put("key", 1)
    assert len(code_digest()) == 64
    monkeypatch.setattr(decisions, "code_digest", lambda: "0" * 64)
    assert Decisions("x").get("key", 2) is None


def test_a_run_that_remembers_writes_the_same_bytes_without_trying(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    original = library.fastest
    monkeypatch.setattr(library, "fastest", lambda *each: (tried.append(each), original(*each))[1])
    monkeypatch.setattr(keep, "_KEPT", keep.KeptCells(0))  # a cell that is there needs no choice
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    run("h100-sxm", "qwen3-0.6b", output=first, **SHORT)
    n_tried = len(tried)
    run("h100-sxm", "qwen3-0.6b", output=second, **SHORT)
    assert n_tried > 0 and len(tried) == n_tried
    assert digest(first) == digest(second)
    monkeypatch.setenv("DIESHOT_CACHE", "off")
    run("h100-sxm", "qwen3-0.6b", output=second, **SHORT)
    assert len(tried) == 2 * n_tried and digest(first) == digest(second)


@pytest.mark.parametrize("trouble", ["file in the way", "no database", "other columns", "words"])
def test_a_store_that_is_of_no_use_is_done_without(trouble: str, folder: Path) -> None:
    if trouble == "file in the way":
        folder.write_text("x")
    else:
        folder.mkdir()
        file = folder / decisions.FILE_NAME
        if trouble == "no database":
            file.write_bytes(b"x" * 5000)
        else:
            with sqlite3.connect(file) as store:
                column = "value INTEGER" if trouble == "other columns" else "choice TEXT"
                store.execute(f"CREATE TABLE decisions (key BLOB PRIMARY KEY, {column})")
    store = Decisions("x")
    store.put("key", 1)
    if trouble == "words":
        with sqlite3.connect(folder / decisions.FILE_NAME) as damaged:
            damaged.execute("UPDATE decisions SET choice = 'one'")
    assert store.get("key", 2) is None


def test_the_folder_is_the_named_one_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIESHOT_CACHE", "off")
    assert store_folder() is None
    monkeypatch.delenv("DIESHOT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store_folder() == tmp_path / "dieshot"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store_folder() == tmp_path / ".cache" / "dieshot"

"""A store: points become runs, runs are handed out and end, rows come back in order."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dieshot.simulator.store.outcome import FinishedRun
from dieshot.simulator.store.status import status
from dieshot.simulator.store.store import Store


def key(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()[:16]


def keys(numbers: Sequence[int] | range) -> Iterator[bytes]:
    return (key(number) for number in numbers)


def row(number: int) -> dict[str, str | int | float | bool | None]:
    return {
        "system": "dgx-h100",
        "batch": number,
        "chip.hbm.pin_rate": number / 2,
        "energy_per_token_j": 1 / (1 + number),
    }


def done(runs: Sequence[int]) -> list[FinishedRun]:
    return [FinishedRun(run, row(run), None, 0.5) for run in runs]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.sweep", create=True) as opened:
        yield opened


def test_points_of_one_key_share_a_run_within_a_sweep_and_across_sweeps(store: Store) -> None:
    first = store.add_sweep("first", "text", keys([5, 6, 5, 7, 6, 8]))
    second = store.add_sweep("second", "other", keys([9, 7, 8, 10, 5]))
    assert store.runs_of(first, 0, 100) == [0, 1, 0, 2, 1, 3]
    assert store.runs_of(second, 0, 100) == [4, 2, 3, 5, 0]
    assert store.runs_of(second, 1, 2) == [2, 3]
    assert (store.n_points(first), store.n_points(second)) == (6, 5)
    assert (store.counts(first).total, store.counts(second).total, store.counts().total) == (4, 5, 6)
    assert store.pending(first, 10) == [(0, 0), (1, 1), (2, 3), (3, 5)]
    assert store.pending(second, 10) == [(0, 4), (2, 1), (3, 2), (4, 0), (5, 3)]


def test_an_equal_sweep_is_the_same_sweep(store: Store) -> None:
    number = store.add_sweep("name", "text", keys(range(10)))
    assert store.add_sweep("name", "text", keys(range(10))) == number
    assert store.add_sweep("name", "text ", keys(range(10))) == number + 1
    assert store.add_sweep("name", "text", keys(range(11))) == number + 2
    assert store.counts().total == 11
    assert store.sweep_of("name") == number + 2
    assert store.sweep_of("1") == 1

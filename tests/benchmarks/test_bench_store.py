"""Speed and size of the result store at 10^6 runs.

Aims: made in 30 s and 150 MB; opened in 0.5 s; counts in 50 ms; pending, lease and finish in 0.3 ms a run by tens, 2 ms
alone; 65,536 rows moved to Parquet in 3 s.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from runs_of_a_store import key, keys

from dieshot.simulator.store.outcome import FinishedRun, Value
from dieshot.simulator.store.question import ask
from dieshot.simulator.store.schema import RANGE
from dieshot.simulator.store.store import Store

N = 1_000_000
FIGURES: dict[str, Value] = {f"figure_{index}_j": index / 7 for index in range(50)}
ASKED: dict[str, Value] = {
    "system": "dgx-h100",
    "model": "llama-3-8b",
    "command": "dieshot run dgx-h100 llama-3-8b --batch 1 --prompt 128 --generate 4",
}


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def finished(run: int) -> FinishedRun:
    return FinishedRun(run, {**ASKED, **FIGURES, "batch": run, "total_time_s": 1 / (1 + run)}, None, 0.1)


def carry_out(store: Store, n: int, chunk: int) -> None:
    for _ in range(0, n, chunk):
        runs = [run for run, _ in store.pending(1, chunk)]
        store.lease(runs, 1, "worker")
        store.finish([finished(run) for run in runs])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "million"
    with Store.open(folder, create=True) as store:
        store.add_sweep("million", "text", keys(range(N)))
    return folder


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store.open(folder) as opened:
        yield opened


def test_make_a_million(benchmark: Any, tmp_path: Path) -> None:
    known = [key(number) for number in range(N)]
    places = count()

    def make() -> Path:
        folder = tmp_path / str(next(places))
        with Store.open(folder, create=True) as store:
            store.add_sweep("million", "text", iter(known))
        return folder

    folder = benchmark.pedantic(make, rounds=1)
    benchmark.extra_info["MB"] = megabytes(folder)


def test_add_a_million_of_which_half_are_known(benchmark: Any, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", create=True) as store:
        store.add_sweep("million", "text", keys(range(N)))
        points = [key(number) for number in range(0, 2 * N, 2)]
        sweep = benchmark.pedantic(lambda: store.add_sweep("other", "text", points), rounds=1)
        assert store.counts(sweep).total == N and store.counts().total == 3 * N // 2
        benchmark.extra_info["MB"] = megabytes(tmp_path)


def test_open(benchmark: Any, folder: Path) -> None:
    benchmark(lambda: Store.open(folder).close())


def test_counts(benchmark: Any, store: Store) -> None:
    assert benchmark(store.counts, 1).total == N


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_pending_lease_and_finish(chunk: int, benchmark: Any, store: Store) -> None:
    rounds = max(3, 1000 // chunk) if chunk < 1000 else 5
    benchmark.pedantic(lambda: carry_out(store, chunk, chunk), rounds=rounds)
    benchmark.extra_info["ms per run"] = 1e3 * benchmark.stats["mean"] / chunk


def test_move_a_range_to_parquet(benchmark: Any, store: Store) -> None:
    carry_out(store, RANGE - store.counts(1).final, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    benchmark.pedantic(store.compact, rounds=1)
    assert megabytes(store.folder / "results") > 0
    benchmark.extra_info["MB of memory more"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    benchmark.extra_info["MB of the store"] = megabytes(store.folder)


def test_first_pending_past_a_range_that_is_done(benchmark: Any, folder: Path) -> None:
    def first() -> list[tuple[int, int]]:
        with Store.open(folder) as store:
            return store.pending(1, 1)

    assert benchmark(first) == [(RANGE, RANGE)]


def test_ask(benchmark: Any, folder: Path) -> None:
    found = benchmark(ask, folder, "batch > 100 and total_time_s < 0.001", "batch, total_time_s")
    assert found.num_rows == RANGE - 1000

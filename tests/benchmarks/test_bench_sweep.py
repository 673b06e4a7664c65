"""What a run costs within a sweep, in a process that has made one before: dgx-h100, llama-3-8b, prompts of 128."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.simulator.engine import keep
from dieshot.simulator.studies.run import run

BATCHES = range(1, 301, 30)
GENERATED = range(4, 14)


def sweep(batches: Iterable[int], generated: Iterable[int]) -> int:
    runs = [run("dgx-h100", "llama-3-8b", batch=b, prompt=128, generate=g) for b in batches for g in generated]
    assert all(each.summary["time_per_output_token_s"] > 0 for each in runs)
    return len(runs)


@pytest.fixture(autouse=True)
def warm() -> None:
    sweep([1], [4])


def test_ten_batches_with_choices_unknown(benchmark: BenchmarkFixture) -> None:
    done = benchmark.pedantic(sweep, (BATCHES, [4]), rounds=1)
    benchmark.extra_info["seconds a run"] = benchmark.stats["mean"] / done


def test_ten_lengths_with_cells_kept(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    store = keep.KeptCells()
    monkeypatch.setattr("dieshot.chips.gpu.kept_cells", lambda: store)
    done = benchmark.pedantic(sweep, ([8], GENERATED), rounds=1)
    benchmark.extra_info["seconds a run"] = benchmark.stats["mean"] / done

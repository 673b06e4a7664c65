"""How long a chip with fixed units takes to simulate: a run of Llama 3 70B on eight, and thousands of sequences."""

from __future__ import annotations

from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.simulator.studies.run import run


def test_llama_3_70b_on_eight_sohu(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    asked = {"prompt": 1024, "generate": 128, "output": tmp_path / "run.h5"}
    done = benchmark.pedantic(run, ("sohu-8", "llama-3-70b"), asked, rounds=2, warmup_rounds=1)
    assert done.summary["wall_s"] < 5


def test_two_thousand_sequences_of_two_thousand_tokens(benchmark: BenchmarkFixture) -> None:
    asked = {"prompt": 2048, "generate": 128, "batch": 2048, "prefill_chunk": 64}
    done = benchmark.pedantic(run, ("sohu-8", "llama-3-70b"), asked, rounds=1)
    assert done.summary["wall_s"] < 30

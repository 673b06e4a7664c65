"""How long a whole run takes: Llama 3 70B on eight H100, 1024 tokens in and 128 out, log written."""

from __future__ import annotations

from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.simulator.studies.run import run


def test_llama_3_70b(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    output = tmp_path / "run.h5"
    done = benchmark.pedantic(
        run,
        ("dgx-h100", "llama-3-70b"),
        {"prompt": 1024, "generate": 128, "precision": "fp8", "output": output},
        rounds=2,
        warmup_rounds=1,
    )
    assert done.summary["time_per_output_token_s"] > 0

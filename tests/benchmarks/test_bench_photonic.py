"""How long photonic chips take to simulate: blocks on arrays, a decode layer, Llama 3 70B whole, a tiny array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from operators import operator
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.photonic import QUIET
from dieshot.kernels.photonic import N_RUN, N_STATE, N_TIMES, OK, pass_blocks
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up

N_RUNS = 4096


def test_runs_of_blocks(benchmark: BenchmarkFixture) -> None:
    runs = np.zeros((N_RUNS, N_RUN), np.int64)
    runs[:, 0] = np.arange(N_RUNS) % 4
    runs[:, 1:5] = (128, 128_000, 10_000, 32)
    times = np.empty((N_RUNS, N_TIMES), np.int64)

    def simulate() -> int:
        return pass_blocks(2000, 2, 0, 0, np.zeros((4, N_STATE), np.int64), runs, N_RUNS, times)

    assert benchmark(simulate) == OK


def test_a_stretch_of_a_decode_layer(benchmark: BenchmarkFixture) -> None:
    gemm = operator("gemm", {"M": 1, "N": 57344, "K": 8192, "bias": 0}, "abfp16")

    def simulate() -> int:
        chip = set_up("lightmatter-2025").chip
        return sum(outcome.duration_fs for outcome in chip.carry_out_all([gemm, gemm], QUIET))

    assert benchmark(simulate) > 0


def test_llama_3_70b_on_four_arrays(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    done = benchmark.pedantic(
        run,
        ("lightmatter-2025", "llama-3-70b"),
        {"prompt": 1024, "generate": 128, "output": tmp_path / "run.h5"},
        rounds=2,
        warmup_rounds=1,
    )
    assert done.summary["wall_s"] < 5
    assert done.summary["log_bytes"] < 5 * 10**6


def test_two_tokens_on_an_array_of_64_cells(benchmark: BenchmarkFixture) -> None:
    done = benchmark.pedantic(
        run, ("qant-npu2", "qwen3-0.6b"), {"prompt": 16, "generate": 2}, rounds=2, warmup_rounds=1
    )
    assert done.summary["wall_s"] < 3

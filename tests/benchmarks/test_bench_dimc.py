"""How long cards of in-memory cores take to simulate: a layer, whole runs, a step out of DRAM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.kernels import dimc
from dieshot.simulator.studies.point import decode_point, point
from dieshot.simulator.studies.run import run

N_TILES, N_VECTORS, N_CHIPLETS = 28, 1024, 8


def test_tiles_with_vectors_that_come_one_by_one(benchmark: BenchmarkFixture) -> None:
    tiles = np.array([[N_TILES, 0, 0]] * N_CHIPLETS, np.int64)
    arrivals = np.tile(np.arange(N_VECTORS) * 7, (N_CHIPLETS, 1))
    waits, done = np.zeros((1, 2), np.int64), np.zeros_like(arrivals)
    open_, log = np.zeros((2 * N_CHIPLETS, 4), np.int64), np.zeros((1, 5), np.int64)

    def simulate() -> int:
        state = np.zeros((N_CHIPLETS, dimc.N_ARRAY), np.int64)
        return int(dimc.pass_tiles(64, 4, 2, 0, 0, state, tiles, arrivals, waits, done, open_, log))

    assert benchmark(simulate) == 0
    benchmark.extra_info["tiles x vectors"] = N_TILES * N_VECTORS * N_CHIPLETS


def test_llama_3_70b_on_a_rack(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    done = benchmark.pedantic(
        run,
        ("corsair-rack", "llama-3-70b"),
        {"prompt": 1024, "generate": 128, "output": tmp_path / "run.h5"},
        rounds=2,
        warmup_rounds=1,
    )
    assert done.summary["wall_s"] < 5


def test_a_decode_step_of_llama_3_70b_on_a_rack(benchmark: BenchmarkFixture) -> None:
    request = decode_point("corsair-rack", "llama-3-70b", 64, 1024)
    done = benchmark.pedantic(point, (request,), rounds=3, warmup_rounds=1)
    assert done.figures["wall_s"] < 1


def test_a_decode_step_of_llama_3_70b_out_of_dram(benchmark: BenchmarkFixture) -> None:
    request = decode_point("corsair-card", "llama-3-70b", 1, 1024)
    done = benchmark.pedantic(point, (request,), rounds=2, warmup_rounds=1)
    assert done.figures["wall_s"] < 5

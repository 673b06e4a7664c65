"""How fast arrays and a whole core are simulated, with what other simulators take for the same."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.array import systolic
from dieshot.chips.parts.core import CoreRun, CoreTiming, run_gemm
from dieshot.chips.parts.fold import Gemm, time_gemm
from dieshot.chips.parts.memory import RateMemory

SCALE_SIM_S = {("ws", 512, 512, 512): 4.55, ("os", 512, 512, 512): 4.08, ("ws", 128, 8192, 1024): 97.8}
ONNXIM_S = {(128, 8192, 1024): 4.57, (4096, 4096, 4096): 152.18, (1, 8192, 8192): 155.34}
LEAST_SPEEDUP = 1000
MOST_CORE_S = 0.05


@pytest.mark.parametrize("case", SCALE_SIM_S)
def test_gemm_with_its_record_of_every_cycle(benchmark: BenchmarkFixture, case: tuple[str, int, int, int]) -> None:
    dataflow, M, N, K = case

    def simulate() -> int:
        done = time_gemm(systolic(128, 128, "none"), Gemm(M, N, K), dataflow)
        record = done.busy_pes(0, done.end_cycle)
        assert int(record.sum()) == M * N * K
        return done.end_cycle

    cycles = benchmark(simulate)
    median_s = benchmark.stats.stats.median
    benchmark.extra_info |= {
        "array_cycles_per_s": cycles / median_s,
        "scale_sim_array_cycles_per_s": cycles / SCALE_SIM_S[case],
        "times_scale_sim": SCALE_SIM_S[case] / median_s,
    }
    assert SCALE_SIM_S[case] / median_s > LEAST_SPEEDUP


@pytest.mark.parametrize("shape", ONNXIM_S)
def test_gemm_on_a_whole_core(benchmark: BenchmarkFixture, shape: tuple[int, int, int]) -> None:
    core = CoreTiming(systolic(128, 128, "folds"), 10**6, 32 << 20)

    def simulate() -> CoreRun:
        return run_gemm(core, RateMemory(16, 38_400_000_000, 10**8, 64), Gemm(*shape))

    done = benchmark.pedantic(simulate, rounds=5, warmup_rounds=1)
    median_s = benchmark.stats.stats.median
    benchmark.extra_info |= {
        "cycles": done.cycles,
        "array_cycles_per_s": done.cycles / median_s,
        "onnxim_s": ONNXIM_S[shape],
        "times_onnxim": ONNXIM_S[shape] / median_s,
    }
    if shape == (128, 8192, 1024):
        assert median_s < MOST_CORE_S

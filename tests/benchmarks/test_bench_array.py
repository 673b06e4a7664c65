"""How fast arrays and a whole core are simulated, with what other simulators take for the same."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.core.array import systolic
from dieshot.chips.parts.core.core import CoreRun, CoreTiming, run_gemm
from dieshot.chips.parts.core.fold import Gemm, time_gemm
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.memory import DramMemory, NetworkTiming
from dieshot.simulator.studies.micro.dram import memory_parameters

SCALE_SIM_S = {("ws", 512, 512, 512): 4.55, ("os", 512, 512, 512): 4.08, ("ws", 128, 8192, 1024): 97.8}
ONNXIM_S = {
    (1, 128, 8192, 1024): 4.57,
    (1, 4096, 4096, 4096): 152.18,
    (1, 1, 8192, 8192): 155.34,
    (4, 128, 8192, 1024): 19.15,
}
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


@pytest.mark.parametrize("case", ONNXIM_S, ids=lambda case: "x".join(map(str, case)))
def test_gemm_on_whole_cores(benchmark: BenchmarkFixture, case: tuple[int, int, int, int]) -> None:
    n_cores, *shape = case
    core = CoreTiming(systolic(128, 128, "folds"), 10**6, 32 << 20)
    parameters, policy = memory_parameters("hbm2"), ControllerPolicy(n_channels=16, offers_per_tick=64)

    def simulate() -> CoreRun:
        memory = DramMemory(parameters, policy, NetworkTiming(30 * 10**6, 64 * 10**9), n_cores)
        return run_gemm(core, memory, Gemm(*shape), "ws", n_cores)

    done = benchmark.pedantic(simulate, rounds=20 if case[1] == 128 else 1, warmup_rounds=1)
    best_s = benchmark.stats.stats.min
    benchmark.extra_info |= {
        "cycles": done.cycles,
        "array_cycles_per_s": done.cycles / best_s,
        "onnxim_s": ONNXIM_S[case],
        "times_onnxim": ONNXIM_S[case] / best_s,
    }
    if case == (1, 128, 8192, 1024):
        assert best_s < MOST_CORE_S

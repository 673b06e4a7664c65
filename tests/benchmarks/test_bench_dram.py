"""How fast DRAM requests are simulated, one thread, beside Ramulator 2.1 and DRAMsim3 on the same streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.memory.dram_channel import ControllerPolicy, DramChannels
from dieshot.simulator.studies.micro.dram import memory_parameters, pattern_addresses

N = 1 << 20
RAMULATOR_REQUESTS_PER_S = {"seq": 225_198, "rand": 74_425}
DRAMSIM3_REQUESTS_PER_S = {"seq": 349_496, "rand": 74_367}
HBM2_X128 = Path(__file__).parents[1] / "data" / "memories" / "hbm2-8gb-x128.yaml"


@pytest.mark.parametrize("pattern", ["seq", "rand"])
def test_hbm3_requests(benchmark: BenchmarkFixture, pattern: str) -> None:
    addresses, zeros = pattern_addresses(pattern, N, 32, 1 << 30, 0), np.zeros(N, np.int64)
    parameters = memory_parameters("hbm3")

    def serve() -> int:
        return int(DramChannels(parameters, ControllerPolicy()).serve(addresses, zeros, zeros).accepted[-1])

    assert benchmark.pedantic(serve, rounds=3, warmup_rounds=1) > 2 * N
    benchmark.extra_info["requests_per_s"] = N / benchmark.stats.stats.min
    benchmark.extra_info["ramulator2_requests_per_s"] = RAMULATOR_REQUESTS_PER_S[pattern]


@pytest.mark.parametrize("pattern", ["seq", "rand"])
def test_banks_in_turn(benchmark: BenchmarkFixture, pattern: str) -> None:
    addresses, zeros = pattern_addresses(pattern, N, 64, 1 << 30, 0), np.zeros(N, np.int64)
    parameters = memory_parameters(str(HBM2_X128))
    policy = ControllerPolicy("bankturn", mapping="rorabgbachco", bank_queue=8)

    def serve() -> int:
        return int(DramChannels(parameters, policy).serve(addresses, zeros, zeros).accepted[-1])

    assert benchmark.pedantic(serve, rounds=3, warmup_rounds=1) > 2 * N
    benchmark.extra_info["requests_per_s"] = N / benchmark.stats.stats.min
    benchmark.extra_info["dramsim3_requests_per_s"] = DRAMSIM3_REQUESTS_PER_S[pattern]

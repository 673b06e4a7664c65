"""How fast accesses to a banked SRAM are simulated."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.memory.sram import PATTERNS, SramTiming, pattern_addresses, read_one_by_one, read_vectors

N = 1 << 20


@pytest.mark.parametrize("pattern", PATTERNS)
def test_vectors(benchmark: BenchmarkFixture, pattern: str) -> None:
    addresses = pattern_addresses(pattern, N, 32, 4, 0, 256 << 10)
    done = benchmark.pedantic(read_vectors, (SramTiming(32, 4), addresses), rounds=5, warmup_rounds=1)
    benchmark.extra_info |= {"accesses_per_s": N / benchmark.stats.stats.median, "cycles": done.cycles}
    assert done.cycles >= N // 32


def test_accesses_one_by_one(benchmark: BenchmarkFixture) -> None:
    addresses = pattern_addresses("random", N, 1, 4, 0, 256 << 10)
    arrivals = np.arange(N, dtype=np.int64) // 16

    def simulate() -> int:
        return read_one_by_one(SramTiming(32, 4), np.zeros((32, 1), np.int64), arrivals, addresses).cycles

    cycles = benchmark.pedantic(simulate, rounds=5, warmup_rounds=1)
    benchmark.extra_info |= {"accesses_per_s": N / benchmark.stats.stats.median}
    assert cycles >= N // 16

"""How fast single regions are simulated: a prefill GEMM, a decode GEMM, decode attention."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.gpu import Gpu
from dieshot.chips.mapping.gpu import attention, gemm, gemm_tiling
from dieshot.chips.mapping.gpu.weights import WeightLayout
from dieshot.chips.parts.gpu.die import Outcome, run_kernel
from dieshot.chips.parts.gpu.tile_kernel import TileKernel
from dieshot.simulator.studies.setup import set_up


@pytest.fixture(scope="module")
def chip() -> Gpu:
    built = set_up("h100-sxm").chip
    assert isinstance(built, Gpu)
    return built


def simulate(chip: Gpu, kernel: TileKernel, record: bool) -> Outcome:
    return run_kernel(chip.timing, kernel, np.zeros((chip.timing.hbm.n_pins, 2), np.int64), record)


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize(("m", "n", "k"), [(8192, 8192, 8192), (1024, 7168, 8192), (1, 7168, 8192)])
def test_gemm_region(benchmark: BenchmarkFixture, chip: Gpu, m: int, n: int, k: int, record: bool) -> None:
    shape = gemm_tiling.GemmShape((m,), n, k, "fp8", WeightLayout("fp8", "fp8"), 2)
    kernel = gemm.build(chip.machine, shape, gemm_tiling.candidates(chip.machine, shape)[0])
    outcome = benchmark.pedantic(simulate, (chip, kernel, record), rounds=3, warmup_rounds=1)
    assert outcome.duration_fs > 0


@pytest.mark.parametrize("batch", [1, 64])
def test_decode_region(benchmark: BenchmarkFixture, chip: Gpu, batch: int) -> None:
    shape = attention.AttentionShape(batch, 1, 4096, 8, 1, 128, True, 0, "bf16", "bf16")
    kernel = attention.decode_kernels(chip.machine, shape, max(attention.decode_splits(chip.machine, shape)))[0]
    outcome = benchmark.pedantic(simulate, (chip, kernel, True), rounds=5, warmup_rounds=1)
    assert outcome.counters["hbm_read_bytes"] > 0

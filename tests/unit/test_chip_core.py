"""One core with its scratchpad and memory, run whole."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.array import systolic
from dieshot.chips.parts.core import CoreRun, CoreTiming, run_gemm
from dieshot.chips.parts.fold import Gemm, time_gemm
from dieshot.chips.parts.memory import RateMemory
from dieshot.simulator.errors import InputError

NANOSECOND_FS = 10**6
ONNXIM = [
    row
    for row in csv.DictReader((Path(__file__).parents[1] / "data" / "gemm_arrays.csv").open())
    if row["peer"] == "ONNXim"
]


def hbm2() -> RateMemory:
    """16 channels of 128 bit at 2.4 Gbit/s a pin; latency assumed."""
    return RateMemory(16, 38_400_000_000, 100 * NANOSECOND_FS, 64)


def core(rows: int, columns: int, scratchpad_bytes: int, overlap: str = "folds") -> CoreTiming:
    return CoreTiming(systolic(rows, columns, overlap), NANOSECOND_FS, scratchpad_bytes)


@pytest.mark.parametrize("row", ONNXIM, ids=lambda row: f"{row['M']}x{row['N']}x{row['K']}")
def test_cycles_of_a_whole_core_stand_beside_onnxim(row: dict[str, str]) -> None:
    gemm = Gemm(int(row["M"]), int(row["N"]), int(row["K"]))
    done = run_gemm(core(128, 128, 32 << 20), hbm2(), gemm)
    theirs = int(row["cycles"])
    if gemm.macs > 128**3:
        assert done.cycles == pytest.approx(theirs, rel=0.1)
        assert 100 * done.utilization == pytest.approx(float(row["utilization_percent"]), abs=4)
    else:
        # A single fold is all latency: its 509 cycles, and the way of two tiles in and one tile out of memory.
        assert time_gemm(systolic(128, 128, "folds"), gemm, "ws").end_cycle < done.cycles < theirs


@settings(max_examples=50)
@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 3000),
    st.sampled_from(["none", "folds"]),
)
def test_bytes_and_cycles_add_up(R: int, C: int, shape: tuple[int, int, int], spare_bytes: int, overlap: str) -> None:
    M, N, K = shape
    gemm, least_bytes = Gemm(M, N, K), 2 * (R * C + M * R) * 2
    array = time_gemm(systolic(R, C, overlap), gemm, "ws")
    fast, slow = RateMemory(1, 10**18, 0, 64), RateMemory(4, 10**9, 5 * NANOSECOND_FS, 64)
    there: CoreRun = run_gemm(core(R, C, least_bytes + spare_bytes, overlap), fast, gemm)
    far: CoreRun = run_gemm(core(R, C, least_bytes + spare_bytes, overlap), slow, gemm)
    for memory in (fast, slow):
        fetches = memory.read_bytes - 2 * K * N
        assert fetches in {2 * M * K, 2 * M * K * -(-N // C)}  # inputs fetched once, or for every column tile
        assert memory.written_bytes == 2 * M * N
    assert there.n_folds == array.n_folds
    assert far.array_cycles >= there.array_cycles >= array.end_cycle
    assert far.cycles >= (slow.read_bytes + slow.written_bytes) // 4 // 64 * 64  # 1 byte a cycle and channel
    if there.n_batches <= 2:  # all is fetched at once, so a memory without delay leaves the array's own cycles
        assert there.array_cycles <= array.end_cycle + 1 + (R + C if overlap == "folds" else 0)


def test_double_buffering_hides_the_memory_and_a_slow_one_shows() -> None:
    gemm = Gemm(128, 1024, 1024)
    quick = run_gemm(core(128, 128, 1 << 20), hbm2(), gemm)
    assert quick.n_batches > 2
    assert quick.array_cycles < 1.05 * time_gemm(systolic(128, 128, "folds"), gemm, "ws").end_cycle
    slow = RateMemory(1, 38_400_000_000, 100 * NANOSECOND_FS, 64)
    bound = run_gemm(core(128, 128, 1 << 20), slow, gemm)
    moved_cycles = (slow.read_bytes + slow.written_bytes) / 38.4
    assert moved_cycles <= bound.cycles < 1.1 * moved_cycles


def test_a_fold_that_does_not_fit_is_refused() -> None:
    run_gemm(core(128, 128, 4 * 128 * 128 * 2), hbm2(), Gemm(128, 256, 256))
    with pytest.raises(InputError, match="a fold does not fit in half of the scratchpad; expected at least 65536 B"):
        run_gemm(core(128, 128, 4 * 128 * 128 * 2 - 2), hbm2(), Gemm(128, 256, 256))

"""Cores with scratchpads and memory, run whole."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_memory import RateMemory

from dieshot.chips.parts.core.array import systolic
from dieshot.chips.parts.core.core import BankTiming, CoreRun, CoreTiming, run_gemm, vector_cycles
from dieshot.chips.parts.core.fold import DATAFLOWS, Gemm, time_gemm
from dieshot.chips.parts.core.tiling import LAYOUTS
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.memory import DramMemory, NetworkTiming
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.dram import memory_parameters

NANOSECOND_FS = 10**6
ONNXIM_LINES = (Path(__file__).parents[1] / "data" / "onnxim_cores.csv").read_text().splitlines()
ONNXIM = list(csv.DictReader(line for line in ONNXIM_LINES if not line.startswith("#")))
# Neighbouring bursts fall to one bank group, so that nCCDL halves what a stream gets: ONNXim's 4-core GEMV has 48 %.
ONE_GROUP = "ro-ba-bg-si-co-pc-ch"


def hbm2(mapping: str = "mop4clxor", n_cores: int = 1, n_channels: int = 16) -> DramMemory:
    policy = ControllerPolicy(mapping=mapping, n_channels=n_channels, offers_per_tick=4 * n_channels)
    return DramMemory(memory_parameters("hbm2"), policy, NetworkTiming(30 * NANOSECOND_FS, 64 * 10**9), n_cores)


def core(rows: int, columns: int, scratchpad_bytes: int, overlap: str = "folds", **more: object) -> CoreTiming:
    return CoreTiming(systolic(rows, columns, overlap), NANOSECOND_FS, scratchpad_bytes, **more)  # type: ignore[arg-type]


def beside_onnxim(row: dict[str, str], mapping: str) -> tuple[CoreRun, float]:
    """Return the run of a row, and its cycles over those of ONNXim, less 1."""
    n_cores, gemm = int(row["cores"]), Gemm(int(row["M"]), int(row["N"]), int(row["K"]))
    done = run_gemm(core(128, 128, 32 << 20), hbm2(mapping, n_cores), gemm, "ws", n_cores)
    return done, done.cycles / int(row["cycles"]) - 1


def gemm_bytes(row: dict[str, str]) -> int:
    return 2 * int(row["N"]) * int(row["K"])


def short(row: dict[str, str]) -> bool:
    return int(row["M"]) * int(row["N"]) * int(row["K"]) <= 1 << 35


@pytest.mark.parametrize("row", [r for r in ONNXIM if r["cores"] == "1" and short(r)], ids=lambda r: r["cycles"])
def test_one_core_takes_the_cycles_of_onnxim(row: dict[str, str]) -> None:
    done, off = beside_onnxim(row, ONE_GROUP)
    assert abs(off) < 0.02
    assert 100 * done.utilization == pytest.approx(float(row["utilization_percent"]), abs=0.5)
    if gemm_bytes(row) > 1 << 26:
        return
    # A map that spreads a stream over bank groups: what it saves is the way of the first and the last tiles.
    spread, off = beside_onnxim(row, "mop4clxor")
    assert -0.15 < off < 0.01
    saved = {name: done.terms[name] - spread.terms[name] for name in done.terms}
    assert sum(saved.values()) == done.cycles - spread.cycles and saved["array"] == 0


@pytest.mark.parametrize("row", [r for r in ONNXIM if r["cores"] == "4"], ids=lambda r: r["cycles"])
def test_four_cores_wait_for_the_memory_as_in_onnxim(row: dict[str, str]) -> None:
    # Its map is not told: one that halves a stream's bandwidth and one that does not stand on either side, or near.
    slow, above = beside_onnxim(row, ONE_GROUP)
    fast, below = beside_onnxim(row, "mop4clxor")
    assert -0.35 < below < 0 and -0.2 < above < 0.35
    assert slow.terms["waiting_for_operands"] > fast.terms["waiting_for_operands"] > 0.1 * fast.cycles


SHAPE = st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@settings(max_examples=30)
@given(
    st.integers(1, 8), st.integers(1, 8), SHAPE, st.integers(0, 3000), st.sampled_from(["none", "folds"]),
    st.sampled_from(LAYOUTS), st.booleans(), st.integers(1, 3), st.sampled_from([(1, 1), (2, 4), (1, 3)]),
)  # fmt: skip
def test_every_byte_moves_and_cycles_add_up(
    dataflow: str, R: int, C: int, shape: tuple[int, int, int], spare_bytes: int, overlap: str, layout: str,
    double_buffered: bool, n_cores: int, density: tuple[int, int]
) -> None:  # fmt: skip
    M, N, K = shape
    gemm = Gemm(M, N, K, *density)
    extent = max(M, N, K)
    timing = core(R, C, 4 * (R + C) * (extent + 4) * 2 + spare_bytes, overlap, layout=layout,
                  double_buffered=double_buffered, request_bytes=64)  # fmt: skip
    alone = time_gemm(timing.array, gemm, dataflow)
    near, far = RateMemory(0), RateMemory(NANOSECOND_FS, 5 * NANOSECOND_FS)
    there, waited = (run_gemm(timing, memory, gemm, dataflow, n_cores) for memory in (near, far))
    for memory in (near, far):
        _check_moves(memory, gemm)
    assert there.n_folds == waited.n_folds == alone.n_folds
    assert waited.array_cycles >= there.array_cycles
    for done in (there, waited):
        assert sum(done.terms.values()) == done.cycles and min(done.terms.values()) >= 0
    assert waited.cycles * NANOSECOND_FS >= far.free_fs
    if n_cores == 1:
        assert waited.terms["array"] == alone.end_cycle
        # With a part refilled while the array drains, or all of it at once, a memory without delay costs nothing.
        assert there.n_batches > 1 or there.array_cycles == alone.end_cycle


def _check_moves(memory: RateMemory, gemm: Gemm) -> None:
    """Every operand is read, and only operands; every sum is written once, by one core."""
    weights_at = -(-gemm.M * gemm.K * 2 // 4096) * 4096
    sums_at = weights_at + -(-gemm.n_kept * gemm.N * 2 // 4096) * 4096
    read, written = Counter[int](), Counter[int]()
    for address, n_bytes, is_write, _ in memory.moves:
        (written if is_write else read).update(range(address, address + n_bytes, 2))
    assert set(read) == set(range(0, gemm.M * gemm.K * 2, 2)) | set(
        range(weights_at, weights_at + gemm.n_kept * gemm.N * 2, 2)
    )
    assert written == Counter(range(sums_at, sums_at + gemm.M * gemm.N * 2, 2))


def test_double_buffering_hides_the_memory_and_a_slow_one_shows() -> None:
    gemm = Gemm(128, 1024, 1024)
    alone = time_gemm(systolic(128, 128, "folds"), gemm, "ws").end_cycle
    quick = run_gemm(core(128, 128, 1 << 20), hbm2(), gemm)
    assert quick.n_batches > 2
    assert quick.array_cycles < 1.05 * alone
    single = run_gemm(core(128, 128, 1 << 20, double_buffered=False), hbm2(), gemm)
    assert single.array_cycles > 1.2 * alone  # what a fill takes is not hidden
    memory = hbm2(n_channels=1)
    bound = run_gemm(core(128, 128, 1 << 20), memory, gemm)
    least = (memory.read_bytes + memory.written_bytes) * 10**9 / memory.peak_bytes_per_s
    assert least < 0.95 * bound.cycles < 1.3 * least


def test_banks_narrower_than_the_array_stretch_its_folds() -> None:
    gemm, free = Gemm(128, 512, 512), run_gemm(core(128, 128, 1 << 20), hbm2(), Gemm(128, 512, 512))
    wide = run_gemm(core(128, 128, 1 << 20, banks=BankTiming(64, 4)), hbm2(), gemm)
    assert wide == free
    half = run_gemm(core(128, 128, 1 << 20, banks=BankTiming(32, 4)), hbm2(), gemm)
    assert half.terms["array"] == time_gemm(systolic(128, 128, "folds"), Gemm(256, 512, 512), "ws").end_cycle + 128
    ports = run_gemm(core(128, 128, 1 << 20, banks=BankTiming(32, 4, 2)), hbm2(), gemm)
    assert ports == free


@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 2), st.integers(1, 60), st.integers(1, 40))
def test_vectors_side_by_side_are_read_as_one_by_one(n: int, width: int, ports: int, vector: int, count: int) -> None:
    cycles = 0
    for i in range(count):
        words = {byte // width % n: 0 for byte in range(i * vector, (i + 1) * vector)}
        for word in {byte // width for byte in range(i * vector, (i + 1) * vector)}:
            words[word % n] += 1
        cycles += -(-max(words.values()) // ports)
    assert vector_cycles(BankTiming(n, width, ports), vector, count) == cycles


def test_a_fold_that_does_not_fit_is_refused() -> None:
    run_gemm(core(128, 128, 4 * 128 * 128 * 2), hbm2(), Gemm(128, 256, 256))
    with pytest.raises(
        InputError, match="a fold does not fit in its part of the scratchpad; expected at least 65536 B"
    ):
        run_gemm(core(128, 128, 4 * 128 * 128 * 2 - 2), hbm2(), Gemm(128, 256, 256))

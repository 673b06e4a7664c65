"""Array passes against an array moved register by register, closed forms, and what other simulators print."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import naive_systolic
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.core.array import bit_serial, digital_in_memory, systolic, time_folds
from dieshot.chips.parts.core.fold import DATAFLOWS, Gemm, time_gemm, time_packed_gemm, time_skipping_gemm
from dieshot.kernels.systolic import END, FIRST_START, LAST_START, LIMIT, N_STATE, STALL_STATIONARY, STALL_STREAM
from dieshot.simulator.errors import InputError

REFERENCE = list(csv.DictReader((Path(__file__).parents[1] / "data" / "gemm_arrays.csv").open()))
SIDE = st.integers(1, 16)
EXTENT = st.integers(1, 20)


def shape_of(row: dict[str, str]) -> tuple[int, int, int]:
    return int(row["M"]), int(row["N"]), int(row["K"])


def naive_pass(dataflow: str, R: int, C: int, a: Any, b: Any, buffers: int, switch: int) -> naive_systolic.Pass:
    if dataflow == "os":
        return naive_systolic.hold_sum(a, b, R, C, buffers, switch)
    if dataflow == "ws":
        return naive_systolic.hold_operand(b, a, R, C, buffers, switch)
    transposed = naive_systolic.hold_operand(a.T, b.T, R, C, buffers, switch)
    return naive_systolic.Pass(transposed.product.T, transposed.busy, transposed.end)


@pytest.mark.nojit
@pytest.mark.parametrize("dataflow", DATAFLOWS)
@settings(max_examples=40)
@given(SIDE, SIDE, st.tuples(EXTENT, EXTENT, EXTENT), st.integers(0, 2), st.integers(0, 3))
def test_array_acts_as_registers_moved_one_by_one(
    dataflow: str, R: int, C: int, shape: tuple[int, int, int], buffers: int, switch: int
) -> None:
    M, N, K = shape
    draw = np.random.default_rng(M * 100 + N * 10 + K)
    a, b = draw.integers(-9, 9, (M, K)), draw.integers(-9, 9, (K, N))
    slow = naive_pass(dataflow, R, C, a, b, buffers, switch)
    assert (slow.product == a @ b).all()  # the twin itself multiplies
    array = systolic(R, C, "folds" if buffers else "none", max(1, buffers), switch)
    fast = time_gemm(array, Gemm(M, N, K), dataflow)
    assert fast.end_cycle == slow.end
    record = fast.busy_pes(0, fast.end_cycle)
    assert record.tolist() == [slow.busy.get(cycle, 0) for cycle in range(slow.end)]
    assert sum(fast.terms.values()) == fast.end_cycle
    assert record.sum() == fast.busy_pe_cycles == M * N * K


@pytest.mark.parametrize("R", range(1, 17))
def test_one_fold_keeps_the_pes_of_its_diagonals_at_work(R: int) -> None:
    for C in range(1, 17):
        lag = np.add.outer(np.arange(R), np.arange(C)).ravel()
        for T in range(1, 17):
            cycle = np.arange(R + C + T - 2)
            diagonal = ((cycle[:, None] >= lag) & (cycle[:, None] < lag + T)).sum(axis=1)
            for dataflow, shape, load in (("ws", (T, C, R), R), ("is", (C, T, R), R), ("os", (R, C, T), 0)):
                done = time_gemm(systolic(R, C, "none"), Gemm(*shape), dataflow)
                assert done.end_cycle == load + R + C + T - 2
                record = done.busy_pes(0, done.end_cycle)
                assert not record[:load].any() and (record[load:] == diagonal).all()


@given(SIDE, SIDE, SIDE)
def test_one_fold_takes_its_closed_form(R: int, C: int, T: int) -> None:
    for overlap in ("none", "folds"):
        array = systolic(R, C, overlap)
        assert time_gemm(array, Gemm(T, C, R), "ws").end_cycle == 2 * R + C + T - 2
        assert time_gemm(array, Gemm(C, T, R), "is").end_cycle == 2 * R + C + T - 2
        assert time_gemm(array, Gemm(R, C, T), "os").end_cycle == R + C + T - 2


@given(SIDE, SIDE, st.tuples(st.integers(1, 99), st.integers(1, 99), st.integers(1, 99)))
def test_folds_without_overlap_take_the_closed_form_of_scale_sim(R: int, C: int, shape: tuple[int, int, int]) -> None:
    M, N, K = shape
    array, gemm = systolic(R, C, "none"), Gemm(M, N, K)
    assert time_gemm(array, gemm, "ws").end_cycle == -(-K // R) * -(-N // C) * (2 * R + C + M - 2)
    assert time_gemm(array, gemm, "os").end_cycle == -(-M // R) * -(-N // C) * (R + C + K - 2)
    assert time_gemm(array, gemm, "is").end_cycle == -(-K // R) * -(-M // C) * (2 * R + C + N - 2)


@pytest.mark.parametrize(
    "row", [row for row in REFERENCE if row["peer"] == "SCALE-Sim"], ids=lambda r: f"{r['cycles']}"
)
def test_cycles_equal_scale_sim(row: dict[str, str]) -> None:
    done = time_gemm(systolic(128, 128, "none"), Gemm(*shape_of(row)), row["dataflow"])
    last_cycle = done.end_cycle - 1  # it counts from 0
    assert last_cycle == int(row["cycles"])
    if row["utilization_percent"]:
        assert 100 * done.busy_pe_cycles / (128 * 128 * last_cycle) == pytest.approx(
            float(row["utilization_percent"]), abs=6e-5
        )


@pytest.mark.parametrize(
    ("dataflow", "cycles"), [("ws", (332, 239)), ("os", (233, 113)), ("is", (335, 93))], ids=lambda each: str(each)
)
def test_cycles_equal_scale_sim_where_tiles_do_not_fit(dataflow: str, cycles: tuple[int, int]) -> None:
    array = systolic(7, 5, "none")  # SCALE-Sim 3.0.0 on 7 x 5, as run by tests/benchmarks/test_bench_scale_sim.py
    for shape, last_cycle in zip(((20, 11, 16), (3, 30, 9)), cycles, strict=True):
        assert time_gemm(array, Gemm(*shape), dataflow).end_cycle - 1 == last_cycle


@pytest.mark.parametrize("row", [row for row in REFERENCE if row["peer"] == "ONNXim"], ids=lambda r: f"{r['cycles']}")
def test_overlapped_folds_follow_each_other_as_in_onnxim(row: dict[str, str]) -> None:
    M, N, K = shape_of(row)
    done = time_gemm(systolic(128, 128, "folds"), Gemm(M, N, K), "ws")
    n_folds = -(-N // 128) * -(-K // 128)
    assert done.n_folds == n_folds
    assert n_folds == 1 or done.interval == max(M + 1, 128)
    # ONNXim's figure holds the way of the first operands and the last results through its memory too.
    assert 0 < int(row["cycles"]) - done.end_cycle < 4000


@given(SIDE, SIDE, st.tuples(EXTENT, EXTENT, EXTENT), st.integers(0, 2), st.integers(0, 40), st.integers(1, 60))
def test_a_window_of_the_record_is_a_piece_of_it(
    R: int, C: int, shape: tuple[int, int, int], buffers: int, start: int, length: int
) -> None:
    array = systolic(R, C, "folds" if buffers else "none", max(1, buffers))
    for each in (array, bit_serial(array, 3), digital_in_memory(array, 2)):
        done = time_gemm(each, Gemm(*shape), "ws")
        whole = done.busy_pes(0, max(done.end_cycle, start + length))
        assert done.busy_pes(start, start + length).tolist() == whole[start : start + length].tolist()
        assert whole.sum() == done.busy_pe_cycles and whole.max() <= R * C


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 20)), min_size=1, max_size=12))
def test_folds_one_by_one_and_late_operands_lose_what_they_are_late(ready: list[tuple[int, int, int]]) -> None:
    for buffers in (0, 1, 2):
        array = systolic(4, 3, "folds" if buffers else "none", max(1, buffers))
        folds = np.array([[a, b, steps, array.load_cycles, 1] for a, b, steps in ready], np.int64)
        times = time_folds(array, True, np.zeros(N_STATE, np.int64), folds)
        state = np.zeros(N_STATE, np.int64)
        single = np.concatenate([time_folds(array, True, state, folds[i : i + 1]) for i in range(len(folds))])
        assert (times == single).all()
        assert (times[:, FIRST_START] >= folds[:, 0] + array.load_cycles).all()
        assert (times[:, FIRST_START] >= folds[:, 1]).all()
        early = folds.copy()
        early[:, :2] = 0
        free = time_folds(array, True, np.zeros(N_STATE, np.int64), early)
        late = int(times[-1, END] - free[-1, END])
        assert late <= int(times[:, STALL_STATIONARY].sum() + times[:, STALL_STREAM].sum())


@given(st.integers(1, 50), st.integers(1, 30), st.integers(0, 2))
def test_like_folds_in_one_item_are_like_folds_one_by_one(count: int, steps: int, buffers: int) -> None:
    array = systolic(6, 5, "folds" if buffers else "none", max(1, buffers))
    for loads in (True, False):
        load = array.load_cycles if loads else 0
        like, one = np.array([[9, 40, steps, load, count]], np.int64), [9, 40, steps, load, 1]
        together = time_folds(array, loads, np.zeros(N_STATE, np.int64), like)
        apart = time_folds(array, loads, np.zeros(N_STATE, np.int64), np.array([one] * count, np.int64))
        assert together[0, END] == apart[-1, END]
        assert together[0, LAST_START] == apart[-1, FIRST_START]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.integers(1, 40))
def test_two_of_four_halves_the_folds_or_the_steps(R: int, C: int, M: int, N: int) -> None:
    array = systolic(R, C, "folds")
    for dataflow in DATAFLOWS:
        sparse = time_gemm(array, Gemm(M, N, 64, 2, 4), dataflow)
        assert sparse.end_cycle == time_gemm(array, Gemm(M, N, 32), dataflow).end_cycle
        assert sparse.busy_pe_cycles == M * N * 32


@pytest.mark.parametrize("dataflow", ["ws", "os"])
@given(SIDE, SIDE, st.integers(1, 30), st.lists(st.integers(0, 40), min_size=1, max_size=30), st.booleans())
def test_packed_columns_multiply_every_weight_kept(
    dataflow: str, R: int, C: int, M: int, kept: list[int], overlap: bool
) -> None:
    array = systolic(R, C, "folds" if overlap else "none")
    gemm = Gemm(M, len(kept), 40)
    done = time_packed_gemm(array, gemm, dataflow, np.array(kept, np.int64))
    assert done.busy_pe_cycles == M * sum(kept)
    record = done.busy_pes(0, done.end_cycle + 1)
    assert record.sum() == M * sum(kept) and record[-1] == 0 and record.min() >= 0 and record.max() <= R * C
    assert done.end_cycle <= time_gemm(array, gemm, dataflow).end_cycle
    if len(set(kept)) == 1 and kept[0]:
        alike = time_gemm(array, Gemm(M, len(kept), kept[0]), dataflow)
        assert done.end_cycle == alike.end_cycle
        assert record[:-1].tolist() == alike.busy_pes(0, alike.end_cycle).tolist()


@given(st.integers(1, 9), st.integers(1, 9), st.tuples(EXTENT, EXTENT, EXTENT), st.integers(0, 10), st.booleans())
def test_vectors_of_zeros_are_not_streamed_past_inputs_that_stay(
    R: int, C: int, shape: tuple[int, int, int], tenths: int, overlap: bool
) -> None:
    M, N, K = shape
    weights = np.random.default_rng(M + N + K).random((K, N)) < tenths / 10
    array, gemm = systolic(R, C, "folds" if overlap else "none"), Gemm(M, N, K)
    nonempty = [int(weights[low : low + R].any(axis=0).sum()) for low in range(0, K, R)]
    done = time_skipping_gemm(array, gemm, np.array(nonempty, np.int64))
    record = done.busy_pes(0, done.end_cycle + 1)
    assert record.sum() == done.busy_pe_cycles == M * sum(min(R, K - R * i) * n for i, n in enumerate(nonempty))
    dense = time_gemm(array, gemm, "is")
    assert done.end_cycle <= dense.end_cycle
    if all(n == N for n in nonempty):
        assert done.end_cycle == dense.end_cycle
        assert record[:-1].tolist() == dense.busy_pes(0, dense.end_cycle).tolist()
    if not overlap:
        fold_cycles = [array.load_cycles + n + array.tail_cycles for n in nonempty if n]
        assert done.end_cycle == -(-M // C) * sum(fold_cycles)


def test_bit_serial_and_in_memory_arrays_take_a_cycle_a_bit() -> None:
    array = systolic(64, 64, "folds", switch_cycles=3)
    serial = time_gemm(bit_serial(array, 8), Gemm(10, 64, 64), "ws")
    assert serial.end_cycle == 64 + 10 * 8 + 63 + 63
    memory = time_gemm(digital_in_memory(array, 8, 4), Gemm(10, 128, 128), "ws")
    assert memory.end_cycle == 4 * 10 * 8 + 3 * 3 + 6  # stored tiles: selects and an adder tree of 6 levels
    reloaded = time_gemm(digital_in_memory(array, 1, 2), Gemm(10, 128, 128), "ws")
    assert reloaded.end_cycle == 4 * 64 + 10 + 6  # two of four tiles kept: writing them is what it waits for


def test_cycles_near_the_end_of_int64_are_an_error() -> None:
    array = systolic(4, 4, "folds")
    edge = LIMIT - 8 - array.tail_cycles
    fits = np.array([[edge - 4, 0, 8, 4, 1]], np.int64)
    assert time_folds(array, True, np.zeros(N_STATE, np.int64), fits)[0, END] == LIMIT
    for late in (
        [edge - 3, 0, 8, 4, 1],
        [0, 0, LIMIT, 1, 1],
        [0, 0, 8, 1, LIMIT],
        [0, 0, 8, LIMIT + 1, 1],
        [0, 0, 8, -1, 1],
        [-1, 0, 8, 1, 1],
        [0, 2**63 - 1, 8, 1, 1],
    ):
        with pytest.raises(InputError, match="mxu: fold 1 cannot be timed"):
            time_folds(array, True, np.zeros(N_STATE, np.int64), np.array([[0, 0, 1, 1, 1], late], np.int64), "mxu")

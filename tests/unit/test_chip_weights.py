"""Weights that a GPU stores otherwise than it multiplies them: int8 beside bf16 operands, 2:4-compressed ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dieshot.chips.gpu import Gpu
from dieshot.chips.mapping.gpu.weights import WeightLayout
from dieshot.simulator.engine.cell import BUSY
from dieshot.simulator.engine.chip import OperatorOutcome
from dieshot.simulator.studies.bounds import roofline
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import PREVIOUS, Operator
from dieshot.traces.make import make_operator
from dieshot.traces.sparsity import DENSE, Sparsity
from dieshot.traces.work import Formats

TWO_OF_FOUR = Sparsity("2:4", 0.5)
DECODE, PREFILL = (1, 4096, 4096), (2048, 4096, 4096)


@cache
def h100() -> Gpu:
    chip = set_up("h100-sxm").chip
    assert isinstance(chip, Gpu)
    return chip


def gemm(shape: tuple[int, int, int], dtype: str, weight_dtype: str, sparsity: Sparsity = DENSE) -> Operator:
    dims = dict(zip("MNK", shape, strict=True)) | {"bias": 0}
    return make_operator("gemm", "gemm", dims, Formats(dtype, weight_dtype, "bf16"), PREVIOUS, sparsity=sparsity)


@cache
def done(shape: tuple[int, int, int], dtype: str, weight_dtype: str, sparsity: Sparsity = DENSE) -> OperatorOutcome:  # type: ignore[type-arg]
    return h100().carry_out(gemm(shape, dtype, weight_dtype, sparsity), h100().initial_state)


def counted(outcome: OperatorOutcome, counter: str) -> int:  # type: ignore[type-arg]
    return sum(cell.counters.get(counter, 0) for cell in outcome.cells)


def logged(outcome: OperatorOutcome, kind: str) -> int:  # type: ignore[type-arg]
    """Sum what the components of a kind did, out of the log's intervals."""
    wanted = np.array([spec.kind == kind for spec in h100().components()])
    total = 0
    for cell in outcome.cells:
        activity = cell.activity
        chosen = wanted[activity.component] & (activity.state == BUSY)
        total += int((activity.amount * activity.repeat)[chosen].sum())
    return total


@pytest.mark.parametrize(
    ("layout", "k", "kept", "row_bytes", "operand_row_bytes"),
    [
        (WeightLayout("bf16", "bf16"), 64, 64, 128, 128),
        (WeightLayout("int8", "bf16"), 64, 64, 64, 128),
        (WeightLayout("bf16", "bf16", 2), 64, 32, 64 + 8, 64 + 8),
        (WeightLayout("fp8", "fp8", 2), 128, 64, 64 + 16, 64 + 16),
        (WeightLayout("int8", "bf16", 2), 64, 32, 32 + 8, 64 + 8),
        # A group of four that is cut off keeps two like any other.
        (WeightLayout("fp8", "fp8", 2), 5, 4, 4 + 1, 4 + 1),
    ],
)
def test_layouts_by_hand(layout: WeightLayout, k: int, kept: int, row_bytes: int, operand_row_bytes: int) -> None:
    assert (layout.kept(k), layout.row_bytes(k), layout.operand_row_bytes(k)) == (kept, row_bytes, operand_row_bytes)


def test_int8_weights_of_bf16_operands_are_half_the_traffic_and_all_of_the_matrix_work() -> None:
    plain, narrow = done(DECODE, "bf16", "bf16"), done(DECODE, "bf16", "int8")
    x_bytes = 4096 * 2
    assert counted(plain, "hbm_read_bytes") >= 4096 * 4096 * 2 + x_bytes
    assert 4096 * 4096 + x_bytes <= counted(narrow, "hbm_read_bytes") < 1.1 * 4096 * 4096
    assert counted(narrow, "macs") == counted(plain, "macs") == 4096 * 4096
    assert logged(narrow, "tensor") == counted(narrow, "macs_issued") >= 4096 * 4096
    assert 0.5 * plain.duration_fs < narrow.duration_fs < 0.8 * plain.duration_fs


def test_every_stored_weight_is_converted_once_a_tile() -> None:
    per_weight = h100().parameters.software.conversion_ops_per_weight
    plain, narrow = done(DECODE, "bf16", "bf16"), done(DECODE, "bf16", "int8")
    assert logged(plain, "simt") < per_weight * 4096 * 4096 <= logged(narrow, "simt")


def test_matrix_work_on_int8_weights_is_no_faster_than_the_operands_format() -> None:
    rate = h100().peaks()["mac:bf16"]
    assert done(PREFILL, "bf16", "int8").duration_fs / 1e15 > 2048 * 4096 * 4096 / rate


@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
@pytest.mark.parametrize("shape", [DECODE, PREFILL])
def test_two_of_four_weights_are_skipped_and_never_read(dtype: str, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    dense, sparse = done(shape, dtype, dtype), done(shape, dtype, dtype, TWO_OF_FOUR)
    assert counted(sparse, "macs") + counted(sparse, "skipped_macs") == counted(dense, "macs") == m * n * k
    assert counted(sparse, "skipped_macs") == m * n * k // 2 and counted(dense, "skipped_macs") == 0
    assert m * n * k // 2 <= counted(sparse, "macs_issued") == logged(sparse, "tensor") < counted(dense, "macs_issued")
    stored = n * WeightLayout(dtype, dtype, 2).row_bytes(k)
    assert counted(sparse, "hbm_read_bytes") >= stored + m * k * (2 if dtype == "bf16" else 1)
    assert counted(sparse, "hbm_read_bytes") < counted(dense, "hbm_read_bytes")
    if shape == DECODE:
        assert counted(sparse, "hbm_read_bytes") < 1.01 * stored
    assert 0.5 * dense.duration_fs < sparse.duration_fs < 0.9 * dense.duration_fs


@pytest.mark.parametrize("shape", [DECODE, PREFILL])
def test_sparse_work_stays_between_its_bounds(shape: tuple[int, int, int]) -> None:
    outcome = done(shape, "bf16", "bf16", TWO_OF_FOUR)
    operator = gemm(shape, "bf16", "bf16", TWO_OF_FOUR)
    assert roofline(operator, h100().peaks()).seconds <= outcome.duration_fs / 1e15
    assert outcome.duration_fs <= counted(outcome, "serial_fs")
    without = {key: value for key, value in h100().peaks().items() if not key.startswith("skips")}
    assert roofline(operator, without).seconds == pytest.approx(2 * roofline(operator, h100().peaks()).seconds)


def test_zeros_anywhere_are_multiplied_like_any_weight() -> None:
    anywhere = done(DECODE, "bf16", "bf16", Sparsity("unstructured", 0.1))
    assert anywhere.cells == done(DECODE, "bf16", "bf16").cells


def test_compressed_weights_take_less_memory_and_less_of_the_cache() -> None:
    dense, sparse = gemm(DECODE, "fp8", "fp8"), gemm(DECODE, "fp8", "fp8", TWO_OF_FOUR)
    assert h100().stored_weight_bytes(dense) == dense.resident_weight_bytes == 4096 * 4096
    assert h100().stored_weight_bytes(sparse) == 4096 * (2048 + 512)
    # 16 MB of weights and another operator's 12 MB do not leave room for what came before, 10 MB and those do.
    kept = {}
    for operator in (dense, sparse):
        writer = make_operator(
            "w", "gemm", {"M": 2048, "N": 3072, "K": 64, "bias": 0}, Formats("fp8", "fp8", "bf16"), "x"
        )
        state = h100().carry_out(writer, h100().initial_state, record=False).state
        reader = replace(operator, inputs={"other": operator.input_bytes})
        stack = dict(h100().carry_out(reader, state, record=False).state.contents.stack)
        kept[operator.sparsity] = stack["w"]
    assert 0 < kept["dense"] < kept["2:4"] == writer.output_bytes


def test_experts_are_stored_all_and_read_where_they_have_rows() -> None:
    dims = {"M": 4, "N": 128, "K": 64, "experts": 3}
    formats = Formats("bf16", "bf16", "bf16")
    operator = make_operator("g", "grouped_gemm", dims, formats, PREVIOUS, group_rows=(4, 0, 0), sparsity=TWO_OF_FOUR)
    assert h100().stored_weight_bytes(operator) == 3 * 128 * (64 + 8)
    read = counted(h100().carry_out(operator, h100().initial_state), "hbm_read_bytes")
    assert 128 * (64 + 8) + operator.input_bytes <= read < 128 * 128 + operator.input_bytes


def test_a_gpu_without_sparse_matrix_units_runs_the_dense_weights() -> None:
    parameters = h100().parameters
    chip = Gpu(replace(parameters, sm=replace(parameters.sm, sparsity=None)))
    outcome = chip.carry_out(gemm(DECODE, "fp8", "fp8", TWO_OF_FOUR), chip.initial_state)
    assert outcome.duration_fs == done(DECODE, "fp8", "fp8").duration_fs
    assert counted(outcome, "macs") == 4096 * 4096 and counted(outcome, "skipped_macs") == 0
    assert "skips:2:4" in h100().peaks() and "skips:2:4" not in chip.peaks()

"""A GPU as a chip: its lines, its peaks, what it refuses, how one operator leaves it to the next."""

from __future__ import annotations

from functools import cache

import pytest
from operators import operator

from dieshot.chips.gpu import Gpu
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.studies.setup import set_up

GEMM = {"M": 64, "N": 1024, "K": 1024, "bias": 0}


@cache
def h100() -> Gpu:
    chip = set_up("h100-sxm").chip
    assert isinstance(chip, Gpu)
    return chip


def test_components_are_three_units_an_sm_the_l2_and_the_channels() -> None:
    kinds = [spec.kind for spec in h100().components()]
    assert kinds == ["tensor", "simt", "copy"] * 132 + ["l2"] + ["hbm_channel"] * 160
    paths = [spec.path for spec in h100().components()]
    assert len(set(paths)) == len(paths)


def test_static_power_is_shared_out_without_loss() -> None:
    power = h100().parameters.power
    per_cycle_fj = sum(spec.static_fj_per_cycle * spec.count for spec in h100().components())
    watts = per_cycle_fj / h100().clock.period_fs
    assert watts == pytest.approx((power.idle + power.clocked) / 1000, rel=1e-6)


def test_channels_together_have_the_bandwidth_less_refresh() -> None:
    hbm = h100().timing.hbm
    share = 1 - 350 / 3900
    assert hbm.bytes_per_fs * FS_PER_SECOND == pytest.approx(h100().peaks()["memory"] * share, rel=1e-3)
    assert h100().peaks()["memory"] == pytest.approx(3.35e12, rel=1e-3)


def test_a_format_without_matrix_unit_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"no matrix unit for fp32 \(operator gemm\); it multiplies bf16, fp16"):
        h100().carry_out(operator("gemm", GEMM, "fp32"), h100().initial_state)


def test_an_operator_in_a_known_state_is_not_simulated_again() -> None:
    one = operator("gemm", GEMM, "fp8")
    first = h100().carry_out(one, h100().initial_state)
    again = h100().carry_out(one, h100().initial_state)
    assert all(cell is other for cell, other in zip(first.cells, again.cells, strict=True))
    assert first.state == again.state
    assert hash(first.state) == hash(again.state)


def test_inputs_still_in_the_l2_are_not_read_from_memory() -> None:
    writer = operator("activation", {"tokens": 64, "ffn": 1024, "gated": 1}, "fp8")
    reader = operator("gemm", GEMM, "fp8")
    warm = h100().carry_out(writer, h100().initial_state).state
    cold_bytes = read_bytes(h100().carry_out(reader, h100().initial_state).cells)
    assert read_bytes(h100().carry_out(reader, warm).cells) == cold_bytes - reader.input_bytes


def read_bytes(cells: object) -> int:
    return sum(cell.counters["hbm_read_bytes"] for cell in cells)  # type: ignore[attr-defined]


def test_draining_waits_for_the_writes_under_way_and_only_for_them() -> None:
    assert h100().drain(h100().initial_state) == (None, h100().initial_state)
    writer = operator("gemm", GEMM | {"M": 4096, "N": 4096, "K": 128}, "bf16")
    state = h100().carry_out(writer, h100().initial_state).state
    longest_fs = max(busy for busy, _ in state.backlog)
    assert longest_fs > 0
    cell, quiet = h100().drain(state)
    assert cell is not None
    assert longest_fs <= cell.duration_fs < longest_fs + h100().clock.period_fs
    assert int(cell.activity.amount.sum()) == sum(amount for _, amount in state.backlog)
    assert h100().drain(quiet) == (None, quiet)

"""A whole die on small random kernels: nothing gets lost, and nothing depends on how time was cut into windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import naive
import numpy as np
import pytest
from dice import backlogs, kernels, memory, timings, with_quantum
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dieshot.chips.gpu import Gpu
from dieshot.chips.mapping.gpu import gemm, gemm_tiling
from dieshot.chips.mapping.gpu.weights import WeightLayout
from dieshot.chips.parts.gpu import cache, die, multiprocessor
from dieshot.chips.parts.gpu.bound import serial_fs
from dieshot.chips.parts.gpu.die import Outcome, background, n_components, run_kernel
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory import hbm
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import hbm_design
from dieshot.kernels import sm
from dieshot.simulator.engine.cell import BUSY, Activity
from dieshot.simulator.studies.setup import set_up

EXAMPLES = 60


@st.composite
def launches(draw: st.DrawFn) -> tuple[DieTiming, TileKernel, Any]:
    timing = draw(timings())
    return timing, draw(kernels()), draw(backlogs(timing))


def amount(activity: Activity, components: Any) -> int:
    return int(activity.amount[np.isin(activity.component, components)].sum())


def lines(timing: DieTiming, unit: int) -> Any:
    return sm.N_UNITS * np.arange(timing.n_sms) + unit


def per_cta(kernel: TileKernel, column: int) -> Any:
    return kernel.classes[kernel.ctas[:, sm.K_CLASS], column]


def asked_bytes(kernel: TileKernel, step: int, last: int) -> int:
    """Bytes that all CTAs ask for: every step but the last, the last, and what only the first loads."""
    asked = (per_cta(kernel, sm.C_STEPS) - 1) * per_cta(kernel, step) + per_cta(kernel, last)
    return int((asked + per_cta(kernel, sm.C_ONCE)).sum())


def touched(kernel: TileKernel) -> set[int]:
    tiles: set[int] = set()
    for cta in kernel.ctas:
        steps, once = kernel.classes[cta[sm.K_CLASS], [sm.C_STEPS, sm.C_ONCE]]
        if cta[sm.K_TILE_A] >= 0:
            tiles |= set(range(cta[sm.K_TILE_A], cta[sm.K_TILE_A] + (1 if once else int(steps))))
        if cta[sm.K_TILE_B] >= 0:
            tiles |= set(range(cta[sm.K_TILE_B], cta[sm.K_TILE_B] + int(steps)))
    return tiles


@settings(max_examples=EXAMPLES)
@given(launches())
def test_bytes_are_conserved(launch: Any) -> None:
    timing, kernel, backlog = launch
    moved = run_kernel(timing, kernel, backlog, record=False).counters
    assert moved["l2_read_bytes"] == asked_bytes(kernel, sm.C_READ, sm.C_READ_LAST)
    stored = int(per_cta(kernel, sm.C_STORE).sum()) * kernel.n_groups
    assert moved["l2_write_bytes"] == moved["hbm_write_bytes"] == stored
    cold = touched(kernel) - set(kernel.resident.tolist())
    assert moved["hbm_read_bytes"] >= kernel.tile_bytes[sorted(cold)].sum()
    if timing.l2_capacity_bytes > kernel.tile_bytes.sum():
        assert moved["l2_misses"] == len(cold)
        assert moved["hbm_read_bytes"] == kernel.tile_bytes[sorted(cold)].sum()
    n_asked = [cta[k] >= 0 for cta in kernel.ctas for k in (sm.K_TILE_A, sm.K_TILE_B)]
    assert moved["l2_misses"] >= len(cold) if any(n_asked) else moved["l2_misses"] == 0


@settings(max_examples=EXAMPLES)
@given(launches())
def test_the_log_holds_all_work(launch: Any) -> None:
    timing, kernel, backlog = launch
    outcome = run_kernel(timing, kernel, backlog, record=True)
    steps, groups = per_cta(kernel, sm.C_STEPS), kernel.n_groups
    log = outcome.activity
    macs = steps * (per_cta(kernel, sm.C_MACS1) + per_cta(kernel, sm.C_MACS2)) * groups
    assert amount(log, lines(timing, sm.TENSOR)) == macs.sum()
    ops = (steps * per_cta(kernel, sm.C_OPS) + per_cta(kernel, sm.C_EPILOGUE_OPS)) * groups
    assert amount(log, lines(timing, sm.SIMT)) == ops.sum()
    assert amount(log, lines(timing, sm.COPY)) == asked_bytes(kernel, sm.C_IN, sm.C_IN_LAST)
    moved = outcome.counters
    l2 = timing.n_sms * sm.N_UNITS
    assert amount(log, [l2]) == moved["l2_read_bytes"] + moved["l2_write_bytes"]
    dram = np.arange(l2 + 1, n_components(timing))
    moved_bytes = moved["hbm_read_bytes"] + moved["hbm_write_bytes"] + int(backlog[:, 1].sum())
    assert amount(log, dram) + int(outcome.backlog[:, 1].sum()) == moved_bytes
    assert not log.amount[log.state != BUSY].any()


@settings(max_examples=EXAMPLES)
@given(launches())
def test_busy_time_is_the_work_at_its_rate(launch: Any) -> None:
    timing, kernel, backlog = launch
    log = run_kernel(timing, kernel, backlog, record=True).activity
    busy = (log.state == BUSY) & np.isin(log.component, lines(timing, sm.TENSOR))
    work = per_cta(kernel, sm.C_STEPS) * (per_cta(kernel, sm.C_TENSOR1) + per_cta(kernel, sm.C_TENSOR2))
    assert (log.end_fs - log.start_fs)[busy].sum() == work.sum() * kernel.n_groups


@settings(max_examples=EXAMPLES)
@given(launches())
def test_intervals_of_a_component_do_not_overlap(launch: Any) -> None:
    timing, kernel, backlog = launch
    outcome = run_kernel(timing, kernel, backlog, record=True)
    log = outcome.activity
    assert (log.end_fs > log.start_fs).all()
    assert log.start_fs.min(initial=0) >= 0
    assert log.end_fs.max(initial=0) <= outcome.duration_fs
    order = np.lexsort((log.start_fs, log.component))
    same = log.component[order][1:] == log.component[order][:-1]
    assert (log.start_fs[order][1:] >= log.end_fs[order][:-1])[same].all()


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one.duration_fs == other.duration_fs
    assert one.counters == other.counters
    assert one.backlog.tolist() == other.backlog.tolist()
    for column in Activity.__slots__:
        assert getattr(one.activity, column).tolist() == getattr(other.activity, column).tolist(), column


@settings(max_examples=2 * EXAMPLES)
@given(launches(), st.sampled_from([2, 3, 7]))
def test_shorter_windows_change_nothing(launch: Any, parts: int) -> None:
    timing, kernel, backlog = launch
    shorter = timing.quantum_fs // parts
    assume(shorter > 0)
    expected = run_kernel(with_quantum(timing, shorter), kernel, backlog, record=True)
    assert_same(run_kernel(timing, kernel, backlog, record=True), expected)


@pytest.mark.kernels
@settings(max_examples=EXAMPLES)
@given(launches())
def test_arrays_that_run_full_change_nothing(launch: Any) -> None:
    expected = run_kernel(*launch, record=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessor, "LAUNCH_SPREAD_ROWS", 2)
        patch.setattr(multiprocessor, "LOG_ROWS_A_STAGE", 4)
        patch.setattr(die, "FIRST_ROWS", 1)
        patch.setattr(cache, "FIRST_ROWS", 1)
        patch.setattr(hbm, "FIRST_CAPACITY", 2)
        assert_same(run_kernel(*launch, record=True), expected)


@settings(max_examples=20)
@given(launches())
def test_a_run_repeats_and_recording_does_not_change_it(launch: Any) -> None:
    timing, kernel, backlog = launch
    kept = backlog.copy()
    first = run_kernel(timing, kernel, backlog, record=True)
    assert_same(first, run_kernel(timing, kernel, backlog, record=True))
    blind = run_kernel(timing, kernel, backlog, record=False)
    assert (blind.duration_fs, blind.counters) == (first.duration_fs, first.counters)
    assert blind.backlog[:, 0].tolist() == first.backlog[:, 0].tolist()
    assert backlog.tolist() == kept.tolist()


@settings(max_examples=2 * EXAMPLES)
@given(launches())
def test_no_kernel_takes_longer_than_its_serial_bound(launch: Any) -> None:
    timing, kernel, backlog = launch
    outcome = run_kernel(timing, kernel, backlog, record=False)
    assert outcome.duration_fs <= serial_fs(timing, kernel, int(backlog[:, 0].max()), outcome.counters)


@settings(max_examples=EXAMPLES)
@given(launches())
def test_no_kernel_beats_its_units(launch: Any) -> None:
    timing, kernel, backlog = launch
    outcome = run_kernel(timing, kernel, backlog, record=False)
    matrix = per_cta(kernel, sm.C_STEPS) * (per_cta(kernel, sm.C_TENSOR1) + per_cta(kernel, sm.C_TENSOR2))
    floor_fs = timing.launch_fs + timing.drain_fs
    assert outcome.duration_fs - floor_fs >= int(matrix.sum()) * kernel.n_groups // timing.n_sms
    l2_fs = outcome.counters["l2_read_bytes"] * timing.l2_fs_per_mib // (1 << 20)
    assert outcome.duration_fs - floor_fs >= l2_fs - len(kernel.ctas) * int(kernel.classes[:, sm.C_STEPS].max())


@pytest.mark.parametrize("duration_fs", [0, 1, 40_000, 10**9])
def test_a_backlog_is_worked_off_without_loss(duration_fs: int) -> None:
    policy = ControllerPolicy(n_channels=3)
    hbm = hbm_design(replace(memory(), geometry=replace(memory().geometry, n_pseudo_channels=1)), policy, 128, 1, 0)
    timing = DieTiming(2, 1000, 1, 1, 1, 1, 1, 1, hbm, 1, 1, 1, 1)
    backlog = np.array([[50_000, 777], [0, 0], [90_000, 31]], np.int64)
    activity, left = background(timing, backlog, duration_fs)
    assert int(activity.amount.sum()) + int(left[:, 1].sum()) == 808
    assert left[:, 0].tolist() == [max(0, busy - duration_fs) for busy in backlog[:, 0].tolist()]
    assert activity.end_fs.max(initial=0) <= duration_fs


@pytest.mark.kernels
@settings(max_examples=2 * EXAMPLES)
@given(launches())
def test_a_die_acts_as_its_plain_twin(launch: Any) -> None:
    assert_as_twin(*launch)


def test_a_fill_that_answers_within_a_window_is_not_late() -> None:
    """A narrow GEMM whose small tiles come back one by one: a response needs no look-up, so no window may span it."""
    chip = set_up("h100-sxm").chip
    assert isinstance(chip, Gpu)
    kernel = gemm.build(
        chip.machine,
        gemm_tiling.GemmShape((1,), 4096, 4096, "fp8", WeightLayout("fp8", "fp8"), 2),
        gemm_tiling.GemmTiling(16, 16, False, 1, 1),
    )
    backlog = np.zeros((chip.timing.hbm.n_pins, 2), np.int64)
    whole = run_kernel(chip.timing, kernel, backlog, record=False)
    shorter = run_kernel(with_quantum(chip.timing, chip.timing.quantum_fs // 3), kernel, backlog, record=False)
    assert (whole.duration_fs, whole.counters) == (shorter.duration_fs, shorter.counters)


def assert_as_twin(timing: DieTiming, kernel: TileKernel, backlog: Any) -> None:
    outcome = run_kernel(timing, kernel, backlog, record=True)
    twin = naive.Die(timing, kernel, backlog[:, 0].tolist())
    assert outcome.duration_fs == twin.run()
    moved = outcome.counters
    for key, count in twin.cache.counts.items():
        assert moved[f"l2_{key}"] == count, key
    assert (moved["hbm_read_bytes"], moved["hbm_write_bytes"]) == (twin.dram.read_bytes, twin.dram.write_bytes)
    while twin.dram.under_way:
        assert not twin.dram.advance()
    ends = [end * timing.hbm.tick_fs for end in twin.dram.data_end]
    assert outcome.backlog[:, 0].tolist() == [max(0, end - outcome.duration_fs) for end in ends]
    pipes = [pipe for multiprocessor in twin.sms for pipe in busy_of(multiprocessor)]
    for component, expected in enumerate([*pipes, twin.cache.pipe.busy]):
        logged = [row for row in intervals(outcome.activity, component) if row[2] == BUSY]
        plain = naive.merged(expected)
        assert [row[:2] for row in logged] == [row[:2] for row in plain], component
        assert sum(row[3] for row in logged) == sum(row[3] for row in plain), component
    first = timing.n_sms * sm.N_UNITS + 1
    for line, expected in enumerate(twin.dram.intervals):
        before = [(0, int(backlog[line, 0]), BUSY, int(backlog[line, 1]))] if backlog[line, 0] else []
        plain = [row for row in naive.merged([*before, *expected]) if row[0] < outcome.duration_fs]
        cut = [(start, min(end, outcome.duration_fs), state) for start, end, state, _ in plain]
        assert [row[:3] for row in intervals(outcome.activity, first + line)] == cut, line


def busy_of(multiprocessor: naive.Multiprocessor) -> list[list[naive.Interval]]:
    return [multiprocessor.busy["tensor"], multiprocessor.busy["simt"], multiprocessor.copy.busy]


def intervals(log: Activity, component: int) -> list[naive.Interval]:
    """Return what one component did."""
    mine = log.component == component
    columns = (getattr(log, column)[mine].tolist() for column in ("start_fs", "end_fs", "state", "amount"))
    return naive.merged(sorted(zip(*columns, strict=True)))

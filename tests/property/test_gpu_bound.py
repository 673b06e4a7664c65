"""Every operator of a GPU takes at least its roofline and at most its serial bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from dice import memory
from hypothesis import given, settings
from hypothesis import strategies as st
from operators import all_reduce, attentions, gemms, local, narrow_gemms, streams

from dieshot.chips.parts.gpu.bound import serial_fs
from dieshot.chips.parts.gpu.die import run_kernel
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import hbm_design
from dieshot.kernels import sm
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.studies.bounds import roofline
from dieshot.simulator.studies.setup import SystemSetup, set_up
from dieshot.traces import Operator

ROUNDING = 1e-5  # a clock period is a whole number of femtoseconds


@cache
def system(name: str) -> SystemSetup:
    return set_up(name)


def check(operator: Operator) -> None:
    chip = system("h100-sxm").chip
    outcome = chip.carry_out(operator, chip.initial_state, record=False)
    lower_fs = roofline(operator, chip.peaks()).seconds * FS_PER_SECOND
    assert lower_fs * (1 - ROUNDING) <= outcome.duration_fs
    assert outcome.duration_fs <= sum(cell.counters["serial_fs"] for cell in outcome.cells)


@settings(max_examples=80)
@given(gemms())
def test_gemms(operator: Operator) -> None:
    check(operator)


@settings(max_examples=60)
@given(narrow_gemms())
def test_gemms_whose_weights_are_stored_otherwise_than_multiplied(operator: Operator) -> None:
    check(operator)


@settings(max_examples=50)
@given(attentions())
def test_attention(operator: Operator) -> None:
    check(operator)


@settings(max_examples=40)
@given(streams())
def test_streams(operator: Operator) -> None:
    check(operator)


@settings(max_examples=30)
@given(st.lists(local(), min_size=2, max_size=5))
def test_bounds_hold_behind_earlier_operators(operators: list[Operator]) -> None:
    """The cache is warm and the DRAM still writes when the next operator starts."""
    chip = system("h100-sxm").chip
    state = chip.initial_state
    for operator in operators:
        outcome = chip.carry_out(operator, state, record=False)
        state = outcome.state
        lower_fs = roofline(operator, chip.peaks()).seconds * FS_PER_SECOND
        serial_fs = sum(cell.counters["serial_fs"] for cell in outcome.cells)
        assert lower_fs * (1 - ROUNDING) <= outcome.duration_fs <= serial_fs


@settings(max_examples=60)
@given(st.integers(1, 1 << 24), st.integers(2, 8))
def test_collectives(elements: int, group: int) -> None:
    setup = system("dgx-h100")
    fabric = setup.placed(group, 1).fabric
    assert fabric is not None
    assert setup.fabric_parameters is not None
    link = setup.fabric_parameters.values
    operator = all_reduce(elements, group)
    lower_s = roofline(operator, {"link": float(link.n_links * link.rate), "memory": 1.0}).link
    assert fabric.carry_out(operator, group, record=False).duration_fs >= lower_s * FS_PER_SECOND


def chain_of_loads(n_steps: int, timing: DieTiming) -> TileKernel:
    """CTAs that wait for one access after the other, all channels but one idle."""
    classes = np.zeros((1, sm.N_CLASS), np.int64)
    classes[0, [sm.C_READ, sm.C_READ_LAST, sm.C_IN, sm.C_IN_LAST]] = 1
    classes[0, sm.C_STEPS] = n_steps
    ctas = np.array([[0, n_steps * i, -1, -1] for i in range(3)], np.int64)
    tile_bytes = np.full(3 * n_steps, timing.hbm.access_bytes)
    return TileKernel("chain", "gemm", classes, ctas, tile_bytes, np.zeros(0, np.int64), 1, 1, 1, True, {})


def uneven_deal(n_waves: int, timing: DieTiming) -> TileKernel:
    """A persistent kernel whose heavy CTAs all fall to the first SM."""
    classes = np.zeros((2, sm.N_CLASS), np.int64)
    classes[:, [sm.C_STEPS, sm.C_READ, sm.C_READ_LAST, sm.C_IN, sm.C_IN_LAST]] = 1
    classes[:, sm.C_TENSOR1] = [1_000_000, 1000]
    ctas = np.full((n_waves * timing.n_sms, sm.N_CTA), -1, np.int64)
    ctas[:, sm.K_CLASS] = np.arange(len(ctas)) % timing.n_sms > 0
    empty = np.zeros(0, np.int64)
    return TileKernel("uneven", "gemm", classes, ctas, empty, empty, 1, 1, 1, True, {})


@pytest.mark.parametrize(("build", "n"), [(chain_of_loads, 200), (uneven_deal, 10)])
def test_serial_bound_of_kernels_that_use_a_die_badly(build: Callable[[int, DieTiming], TileKernel], n: int) -> None:
    mib = 1 << 20
    timings = replace(memory().timings, tCK=2000)
    hbm = hbm_design(replace(memory(), timings=timings), ControllerPolicy(n_channels=5), 256, 1000, 0)
    timing = DieTiming(4, 1000, 1000, 0, 1000, mib, 1 << 40, mib, hbm, 0, 1000, 0, 0)
    kernel = build(n, timing)
    outcome = run_kernel(timing, kernel, np.zeros((hbm.n_pins, 2), np.int64), record=False)
    assert outcome.duration_fs <= serial_fs(timing, kernel, 0, outcome.counters) < 3 * outcome.duration_fs

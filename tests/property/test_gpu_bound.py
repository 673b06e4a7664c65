"""Every operator of a GPU takes at least its roofline and at most its serial bound."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from operators import all_reduce, attentions, gemms, local, streams

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
    assert setup.fabric is not None
    assert setup.fabric_parameters is not None
    link = setup.fabric_parameters.values
    operator = all_reduce(elements, group)
    lower_s = roofline(operator, {"link": float(link.n_links * link.rate), "hbm": 1.0}).link
    assert setup.fabric.carry_out(operator, group, record=False).duration_fs >= lower_s * FS_PER_SECOND

"""Clocks: whole femtoseconds, edges, transfers without rounding errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.simulator.engine.clock import FS_PER_SECOND, Clock, transfer_fs

PERIODS = st.integers(1, 10**7)
TIMES = st.integers(0, 10**15)


def test_period_is_the_nearest_whole_femtosecond() -> None:
    clock = Clock.from_hz(1_755_000_000)
    assert clock.period_fs == 569_801
    assert abs(clock.period_fs * 1.755e9 / FS_PER_SECOND - 1) < 1e-6


@pytest.mark.parametrize("frequency_hz", [0, -5])
def test_a_clock_must_tick(frequency_hz: int) -> None:
    with pytest.raises(ValueError, match=f"must be positive, not {frequency_hz} Hz"):
        Clock.from_hz(frequency_hz)


@given(PERIODS, TIMES)
def test_a_time_lies_between_its_edges(period_fs: int, time_fs: int) -> None:
    clock = Clock(1, period_fs)
    floor, ceil = clock.floor_cycles(time_fs), clock.ceil_cycles(time_fs)
    assert clock.fs(floor) <= time_fs < clock.fs(floor + 1)
    assert clock.fs(ceil - 1) < time_fs <= clock.fs(ceil)


@given(st.integers(0, 2**50), st.integers(1, 10**16))
def test_a_transfer_is_the_least_time_that_suffices(amount: int, per_second: int) -> None:
    time_fs = transfer_fs(amount, per_second)
    assert time_fs * per_second >= amount * FS_PER_SECOND > (time_fs - 1) * per_second

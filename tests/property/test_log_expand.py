"""Totals, dense cycles and windows of the log agree on random activities, and with a cycle-by-cycle twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.simulator.engine.cell import STATES, Activity, ComponentSpec
from dieshot.simulator.log.expand import cycle_intervals, dense
from dieshot.simulator.log.total import totals

Row = tuple[int, int, int, int, int, int, int]


@st.composite
def timelines(draw: st.DrawFn, component: int, clock_period_fs: int) -> tuple[list[Row], int]:
    """Draw loops of one component, one after the other; return rows and the end (fs)."""
    rows: list[Row] = []
    now_fs = draw(st.integers(0, 30))
    for _ in range(draw(st.integers(0, 4))):
        body_start_fs = now_fs
        body: list[tuple[int, int, int, int]] = []
        for _ in range(draw(st.integers(1, 3))):
            length_fs = draw(st.integers(0, 40))
            body.append((now_fs, now_fs + length_fs, draw(st.integers(1, len(STATES) - 1)), draw(st.integers(0, 100))))
            now_fs += length_fs + draw(st.integers(0, 25))
        period_fs = now_fs - body_start_fs + draw(st.integers(0, 9))
        if draw(st.booleans()):
            period_fs = -(-period_fs // clock_period_fs) * clock_period_fs
        repeat = draw(st.integers(1, 6)) if period_fs else 1
        last = [repeat - draw(st.integers(0, min(1, repeat - 1))) if draw(st.booleans()) else repeat for _ in body]
        rows += [(component, *interval, n, period_fs) for interval, n in zip(body, last, strict=True)]
        now_fs = body_start_fs + repeat * period_fs + draw(st.integers(0, 30))
    return rows, now_fs


@st.composite
def activities(draw: st.DrawFn) -> tuple[Activity, list[ComponentSpec], int]:
    """Draw an activity of one to three components, rows in any order, with specs and duration (fs)."""
    periods_fs = draw(st.lists(st.sampled_from([1, 7, 10, 16]), min_size=1, max_size=3))
    rows: list[Row] = []
    duration_fs = 1
    for component, period_fs in enumerate(periods_fs):
        drawn, end_fs = draw(timelines(component, period_fs))
        rows += drawn
        duration_fs = max(duration_fs, end_fs)
    rows = draw(st.permutations(rows))
    columns = np.array(rows, np.int64).reshape(-1, 7).T.copy()
    activity = Activity(columns[0].astype(np.int32), columns[1], columns[2], columns[3].astype(np.int8), *columns[4:])
    specs = [ComponentSpec(f"part{i}", "part", period, "op", 3) for i, period in enumerate(periods_fs)]
    return activity, specs, duration_fs + draw(st.integers(0, 20))


def naive_cycles(activity: Activity, component: int, period_fs: int, n_cycles: int) -> tuple[list[int], list[int]]:
    """Return state and amount per cycle, spelled out interval by interval."""
    columns = (activity.start_fs, activity.end_fs, activity.state, activity.amount, activity.repeat, activity.period_fs)
    rows = zip(activity.component.tolist(), *(column.tolist() for column in columns), strict=True)
    intervals = []
    for owner, start, end, state, amount, repeat, every in sorted(rows, key=lambda row: row[:3]):
        if owner == component:
            intervals += [(start + i * every, end + i * every, state, amount) for i in range(repeat)]
    states, amounts, free = [0] * n_cycles, [0] * n_cycles, 0
    for start, end, state, amount in sorted(intervals, key=lambda interval: interval[:2]):
        first, last = max(start // period_fs, free), -(-end // period_fs)
        free = last
        if first == last:
            amounts[max(first - 1, 0)] += amount
        for cycle in range(first, last):
            done = cycle - first
            states[cycle] = state
            amounts[cycle] += amount * (done + 1) // (last - first) - amount * done // (last - first)
    return states, amounts


@settings(max_examples=150, deadline=None)
@given(activities())
def test_dense_equals_the_naive_twin_and_adds_up_to_the_totals(
    drawn: tuple[Activity, list[ComponentSpec], int],
) -> None:
    activity, specs, duration_fs = drawn
    counted = totals(activity, specs, duration_fs)
    for component, spec in enumerate(specs):
        n_cycles = -(-duration_fs // spec.clock_period_fs)
        window = dense(cycle_intervals(activity, specs, component), 0, n_cycles, 3)
        states, amounts = naive_cycles(activity, component, spec.clock_period_fs, n_cycles)
        assert window.state.tolist() == states
        assert window.amount.tolist() == amounts
        assert (window.energy_fj == 3 * window.amount).all()
        assert np.bincount(window.state, minlength=len(STATES)).tolist() == counted.cycles[component].tolist()
        assert window.amount.sum() == counted.amount[component]


@settings(max_examples=150, deadline=None)
@given(activities(), st.data())
def test_a_window_shows_what_the_whole_shows(
    drawn: tuple[Activity, list[ComponentSpec], int], data: st.DataObject
) -> None:
    activity, specs, duration_fs = drawn
    n_cycles = -(-duration_fs // specs[0].clock_period_fs)
    start = data.draw(st.integers(0, n_cycles - 1))
    stop = data.draw(st.integers(start + 1, n_cycles))
    whole = dense(cycle_intervals(activity, specs, 0), 0, n_cycles)
    window = dense(cycle_intervals(activity, specs, 0, start, stop), start, stop)
    assert window.state.tolist() == whole.state[start:stop].tolist()
    assert window.amount.tolist() == whole.amount[start:stop].tolist()

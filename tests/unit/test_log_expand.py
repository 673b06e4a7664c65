"""The edges of the cycle rule: which cycle an interval gets, and where its amount goes."""

from __future__ import annotations

import numpy as np
import pytest

from dieshot.simulator.engine.cell import BUSY, STALL_LINK, STALL_MEMORY, Activity, ComponentSpec
from dieshot.simulator.log.expand import CycleIntervals, cycle_intervals, dense
from dieshot.simulator.log.total import totals

SPECS = [ComponentSpec("part", "part", 10, "op", 1)]


def activity(*rows: tuple[int, int, int, int, int, int]) -> Activity:
    """Return an activity of the one component from rows (start, end, state, amount, repeat, period)."""
    columns = np.array(rows, np.int64).reshape(-1, 6).T.copy()
    component = np.zeros(len(rows), np.int32)
    return Activity(component, columns[0], columns[1], columns[2].astype(np.int8), *columns[3:])


@pytest.mark.parametrize(
    ("rows", "state", "amount"),
    [
        # On the edges, one femtosecond inside them, and one beyond.
        (((10, 20, BUSY, 5, 1, 0),), [0, 1, 0, 0], [0, 5, 0, 0]),
        (((11, 19, BUSY, 5, 1, 0),), [0, 1, 0, 0], [0, 5, 0, 0]),
        (((9, 21, BUSY, 5, 1, 0),), [1, 1, 1, 0], [1, 2, 2, 0]),
        # Two meet on an edge, then inside a cycle: the earlier one has it.
        (((0, 10, BUSY, 5, 1, 0), (10, 20, STALL_LINK, 0, 1, 0)), [1, 3, 0, 0], [5, 0, 0, 0]),
        (((0, 11, BUSY, 5, 1, 0), (11, 30, STALL_LINK, 0, 1, 0)), [1, 1, 3, 0], [2, 3, 0, 0]),
        # One without a cycle of its own: its amount goes to the cycle before.
        (((0, 11, STALL_MEMORY, 0, 1, 0), (11, 20, BUSY, 7, 1, 0)), [2, 2, 0, 0], [0, 7, 0, 0]),
        (((0, 3, BUSY, 1, 4, 3),), [1, 1, 0, 0], [3, 1, 0, 0]),
        (((20, 20, BUSY, 7, 1, 0),), [0, 0, 0, 0], [0, 7, 0, 0]),
        (((0, 0, BUSY, 7, 1, 0),), [0, 0, 0, 0], [7, 0, 0, 0]),
        # Repetitions off the clock's grid.
        (((0, 5, BUSY, 4, 3, 15),), [1, 1, 0, 1], [4, 4, 0, 4]),
    ],
)
def test_cycles(rows: tuple[tuple[int, int, int, int, int, int], ...], state: list[int], amount: list[int]) -> None:
    window = dense(cycle_intervals(activity(*rows), SPECS, 0), 0, 4)
    assert window.state.tolist() == state
    assert window.amount.tolist() == amount
    counted = totals(activity(*rows), SPECS, 40)
    assert counted.cycles[0].tolist() == np.bincount(state, minlength=9).tolist()
    assert counted.amount.tolist() == [sum(amount)]


def test_shares_of_very_long_intervals_are_exact() -> None:
    n_cycles, amount = 3 * 2**33 + 1, 2**60 + 12345
    long = activity((0, 10 * n_cycles, BUSY, amount, 1, 0))
    for start in (0, 2**33, n_cycles - 5):
        window = dense(cycle_intervals(long, SPECS, 0, start, start + 5), start, start + 5)
        exact = [amount * (cycle + 1) // n_cycles - amount * cycle // n_cycles for cycle in range(start, start + 5)]
        assert window.amount.tolist() == exact


def test_where_two_copies_meet_amounts_add_and_busy_wins() -> None:
    first, last = np.array([0, 1, 2]), np.array([2, 3, 3])
    states = np.array([STALL_MEMORY, BUSY, STALL_LINK], np.int8)
    window = dense(CycleIntervals(first, last, states, np.array([4, 6, 1])), 0, 4, np.array([1, 10, 100]))
    assert window.state.tolist() == [STALL_MEMORY, BUSY, BUSY, 0]
    assert window.amount.tolist() == [2, 5, 4, 0]
    assert window.energy_fj.tolist() == [2, 32, 130, 0]


def test_a_long_loop_is_counted_and_not_expanded() -> None:
    loop = activity((0, 4, STALL_MEMORY, 0, 10**9, 20), (4, 13, BUSY, 3, 10**9, 20))
    counted = totals(loop, SPECS, 20 * 10**9)
    assert counted.cycles[0, [0, BUSY, STALL_MEMORY]].tolist() == [0, 10**9, 10**9]
    assert counted.amount.tolist() == [3 * 10**9]
    with pytest.raises(ValueError, match="2,000,000,000 intervals in one window"):
        cycle_intervals(loop, SPECS, 0)
    window = dense(cycle_intervals(loop, SPECS, 0, 10**9, 10**9 + 4), 10**9, 10**9 + 4)
    assert window.state.tolist() == [STALL_MEMORY, BUSY] * 2


def test_no_activity_is_idle() -> None:
    assert totals(Activity.empty(), SPECS, 41).cycles[0].tolist() == [5, *[0] * 8]
    assert dense(cycle_intervals(Activity.empty(), SPECS, 0), 0, 3).state.tolist() == [0, 0, 0]

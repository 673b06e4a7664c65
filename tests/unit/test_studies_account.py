"""The account of a run: whole numbers that add up, whatever was placed how often."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dieshot.simulator.engine.cell import BUSY, IDLE, STALL_MEMORY, Activity, Cell, ComponentSpec
from dieshot.simulator.studies.account import Account

PERIOD_FS = 1000
SPECS = (
    ComponentSpec("sm0/tensor", "tensor", PERIOD_FS, "MAC", 8, static_fj_per_cycle=7),
    ComponentSpec("sm1/tensor", "tensor", PERIOD_FS, "MAC", 8),
    ComponentSpec("l2", "l2", 2 * PERIOD_FS, "byte", 64, static_fj_per_cycle=3, count=4),
)


def cell(busy_cycles: int, stalled_cycles: int, macs: int) -> Cell:
    """Return a cell in which SM 0 waits for memory and then works; 20 cycles long."""
    wait_fs, end_fs = stalled_cycles * PERIOD_FS, (stalled_cycles + busy_cycles) * PERIOD_FS
    activity = Activity(
        np.array([0, 0], np.int32),
        np.array([0, wait_fs]),
        np.array([wait_fs, end_fs]),
        np.array([STALL_MEMORY, BUSY], np.int8),
        np.array([0, macs]),
        np.ones(2, np.int64),
        np.zeros(2, np.int64),
    )
    return Cell((busy_cycles, stalled_cycles, macs), "cell", "gemm", 20 * PERIOD_FS, activity, {"tensor": 5})


@given(
    placed=st.lists(
        st.tuples(st.integers(1, 10), st.integers(1, 10), st.integers(0, 10**6), st.integers(1, 50)),
        min_size=1,
        max_size=6,
    ),
    n_chips=st.integers(1, 8),
)
def test_sums_are_those_of_the_cells_times_their_copies(placed: list[tuple[int, int, int, int]], n_chips: int) -> None:
    account = Account(SPECS, n_chips)
    for busy, stalled, macs, copies in placed:
        account.place(cell(busy, stalled, macs), copies * n_chips)
    duration_fs = 20 * PERIOD_FS * sum(copies for *_, copies in placed)
    totals = account.close(duration_fs)
    assert totals.cycles["tensor"][BUSY] == n_chips * sum(busy * copies for busy, _, _, copies in placed)
    assert totals.cycles["tensor"][STALL_MEMORY] == n_chips * sum(stalled * copies for _, stalled, _, copies in placed)
    assert sum(totals.cycles["tensor"]) == 2 * n_chips * duration_fs // PERIOD_FS
    assert totals.cycles["l2"][IDLE] == sum(totals.cycles["l2"]) == n_chips * duration_fs // (2 * PERIOD_FS)
    work = n_chips * sum(macs * copies for _, _, macs, copies in placed)
    assert totals.amount["tensor"] == work
    static_fj = n_chips * (7 * duration_fs // PERIOD_FS + 3 * 4 * duration_fs // (2 * PERIOD_FS))
    assert totals.energy_fj == 5 * work + static_fj
    shares = totals.fractions("tensor") | {"busy": totals.utilization()["tensor"]}
    assert abs(sum(shares.values()) - 1) < 1e-12

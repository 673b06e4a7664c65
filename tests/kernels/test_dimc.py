"""In-memory arrays against a core that is stepped cycle by cycle, and against closed forms."""

from __future__ import annotations

from typing import Any

import naive_dimc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.kernels import dimc
from dieshot.kernels.interval import close_all
from dieshot.simulator.engine.cell import BUSY, STALL_LINK, STALL_MEMORY

FAR = 1 << 40
WAITS = np.array([[0, STALL_LINK]], np.int64)  # for vectors; whatever comes after is for tiles
CYCLES = st.integers(1, 9)


def passes(
    n_tiles: list[int], arrivals: list[list[int]], select: int, vector: int, buffers: int, ready: int = 0
) -> tuple[Any, Any]:
    """Return when each vector is done, by chiplet, and the rows of the log (line, start, end, state, amount)."""
    n, items = len(n_tiles), len(arrivals[0])
    state = np.zeros((n, dimc.N_ARRAY), np.int64)
    tiles = np.array([(t, 100 * t, 1000 * t) for t in n_tiles], np.int64)
    done = np.zeros((n, items), np.int64)
    open_ = np.zeros((2 * n, 4), np.int64)
    log = np.zeros((10_000, 5), np.int64)
    table = np.array(arrivals, np.int64)
    n_log = dimc.pass_tiles(select, vector, buffers, ready, 1, state, tiles, table, WAITS, done, open_, log)
    n_log = close_all(FAR, open_, n_log, log)
    return done, log[:n_log]


def busy_cycles(log: Any, line: int) -> list[int]:
    rows = log[(log[:, 0] == line) & (log[:, 3] == BUSY)]
    return sorted(cycle for row in rows for cycle in range(row[1], row[2]))


@pytest.mark.nojit
@settings(max_examples=150)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=3),
    st.lists(st.integers(0, 12), min_size=1, max_size=6),
    CYCLES,
    CYCLES,
    st.integers(1, 2),
    st.integers(0, 8),
)
def test_tiles_pass_as_in_a_core_stepped_cycle_by_cycle(
    n_tiles: list[int], gaps: list[int], select: int, vector: int, buffers: int, ready: int
) -> None:
    arrivals = np.cumsum(gaps).tolist()
    done, log = passes(n_tiles, [arrivals] * len(n_tiles), select, vector, buffers, ready)
    for chiplet, n in enumerate(n_tiles):
        slow = naive_dimc.Core(select, vector, buffers, n, arrivals, ready).run()
        assert done[chiplet].tolist() == (slow.done if n else arrivals)
        assert busy_cycles(log, 2 * chiplet) == slow.selecting
        assert busy_cycles(log, 2 * chiplet + 1) == slow.multiplying
        own = log[log[:, 0] == 2 * chiplet]
        assert own[:, 4].sum() == 100 * n
        assert log[log[:, 0] == 2 * chiplet + 1][:, 4].sum() == 1000 * n


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([4, 8, 16]))
def test_cycles_of_a_gemm_have_a_closed_form(n_tiles: int, n_vectors: int, bits: int) -> None:
    there = [[0] * n_vectors]
    multiply = n_vectors * bits
    done, log = passes([n_tiles], there, 64, bits, 2)
    assert done[0, -1] == 64 + (n_tiles - 1) * max(64, multiply) + multiply
    stalled = log[(log[:, 0] == 1) & (log[:, 3] == STALL_MEMORY)]
    assert (stalled[:, 2] - stalled[:, 1]).sum() == 64 + (n_tiles - 1) * max(0, 64 - multiply)
    done, _ = passes([n_tiles], there, 64, bits, 1)
    assert done[0, -1] == n_tiles * (64 + multiply)


@pytest.mark.parametrize(("bits", "batch"), [(8, 8), (4, 16)])
def test_selection_is_the_limit_up_to_this_batch(bits: int, batch: int) -> None:
    ends = [int(passes([100], [[0] * n], 64, bits, 2)[0][0, -1]) for n in range(1, 2 * batch + 1)]
    steps = np.diff(ends)
    assert (steps[: batch - 1] == bits).all()  # only the last tile takes longer
    assert (steps[batch - 1 :] == 100 * bits).all()


@pytest.mark.nojit
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(1, 50), CYCLES, CYCLES, st.integers(0, 9))
def test_a_server_takes_fractions_of_cycles(gaps: list[int], amount: int, scale: int, rate: int, latency: int) -> None:
    arrivals = np.cumsum(gaps)
    done = np.zeros((1, len(gaps)), np.int64)
    state, open_ = np.zeros((1, dimc.N_SERVER), np.int64), np.zeros((1, 4), np.int64)
    log = np.zeros((len(gaps) + 2, 5), np.int64)
    amounts = np.array([amount], np.int64)
    n_log = dimc.serve(scale, rate, latency, 1, state, amounts, arrivals.reshape(1, -1), done, open_, log)
    assert done[0].tolist() == naive_dimc.serve(arrivals.tolist(), amount, scale, rate, latency)
    n_log = close_all(FAR, open_, n_log, log)
    assert log[:n_log, 4].sum() == amount * len(gaps)
    assert (log[1:n_log, 1] >= log[: n_log - 1, 2]).all()


def test_nothing_to_serve_takes_no_time() -> None:
    arrivals = np.array([[3, 5]], np.int64)
    done = np.zeros_like(arrivals)
    state, log = np.zeros((1, dimc.N_SERVER), np.int64), np.zeros((3, 5), np.int64)
    dimc.serve(1, 1, 9, 1, state, np.zeros(1, np.int64), arrivals, done, np.zeros((1, 4), np.int64), log)
    assert done.tolist() == arrivals.tolist()

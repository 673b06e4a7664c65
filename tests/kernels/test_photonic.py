"""Blocks on optical arrays against arrays moved tick by tick, and what the kernel refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_photonic import Block, Core

from dieshot.kernels.photonic import (
    COUNT,
    END,
    INTERVAL,
    LIMIT,
    N_RUN,
    N_STATE,
    N_TIMES,
    OK,
    START_1,
    START_2,
    VECTORS,
    WRITE_1,
    WRITE_2,
    WRITE_3,
    pass_blocks,
)

N_CORES = 2
RUN = st.tuples(st.integers(0, 1), st.integers(1, 4), st.integers(0, 9), st.integers(0, 5), st.integers(1, 5))
CALL = st.tuples(st.integers(0, 30), st.integers(0, 30), st.lists(RUN, min_size=1, max_size=3))


def rows_of(runs: list[tuple[int, ...]]) -> np.ndarray:
    rows = np.zeros((len(runs), N_RUN), np.int64)
    rows[:, :5] = runs
    return rows


@pytest.mark.nojit
@settings(max_examples=60)
@given(st.integers(1, 3), st.integers(1, 2), st.lists(CALL, min_size=1, max_size=3))
def test_blocks_act_as_moved_tick_by_tick(
    issue: int, buffers: int, calls: list[tuple[int, int, list[tuple[int, ...]]]]
) -> None:
    cores = [Core(issue, buffers) for _ in range(N_CORES)]
    state = np.zeros((N_CORES, N_STATE), np.int64)
    found: list[list[tuple[int, int, int]]] = [[] for _ in cores]
    for weights_ready, vectors_ready, runs in calls:
        times = np.empty((len(runs), N_TIMES), np.int64)
        assert pass_blocks(issue, buffers, weights_ready, vectors_ready, state, rows_of(runs), len(runs), times) == OK
        for (core, vectors, write, settle, count), t in zip(runs, times.tolist(), strict=True):
            for i in range(count):
                rest = (i - 2) * t[INTERVAL]
                write_start = (t[WRITE_1], t[WRITE_2])[i] if i < 2 else t[WRITE_3] + rest
                start = t[START_1] if i == 0 else t[START_2] + (i - 1) * t[INTERVAL]
                found[core].append((write_start, start, start + vectors * issue))
                cores[core].blocks.append(Block(write, settle, vectors, weights_ready, vectors_ready))
            assert found[core][-1][2] == t[END]
    for core, expected in zip(cores, found, strict=True):
        core.run()
        assert [(b.write_start, b.pass_start, b.pass_end) for b in core.blocks] == expected


@pytest.mark.parametrize("buffers", [1, 2])
def test_a_second_buffer_hides_the_shorter_of_writing_and_passing(buffers: int) -> None:
    for write, vectors in ((100, 30), (30, 100)):
        times = np.empty((1, N_TIMES), np.int64)
        pass_blocks(1, buffers, 0, 0, np.zeros((1, N_STATE), np.int64), rows_of([(0, vectors, write, 7, 50)]), 1, times)
        assert times[0, INTERVAL] == (max(write, vectors + 7) if buffers == 2 else write + vectors + 7)


@pytest.mark.parametrize(
    ("column", "value"), [(0, -1), (0, 2), (VECTORS, 0), (VECTORS, LIMIT), (2, -1), (3, -1), (COUNT, 0), (COUNT, LIMIT)]
)
def test_what_is_no_run_is_refused_by_its_number(column: int, value: int) -> None:
    rows = rows_of([(0, 1, 10, 10, 1), (0, 1, 10, 10, 2)])
    rows[1, column] = value
    state, times = np.zeros((N_CORES, N_STATE), np.int64), np.empty((2, N_TIMES), np.int64)
    assert pass_blocks(2, 2, 0, 0, state, rows, 2, times) == -2


def test_neither_three_buffers_nor_no_issue_interval() -> None:
    state, times = np.zeros((1, N_STATE), np.int64), np.empty((1, N_TIMES), np.int64)
    for issue, buffers in ((2, 3), (2, 0), (0, 1)):
        assert pass_blocks(issue, buffers, 0, 0, state, rows_of([(0, 1, 1, 1, 1)]), 1, times) == -1

"""Lanes, vector streams and banks of a block in ROM against their cycle-by-cycle twins."""

from __future__ import annotations

from typing import Any

import naive_model_rom
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels.interval import N_OPEN, close_all
from dieshot.kernels.model_rom import multiply_select, read_banks, stream

FOREVER = 2**62
TIMES = st.lists(st.integers(0, 30), min_size=1, max_size=12).map(sorted)


def log_of(open_: Any, log: Any, n_log: int) -> Any:
    n_log = close_all(FOREVER, open_, n_log, log)
    return log[:n_log]


def select(
    ready: list[int], rows: int, columns: int, n_rows: int, n_columns: int, arrival: int, result: int, depth: int
) -> tuple[list[int], Any]:
    done = np.zeros(-(-n_columns // columns), np.int64)
    open_, log = np.zeros((2, N_OPEN), np.int64), np.empty((len(ready) * (len(done) + 1) + 2, 5), np.int64)
    free, held = np.zeros(2, np.int64), np.zeros(depth, np.int64)
    at = np.array(ready, np.int64)
    n_log = multiply_select(
        0, 1, rows, columns, n_rows, n_columns, 8, arrival, result, free, held, at, done, open_, log
    )
    return done.tolist(), log_of(open_, log, n_log)


@pytest.mark.nojit
@given(TIMES, st.integers(1, 4), st.integers(0, 6), st.integers(0, 5), st.integers(1, 7))
def test_lanes_act_as_their_plain_twin(ready: list[int], n_parts: int, arrival: int, result: int, depth: int) -> None:
    n_rows, n_columns = 16 * len(ready) - 5, 10 * n_parts - 3
    done, log = select(ready, 16, 10, n_rows, n_columns, arrival, result, depth)
    formed, expected = naive_model_rom.multiply_select(ready, n_parts, arrival, result, depth)
    assert done == expected
    lanes, former = log[log[:, 0] == 0], log[log[:, 0] == 1]
    assert int(lanes[:, 4].sum()) == n_rows * n_columns
    assert int((lanes[:, 2] - lanes[:, 1]).sum()) == len(ready) * n_parts
    assert int(former[:, 4].sum()) == n_rows * 8
    cycles = [cycle for row in former.tolist() for cycle in range(row[1], row[2])]
    assert cycles == formed


def test_groups_follow_each_other_without_a_gap_where_enough_are_on_the_way() -> None:
    assert select([0] * 32, 128, 2048, 4096, 4096, 6, 7, 6)[0][-1] == 6 + 2 * 32 + 7
    # one group on its way at a time: each has to arrive before the next is formed
    assert select([0] * 32, 128, 2048, 4096, 4096, 6, 7, 1)[0][-1] == 32 * 6 + 2 + 7


@pytest.mark.nojit
@given(TIMES, st.integers(1, 40), st.integers(1, 9), st.integers(0, 5), st.integers(0, 3), st.integers(0, 9))
def test_streams_act_as_their_plain_twin(
    ready: list[int], rate: int, special_rate: int, ops: int, specials: int, latency: int
) -> None:
    elements = np.array([7 + 3 * i % 5 for i in range(len(ready))], np.int64)
    done, free, at = np.zeros(len(ready), np.int64), np.zeros(1, np.int64), np.array(ready, np.int64)
    open_, log = np.zeros((1, N_OPEN), np.int64), np.empty((len(ready) + 1, 5), np.int64)
    n_log = stream(0, rate, special_rate, ops, specials, latency, free, elements, at, done, open_, log)
    expected = naive_model_rom.stream(ready, elements.tolist(), rate, special_rate, ops, specials, latency)
    assert done.tolist() == expected
    rows = log_of(open_, log, n_log)
    if ops + specials:
        assert int(rows[:, 4].sum()) == int(elements.sum()) * (ops + specials)
    assert (rows[1:, 1] >= rows[:-1, 2]).all()


@pytest.mark.nojit
@given(
    TIMES,
    st.integers(1, 8),
    st.integers(0, 20),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(0, 5),
    st.integers(1, 5),
    st.booleans(),
)
def test_banks_act_as_their_plain_twin(
    lane_ready: list[int],
    n_banks: int,
    first_word: int,
    lane_cycles: int,
    read_cycles: int,
    result_cycles: int,
    depth: int,
    late: bool,
) -> None:
    n_beats = len(lane_ready)
    n_words = n_banks * n_beats - (n_banks - 1) // 2
    word_ready = lane_ready if late else [lane_ready[0]] * n_beats
    done, free, banks = np.zeros(n_beats, np.int64), np.zeros(1, np.int64), np.zeros(n_banks, np.int64)
    open_, log = np.zeros((2, N_OPEN), np.int64), np.empty((2 * n_beats + 2, 5), np.int64)
    sizes = (n_words, first_word, 32, 128, lane_cycles, read_cycles, result_cycles)
    times = (np.array(word_ready, np.int64), np.array(lane_ready, np.int64), np.zeros(depth, np.int64), done)
    n_log = read_banks(0, 1, *sizes, banks, free, *times, open_, log)
    assert done.tolist() == naive_model_rom.read_banks(
        n_words, first_word, n_banks, word_ready, lane_ready, lane_cycles, read_cycles, result_cycles, depth
    )
    rows = log_of(open_, log, n_log)
    assert int(rows[rows[:, 0] == 0, 4].sum()) == 32 * n_words
    assert int(rows[rows[:, 0] == 1, 4].sum()) == (128 * n_words if lane_cycles else 0)

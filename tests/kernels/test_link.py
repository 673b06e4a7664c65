"""Links through a switch against their plain twin."""

from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels.interval import N_OPEN, close_all
from dieshot.kernels.link import MIB, reduce_in_switch, send_messages

N_RANKS = 4
MESSAGES = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, N_RANKS - 1), st.integers(0, N_RANKS - 1), st.integers(1, 300)),
    max_size=25,
)


def log_of(rows: Any, n_log: int, open_: Any) -> list[list[int]]:
    last = np.zeros((len(open_), 5), np.int64)
    return sorted(rows[:n_log].tolist() + last[: close_all(2**62, open_, 0, last)].tolist())


def log_of_twin(pipes: Any) -> list[list[int]]:
    lines = [pipe for both in pipes for pipe in both]
    return sorted([i, *row] for i, pipe in enumerate(lines) for row in naive.merged(pipe.busy))


@given(MESSAGES, st.integers(0, 500), st.integers(1, 20), st.integers(0, 25))
def test_messages_act_as_their_plain_twin(messages: Any, hop_fs: int, fs_per_byte: int, cut: int) -> None:
    free, finish = np.zeros((N_RANKS, 2), np.int64), np.zeros(N_RANKS, np.int64)
    open_, log, n_log = np.zeros((2 * N_RANKS, N_OPEN), np.int64), np.zeros((60, 5), np.int64), 0
    rows: list[Any] = []
    for part in (messages[:cut], messages[cut:]):
        batch = np.array(part, np.int64).reshape(-1, 4)
        n_log = send_messages(hop_fs, fs_per_byte * MIB, 1, batch, len(batch), free, finish, open_, log)
        rows += log[:n_log].tolist()
    expected, pipes = naive.send_messages(hop_fs, fs_per_byte * MIB, messages, N_RANKS)
    assert finish.tolist() == expected
    assert log_of(np.array(rows, np.int64).reshape(-1, 5), len(rows), open_) == log_of_twin(pipes)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 200), st.integers(0, 3000), st.integers(0, 900))
def test_switch_reduction_acts_as_its_plain_twin(
    n_ranks: int, n_pieces: int, piece_bytes: int, hop_fs: int, ready_fs: int
) -> None:
    free, finish = np.zeros((n_ranks, 2), np.int64), np.zeros(n_ranks, np.int64)
    open_ = np.zeros((2 * n_ranks, N_OPEN), np.int64)
    log, reduced = (
        np.zeros((n_pieces * n_ranks * (2 * n_ranks + 2) + 1, 5), np.int64),
        np.zeros((n_pieces, n_ranks), np.int64),
    )
    n_log = reduce_in_switch(ready_fs, hop_fs, 7 * MIB, 1, piece_bytes, reduced, free, finish, open_, log)
    expected, pipes = naive.reduce_in_switch(ready_fs, hop_fs, 7 * MIB, piece_bytes, n_pieces, n_ranks)
    assert finish.tolist() == expected
    assert log_of(log, n_log, open_) == log_of_twin(pipes)
    assert all(sum(row[3] for row in egress.busy) == (n_ranks + 1) * n_pieces * piece_bytes for egress, _ in pipes)


@pytest.mark.nojit
def test_a_lone_message_takes_hop_and_transfer_once() -> None:
    free, finish = np.zeros((2, 2), np.int64), np.zeros(2, np.int64)
    message = np.array([[100, 0, 1, 30]], np.int64)
    log, open_ = np.zeros((3, 5), np.int64), np.zeros((4, N_OPEN), np.int64)
    send_messages(500, 10 * MIB, 0, message, 1, free, finish, open_, log)
    assert finish.tolist() == [0, 100 + 500 + 300]
    assert free.tolist() == [[400, 0], [0, 900]]

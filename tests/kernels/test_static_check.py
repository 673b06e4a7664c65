"""Units of a statically scheduled chip: events of a window against a plain twin, and each rule refused at n - 1,
allowed at n. The units together have their twin in naive_static."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels import static_check as check
from dieshot.kernels.static_program import ACTIVATE, EMIT, INSTALL, LOAD, RECEIVE, SEND, window

RUNS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 6), st.integers(1, 9), st.integers(0, 1)), min_size=1, max_size=12
)


def events_of(runs: np.ndarray, cuts: list[int], capacity: int = 512) -> list[tuple[int, int, int]]:
    """Return (cycle, row, turn) of all windows between cuts."""
    first, out = np.zeros(1, np.int64), []
    which, turn = np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
    for lo, hi in pairwise(cuts):
        slots = np.zeros(2 * (hi - lo) + 1, np.int64)
        n = window(lo, hi, runs, first, slots, which, turn)
        assert n >= 0
        out += [(int(runs[i, 0] + j * runs[i, 2]), int(i), int(j)) for i, j in zip(which[:n], turn[:n], strict=True)]
    return out


@given(RUNS, st.lists(st.integers(1, 130), max_size=4))
def test_windows_list_every_event_once_in_order(runs: Any, cuts: list[int]) -> None:
    table = np.array(sorted(runs), np.int64)
    expected = sorted(
        (start + j * d, phase, i, j) for i, (start, n, d, phase) in enumerate(table.tolist()) for j in range(n)
    )
    found = events_of(table, sorted({0, 200, *cuts}))
    assert found == [(at, i, j) for at, _, i, j in expected]


@pytest.mark.nojit
def test_a_window_without_room_says_how_much_it_needs() -> None:
    table = np.array([[0, 5, 1, 0]], np.int64)
    space, slots, first = np.zeros(4, np.int64), np.zeros(21, np.int64), np.zeros(1, np.int64)
    assert window(0, 10, table, first, slots, space, space.copy()) == -1 - 5


def row(start: int, n: int, d: int, phase: int, *columns: int) -> list[int]:
    return [start, n, d, phase, *columns, *(0,) * (5 - len(columns))]


def run(loop: Callable[..., int], rows: list[list[int]], *state: Any) -> int:
    table = np.array(sorted(rows), np.int64)
    space = np.zeros((2, 256), np.int64)
    slots, fault = np.zeros(2001, np.int64), np.zeros(check.N_FAULT, np.int64)
    return loop(0, 1000, table, np.zeros(1, np.int64), slots, *space, *state, fault)


@pytest.mark.nojit
@pytest.mark.parametrize(("second", "status"), [(7, check.TWO_INSTRUCTIONS), (8, check.DONE)])
def test_a_queue_issues_one_instruction_a_cycle(second: int, status: int) -> None:
    assert run(check.issue, [row(5, 3, 1, 0, 2), row(second, 1, 1, 0, 2)], np.full(4, -1)) == status


def move(rows: list[list[int]]) -> tuple[int, list[int]]:
    registers = np.full((10, check.RING, check.N_VECTOR), -1, np.int64)
    hops = np.zeros(len(rows), np.int64)
    return run(check.move, rows, 4, registers, hops), hops.tolist()


@pytest.mark.nojit
@pytest.mark.parametrize(("code", "position"), [(1, 30), (5, 10)], ids=["eastward", "westward"])
def test_a_vector_moves_a_position_a_cycle(code: int, position: int) -> None:
    put = row(10, 1, 1, 1, code, 1, 20, 77)
    assert move([put, row(20, 1, 1, 0, code, 1, position, 77)]) == (check.DONE, [10, 0])
    for at in (19, 21):
        assert move([put, row(at, 1, 1, 0, code, 1, position, 77)])[0] == check.WRONG_VECTOR
    assert move([put, row(20, 1, 1, 0, code, 1, 40 - position, 77)])[0] == check.WRONG_VECTOR
    assert move([put, row(20, 1, 1, 0, code, 1, position, 78)])[0] == check.WRONG_VECTOR


@pytest.mark.nojit
@pytest.mark.parametrize(("at", "status"), [(14, check.DONE), (15, check.WRONG_VECTOR), (16, check.DONE)])
def test_a_vector_is_lost_where_another_is_put_in_its_place(at: int, status: int) -> None:
    first, taken = row(10, 1, 1, 1, 0, 1, 20, 1), row(20, 1, 1, 0, 0, 1, 30, 1)
    assert move([first, row(at, 1, 1, 1, 0, 1, 25, 2), taken])[0] == status


@pytest.mark.nojit
def test_a_register_has_one_driver_and_may_be_read_by_many() -> None:
    put = row(10, 1, 1, 1, 0, 2, 20, 1)
    assert move([put, row(10, 1, 1, 1, 1, 1, 20, 9)])[0] == check.TWO_DRIVERS
    takers = [row(12, 1, 1, 0, 0, 2, 22, 1), row(15, 1, 1, 0, 0, 2, 25, 1), row(15, 1, 1, 0, 1, 1, 25, 2)]
    assert move([put, *takers]) == (check.DONE, [10, 0, 0, 0])


@pytest.mark.nojit
def test_a_wire_behind_an_alu_holds_nothing() -> None:
    put = row(10, 1, 1, 0, 8, 1, 20, 5)
    assert move([put, row(10, 1, 1, 1, 8, 1, 20, 5)])[0] == check.DONE
    assert move([put, row(11, 1, 1, 1, 8, 1, 20, 5)])[0] == check.WRONG_VECTOR


def access(rows: list[list[int]]) -> int:
    content = np.full((2, 8), -1, np.int64)
    content[0, :4] = 100 + np.arange(4)
    state = (np.full((2, 2), -1), np.full((2, 2), -1), content, np.zeros((2, 8), np.int64))
    return run(check.access, rows, 8, 2, 3, *state)


@pytest.mark.nojit
@pytest.mark.parametrize(("write", "status"), [((5, 7), check.DONE), ((5, 3), check.BANK_TAKEN), ((6, 3), check.DONE)])
def test_a_slice_reads_and_writes_in_a_cycle_if_in_different_banks(write: tuple[int, int], status: int) -> None:
    at, address = write
    assert access([row(5, 1, 1, 0, 0, 0, 1, 100, 1), row(at, 1, 1, 1, 0, address, 1, 9, 1)]) == status


@pytest.mark.nojit
@pytest.mark.parametrize(("at", "status"), [(7, check.WRONG_ROW), (8, check.DONE)])
def test_a_row_can_be_read_when_it_is_written(at: int, status: int) -> None:
    assert access([row(5, 1, 1, 1, 0, 6, 1, 9, 1), row(at, 1, 1, 0, 0, 6, 1, 9, 1)]) == status


@pytest.mark.nojit
def test_reads_find_what_is_there() -> None:
    assert access([row(0, 4, 2, 0, 0, 0, 1, 100, 1)]) == check.DONE
    assert access([row(0, 4, 2, 0, 0, 0, 1, 101, 1)]) == check.WRONG_ROW
    assert access([row(0, 5, 2, 0, 0, 4, 1, -1, 0)]) == check.NO_SUCH_ROW
    assert access([row(0, 2, 1, 0, 0, 0, 1, 100, 1), row(1, 1, 1, 0, 0, 3, 1, 103, 1)]) == check.PORT_TAKEN


def multiply(rows: list[list[int]]) -> int:
    planes = np.zeros((2, check.N_PLANE), np.int64)
    planes[:, [check.P_LOADING, check.P_TILE, check.P_INSTALLED, check.P_ACTIVATED]] = -9
    return run(check.multiply, rows, 1, 2, 10, planes, np.zeros((2, 4, 2), np.int64))


LOADED = row(0, 4, 1, 0, LOAD, 0, 1, 2, 0)
INSTALLED = row(4, 1, 1, 0, INSTALL, 0, 1, 1, 8)


@pytest.mark.nojit
@pytest.mark.parametrize(("start", "status"), [(4, check.NOT_INSTALLED), (5, check.DONE)])
def test_vectors_come_after_the_installation(start: int, status: int) -> None:
    assert multiply([LOADED, INSTALLED, row(start, 2, 1, 0, ACTIVATE, 0, 1, 1, 0)]) == status


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("interval", "planes", "status"), [(1, 1, check.DONE), (1, 2, check.PLANE_BUSY), (2, 2, check.DONE)]
)
def test_pairs_of_planes_take_a_vector_every_other_cycle(interval: int, planes: int, status: int) -> None:
    assert multiply([LOADED, INSTALLED, row(5, 3, interval, 0, ACTIVATE, 0, 1, planes, 0)]) == status


@pytest.mark.nojit
@pytest.mark.parametrize(("at", "status"), [(14, check.SUMS_NOT_READY), (15, check.DONE)])
def test_sums_leave_when_they_are_complete(at: int, status: int) -> None:
    rows = [LOADED, INSTALLED, row(5, 1, 1, 0, ACTIVATE, 0, 1, 1, 0), row(at, 1, 1, 0, EMIT, 0, 1, 1, 0)]
    assert multiply(rows) == status
    assert multiply([*rows[:3], row(at, 1, 1, 0, EMIT, 0, 2, 1, 0)]) == check.SUMS_NOT_READY


@pytest.mark.nojit
def test_a_tile_is_whole_before_it_is_installed_and_the_next_waits_for_its_buffer() -> None:
    assert multiply([row(0, 3, 1, 0, LOAD, 0, 1, 2, 0), INSTALLED]) == check.NOT_LOADED
    assert multiply([LOADED, row(3, 1, 1, 0, LOAD, 0, 2, 2, 0)]) == check.BUFFER_TAKEN
    assert multiply([LOADED, INSTALLED, row(5, 4, 1, 0, LOAD, 0, 2, 2, 0)]) == check.DONE
    late = [row(5, 3, 1, 0, ACTIVATE, 0, 1, 1, 0), row(5, 1, 1, 0, LOAD, 0, 2, 2, 0)]
    for at, status in ((7, check.PLANE_BUSY), (8, check.DONE)):
        assert multiply([LOADED, INSTALLED, *late, row(at, 1, 1, 0, INSTALL, 0, 2, 1, 2)]) == status


def exchange(rows: list[list[int]], depth: int = 2) -> int:
    state = (np.full(2, -1), np.zeros((2, 2), np.int64), np.zeros((2, 8, 2), np.int64))
    return run(check.exchange, rows, 5, 20, depth, *state)


@pytest.mark.nojit
@pytest.mark.parametrize(("d", "status"), [(4, check.LINK_BUSY), (5, check.DONE)])
def test_a_link_carries_a_vector_at_a_time(d: int, status: int) -> None:
    assert exchange([row(0, 3, d, 0, SEND, 1)]) == status


@pytest.mark.nojit
@pytest.mark.parametrize(("at", "status"), [(24, check.NOTHING_ARRIVED), (25, check.DONE)])
def test_a_vector_arrives_after_its_flight(at: int, status: int) -> None:
    assert exchange([row(0, 1, 1, 0, SEND, 1), row(at, 1, 1, 0, RECEIVE, 1)]) == status


@pytest.mark.nojit
@pytest.mark.parametrize(("vector", "status"), [(7, check.DONE), (8, check.OUT_OF_TURN)])
def test_a_port_is_first_in_first_out(vector: int, status: int) -> None:
    assert exchange([row(0, 2, 5, 0, SEND, 1, 7, 1), row(25, 2, 9, 0, RECEIVE, 1, vector, 1)]) == status


@pytest.mark.nojit
@pytest.mark.parametrize(("at", "status"), [(34, check.DONE), (35, check.PORT_OVERFLOW)])
def test_a_port_holds_so_many_vectors(at: int, status: int) -> None:
    assert exchange([row(0, 3, 5, 0, SEND, 1), row(at, 1, 1, 0, RECEIVE, 1)]) == status

"""The event loop of transfers over links: order at equal times, joins, quiet limits, and numbers too large."""

from typing import Any

import numpy as np
import pytest

from dieshot.kernels import collective as k
from dieshot.kernels.heap import push

pytestmark = pytest.mark.nojit


class Loop:
    """Transfers (bytes, lanes of the route, those it waits for) on lanes (fs per byte, latency)."""

    def __init__(self, lanes: Any, transfers: Any, groups: Any = None) -> None:
        n = len(transfers)
        self.state = np.zeros(k.N_STATE, np.int64)
        self.rows = np.zeros((n, k.N_TRANSFER), np.int64)
        self.lanes = np.zeros((len(lanes), k.N_LANE), np.int64)
        for lane, (fs_per_byte, latency_fs) in zip(self.lanes, lanes, strict=True):
            lane[:2] = fs_per_byte * k.MIB, latency_fs
        self.heap = np.zeros((n, 2), np.int64)
        followers: list[int] = []
        routes: list[int] = []
        groups = groups or [0] * n
        for i, (row, (bytes_, route, after)) in enumerate(zip(self.rows, transfers, strict=True)):
            row[[k.T_BYTES, k.T_FIRST, k.T_ADDER, k.T_GROUP]] = bytes_, len(routes), -1, groups[i]
            row[k.T_HOPS] = k.JOIN if route is None else len(route)
            routes += route or []
            row[k.T_MISSING] = len(after)
            row[k.T_FOLLOWER] = len(followers)
            mine = [j for j, (_, _, waits_for) in enumerate(transfers) if i in waits_for]
            row[k.T_FOLLOWERS] = len(mine)
            followers += mine
            if not after:
                self.state[k.S_HEAP] = push(self.heap, int(self.state[k.S_HEAP]), 0, i)
        self.followers, self.routes = np.array(followers, np.int64), np.array(routes, np.int64)
        real = [group for group, (_, route, _) in zip(groups, transfers, strict=True) if route is not None]
        self.left = np.bincount(real).astype(np.int64)

    def advance(self, until_fs: int = k.LIMIT) -> int:
        return k.advance(until_fs, self.state, self.rows, self.followers, self.routes, self.lanes, self.left, self.heap)

    @property
    def finish(self) -> list[int]:
        return self.rows[:, k.T_FINISH].tolist()


def test_a_transfer_cuts_through_and_takes_the_slowest_link_once() -> None:
    loop = Loop([(2, 100), (5, 30), (3, 7)], [(10, [0, 1, 2], ())])
    assert loop.advance() == k.GROUP_DONE
    assert loop.finish == [100 + 30 + 50 + 7]
    assert loop.lanes[:, k.L_BUSY].tolist() == [20, 50, 30]
    assert loop.lanes[:, k.L_BYTES].tolist() == [10] * 3


def test_what_comes_at_the_same_time_goes_in_the_order_of_the_schedule() -> None:
    loop = Loop([(1, 5)], [(10, [0], ()), (20, [0], ()), (5, [0], (0,)), (5, [0], ())])
    assert loop.advance() == k.GROUP_DONE
    assert loop.finish == [15, 35, 45, 40]


def test_many_wait_for_many_through_a_join() -> None:
    with_join = Loop([(1, 5), (1, 9)], [(10, [0], ()), (3, [1], ()), (4, [0], (4,)), (4, [1], (4,)), (0, None, (0, 1))])
    without = Loop([(1, 5), (1, 9)], [(10, [0], ()), (3, [1], ()), (4, [0], (0, 1)), (4, [1], (0, 1))])
    assert with_join.advance() == without.advance() == k.GROUP_DONE
    assert with_join.finish[:4] == without.finish == [15, 12, 24, 28]


def test_nothing_happens_at_the_limit_and_all_before_it() -> None:
    loop = Loop([(1, 5)], [(10, [0], ()), (20, [0], (0,))])
    assert loop.advance(15) == k.WAITING
    assert loop.finish == [0, 0]
    assert loop.advance(16) == k.WAITING
    assert loop.finish == [15, 0]
    assert loop.advance(40) == k.WAITING
    assert loop.advance(41) == k.GROUP_DONE
    assert (loop.finish, loop.state[k.S_TIME]) == ([15, 40], 40)
    assert loop.advance() == k.WAITING  # nothing left


def test_a_call_ends_with_every_group() -> None:
    loop = Loop([(1, 5)], [(10, [0], ()), (20, [0], ())], [1, 0])
    assert (loop.advance(), loop.state[k.S_GROUP], loop.state[k.S_TIME]) == (k.GROUP_DONE, 1, 15)
    assert (loop.advance(), loop.state[k.S_GROUP], loop.state[k.S_TIME]) == (k.GROUP_DONE, 0, 35)


@pytest.mark.parametrize(
    ("lane", "bytes_", "status"),
    [
        ((1, 0), k.LIMIT, k.GROUP_DONE),
        ((1, 1), k.LIMIT, k.TIME_TOO_LARGE),
        ((2, 0), k.LIMIT // 2, k.GROUP_DONE),
        ((2, 0), k.LIMIT // 2 + 1, k.TIME_TOO_LARGE),
        ((1 << 22, 0), (1 << 63) - 1, k.TIME_TOO_LARGE),
    ],
)
def test_the_largest_time_is_carried_and_one_more_refused(lane: Any, bytes_: int, status: int) -> None:
    assert Loop([lane], [(bytes_, [0], ())]).advance(k.LIMIT + 1) == status

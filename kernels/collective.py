"""Transfers over links, event by event: each takes the links of its route one after the other, first come first served.

Times are integers in fs. Of what happens at the same time, the transfer written down first goes first.
"""

from __future__ import annotations

from dieshot.kernels.heap import pop, push
from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

MIB = 1 << 20
T_BYTES = 0
T_SEND = 1  # time before the first byte leaves
T_FIRST = 2  # first of its links in routes
T_HOPS = 3  # JOIN: no transfer, but what many wait for together
T_ADDER = 4  # lane of the destination's adder, -1 for none
T_STORED = 5  # 1: goes on from a node when its last byte is there, 0: with its first
T_GROUP = 6
T_FOLLOWER = 7  # first of those that wait for it, in followers
T_FOLLOWERS = 8
T_MISSING = 9  # how many it still waits for
T_HOP = 10  # links done
T_TAIL = 11  # when its last byte is where its first has come
T_BEGIN = 12
T_FINISH = 13
N_TRANSFER = 14
L_FS_PER_MIB = 0
L_LATENCY = 1
L_FREE = 2
L_BUSY = 3
L_BYTES = 4
N_LANE = 5
JOIN = -1
S_HEAP = 0  # rows in the heap
S_GROUP = 1  # group (GROUP_DONE) or transfer (TIME_TOO_LARGE) at which a call ended
S_TIME = 2  # when it was done
N_STATE = 3
WAITING = 0
GROUP_DONE = 1
TIME_TOO_LARGE = 2
LIMIT = 1 << 62
LARGEST_STEP = 1 << 42  # of the fs per MiB of a lane: a link of 0.24 GB/s


@part_of_loop
def _take(lanes: Rows, lane: int, now_fs: int, tail_fs: int, bytes_: int) -> int:
    """Take a lane as soon as it is free; return when the first byte leaves, -1 beyond LIMIT.

    A lane that is faster than what feeds it serves others between the bytes of one: it is taken for its own time of
    moving them, but the last cannot leave before `tail_fs`.
    """
    fs_per_mib = lanes[lane, L_FS_PER_MIB]
    start_fs = max(now_fs, lanes[lane, L_FREE])
    if bytes_ // MIB > LIMIT // fs_per_mib or lanes[lane, L_BYTES] > LIMIT - bytes_:
        return -1
    moving_fs = bytes_ // MIB * fs_per_mib + bytes_ % MIB * fs_per_mib // MIB
    if moving_fs > LIMIT - start_fs or max(start_fs + moving_fs, tail_fs) > LIMIT - lanes[lane, L_LATENCY]:
        return -1
    lanes[lane, L_FREE] = start_fs + moving_fs
    lanes[lane, L_BUSY] += moving_fs
    lanes[lane, L_BYTES] += bytes_
    return int(start_fs)


@part_of_loop
def _begin(state: Rows, transfers: Rows, i: int, now_fs: int, heap: Rows) -> None:
    """Count one of those that transfer i waits for; begin it after the last."""
    transfers[i, T_MISSING] -= 1
    if transfers[i, T_MISSING] == 0 and transfers[i, T_HOPS] != JOIN:
        transfers[i, T_BEGIN] = now_fs
        state[S_HEAP] = push(heap, state[S_HEAP], now_fs + transfers[i, T_SEND], i)


@timing_loop(
    "int64(int64, int64[::1], int64[:, ::1], int64[::1], int64[::1], int64[:, ::1], int64[::1], int64[:, ::1])"
)
def advance(
    until_fs: int,
    state: Rows,
    transfers: Rows,
    followers: Rows,
    routes: Rows,
    lanes: Rows,
    left: Rows,
    heap: Rows,
) -> int:
    """Do what happens before `until_fs`, at most to the end of a group of transfers; return a status.

    state (N_STATE); transfers (n, N_TRANSFER); followers, routes: see T_FOLLOWER, T_FIRST; lanes (n, N_LANE): fs per
    MiB 1 to LARGEST_STEP, latency; left (groups): transfers to come; heap (n, 2): those under way, see kernels.heap.
    """
    while state[S_HEAP] > 0 and heap[0, 0] < until_fs:
        now_fs, i = heap[0, 0], heap[0, 1]
        state[S_HEAP] = pop(heap, state[S_HEAP])
        hop, n_hops = transfers[i, T_HOP], transfers[i, T_HOPS]
        transfers[i, T_HOP] = hop + 1
        if hop < n_hops or (hop == n_hops and transfers[i, T_ADDER] >= 0):
            lane = routes[transfers[i, T_FIRST] + hop] if hop < n_hops else transfers[i, T_ADDER]
            start_fs = _take(lanes, lane, now_fs, transfers[i, T_TAIL], transfers[i, T_BYTES])
            if start_fs < 0:
                state[S_GROUP] = i
                return TIME_TOO_LARGE
            due_fs = start_fs + lanes[lane, L_LATENCY]
            tail_fs = max(lanes[lane, L_FREE], transfers[i, T_TAIL]) + lanes[lane, L_LATENCY]
            transfers[i, T_TAIL] = tail_fs
            if hop + 1 >= n_hops or transfers[i, T_STORED]:
                due_fs = tail_fs
            state[S_HEAP] = push(heap, state[S_HEAP], due_fs, i)
            continue
        transfers[i, T_FINISH] = now_fs
        first = transfers[i, T_FOLLOWER]
        for k in range(first, first + transfers[i, T_FOLLOWERS]):
            follower = followers[k]
            _begin(state, transfers, follower, now_fs, heap)
            if transfers[follower, T_HOPS] == JOIN and transfers[follower, T_MISSING] == 0:
                joined = transfers[follower, T_FOLLOWER]
                for m in range(joined, joined + transfers[follower, T_FOLLOWERS]):
                    _begin(state, transfers, followers[m], now_fs, heap)
        group = transfers[i, T_GROUP]
        left[group] -= 1
        if left[group] == 0:
            state[S_GROUP], state[S_TIME] = group, now_fs
            return GROUP_DONE
    return WAITING

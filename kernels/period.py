"""Finding and repeating periods: what a main loop's state looks like relative to now, and the cache directory it
needs."""

from __future__ import annotations

from dieshot.kernels.jit import Rows, part_of_loop, timing_loop
from dieshot.kernels.l2 import ABSENT, PENDING, _link_newest, _unlink, install
from dieshot.kernels.sm import (
    B_ARRIVE,
    B_FREED,
    B_USERS,
    G_CTA,
    G_PHASE,
    G_READY,
    G_STAGE,
    G_STEP,
    L_CTA,
    L_READY,
    L_STAGE,
    L_STEP,
    N_UNITS,
    NEVER,
)

FILL = 0
LOOK_UP = 1

HIT = 0
MISS = 1
MERGED = 2

_PRIME = 1099511628211


@part_of_loop
def _mix(hash_: int, value: int) -> int:
    return (hash_ ^ value) * _PRIME


@part_of_loop
def _since(time_fs: int, now_fs: int, horizon_fs: int) -> int:
    """Return a time relative to now; what is longer past than the horizon is all the same."""
    if time_fs == NEVER:
        return NEVER
    return max(time_fs - now_fs, -horizon_fs)


@timing_loop(
    "int64(int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64)"
)
def signature(
    now_fs: int,
    horizon_fs: int,
    step: int,
    slots: Rows,
    groups: Rows,
    ring: Rows,
    units: Rows,
    channel_free_fs: Rows,
    channel: int,
) -> int:
    """Return a hash of the SMs' and the DRAM channels' state relative to `now_fs` and to loop step `step`.

    Arrays as in kernels/sm.py and kernels/hbm.py; `channel` is the one whose turn is next.
    """
    hash_ = _mix(1469598103934665603, channel)
    for i in range(channel_free_fs.shape[0]):
        hash_ = _mix(hash_, _since(channel_free_fs[i], now_fs, horizon_fs))
    for i in range(slots.shape[0]):
        if slots[i, L_CTA] >= 0:
            hash_ = _mix(hash_, slots[i, L_CTA])
            hash_ = _mix(hash_, slots[i, L_STEP] - step)
            hash_ = _mix(hash_, slots[i, L_STAGE])
            hash_ = _mix(hash_, _since(slots[i, L_READY], now_fs, horizon_fs))
    for i in range(groups.shape[0]):
        if groups[i, G_CTA] >= 0:
            hash_ = _mix(hash_, groups[i, G_CTA])
            hash_ = _mix(hash_, groups[i, G_STEP] - step)
            hash_ = _mix(hash_, groups[i, G_PHASE] + 8 * groups[i, G_STAGE])
            hash_ = _mix(hash_, _since(groups[i, G_READY], now_fs, horizon_fs))
    for i in range(ring.shape[0]):
        if ring[i, B_USERS] > 0:
            hash_ = _mix(hash_, _since(ring[i, B_ARRIVE], now_fs, horizon_fs))
        hash_ = _mix(hash_, _since(ring[i, B_FREED], now_fs, horizon_fs) + ring[i, B_USERS])
    for i in range(units.shape[0]):
        for unit in range(N_UNITS):
            hash_ = _mix(hash_, _since(units[i, unit], now_fs, horizon_fs))
    return hash_


@timing_loop(
    "int64(int64[:, ::1], int64, int64, int64, int64, int64[::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " int64[::1], int64[::1])"
)
def replay_directory(
    events: Rows,
    first: int,
    n_periods: int,
    shift: int,
    capacity_bytes: int,
    tile_bytes: Rows,
    tile_ready_fs: Rows,
    older: Rows,
    newer: Rows,
    waiters: Rows,
    regs: Rows,
    outcomes: Rows,
) -> int:
    """Carry the cache directory through `n_periods` of a loop, without time.

    events (n, 2: FILL or LOOK_UP, tile) is one period in order; in period p the tiles are `p * shift` further on.
    Period 0 writes outcomes (n: HIT, MISS or MERGED of every look-up); later ones must find the same, and tiles of
    the same size. Counting starts at period `first`. Returns how many periods went through before the first that
    differs.
    """
    for p in range(first, first + n_periods):
        for i in range(events.shape[0]):
            tile = events[i, 1] + p * shift
            if tile_bytes[tile] != tile_bytes[events[i, 1]]:
                return p - first
            if events[i, 0] == FILL:
                tile_ready_fs[tile] = 0
                install(tile, capacity_bytes, tile_bytes, tile_ready_fs, older, newer, waiters, regs)
                continue
            outcome = MERGED
            if tile_ready_fs[tile] >= 0:
                outcome = HIT
                _unlink(older, newer, tile)
                _link_newest(older, newer, tile)
            elif tile_ready_fs[tile] == ABSENT:
                outcome = MISS
                tile_ready_fs[tile] = PENDING
            if p == 0:
                outcomes[i] = outcome
            elif outcomes[i] != outcome:
                return p - first
    return n_periods

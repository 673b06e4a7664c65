"""The state of a GPU die's parts, their constants and their output rows: one tuple a part, and its fields' types."""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import types

from dieshot.kernels.jit import Rows


class Sms(NamedTuple):
    """The multiprocessors: constants and arrays as in kernels/sm.py."""

    period_fs: int
    n_stages: int
    n_groups: int
    slots_per_sm: int
    stride: int
    send_fs: int
    launch_fs: int
    ingress_fs_per_mib: int
    dispatch_fs: int
    record: int
    classes: Rows
    ctas: Rows
    slots: Rows
    groups: Rows
    resident_fs: Rows
    ring: Rows
    units: Rows
    in_bytes: Rows
    open_: Rows
    requests: Rows
    stores: Rows
    finished: Rows
    log: Rows
    counts: Rows


class Cache(NamedTuple):
    """The L2: constants and arrays as in kernels/l2.py."""

    lookup_fs: int
    respond_fs: int
    capacity_bytes: int
    fs_per_mib: int
    tile_bytes: Rows
    tile_ready_fs: Rows
    older: Rows
    newer: Rows
    waiters: Rows
    wait_next: Rows
    pool: Rows
    heap: Rows
    regs: Rows
    open_: Rows
    responses: Rows
    misses: Rows
    log: Rows
    counts: Rows


class Stacks(NamedTuple):
    """The memory: arrays as in kernels/dram_stack.py."""

    tile_address: Rows
    shape: Rows
    cfg: Rows
    nodes: Rows
    delay: Rows
    hold: Rows
    next_ok: Rows
    acts: Rows
    open_row: Rows
    lists: Rows
    counts: Rows
    chan: Rows
    tally: Rows
    queue: Rows
    accesses: Rows
    is_write: Rows
    extra: Rows
    finished: Rows
    pending: Rows
    pins: Rows
    regs: Rows
    open_: Rows
    fills: Rows
    log: Rows


class Wires(NamedTuple):
    """What is under way between the parts: regs; rows announced for later windows; rows in order; working space."""

    regs: Rows
    stores: Rows
    misses: Rows
    finished: Rows
    requests_due: Rows
    stores_due: Rows
    misses_due: Rows
    finished_due: Rows
    orders: Rows


_tuple: Any = types.NamedTuple  # numba carries no types
INT, _ROW, _TABLE, _CUBE, _FOUR = (types.int64, *(types.Array(types.int64, n, "C") for n in range(1, 5)))
SMS = _tuple([INT] * 10 + [_TABLE] * 4 + [_ROW, _TABLE, _TABLE, _ROW] + [_TABLE] * 5 + [_ROW], Sms)
CACHE = _tuple([INT] * 4 + [_ROW] * 6 + [_TABLE, _TABLE, _ROW] + [_TABLE] * 4 + [_ROW], Cache)
STACKS = _tuple(
    [_ROW, _ROW, _ROW, _TABLE, _CUBE, _ROW, _CUBE, _CUBE, _TABLE, _FOUR] + [_TABLE] * 5 + [_ROW] * 3
    + [_TABLE, _TABLE, _ROW] + [_TABLE] * 3, Stacks
)  # fmt: skip
WIRES = _tuple([_ROW] + [_TABLE] * 8, Wires)

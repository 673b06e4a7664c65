"""The cache against its plain twin; windows of any length (up to the way to the DRAM and back) give the same."""

import heapq
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels import l2
from dieshot.kernels.interval import N_OPEN, close_all

LOOKUP_FS, RESPOND_FS, DRAM_FS, FS_PER_BYTE = 40, 30, 500, 3
FOREVER = 2**62
N_TILES = 6
TILE = st.integers(-1, N_TILES - 1)
REQUESTS = st.lists(st.tuples(st.integers(0, 3000), TILE, TILE, st.integers(1, 200)), max_size=25)
STORES = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 200), TILE), max_size=8)
SIZES = st.lists(st.integers(1, 100), min_size=N_TILES, max_size=N_TILES)


class Cache:
    """The arrays of one jitted cache whose DRAM answers every read after DRAM_FS."""

    def __init__(self, capacity_bytes: int, tile_bytes: list[int], n_pool: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.tile_bytes = np.array(tile_bytes, np.int64)
        self.ready_fs = np.full(N_TILES, l2.ABSENT, np.int64)
        self.older, self.newer = np.full(N_TILES + 1, N_TILES, np.int64), np.full(N_TILES + 1, N_TILES, np.int64)
        self.waiters, self.wait_next = np.full(N_TILES, -1, np.int64), np.full(2 * n_pool, -1, np.int64)
        self.pool, self.heap = np.zeros((n_pool, l2.N_POOL), np.int64), np.zeros((2 * n_pool + 2, 2), np.int64)
        self.regs, self.counts = np.zeros(l2.N_REGS, np.int64), np.zeros(3, np.int64)
        self.open = np.zeros((1, N_OPEN), np.int64)
        self.fills = np.zeros((0, 2), np.int64)
        self.responses: list[list[int]] = []
        self.misses: list[list[int]] = []
        self.log: list[list[int]] = []

    def install(self, tile: int) -> None:
        self.ready_fs[tile] = 0
        arrays = (self.tile_bytes, self.ready_fs, self.older, self.newer, self.waiters, self.regs)
        l2.install(tile, self.capacity_bytes, *arrays)

    def advance(self, until_fs: int, requests: Any, stores: Any) -> int:
        n = len(self.pool) + len(requests) + len(stores) + 1
        responses, misses = np.zeros((n, 2), np.int64), np.zeros((2 * n, 4), np.int64)
        log = np.zeros((n, 5), np.int64)
        scalars = (until_fs, LOOKUP_FS, RESPOND_FS, self.capacity_bytes, FS_PER_BYTE * l2.MIB, 1)
        batches = (requests, len(requests), stores, len(stores), self.fills, len(self.fills))
        state = (self.tile_bytes, self.ready_fs, self.older, self.newer, self.waiters, self.wait_next)
        more = (self.pool, self.heap, self.regs, self.open, responses, misses, log, self.counts)
        waiting = l2.advance_l2(*scalars, *batches, *state, *more)
        n_responses, n_misses, n_log = self.counts.tolist()
        self.responses += responses[:n_responses].tolist()
        self.misses += misses[:n_misses].tolist()
        self.log += log[:n_log].tolist()
        reads = [[row[0] + DRAM_FS, row[3]] for row in misses[:n_misses].tolist() if row[2] == 0]
        self.fills = np.array(reads, np.int64).reshape(-1, 2)
        return int(waiting) + len(reads)


def windowed(cache: Cache, requests: list[Any], stores: list[Any], windows: list[int]) -> None:
    """Advance in the windows given, the last one repeated until all is done."""
    rows = np.array([[time, i, a, b, size] for i, (time, a, b, size) in enumerate(requests)], np.int64).reshape(-1, 5)
    written = np.array(stores, np.int64).reshape(-1, 3)
    until_fs, window, waiting = 0, iter(windows), 0
    length = windows[-1]
    while until_fs <= 3000 or waiting:
        length = next(window, length)
        due = [(table[:, 0] >= until_fs) & (table[:, 0] < until_fs + length) for table in (rows, written)]
        until_fs += length
        waiting = cache.advance(until_fs, np.ascontiguousarray(rows[due[0]]), np.ascontiguousarray(written[due[1]]))


def by_event(twin: naive.Cache, requests: list[Any], stores: list[Any]) -> tuple[list[Any], list[Any]]:
    """Let the twin meet every request, store and fill in the order of time."""
    responses: list[Any] = []
    misses: list[Any] = []
    fills: list[tuple[int, int]] = []
    events = sorted(
        [(row[0], 1, i) for i, row in enumerate(requests)] + [(row[0], 2, i) for i, row in enumerate(stores)]
    )
    while events or fills:
        if fills and (not events or fills[0][0] <= events[0][0]):
            responses += twin.fill(*heapq.heappop(fills))
            continue
        time_fs, kind, i = events.pop(0)
        if kind == 1:
            _, tile_a, tile_b, size = requests[i]
            answered, sent = twin.request(time_fs, i, [tile for tile in (tile_a, tile_b) if tile >= 0], size)
            responses += answered
        else:
            sent = twin.store(*stores[i])
        misses += sent
        for miss_fs, _, is_write, tile in sent:
            if not is_write:
                heapq.heappush(fills, (miss_fs + DRAM_FS, tile))
    return responses, misses


@given(REQUESTS, STORES, SIZES, st.integers(1, 300), st.sets(st.integers(0, N_TILES - 1), max_size=3), st.data())
def test_cache_acts_as_its_plain_twin(
    requests: Any, stores: Any, sizes: list[int], capacity_bytes: int, resident: set[int], data: Any
) -> None:
    windows = data.draw(st.lists(st.integers(20, LOOKUP_FS + DRAM_FS), min_size=1, max_size=4))
    requests, stores = sorted(requests, key=lambda row: row[0]), sorted(stores, key=lambda row: row[0])
    cache = Cache(capacity_bytes, sizes, max(1, len(requests)))
    twin = naive.Cache(LOOKUP_FS, RESPOND_FS, capacity_bytes, FS_PER_BYTE * l2.MIB, sizes)
    for tile in resident:
        cache.install(tile)
        twin.install(tile)
    windowed(cache, requests, stores, windows)
    responses, misses = by_event(twin, requests, stores)
    assert cache.responses == [list(row) for row in responses]
    assert cache.misses == [[time, size, int(is_write), tile] for time, size, is_write, tile in misses]
    counted = [l2.R_HITS, l2.R_MISSES, l2.R_MERGED, l2.R_READ_BYTES, l2.R_WRITE_BYTES]
    assert cache.regs[counted].tolist() == list(twin.counts.values())
    assert cache.regs[l2.R_LAST_STORE] == twin.last_store_fs
    assert cache.regs[l2.R_RESIDENT] == sum(sizes[tile] for tile in twin.lru)
    log = np.zeros((1, 5), np.int64)
    rows = cache.log + log[: close_all(FOREVER, cache.open, 0, log)].tolist()
    assert [tuple(row[1:]) for row in rows] == naive.merged(twin.pipe.busy)


@pytest.mark.nojit
def test_one_fill_answers_all_who_wait_for_it() -> None:
    cache = Cache(1000, [50] * N_TILES, 3)
    windowed(cache, [(0, 2, -1, 10), (5, 2, -1, 10), (900, 2, -1, 10)], [], [100])
    assert cache.regs[[l2.R_HITS, l2.R_MISSES, l2.R_MERGED]].tolist() == [1, 1, 1]
    filled = LOOKUP_FS + DRAM_FS
    moved = 10 * FS_PER_BYTE
    expected = [filled + moved + RESPOND_FS, filled + 2 * moved + RESPOND_FS, 900 + LOOKUP_FS + moved + RESPOND_FS]
    assert [row[0] for row in cache.responses] == expected


@pytest.mark.nojit
def test_the_oldest_tile_leaves_first_and_a_hit_makes_young() -> None:
    cache = Cache(100, [50] * N_TILES, 3)
    for tile in (0, 1):
        cache.install(tile)
    windowed(cache, [(0, 0, -1, 1), (10, 2, -1, 1), (2000, 0, 1, 1)], [], [100])
    assert [row[3] for row in cache.misses] == [2, 1]

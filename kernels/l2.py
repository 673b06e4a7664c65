"""The shared cache of a die: tile directory with LRU eviction, one FCFS data pipe, misses merged until they are filled."""

from __future__ import annotations

from numba import njit

from dieshot.kernels.heap import pop, push
from dieshot.kernels.interval import emit

BUSY = 1
MIB = 1 << 20

ABSENT = -1
PENDING = -2

# Columns of requests (n, 8).
Q_TIME = 0
Q_POOL = 1
Q_TILE_A = 2
Q_TILE_B = 3
Q_READ = 4
N_REQUEST = 5

# Columns of the pool of waiting requests, one row a ring stage of a slot.
P_NEED = 0
P_READ = 1
N_POOL = 2

# Columns of stores (n, 3).
W_TIME = 0
W_BYTES = 1
W_TILE = 2
N_STORE = 3

# regs
R_FREE = 0
R_RESIDENT = 1
R_HEAP = 2
R_LAST_STORE = 3
R_READ_BYTES = 4
R_WRITE_BYTES = 5
R_HITS = 6
R_MISSES = 7
R_MERGED = 8
N_REGS = 9


@njit("void(int64[::1], int64[::1], int64)", cache=True, inline="always")
def _unlink(older, newer, tile):
    newer[older[tile]] = newer[tile]
    older[newer[tile]] = older[tile]


@njit("void(int64[::1], int64[::1], int64)", cache=True, inline="always")
def _link_newest(older, newer, tile):
    end = older.shape[0] - 1
    last = older[end]
    newer[last] = tile
    older[tile] = last
    newer[tile] = end
    older[end] = tile


@njit("void(int64, int64, int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])", cache=True)
def install(tile, capacity_bytes, tile_bytes, tile_ready_fs, older, newer, waiters, regs):
    """Make `tile` the newest resident and evict the oldest ones beyond the capacity.

    older/newer (tiles + 1) are the links of the LRU ring, the last entry its end. A tile somebody waits for stays.
    """
    _link_newest(older, newer, tile)
    regs[R_RESIDENT] += tile_bytes[tile]
    end = older.shape[0] - 1
    while regs[R_RESIDENT] > capacity_bytes:
        victim = newer[end]
        if victim == tile or victim == end:
            break
        _unlink(older, newer, victim)
        tile_ready_fs[victim] = ABSENT
        regs[R_RESIDENT] -= tile_bytes[victim]


@njit(
    "int64(int64, int64, int64, int64, int64, int64, int64[:, ::1], int64, int64[:, ::1], int64, int64[:, ::1], int64,"
    " int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1],"
    " int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])",
    cache=True,
)
def advance_l2(
    until_fs,
    lookup_fs,
    respond_fs,
    capacity_bytes,
    fs_per_mib,
    record,
    requests,
    n_requests,
    stores,
    n_stores,
    fills,
    n_fills,
    tile_bytes,
    tile_ready_fs,
    older,
    newer,
    waiters,
    wait_next,
    pool,
    heap,
    regs,
    open_,
    responses,
    misses,
    log,
    counts,
):
    """Advance the cache to `until_fs`, in the order of arrival (fills before requests before stores at one time).

    requests (n, 5) and stores (n, 3) are sorted by time; fills (n, 2: time, tile) in any order. A request names up to two
    tiles (-1 = none); it is served when both are resident: the data pipe is taken for `read` bytes and the response leaves
    `respond_fs` later. The first request for an absent tile sends a miss, later ones wait for the same fill.
    responses (capacity, 2): time, pool row. misses (capacity, 4): time, bytes, read/write, tile (for the DRAM).
    counts (3): rows written to responses, misses, log. Stores are written through. Returns the number of fills waiting.
    """
    n_heap = regs[R_HEAP]
    for i in range(n_fills):
        n_heap = push(heap, n_heap, fills[i, 0], fills[i, 1])
    n_responses = 0
    n_misses = 0
    n_log = 0
    i_request = 0
    i_store = 0
    far = until_fs
    while True:
        fill_fs = heap[0, 0] if n_heap > 0 else far
        request_fs = requests[i_request, Q_TIME] if i_request < n_requests else far
        store_fs = stores[i_store, W_TIME] if i_store < n_stores else far
        if fill_fs >= until_fs and request_fs >= until_fs and store_fs >= until_fs:
            break
        if fill_fs <= request_fs and fill_fs <= store_fs:
            tile = heap[0, 1]
            n_heap = pop(heap, n_heap)
            tile_ready_fs[tile] = fill_fs
            install(tile, capacity_bytes, tile_bytes, tile_ready_fs, older, newer, waiters, regs)
            link = waiters[tile]
            waiters[tile] = -1
            while link >= 0:
                row = link // 2
                pool[row, P_NEED] -= 1
                if pool[row, P_NEED] == 0:
                    start = max(fill_fs, regs[R_FREE])
                    end = start + pool[row, P_READ] * fs_per_mib // MIB
                    regs[R_FREE] = end
                    if record:
                        n_log = emit(0, start, end, BUSY, pool[row, P_READ], open_, n_log, log)
                    regs[R_READ_BYTES] += pool[row, P_READ]
                    responses[n_responses, 0] = end + respond_fs
                    responses[n_responses, 1] = row
                    n_responses += 1
                link = wait_next[link]
            continue
        if request_fs <= store_fs:
            row = requests[i_request, Q_POOL]
            need = 0
            for side in range(2):
                tile = requests[i_request, Q_TILE_A + side]
                if tile < 0:
                    continue
                if tile_ready_fs[tile] >= 0:
                    _unlink(older, newer, tile)
                    _link_newest(older, newer, tile)
                    regs[R_HITS] += 1
                    continue
                if tile_ready_fs[tile] == ABSENT:
                    tile_ready_fs[tile] = PENDING
                    misses[n_misses, 0] = request_fs + lookup_fs
                    misses[n_misses, 1] = tile_bytes[tile]
                    misses[n_misses, 2] = 0
                    misses[n_misses, 3] = tile
                    n_misses += 1
                    regs[R_MISSES] += 1
                else:
                    regs[R_MERGED] += 1
                need += 1
                link = 2 * row + side
                wait_next[link] = -1
                if waiters[tile] < 0:
                    waiters[tile] = link
                else:
                    last = waiters[tile]
                    while wait_next[last] >= 0:
                        last = wait_next[last]
                    wait_next[last] = link
            read_bytes = requests[i_request, Q_READ]
            pool[row, P_NEED] = need
            pool[row, P_READ] = read_bytes
            if need == 0:
                start = max(request_fs + lookup_fs, regs[R_FREE])
                end = start + read_bytes * fs_per_mib // MIB
                regs[R_FREE] = end
                if record:
                    n_log = emit(0, start, end, BUSY, read_bytes, open_, n_log, log)
                regs[R_READ_BYTES] += read_bytes
                responses[n_responses, 0] = end + respond_fs
                responses[n_responses, 1] = row
                n_responses += 1
            i_request += 1
            continue
        start = max(store_fs + lookup_fs, regs[R_FREE])
        end = start + stores[i_store, W_BYTES] * fs_per_mib // MIB
        regs[R_FREE] = end
        if record:
            n_log = emit(0, start, end, BUSY, stores[i_store, W_BYTES], open_, n_log, log)
        regs[R_WRITE_BYTES] += stores[i_store, W_BYTES]
        regs[R_LAST_STORE] = max(regs[R_LAST_STORE], end)
        tile = stores[i_store, W_TILE]
        if tile >= 0 and tile_ready_fs[tile] == ABSENT:
            tile_ready_fs[tile] = end
            install(tile, capacity_bytes, tile_bytes, tile_ready_fs, older, newer, waiters, regs)
        misses[n_misses, 0] = end
        misses[n_misses, 1] = stores[i_store, W_BYTES]
        misses[n_misses, 2] = 1
        misses[n_misses, 3] = -1
        n_misses += 1
        i_store += 1
    regs[R_HEAP] = n_heap
    counts[0] = n_responses
    counts[1] = n_misses
    counts[2] = n_log
    return n_heap

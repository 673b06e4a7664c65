"""The shared cache of a die: tile directory with LRU eviction, one FCFS data pipe, misses merged until they are
filled."""

from __future__ import annotations

from dieshot.kernels.heap import pop, push
from dieshot.kernels.interval import emit
from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

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

# Columns of the pool of waiting requests, one row a ring stage of a slot.
P_NEED = 0
P_READ = 1
N_POOL = 2

# Columns of stores (n, 3).
W_TIME = 0
W_BYTES = 1
W_TILE = 2

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


@timing_loop("void(int64[::1], int64[::1], int64)")
def _unlink(older: Rows, newer: Rows, tile: int) -> None:
    newer[older[tile]] = newer[tile]
    older[newer[tile]] = older[tile]


@timing_loop("void(int64[::1], int64[::1], int64)")
def _link_newest(older: Rows, newer: Rows, tile: int) -> None:
    end = older.shape[0] - 1
    last = older[end]
    newer[last] = tile
    older[tile] = last
    newer[tile] = end
    older[end] = tile


@timing_loop("void(int64, int64, int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def install(
    tile: int,
    capacity_bytes: int,
    tile_bytes: Rows,
    tile_ready_fs: Rows,
    older: Rows,
    newer: Rows,
    waiters: Rows,
    regs: Rows,
) -> None:
    """Make `tile` the newest resident and evict the oldest ones beyond the capacity.

    older/newer (tiles + 1) are the links of the LRU ring, the last entry its end. A tile somebody waits for stays.
    """
    _link_newest(older, newer, tile)
    regs[R_RESIDENT] += tile_bytes[tile]
    end = older.shape[0] - 1
    while regs[R_RESIDENT] > capacity_bytes:
        victim = newer[end]
        if victim in (tile, end):
            break
        _unlink(older, newer, victim)
        tile_ready_fs[victim] = ABSENT
        regs[R_RESIDENT] -= tile_bytes[victim]


@timing_loop("void(int64[::1], int64, int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])")
def install_all(
    tiles: Rows,
    capacity_bytes: int,
    tile_bytes: Rows,
    tile_ready_fs: Rows,
    older: Rows,
    newer: Rows,
    waiters: Rows,
    regs: Rows,
) -> None:
    """Make tiles resident from the start, oldest first; see `install`."""
    for tile in tiles:
        tile_ready_fs[tile] = 0
        install(tile, capacity_bytes, tile_bytes, tile_ready_fs, older, newer, waiters, regs)


@part_of_loop
def _take_pipe(
    ready_fs: int, bytes_: int, fs_per_mib: int, record: int, regs: Rows, open_: Rows, n_log: int, log: Rows
) -> int:
    """Take the data pipe for some bytes, no earlier than `ready_fs`; the end is left in regs. Returns n_log."""
    start = max(ready_fs, regs[R_FREE])
    end = start + bytes_ * fs_per_mib // MIB
    regs[R_FREE] = end
    if record:
        n_log = emit(0, start, end, BUSY, bytes_, open_, n_log, log)
    return n_log


@part_of_loop
def _answer(
    row: int,
    ready_fs: int,
    respond_fs: int,
    fs_per_mib: int,
    record: int,
    pool: Rows,
    regs: Rows,
    responses: Rows,
    counts: Rows,
    open_: Rows,
    log: Rows,
) -> None:
    """Read a request's bytes once all its tiles are there, and send the response."""
    read_bytes = pool[row, P_READ]
    counts[2] = _take_pipe(ready_fs, read_bytes, fs_per_mib, record, regs, open_, counts[2], log)
    regs[R_READ_BYTES] += read_bytes
    responses[counts[0], 0] = regs[R_FREE] + respond_fs
    responses[counts[0], 1] = row
    counts[0] += 1


@part_of_loop
def _wait_for(tile: int, link: int, waiters: Rows, wait_next: Rows) -> None:
    """Put a link at the end of a tile's list of waiters."""
    wait_next[link] = -1
    if waiters[tile] < 0:
        waiters[tile] = link
        return
    last = waiters[tile]
    while wait_next[last] >= 0:
        last = wait_next[last]
    wait_next[last] = link


@part_of_loop
def _look_up(
    tile: int,
    time_fs: int,
    link: int,
    tile_bytes: Rows,
    tile_ready_fs: Rows,
    older: Rows,
    newer: Rows,
    waiters: Rows,
    wait_next: Rows,
    regs: Rows,
    misses: Rows,
    counts: Rows,
) -> int:
    """Look for a tile; where it is absent send a miss, where it is not there yet wait. Returns 1 if waiting."""
    if tile_ready_fs[tile] >= 0:
        _unlink(older, newer, tile)
        _link_newest(older, newer, tile)
        regs[R_HITS] += 1
        return 0
    if tile_ready_fs[tile] == ABSENT:
        tile_ready_fs[tile] = PENDING
        misses[counts[1], 0] = time_fs
        misses[counts[1], 1] = tile_bytes[tile]
        misses[counts[1], 2] = 0
        misses[counts[1], 3] = tile
        counts[1] += 1
        regs[R_MISSES] += 1
    else:
        regs[R_MERGED] += 1
    _wait_for(tile, link, waiters, wait_next)
    return 1


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64[:, ::1], int64, int64[:, ::1], int64, int64[:, ::1], int64,"
    " int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1],"
    " int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])"
)
def advance_l2(
    until_fs: int,
    lookup_fs: int,
    respond_fs: int,
    capacity_bytes: int,
    fs_per_mib: int,
    record: int,
    requests: Rows,
    n_requests: int,
    stores: Rows,
    n_stores: int,
    fills: Rows,
    n_fills: int,
    tile_bytes: Rows,
    tile_ready_fs: Rows,
    older: Rows,
    newer: Rows,
    waiters: Rows,
    wait_next: Rows,
    pool: Rows,
    heap: Rows,
    regs: Rows,
    open_: Rows,
    responses: Rows,
    misses: Rows,
    log: Rows,
    counts: Rows,
) -> int:
    """Advance the cache to `until_fs`, in the order of arrival (fills before requests before stores at one time).

    requests (n, 5) and stores (n, 3) are sorted by time; fills (n, 2: time, tile) in any order. A request names up to
    two tiles (-1 = none); it is served when both are resident: the data pipe is taken for `read` bytes and the
    response leaves `respond_fs` later. The first request for an absent tile sends a miss, later ones wait for the
    same fill. responses (capacity, 2): time, pool row. misses (capacity, 4): time, bytes, read/write, tile (for the
    DRAM). counts (3): rows written to responses, misses, log. Stores are written through. Returns the number of fills
    waiting.
    """
    n_heap = int(regs[R_HEAP])
    for i in range(n_fills):
        n_heap = push(heap, n_heap, fills[i, 0], fills[i, 1])
    counts[:] = 0
    i_request = 0
    i_store = 0
    while True:
        fill_fs = heap[0, 0] if n_heap > 0 else until_fs
        request_fs = requests[i_request, Q_TIME] if i_request < n_requests else until_fs
        store_fs = stores[i_store, W_TIME] if i_store < n_stores else until_fs
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
                    _answer(row, fill_fs, respond_fs, fs_per_mib, record, pool, regs, responses, counts, open_, log)
                link = wait_next[link]
        elif request_fs <= store_fs:
            row = requests[i_request, Q_POOL]
            looked_fs = request_fs + lookup_fs
            pool[row, P_NEED] = 0
            pool[row, P_READ] = requests[i_request, Q_READ]
            for side in range(2):
                tile = requests[i_request, Q_TILE_A + side]
                if tile >= 0:
                    link = 2 * row + side
                    pool[row, P_NEED] += _look_up(
                        tile,
                        looked_fs,
                        link,
                        tile_bytes,
                        tile_ready_fs,
                        older,
                        newer,
                        waiters,
                        wait_next,
                        regs,
                        misses,
                        counts,
                    )
            if pool[row, P_NEED] == 0:
                _answer(row, looked_fs, respond_fs, fs_per_mib, record, pool, regs, responses, counts, open_, log)
            i_request += 1
        else:
            bytes_ = stores[i_store, W_BYTES]
            counts[2] = _take_pipe(store_fs + lookup_fs, bytes_, fs_per_mib, record, regs, open_, counts[2], log)
            regs[R_WRITE_BYTES] += bytes_
            regs[R_LAST_STORE] = max(regs[R_LAST_STORE], regs[R_FREE])
            tile = stores[i_store, W_TILE]
            if tile >= 0 and tile_ready_fs[tile] == ABSENT:
                tile_ready_fs[tile] = regs[R_FREE]
                install(tile, capacity_bytes, tile_bytes, tile_ready_fs, older, newer, waiters, regs)
            misses[counts[1], 0] = regs[R_FREE]
            misses[counts[1], 1] = bytes_
            misses[counts[1], 2] = 1
            misses[counts[1], 3] = -1
            counts[1] += 1
            i_store += 1
    regs[R_HEAP] = n_heap
    return n_heap

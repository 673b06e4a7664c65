"""DRAM channels behind a cache: requests cut into accesses by an interleave, one queue of waiting accesses a channel,
every channel advanced command by command to the end of a window."""

from __future__ import annotations

from dieshot.kernels.dram import (
    DUE_PSEUDO,
    FAR,
    N_PSEUDO,
    READ_DEPTH,
    WRITE_DEPTH,
    accept,
    look_ahead,
    next_visit,
    should_turn,
    visit,
)
from dieshot.kernels.dram_queue import READS, WRITES
from dieshot.kernels.dram_timing import REFAB
from dieshot.kernels.inlined import inlined
from dieshot.kernels.interval import emit
from dieshot.kernels.jit import Rows, timing_loop

BUSY = 1
STALL_MEMORY = 2
STALL_REFRESH = 8

READ = 0
WRITE = 1
NONE = -1

# shape: what does not change.
(TICK_FS, PATH_FS, ACCESS_BYTES, BURST_BYTES, BURST_TICKS, N_CHANNELS, PSEUDO_BANKS, ROW_ACCESSES, REFRESH_TICKS,
 HOLD_TICKS, ACCESS_BURSTS, N_SHAPE) = range(12)  # fmt: skip
GOLDEN = 2654435769  # 2**32 over the golden ratio: multiples of it spread evenly, wherever they begin

# queue (channel, N_QUEUE): the reads and the writes that wait for the controller; when the channel is looked at next;
# the tick before which nothing is left to do.
HEAD, WRITE_HEAD, TAIL, WRITE_TAIL, WAKE, DONE, IN_FLIGHT, N_QUEUE = range(8)

# access (row, N_ACCESS): one granule of a request at one row of one bank.
NEXT, ARRIVAL, BANK, ROW, REQUEST, BYTES, N_ACCESS = range(7)

# request (row, N_REQUEST)
LEFT, LAST, TILE, NEXT_FREE, N_REQUEST = range(5)

# regs
FREE_ACCESS, FREE_REQUEST, WRITE_POINTER, READ_BYTES, WRITE_BYTES, N_REGS = range(6)

# pins (pseudo-channel, N_PINS): end of the last data, and of the last refresh, in ticks.
DATA_END, REFRESH_BEGIN, REFRESH_END, N_PINS = range(4)


@inlined
def spread(index: int, n: int) -> int:
    """Return a number below n that goes far from one index to the next, and evenly over many."""
    return ((((index & 0x3FFFFFFF) * GOLDEN) & 0xFFFFFFFF) * n) >> 32


@inlined
def place_of(address: int, shape: Rows, n_pins: int) -> tuple[int, int, int, int]:
    """Return (channel, bank, row, bytes to the end of the access) of a byte address.

    Consecutive accesses go to consecutive pseudo-channels, a round over all of them begins at a hashed one; an open row
    serves consecutive rounds, and consecutive rows lie in different banks, in an order hashed by the row.
    """
    access = address // shape[ACCESS_BYTES]
    round_ = access // n_pins
    place = (access + spread(round_, n_pins)) % n_pins
    line = round_ // shape[ROW_ACCESSES]
    n_banks = shape[PSEUDO_BANKS]
    row = line // n_banks
    bank = (line + spread(row, n_banks)) % n_banks
    channel = place % shape[N_CHANNELS]
    pseudo = place // shape[N_CHANNELS]
    left = (access + 1) * shape[ACCESS_BYTES] - address
    return channel, pseudo * n_banks + bank, row, left


@inlined
def wait(
    channel: int, arrival: int, bank: int, row: int, request: int, bytes_: int, write: int, shape: Rows, queue: Rows,
    accesses: Rows, is_write: Rows, extra: Rows, regs: Rows
) -> None:  # fmt: skip
    """Put an access at the end of its channel's queue of reads or writes."""
    bursts = shape[ACCESS_BURSTS] if bytes_ == shape[ACCESS_BYTES] else -(-bytes_ // shape[BURST_BYTES])
    k = regs[FREE_ACCESS]
    regs[FREE_ACCESS] = accesses[k, NEXT]
    accesses[k, NEXT] = NONE
    accesses[k, ARRIVAL] = arrival
    accesses[k, BANK] = bank
    accesses[k, ROW] = row
    accesses[k, REQUEST] = request
    accesses[k, BYTES] = bytes_
    is_write[k] = write
    extra[k] = (bursts - 1) * shape[BURST_TICKS]
    if queue[channel, HEAD + write] == NONE:
        queue[channel, HEAD + write] = k
    else:
        accesses[queue[channel, TAIL + write], NEXT] = k
    queue[channel, TAIL + write] = k
    queue[channel, IN_FLIGHT] += 1


@inlined
def take_in(
    requests: Rows, n_requests: int, tile_address: Rows, n_pins: int, shape: Rows, queue: Rows, accesses: Rows,
    is_write: Rows, extra: Rows, pending: Rows, regs: Rows
) -> None:  # fmt: skip
    """Cut requests (n, 4: time fs, bytes, READ or WRITE, tile) into accesses; a write without a tile goes on where the
    last one ended.

    Where the next access of a request goes follows from the one before, up to the end of a round.
    """
    n_channels = shape[N_CHANNELS]
    n_banks = n_pins // n_channels * shape[PSEUDO_BANKS]
    for i in range(n_requests):
        arrival = -(-requests[i, 0] // shape[TICK_FS])
        left = requests[i, 1]
        tile = requests[i, 3]
        slot = regs[FREE_REQUEST]
        regs[FREE_REQUEST] = pending[slot, NEXT_FREE]
        pending[slot, LEFT] = 0
        pending[slot, LAST] = arrival
        pending[slot, TILE] = tile
        if requests[i, 2] == READ:
            regs[READ_BYTES] += left
        else:
            regs[WRITE_BYTES] += left
        if tile >= 0:
            address = tile_address[tile]
        else:
            address = regs[WRITE_POINTER]
            regs[WRITE_POINTER] += left
        channel, bank, row, room = place_of(address, shape, n_pins)
        left_of_round = n_pins - address // shape[ACCESS_BYTES] % n_pins
        while left > 0:
            if left_of_round == 0:
                channel, bank, row, room = place_of(address, shape, n_pins)
                left_of_round = n_pins
            piece = min(left, room)
            wait(channel, arrival, bank, row, slot, piece, requests[i, 2], shape, queue, accesses, is_write, extra,
                 regs)  # fmt: skip
            pending[slot, LEFT] += 1
            address += piece
            left -= piece
            left_of_round -= 1
            room = shape[ACCESS_BYTES]
            channel += 1
            if channel == n_channels:
                channel = 0
                bank += shape[PSEUDO_BANKS]
                if bank >= n_banks:
                    bank -= n_banks


@inlined
def entry_tick(
    write: int, now: int, ch: int, shape: Rows, cfg: Rows, queue: Rows, accesses: Rows, counts: Rows
) -> int:  # fmt: skip
    """Return when the first waiting read (or write) may enter the controller's queue; FAR while nothing changes.

    The cache keeps what was written until no read waits, or until it has kept it for long enough.
    """
    k = queue[ch, HEAD + write]
    if k == NONE:
        return FAR
    arrival: int = accesses[k, ARRIVAL]
    if write == READ:
        return arrival if counts[ch, READS] < cfg[READ_DEPTH] else FAR
    if counts[ch, WRITES] >= cfg[WRITE_DEPTH]:
        return FAR
    read = queue[ch, HEAD]
    if counts[ch, READS] > 0 or (read != NONE and accesses[read, ARRIVAL] <= max(now, arrival)):
        arrival += shape[HOLD_TICKS]
    return arrival


@inlined
def first_entry(now: int, ch: int, shape: Rows, cfg: Rows, queue: Rows, accesses: Rows, counts: Rows) -> int:
    """Return a tick before which nothing that waits enters the controller's queues, as long as these do not change."""
    read = entry_tick(READ, now, ch, shape, cfg, queue, accesses, counts)
    return min(read, entry_tick(WRITE, now, ch, shape, cfg, queue, accesses, counts))


@inlined
def enter(
    now: int, ch: int, shape: Rows, cfg: Rows, nodes: Rows, next_ok: Rows, open_row: Rows, lists: Rows, counts: Rows,
    chan: Rows, queue: Rows, accesses: Rows
) -> None:  # fmt: skip
    """Let the controller take in what it may."""
    for write in range(2):
        while entry_tick(write, now, ch, shape, cfg, queue, accesses, counts) <= now:
            k = queue[ch, HEAD + write]
            queue[ch, HEAD + write] = accesses[k, NEXT]
            accept(now, k, ch, WRITES if write else READS, accesses[k, BANK], accesses[k, ROW], nodes, next_ok,
                   open_row, lists, counts, chan)  # fmt: skip


@inlined
def note_data(
    line: int, arrival: int, start: int, end: int, bytes_: int, shape: Rows, pins: Rows, open_: Rows, n_log: int,
    log: Rows
) -> int:  # fmt: skip
    """Log data on the pins, and what the access waited for since they were last used. Returns the log rows."""
    tick = shape[TICK_FS]
    since = min(max(pins[line, DATA_END], arrival), start)
    begin = min(max(since, pins[line, REFRESH_BEGIN]), start)
    over = min(max(begin, pins[line, REFRESH_END]), start)
    n_log = emit(line, since * tick, begin * tick, STALL_MEMORY, 0, open_, n_log, log)
    n_log = emit(line, begin * tick, over * tick, STALL_REFRESH, 0, open_, n_log, log)
    n_log = emit(line, over * tick, start * tick, STALL_MEMORY, 0, open_, n_log, log)
    n_log = emit(line, start * tick, end * tick, BUSY, bytes_, open_, n_log, log)
    return n_log


@inlined
def complete(
    k: int, ch: int, shape: Rows, queue: Rows, accesses: Rows, is_write: Rows, finished: Rows, pending: Rows,
    regs: Rows, fills: Rows, n_fills: int
) -> int:  # fmt: skip
    """Take an access that was served out of its request; the last one of a read makes a fill. Returns the fills."""
    slot = accesses[k, REQUEST]
    pending[slot, LEFT] -= 1
    pending[slot, LAST] = max(pending[slot, LAST], finished[k])
    if pending[slot, LEFT] == 0:
        if not is_write[k]:
            fills[n_fills, 0] = pending[slot, LAST] * shape[TICK_FS] + shape[PATH_FS]
            fills[n_fills, 1] = pending[slot, TILE]
            n_fills += 1
        pending[slot, NEXT_FREE] = regs[FREE_REQUEST]
        regs[FREE_REQUEST] = slot
    accesses[k, NEXT] = regs[FREE_ACCESS]
    regs[FREE_ACCESS] = k
    queue[ch, IN_FLIGHT] -= 1
    return n_fills


@timing_loop(
    "int64(int64, int64, int64[:, ::1], int64, int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, :, ::1],"
    " int64[::1], int64[:, :, ::1], int64[:, :, ::1], int64[:, ::1], int64[:, :, :, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1])"
)
def advance_stack(
    until_fs: int, record: int, requests: Rows, n_requests: int, tile_address: Rows, shape: Rows, cfg: Rows,
    nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, acts: Rows, open_row: Rows, lists: Rows, counts: Rows,
    chan: Rows, tally: Rows, queue: Rows, accesses: Rows, is_write: Rows, extra: Rows, finished: Rows, pending: Rows,
    pins: Rows, regs: Rows, open_: Rows, fills: Rows, log: Rows
) -> int:  # fmt: skip
    """Take in requests that arrive before `until_fs`, and advance all channels to it; FAR: until nothing is under way.

    requests (n, 4: time fs, bytes, READ or WRITE, tile) in order of time. shape (N_SHAPE), cfg, nodes, delay, hold,
    next_ok, acts, open_row, lists, counts, chan, tally as in kernels/dram.py. queue (channels), accesses, is_write,
    extra, finished (capacity), pending (capacity), pins (pseudo-channels), regs: state. fills (capacity, 2: time fs at
    which a read's last byte is back at the cache, tile), log as in kernels/interval.py, one line a pseudo-channel.
    Returns n_fills * 2**32 + n_log.
    """
    n_pseudo = cfg[N_PSEUDO]
    take_in(requests, n_requests, tile_address, pins.shape[0], shape, queue, accesses, is_write, extra, pending, regs)
    drain = until_fs >= FAR
    until = FAR if drain else -(-until_fs // shape[TICK_FS])
    n_fills = 0
    n_log = 0
    for ch in range(queue.shape[0]):
        entry = first_entry(queue[ch, DONE], ch, shape, cfg, queue, accesses, counts)
        now = min(queue[ch, WAKE], max(entry, queue[ch, DONE]))
        while now < until and not (drain and queue[ch, IN_FLIGHT] == 0):
            if entry <= now:
                enter(now, ch, shape, cfg, nodes, next_ok, open_row, lists, counts, chan, queue, accesses)
            if next_visit(ch, chan) <= now or should_turn(ch, cfg, counts, chan):
                pseudo = chan[ch, DUE_PSEUDO]
                n_refreshes = tally[ch, REFAB]
                served = visit(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally,
                               finished, is_write, extra)  # fmt: skip
                look_ahead(now, ch, cfg, nodes, next_ok, open_row, lists, counts, chan, is_write)
                if served > 0:
                    k = served - 1
                    line = ch * n_pseudo + nodes[accesses[k, BANK], 0]
                    if record:
                        n_log = note_data(line, accesses[k, ARRIVAL], finished[k] - extra[k] - shape[BURST_TICKS],
                                          finished[k], accesses[k, BYTES], shape, pins, open_, n_log, log)  # fmt: skip
                    pins[line, DATA_END] = finished[k]
                    n_fills = complete(k, ch, shape, queue, accesses, is_write, finished, pending, regs, fills, n_fills)
                if tally[ch, REFAB] > n_refreshes:
                    pins[ch * n_pseudo + pseudo, REFRESH_BEGIN] = now
                    pins[ch * n_pseudo + pseudo, REFRESH_END] = now + shape[REFRESH_TICKS]
            wake = now + 1 if should_turn(ch, cfg, counts, chan) else next_visit(ch, chan)
            entry = first_entry(now, ch, shape, cfg, queue, accesses, counts)
            now = max(min(wake, entry), now + 1)
        queue[ch, WAKE] = now
        queue[ch, DONE] = until
    return n_fills * (1 << 32) + n_log

"""DRAM channels behind one front end: items offered in order of arrival, channels visited when they can act."""

from __future__ import annotations

from dieshot.kernels.dram import (
    ALL_BANK,
    BAD_ITEM,
    BANK_DEPTH,
    FAR,
    FAW,
    FORWARD,
    FORWARDED,
    HITS,
    LATEST,
    N_TIMES,
    OFFERS_PER_TICK,
    OK,
    OVERFLOW,
    READ_DEPTH,
    REFRESH,
    REFRESH_INTERVAL,
    STARVED,
    STUCK,
    WRITE_DEPTH,
    WRITE_MODE,
    accept,
    next_visit,
    should_turn,
    visit,
)
from dieshot.kernels.dram_queue import ITEM, OPENING, READS, STAGED, WRITES, append
from dieshot.kernels.dram_repeat import (
    AT_ITEM,
    AT_ROW,
    AT_TICK,
    HASH,
    clear_waiting,
    copy_outputs,
    equal,
    items_repeated,
    mixed,
    note_counters,
    oldest_waiting,
    repeat_counters,
    restore_snapshot,
    take_snapshot,
)
from dieshot.kernels.dram_timing import REFAB
from dieshot.kernels.dram_turns import fill_bank_queues, is_same_place, visit_in_turn
from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows, timing_loop

# regs: now, next item to offer, requests under way, when the state was last looked at, snapshots taken, items repeated.
NOW, NEXT_ITEM, IN_FLIGHT, LOOKED, N_SNAPSHOTS, REPEATED, N_REGS = range(7)
ITEMS_A_LOOK = 1024  # without refresh
PATIENCE, LONGEST_DELAYS = 1 << 20, 64  # ticks, and longest delays of all rules, without a request served: starved


@inlined
def list_of(write: int, cfg: Rows) -> int:
    """Return the list that a request enters."""
    reads = READS if cfg[BANK_DEPTH] == 0 else STAGED
    return WRITES if write else reads


@inlined
def has_room(ch: int, write: int, cfg: Rows, counts: Rows) -> bool:
    """Return whether a channel takes one more read or write."""
    room: bool = counts[ch, list_of(write, cfg)] < (cfg[WRITE_DEPTH] if write else cfg[READ_DEPTH])
    return room


@inlined
def is_write_waiting(
    ch: int, bank: int, row: int, column: int, lists: Rows, counts: Rows, is_write: Rows, columns: Rows
) -> bool:
    """Return whether a write of this burst waits for its column command."""
    for which in range(OPENING, WRITES + 1):
        for k in range(counts[ch, which]):
            if is_write[lists[ch, which, ITEM, k]] and is_same_place(ch, which, k, bank, row, column, columns, lists):
                return True
    return False


@inlined
def offer(
    now: int, i: int, cfg: Rows, nodes: Rows, regs: Rows, next_ok: Rows, open_row: Rows, lists: Rows, counts: Rows,
    chan: Rows, channel: Rows, bank: Rows, row: Rows, is_write: Rows, finished: Rows, columns: Rows
) -> None:  # fmt: skip
    """Put an item into its queue; a read of what a waiting write brings is answered from that in the next tick."""
    ch = channel[i]
    if (
        cfg[FORWARD]
        and columns.shape[0] > 0
        and not is_write[i]
        and is_write_waiting(ch, bank[i], row[i], columns[i], lists, counts, is_write, columns)
    ):
        finished[i] = now + 1
        chan[ch, FORWARDED] += 1
        return
    which = list_of(is_write[i], cfg)
    if cfg[BANK_DEPTH] > 0:
        append(ch, which, i, bank[i], row[i], 0, lists, counts)
    else:
        accept(now, i, ch, which, bank[i], row[i], nodes, next_ok, open_row, lists, counts, chan)
    regs[IN_FLIGHT] += 1


@inlined
def look_for_repetition(
    now: int, cfg: Rows, regs: Rows, next_ok: Rows, acts: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows,
    tally: Rows, channel: Rows, bank: Rows, row: Rows, is_write: Rows, accepted: Rows, finished: Rows, snapshots: Rows,
    meta: Rows, at_bank: Rows, columns: Rows
) -> int:  # fmt: skip
    """Compare the state with earlier ones; where one recurs, repeat what came between. Returns the ticks skipped."""
    item = regs[NEXT_ITEM]
    n = regs[N_SNAPSHOTS]
    slot = n % snapshots.shape[0]
    length = take_snapshot(now, item, row[item], N_TIMES, HITS, cfg[FAW], next_ok, acts, open_row, lists, counts, chan,
                           at_bank, snapshots[slot])  # fmt: skip
    code = mixed(snapshots[slot], length)
    for back in range(1, min(n, snapshots.shape[0] - 1) + 1):
        k = (n - back) % snapshots.shape[0]
        if meta[k, HASH] != code or not equal(snapshots[k], snapshots[slot], length):
            continue
        period = item - meta[k, AT_ITEM]
        shift = row[item] - meta[k, AT_ROW]
        first = oldest_waiting(item, lists, counts)
        if period <= 0 or first - period < 0 or first < meta[k, AT_ITEM]:
            continue
        ahead = items_repeated(item, period, channel, bank, row, columns, is_write, shift)
        times = ahead // period
        # The rest of the items takes the state to that of the last snapshot of the period that they reach.
        last = k
        for later in range(back):
            i = (n - back + later) % snapshots.shape[0]
            if meta[i, AT_ITEM] - meta[k, AT_ITEM] <= ahead - times * period:
                last = i
        skipped_items = times * period + meta[last, AT_ITEM] - meta[k, AT_ITEM]
        if skipped_items == 0:
            continue
        ticks = now - meta[k, AT_TICK]
        skipped: int = times * ticks + meta[last, AT_TICK] - meta[k, AT_TICK]
        copy_outputs(first, item + skipped_items, item, period, ticks, accepted, finished)
        repeat_counters(times, meta[k], meta[last], HITS, chan, tally)
        restore_snapshot(now + skipped, item + skipped_items, meta[last, AT_ROW] + (times + 1) * shift, N_TIMES, HITS,
                         next_ok, acts, open_row, lists, counts, chan, at_bank, snapshots[last])  # fmt: skip
        clear_waiting(finished, lists, counts)
        regs[NEXT_ITEM] = item + skipped_items
        regs[IN_FLIGHT] = counts.sum()
        regs[REPEATED] += skipped_items
        return skipped
    meta[slot, HASH] = code
    meta[slot, AT_ITEM] = item
    meta[slot, AT_TICK] = now
    meta[slot, AT_ROW] = row[item]
    note_counters(meta[slot], HITS, chan, tally)
    regs[N_SNAPSHOTS] = n + 1
    return 0


@inlined
def patience_of(cfg: Rows, delay: Rows) -> int:
    """Return the ticks without a request served after which none will be."""
    longest: int = cfg[REFRESH_INTERVAL]
    for scope in range(delay.shape[0]):
        for earlier in range(delay.shape[1]):
            for later in range(delay.shape[2]):
                longest = max(longest, delay[scope, earlier, later])
    return PATIENCE + LONGEST_DELAYS * longest


@inlined
def check_items(regs: Rows, arrival: Rows, channel: Rows, bank: Rows, n_channels: int, n_banks: int) -> int:
    """Return OK, or what is wrong with the first bad item, which NEXT_ITEM then names."""
    last = 0
    for i in range(regs[NEXT_ITEM], arrival.shape[0]):
        if arrival[i] < last or arrival[i] > LATEST:
            regs[NEXT_ITEM] = i
            return OVERFLOW
        if channel[i] < 0 or channel[i] >= n_channels or bank[i] < 0 or bank[i] >= n_banks:
            regs[NEXT_ITEM] = i
            return BAD_ITEM
        last = arrival[i]
    return OK


@inlined
def step_channel(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, regs: Rows, next_ok: Rows, acts: Rows,
    open_row: Rows, lists: Rows, counts: Rows, chan: Rows, tally: Rows, finished: Rows, is_write: Rows, extra: Rows,
    at_bank: Rows, columns: Rows
) -> int:  # fmt: skip
    """Let a channel do what it can at this tick; return the next tick at which it can do more."""
    if cfg[BANK_DEPTH] > 0:
        served = visit_in_turn(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally,
                               finished, is_write, extra, at_bank, columns)  # fmt: skip
        regs[IN_FLIGHT] -= served > 0
        moved = fill_bank_queues(ch, cfg, lists, counts, chan, at_bank, is_write, columns)
        again = moved > 0 or served > 0
    else:
        if next_visit(ch, chan) <= now or counts[ch, WRITES] > 0 or chan[ch, WRITE_MODE]:
            served = visit(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally,
                           finished, is_write, extra)  # fmt: skip
            regs[IN_FLIGHT] -= served > 0
        again = should_turn(ch, cfg, counts, chan)
    wake: int = now + 1 if again else next_visit(ch, chan)
    return wake


@timing_loop(
    "int64(int64, int64[::1], int64[:, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[:, :, ::1],"
    " int64[:, :, ::1], int64[:, ::1], int64[:, :, :, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " int64[:, ::1], int64[:, ::1], int64[:, :, ::1], int64[::1])"
)
def advance_dram(
    until: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, regs: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows, arrival: Rows, channel: Rows, bank: Rows, row: Rows,
    columns: Rows, is_write: Rows, accepted: Rows, finished: Rows, snapshots: Rows, meta: Rows, at_bank: Rows,
    one_burst: Rows
) -> int:  # fmt: skip
    """Serve items in their order of arrival until all are done, or up to tick `until`.

    Constants: cfg, nodes (dram_timing.bank_nodes), delay (dram_timing.delay_table), hold (ticks a command holds its
    bus). State: regs, next_ok (channel, node, command), acts, open_row (channel, bank), lists, counts, chan, tally
    (channel, command: number issued). Items: arrival in ticks (not falling), channel, bank, row, is_write. Outputs:
    ticks at which an item entered its queue and at which its data had moved. snapshots, meta: working space for the
    search for repetition; no rows: no search. at_bank (channel, bank, dram_turns.N_AT_BANK): state of the banks' own
    queues. columns (item): the burst within its row, to tell requests of one row apart; empty: they are not.
    one_burst (1): zero. An item that finds its queue full holds up
    those behind it. Returns OK, STUCK where requests wait for what cannot come, or STARVED where
    refreshes leave them no time.
    """
    n_items = arrival.shape[0]
    status = check_items(regs, arrival, channel, bank, counts.shape[0], nodes.shape[0])
    if status != OK:
        return status
    now = regs[NOW]
    i = regs[NEXT_ITEM]
    patience = patience_of(cfg, delay)
    done, since = -1, now
    while now < until:
        offered = 0
        while (
            i < n_items
            and arrival[i] <= now
            and offered < cfg[OFFERS_PER_TICK]
            and has_room(channel[i], is_write[i], cfg, counts)
        ):
            offer(now, i, cfg, nodes, regs, next_ok, open_row, lists, counts, chan, channel, bank, row, is_write,
                  finished, columns)  # fmt: skip
            accepted[i] = now
            offered += 1
            i += 1
        wake = FAR
        for ch in range(counts.shape[0]):
            wake = min(wake, step_channel(now, ch, cfg, nodes, delay, hold, regs, next_ok, acts, open_row, lists,
                                          counts, chan, tally, finished, is_write, one_burst, at_bank,
                                          columns))  # fmt: skip
        if i < n_items:
            if arrival[i] > now:
                wake = min(wake, arrival[i])
            elif has_room(channel[i], is_write[i], cfg, counts):
                wake = now + 1
        elif regs[IN_FLIGHT] == 0:
            break
        if offered > 0 or i - regs[IN_FLIGHT] > done or regs[IN_FLIGHT] == 0:
            done, since = i - regs[IN_FLIGHT], now
        elif now - since > patience:
            return STARVED
        if wake >= FAR:
            return STUCK
        now = max(wake, now + 1)
        if snapshots.shape[0] > 0 and i < n_items and arrival[n_items - 1] <= now:
            look = tally[0, REFAB] if cfg[REFRESH] == ALL_BANK else i // ITEMS_A_LOOK
            if look != regs[LOOKED]:
                regs[LOOKED] = look
                regs[NEXT_ITEM] = i
                now += look_for_repetition(now, cfg, regs, next_ok, acts, open_row, lists, counts, chan, tally,
                                           channel, bank, row, is_write, accepted, finished, snapshots, meta, at_bank,
                                           columns)  # fmt: skip
                i = regs[NEXT_ITEM]
    regs[NOW] = now
    regs[NEXT_ITEM] = i
    return OK

"""DRAM channels command by command: first-ready scheduling over separate row and column command buses.

Time is in ticks, the finest step of the command buses (half a CK for HBM3, a CK elsewhere). The loop visits only ticks
at which something can happen: each channel keeps a lower bound on the next tick at which a row or a column command
could issue, and every event that may lower the bound lowers it.
"""

from __future__ import annotations

from dieshot.kernels.dram_queue import (
    BANK_ID,
    ITEM,
    OPENING,
    READS,
    ROW,
    SEEN,
    STAGED,
    WRITES,
    append,
    is_hit_waiting,
    is_opening,
    remove,
)
from dieshot.kernels.dram_repeat import (
    AT_ITEM,
    AT_ROW,
    AT_TICK,
    HASH,
    copy_outputs,
    equal,
    mixed,
    note_counters,
    oldest_waiting,
    repeat_counters,
    repetitions,
    shift_state,
    take_snapshot,
)
from dieshot.kernels.dram_timing import ACT, CLOSED, PRE, PREA, RD, REFAB, REFPB, WR, note_command, push_back, ready_at
from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows, timing_loop

FAR = 1 << 62
LATEST = 1 << 61  # arrivals beyond could overflow when timings are added
OK, OVERFLOW, STUCK, BAD_ITEM = range(4)

# cfg: what does not change.
(N_PSEUDO, N_STACK, READ_DEPTH, WRITE_DEPTH, HIGH_MARK, LOW_MARK, OFFERS_PER_TICK, PREFER_HITS, CLOSE_PAGE, REFRESH,
 REFRESH_INTERVAL, READ_TICKS, WRITE_TICKS, FAW, RP, BANK_DEPTH, N_CFG) = range(17)  # fmt: skip
N_TIMES = 5  # of these, the first are ticks; from HITS on they count
NO_REFRESH, ALL_BANK, PER_BANK = range(3)

# chan (channel, N_CHAN): what a channel remembers between ticks.
(COL_WAKE, ROW_WAKE, COL_FREE, ROW_FREE, NEXT_REFRESH, DUE, DUE_PSEUDO, REFRESH_BANK, WRITE_MODE, HITS, MISSES,
 CONFLICTS, N_CHAN) = range(13)  # fmt: skip

# regs: now, next item to offer, requests under way, when the state was last looked at, snapshots taken, items repeated.
NOW, NEXT_ITEM, IN_FLIGHT, LOOKED, N_SNAPSHOTS, REPEATED, N_REGS = range(7)
ITEMS_A_LOOK = 1024  # without refresh


@inlined
def classify(ch: int, bank: int, row: int, open_row: Rows, chan: Rows) -> None:
    """Count a request as hit, miss or conflict by its bank at the first command issued for it."""
    if open_row[ch, bank] == row:
        chan[ch, HITS] += 1
    elif open_row[ch, bank] == CLOSED:
        chan[ch, MISSES] += 1
    else:
        chan[ch, CONFLICTS] += 1


@inlined
def lower(ch: int, which: int, tick: int, chan: Rows) -> None:
    """Let a channel look again no later than `tick`."""
    if chan[ch, which] > tick:
        chan[ch, which] = tick


@inlined
def close_after_column(ch: int, bank: int, cfg: Rows, nodes: Rows, next_ok: Rows, open_row: Rows, tally: Rows) -> None:
    """Precharge by itself (RDA, WRA) as soon as the bank's own rules allow."""
    node = nodes[bank, 3]
    closed = next_ok[ch, node, PRE] + cfg[RP]
    open_row[ch, bank] = CLOSED
    next_ok[ch, node, ACT] = max(next_ok[ch, node, ACT], closed)
    next_ok[ch, node, REFPB] = max(next_ok[ch, node, REFPB], closed)
    next_ok[ch, nodes[bank, 0], REFAB] = max(next_ok[ch, nodes[bank, 0], REFAB], closed)
    tally[ch, PRE] += 1


@inlined
def issue_column(
    now: int, ch: int, which: int, k: int, command: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows,
    acts: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows, tally: Rows, finished: Rows, extra: Rows
) -> None:  # fmt: skip
    """Serve the k-th request of a list by RD or WR; extra: ticks from its first burst's command to its last."""
    bank = lists[ch, which, BANK_ID, k]
    row = lists[ch, which, ROW, k]
    item = lists[ch, which, ITEM, k]
    if lists[ch, which, SEEN, k] == 0:
        chan[ch, HITS] += 1
    last = now + extra[min(item, extra.shape[0] - 1)]
    finished[item] = last + (cfg[READ_TICKS] if command == RD else cfg[WRITE_TICKS])
    note_command(ch, bank, command, last, cfg[FAW], cfg[N_STACK], nodes, delay, next_ok, acts)
    remove(ch, which, k, lists, counts)
    tally[ch, command] += 1
    chan[ch, COL_FREE] = now + hold[command]
    chan[ch, COL_WAKE] = now + hold[command]
    if cfg[CLOSE_PAGE] and not is_hit_waiting(ch, bank, row, lists, counts):
        close_after_column(ch, bank, cfg, nodes, next_ok, open_row, tally)
        chan[ch, ROW_WAKE] = now
    if which == OPENING or cfg[PREFER_HITS] or cfg[CLOSE_PAGE]:
        chan[ch, ROW_WAKE] = now  # the row may now be closed


@inlined
def column_pass(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows, finished: Rows, is_write: Rows, extra: Rows
) -> int:  # fmt: skip
    """Issue the oldest column command that is ready, requests whose row was opened for them first.

    Returns its item + 1; 0 where none.
    """
    soonest = FAR
    waiting = WRITES if chan[ch, WRITE_MODE] else READS
    blocked = cfg[REFRESH] == ALL_BANK and chan[ch, DUE] > 0
    for turn in range(2):
        which = OPENING if turn == 0 else waiting
        if turn == 1 and blocked:
            break
        for k in range(counts[ch, which]):
            bank = lists[ch, which, BANK_ID, k]
            if open_row[ch, bank] != lists[ch, which, ROW, k]:
                continue
            command = WR if is_write[lists[ch, which, ITEM, k]] else RD
            tick = ready_at(ch, bank, command, nodes, next_ok)
            if tick <= now:
                served: int = lists[ch, which, ITEM, k] + 1
                issue_column(now, ch, which, k, command, cfg, nodes, delay, hold, next_ok, acts, open_row, lists,
                             counts, chan, tally, finished, extra)  # fmt: skip
                return served
            soonest = min(soonest, tick)
    chan[ch, COL_WAKE] = soonest
    return 0


@inlined
def refresh_all_banks(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, open_row: Rows, lists: Rows,
    counts: Rows, chan: Rows, tally: Rows
) -> None:  # fmt: skip
    """Go on with the refresh that is due: close the pseudo-channel's banks, then REFab; other row commands wait."""
    pseudo = chan[ch, DUE_PSEUDO]
    n_banks = nodes.shape[0] // cfg[N_PSEUDO]
    first = pseudo * n_banks
    command = REFAB
    for bank in range(first, first + n_banks):
        if open_row[ch, bank] != CLOSED:
            command = PREA
            if is_opening(ch, bank, lists, counts):
                chan[ch, ROW_WAKE] = FAR  # the request's column command wakes this pass
                return
    tick = next_ok[ch, pseudo, command]
    if tick > now:
        chan[ch, ROW_WAKE] = tick
        return
    push_back(ch, pseudo, 0, command, now, delay, next_ok)
    tally[ch, command] += 1
    chan[ch, ROW_FREE] = now + hold[command]
    chan[ch, ROW_WAKE] = now + 1
    if command == PREA:
        for bank in range(first, first + n_banks):
            open_row[ch, bank] = CLOSED
        return
    chan[ch, DUE] -= 1
    chan[ch, DUE_PSEUDO] = (pseudo + 1) % cfg[N_PSEUDO]
    chan[ch, COL_WAKE] = min(chan[ch, COL_WAKE], now + 1)


@inlined
def refreshed_bank(ch: int, cfg: Rows, nodes: Rows, chan: Rows) -> int:
    """Return the bank whose turn it is: pseudo-channels alternate, each goes through its banks in order."""
    turn: int = chan[ch, REFRESH_BANK]
    n_pseudo: int = cfg[N_PSEUDO]
    bank: int = turn % n_pseudo * (nodes.shape[0] // n_pseudo) + turn // n_pseudo
    return bank


@inlined
def refresh_one_bank(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows
) -> int:  # fmt: skip
    """Go on with the per-bank refresh that is due: PRE if the bank is open, then REFpb. 1 if a command was issued."""
    bank = refreshed_bank(ch, cfg, nodes, chan)
    command = REFPB if open_row[ch, bank] == CLOSED else PRE
    if command == PRE and is_opening(ch, bank, lists, counts):
        return 0
    tick = ready_at(ch, bank, command, nodes, next_ok)
    if tick > now:
        lower(ch, ROW_WAKE, tick, chan)
        return 0
    note_command(ch, bank, command, now, cfg[FAW], cfg[N_STACK], nodes, delay, next_ok, acts)
    tally[ch, command] += 1
    chan[ch, ROW_FREE] = now + hold[command]
    chan[ch, ROW_WAKE] = now + 1
    open_row[ch, bank] = CLOSED
    if command == REFPB:
        chan[ch, DUE] -= 1
        chan[ch, REFRESH_BANK] = (chan[ch, REFRESH_BANK] + 1) % nodes.shape[0]
    return 1


@inlined
def issue_row(
    now: int, ch: int, which: int, k: int, command: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows,
    acts: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows, tally: Rows
) -> None:  # fmt: skip
    """Close or open a row for the k-th request of a list."""
    bank = lists[ch, which, BANK_ID, k]
    row = lists[ch, which, ROW, k]
    if lists[ch, which, SEEN, k] == 0:
        classify(ch, bank, row, open_row, chan)
        lists[ch, which, SEEN, k] = 1
    note_command(ch, bank, command, now, cfg[FAW], cfg[N_STACK], nodes, delay, next_ok, acts)
    tally[ch, command] += 1
    chan[ch, ROW_FREE] = now + hold[command]
    chan[ch, ROW_WAKE] = now + hold[command]
    open_row[ch, bank] = CLOSED
    if command == ACT:
        open_row[ch, bank] = row
        append(ch, OPENING, lists[ch, which, ITEM, k], bank, row, 1, lists, counts)
        remove(ch, which, k, lists, counts)
        lower(ch, COL_WAKE, min(next_ok[ch, nodes[bank, 3], RD], next_ok[ch, nodes[bank, 3], WR]), chan)


@inlined
def row_pass(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows
) -> None:  # fmt: skip
    """Issue the oldest row command that is ready; a refresh that is due goes first."""
    chan[ch, ROW_WAKE] = FAR
    reserved = -1
    if chan[ch, DUE] > 0:
        if cfg[REFRESH] == ALL_BANK:
            refresh_all_banks(now, ch, cfg, nodes, delay, hold, next_ok, open_row, lists, counts, chan, tally)
            return
        reserved = refreshed_bank(ch, cfg, nodes, chan)
        if refresh_one_bank(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally):
            return
    which = WRITES if chan[ch, WRITE_MODE] else READS
    for k in range(counts[ch, which]):
        bank = lists[ch, which, BANK_ID, k]
        row = lists[ch, which, ROW, k]
        open_ = open_row[ch, bank]
        if open_ == row or bank == reserved:
            continue
        command = ACT if open_ == CLOSED else PRE
        tick = ready_at(ch, bank, command, nodes, next_ok)
        if tick > now:
            lower(ch, ROW_WAKE, tick, chan)
            continue
        if command == PRE:
            if is_opening(ch, bank, lists, counts):
                continue
            if cfg[PREFER_HITS] and is_hit_waiting(ch, bank, open_, lists, counts):
                continue
        issue_row(now, ch, which, k, command, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan,
                  tally)  # fmt: skip
        return


@inlined
def should_turn(ch: int, cfg: Rows, counts: Rows, chan: Rows) -> bool:
    """Return whether the fill of the two queues asks for the other direction."""
    reads = counts[ch, READS]
    writes = counts[ch, WRITES]
    if chan[ch, WRITE_MODE]:
        turn: bool = (writes < cfg[LOW_MARK] and reads > 0) or writes == 0
    else:
        turn = writes > cfg[HIGH_MARK] or (reads == 0 and writes > 0)
    return turn


@inlined
def choose_direction(now: int, ch: int, cfg: Rows, counts: Rows, chan: Rows) -> None:
    """Turn between reading and writing by the fill of the two queues."""
    if should_turn(ch, cfg, counts, chan):
        chan[ch, WRITE_MODE] = 1 - chan[ch, WRITE_MODE]
        chan[ch, COL_WAKE] = now
        chan[ch, ROW_WAKE] = now


@inlined
def next_visit(ch: int, chan: Rows) -> int:
    """Return the next tick at which a channel can do anything."""
    tick: int = min(max(chan[ch, COL_WAKE], chan[ch, COL_FREE]), max(chan[ch, ROW_WAKE], chan[ch, ROW_FREE]))
    tick = min(tick, chan[ch, NEXT_REFRESH])
    return tick


@inlined
def visit(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows, finished: Rows, is_write: Rows, extra: Rows
) -> int:  # fmt: skip
    """Issue what one channel can at this tick: at most a column and a row command. Returns the item served + 1, or 0.

    extra (1, or item): ticks from the command for an item's first burst to that for its last.
    """
    served = 0
    choose_direction(now, ch, cfg, counts, chan)
    if chan[ch, NEXT_REFRESH] <= now:
        chan[ch, NEXT_REFRESH] += cfg[REFRESH_INTERVAL]
        chan[ch, DUE] += cfg[N_PSEUDO]
        chan[ch, ROW_WAKE] = now
    if now >= chan[ch, COL_WAKE] and now >= chan[ch, COL_FREE]:
        served = column_pass(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally,
                             finished, is_write, extra)  # fmt: skip
    if now >= chan[ch, ROW_WAKE] and now >= chan[ch, ROW_FREE]:
        row_pass(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally)
    return served


@inlined
def accept(
    now: int, item: int, ch: int, which: int, bank: int, row: int, nodes: Rows, next_ok: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows
) -> None:  # fmt: skip
    """Put an item into its queue and wake its channel for when it could be served."""
    append(ch, which, item, bank, row, 0, lists, counts)
    if open_row[ch, bank] == row:
        lower(ch, COL_WAKE, ready_at(ch, bank, WR if which == WRITES else RD, nodes, next_ok), chan)
    else:
        lower(ch, ROW_WAKE, ready_at(ch, bank, ACT if open_row[ch, bank] == CLOSED else PRE, nodes, next_ok), chan)


@inlined
def entry_list(write: int, cfg: Rows) -> int:
    """Return the list that a request enters first."""
    reads = READS if cfg[BANK_DEPTH] == 0 else STAGED
    return WRITES if write else reads


@inlined
def unstage(
    now: int, ch: int, cfg: Rows, nodes: Rows, next_ok: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows,
    in_bank: Rows
) -> int:  # fmt: skip
    """Move the oldest staged read whose bank's queue has room; 1 if one was moved."""
    for k in range(counts[ch, STAGED]):
        bank = lists[ch, STAGED, BANK_ID, k]
        if in_bank[ch, bank] < cfg[BANK_DEPTH]:
            item = lists[ch, STAGED, ITEM, k]
            row = lists[ch, STAGED, ROW, k]
            remove(ch, STAGED, k, lists, counts)
            accept(now, item, ch, READS, bank, row, nodes, next_ok, open_row, lists, counts, chan)
            in_bank[ch, bank] += 1
            return 1
    return 0


@inlined
def look_for_repetition(
    now: int, cfg: Rows, regs: Rows, next_ok: Rows, acts: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows,
    tally: Rows, channel: Rows, bank: Rows, row: Rows, is_write: Rows, accepted: Rows, finished: Rows, snapshots: Rows,
    meta: Rows
) -> int:  # fmt: skip
    """Compare the state with earlier ones; where one recurs, repeat what came between. Returns the ticks skipped."""
    item = regs[NEXT_ITEM]
    n = regs[N_SNAPSHOTS]
    slot = n % snapshots.shape[0]
    length = take_snapshot(now, item, row[item], N_TIMES, HITS, cfg[FAW], next_ok, acts, open_row, lists, counts, chan,
                           snapshots[slot])  # fmt: skip
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
        times: int = repetitions(item, period, channel, bank, row, is_write, shift)
        if times == 0:
            continue
        ticks: int = now - meta[k, AT_TICK]
        copy_outputs(first, item + times * period, item, period, ticks, accepted, finished)
        repeat_counters(times, meta[k], HITS, chan, tally)
        shift_state(times * ticks, times * period, times * shift, N_TIMES, next_ok, acts, open_row, lists, counts, chan)
        regs[NEXT_ITEM] = item + times * period
        regs[REPEATED] += times * period
        skipped: int = times * ticks
        return skipped
    meta[slot, HASH] = code
    meta[slot, AT_ITEM] = item
    meta[slot, AT_TICK] = now
    meta[slot, AT_ROW] = row[item]
    note_counters(meta[slot], HITS, chan, tally)
    regs[N_SNAPSHOTS] = n + 1
    return 0


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


@timing_loop(
    "int64(int64, int64[::1], int64[:, ::1], int64[:, :, ::1], int64[::1], int64[::1], int64[:, :, ::1],"
    " int64[:, :, ::1], int64[:, ::1], int64[:, :, :, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])"
)
def advance_dram(
    until: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, regs: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows, arrival: Rows, channel: Rows, bank: Rows, row: Rows,
    is_write: Rows, accepted: Rows, finished: Rows, snapshots: Rows, meta: Rows, in_bank: Rows, one_burst: Rows
) -> int:  # fmt: skip
    """Serve items in their order of arrival until all are done, or up to tick `until`.

    Constants: cfg, nodes (dram_timing.bank_nodes), delay (dram_timing.delay_table), hold (ticks a command holds its
    bus). State: regs, next_ok (channel, node, command), acts, open_row (channel, bank), lists, counts, chan, tally
    (channel, command: number issued). Items: arrival in ticks (not falling), channel, bank, row, is_write. Outputs:
    ticks at which an item entered its queue and at which its data had moved. snapshots, meta: working space for the
    search for repetition; no rows: no search. in_bank (channel,
    bank): state, the reads in a bank's own queue. one_burst (1): zero. An item that finds its queue full holds up
    those behind it. Returns OK, or STUCK where requests wait for what cannot come.
    """
    n_items = arrival.shape[0]
    status = check_items(regs, arrival, channel, bank, counts.shape[0], nodes.shape[0])
    if status != OK:
        return status
    now = regs[NOW]
    i = regs[NEXT_ITEM]
    while now < until:
        offered = 0
        while i < n_items and arrival[i] <= now and offered < cfg[OFFERS_PER_TICK]:
            ch = channel[i]
            which = entry_list(is_write[i], cfg)
            if counts[ch, which] >= (cfg[WRITE_DEPTH] if is_write[i] else cfg[READ_DEPTH]):
                break
            if which == STAGED:
                append(ch, which, i, bank[i], row[i], 0, lists, counts)
            else:
                accept(now, i, ch, which, bank[i], row[i], nodes, next_ok, open_row, lists, counts, chan)
            accepted[i] = now
            regs[IN_FLIGHT] += 1
            offered += 1
            i += 1
        wake = FAR
        for ch in range(counts.shape[0]):
            moved = 0
            if next_visit(ch, chan) <= now or counts[ch, WRITES] > 0 or chan[ch, WRITE_MODE]:
                served = visit(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally,
                               finished, is_write, one_burst)  # fmt: skip
                if served > 0:
                    regs[IN_FLIGHT] -= 1
                    in_bank[ch, bank[served - 1]] -= 1
                    moved = 1
            if counts[ch, STAGED] > 0:
                moved += unstage(now, ch, cfg, nodes, next_ok, open_row, lists, counts, chan, in_bank)
            again = should_turn(ch, cfg, counts, chan) or moved > 0
            wake = min(wake, now + 1 if again else next_visit(ch, chan))
        if i < n_items:
            if arrival[i] > now:
                wake = min(wake, arrival[i])
            elif counts[channel[i], entry_list(is_write[i], cfg)] < (
                cfg[WRITE_DEPTH] if is_write[i] else cfg[READ_DEPTH]
            ):
                wake = now + 1
        elif regs[IN_FLIGHT] == 0:
            break
        if wake >= FAR:
            return STUCK
        now = max(wake, now + 1)
        if snapshots.shape[0] > 0 and i < n_items and arrival[n_items - 1] <= now:
            look = tally[0, REFAB] if cfg[REFRESH] == ALL_BANK else i // ITEMS_A_LOOK
            if look != regs[LOOKED]:
                regs[LOOKED] = look
                regs[NEXT_ITEM] = i
                now += look_for_repetition(now, cfg, regs, next_ok, acts, open_row, lists, counts, chan, tally,
                                           channel, bank, row, is_write, accepted, finished, snapshots,
                                           meta)  # fmt: skip
                i = regs[NEXT_ITEM]
    regs[NOW] = now
    regs[NEXT_ITEM] = i
    return OK

"""One DRAM channel at one tick: first-ready scheduling over row and column commands, on buses of their own or on one.

Time is in ticks, the finest step of the command buses (half a CK for HBM3, a CK elsewhere). Each channel keeps a lower
bound on the next tick at which a row or a column command could issue, and every event that may lower it lowers it.
"""

from __future__ import annotations

from dieshot.kernels.dram_queue import (
    BANK_ID,
    ITEM,
    OPENING,
    READS,
    ROW,
    SEEN,
    WORD_BITS,
    WRITES,
    append,
    is_hit_in,
    is_hit_waiting,
    is_opening,
    opening_banks,
    remove,
)
from dieshot.kernels.dram_timing import (
    ACT,
    ACTS_IN_WINDOW,
    CAS,
    CLOSED,
    PRE,
    PREA,
    RD,
    REFAB,
    REFPB,
    WR,
    note_command,
    push_back,
    ready_at,
)
from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows

FAR = 1 << 62
LATEST = 1 << 61  # arrivals beyond could overflow when timings are added
OK, OVERFLOW, STUCK, BAD_ITEM, STARVED = range(5)

# cfg: what does not change.
(N_PSEUDO, N_STACK, READ_DEPTH, WRITE_DEPTH, HIGH_MARK, LOW_MARK, OFFERS_PER_TICK, PREFER_HITS, CLOSE_PAGE, REFRESH,
 REFRESH_INTERVAL, READ_TICKS, WRITE_TICKS, FAW, RP, BANK_DEPTH, SHARED_BUS, SYNC_TICKS, FORWARD,
 N_CFG) = range(20)  # fmt: skip
FEW_REQUESTS = 4  # so many are looked at in advance, one by one
N_TIMES = 5  # of these, the first are ticks; from HITS on they count
NO_REFRESH, ALL_BANK, PER_BANK = range(3)

# acts (channel, pseudo-channel, CLOCK_UNTIL + 1): the last four ACTs, and the tick up to which the data clock runs.
CLOCK_UNTIL = ACTS_IN_WINDOW

# chan (channel, N_CHAN): what a channel remembers between ticks.
(COL_WAKE, ROW_WAKE, COL_FREE, ROW_FREE, NEXT_REFRESH, DUE, DUE_PSEUDO, REFRESH_BANK, WRITE_MODE, TURN, HITS, MISSES,
 CONFLICTS, FORWARDED, N_CHAN) = range(15)  # fmt: skip


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
def take_bus(now: int, ch: int, bus: int, command: int, cfg: Rows, hold: Rows, chan: Rows) -> None:
    """Hold COL_FREE's or ROW_FREE's bus for a command; where all commands share one, the others wait as well."""
    free = now + hold[command]
    chan[ch, bus] = free
    if cfg[SHARED_BUS]:
        chan[ch, COL_FREE + ROW_FREE - bus] = free


@inlined
def is_data_clock_off(now: int, ch: int, bank: int, cfg: Rows, nodes: Rows, acts: Rows) -> bool:
    """Return whether a column command must be preceded by one that starts the data clock."""
    off: bool = cfg[SYNC_TICKS] > 0 and acts[ch, nodes[bank, 0], CLOCK_UNTIL] < now
    return off


@inlined
def start_data_clock(now: int, ch: int, bank: int, cfg: Rows, nodes: Rows, acts: Rows, chan: Rows, tally: Rows) -> None:
    """Issue the CAS that starts the data clock of a pseudo-channel; the column command follows it."""
    free = now + cfg[SYNC_TICKS]
    acts[ch, nodes[bank, 0], CLOCK_UNTIL] = free + max(cfg[READ_TICKS], cfg[WRITE_TICKS])
    chan[ch, COL_FREE] = free
    chan[ch, COL_WAKE] = free
    if cfg[SHARED_BUS]:
        chan[ch, ROW_FREE] = max(chan[ch, ROW_FREE], free)
    tally[ch, CAS] += 1


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
    if cfg[SYNC_TICKS] > 0:
        acts[ch, nodes[bank, 0], CLOCK_UNTIL] = finished[item]
    note_command(ch, bank, command, last, cfg[FAW], cfg[N_STACK], nodes, delay, next_ok, acts)
    remove(ch, which, k, lists, counts)
    tally[ch, command] += 1
    take_bus(now, ch, COL_FREE, command, cfg, hold, chan)
    chan[ch, COL_WAKE] = now
    if cfg[CLOSE_PAGE] and not is_hit_waiting(ch, bank, row, lists, counts):
        close_after_column(ch, bank, cfg, nodes, next_ok, open_row, tally)
        chan[ch, ROW_WAKE] = now
    if which == OPENING or cfg[PREFER_HITS] or cfg[CLOSE_PAGE]:
        chan[ch, ROW_WAKE] = now  # the row may now be closed


@inlined
def refreshed_bank(ch: int, cfg: Rows, nodes: Rows, chan: Rows) -> int:
    """Return the bank whose turn it is: pseudo-channels alternate, each goes through its banks in order."""
    turn: int = chan[ch, REFRESH_BANK]
    n_pseudo: int = cfg[N_PSEUDO]
    bank: int = turn % n_pseudo * (nodes.shape[0] // n_pseudo) + turn // n_pseudo
    return bank


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
    reserved = -1  # a stream of hits must not put the refresh of its bank off
    if cfg[REFRESH] == PER_BANK and chan[ch, DUE] > 0:
        reserved = refreshed_bank(ch, cfg, nodes, chan)
    for turn in range(2):
        which = OPENING if turn == 0 else waiting
        if turn == 1 and blocked:
            break
        for k in range(counts[ch, which]):
            bank = lists[ch, which, BANK_ID, k]
            if open_row[ch, bank] != lists[ch, which, ROW, k] or (turn == 1 and bank == reserved):
                continue
            command = WR if is_write[lists[ch, which, ITEM, k]] else RD
            tick = ready_at(ch, bank, command, nodes, next_ok)
            if tick <= now:
                if is_data_clock_off(now, ch, bank, cfg, nodes, acts):
                    start_data_clock(now, ch, bank, cfg, nodes, acts, chan, tally)
                    return 0
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
    take_bus(now, ch, ROW_FREE, command, cfg, hold, chan)
    chan[ch, ROW_WAKE] = now + 1
    if command == PREA:
        for bank in range(first, first + n_banks):
            open_row[ch, bank] = CLOSED
        return
    chan[ch, DUE] -= 1
    chan[ch, DUE_PSEUDO] = (pseudo + 1) % cfg[N_PSEUDO]
    chan[ch, COL_WAKE] = min(chan[ch, COL_WAKE], now + 1)


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
    take_bus(now, ch, ROW_FREE, command, cfg, hold, chan)
    chan[ch, ROW_WAKE] = now + 1
    open_row[ch, bank] = CLOSED
    if command == REFPB:
        chan[ch, DUE] -= 1
        chan[ch, REFRESH_BANK] = (chan[ch, REFRESH_BANK] + 1) % nodes.shape[0]
    return 1


@inlined
def send_row_command(
    now: int, ch: int, which: int, k: int, command: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows,
    acts: Rows, open_row: Rows, lists: Rows, chan: Rows, tally: Rows
) -> None:  # fmt: skip
    """Close or open a row for the k-th request of a list."""
    bank = lists[ch, which, BANK_ID, k]
    row = lists[ch, which, ROW, k]
    if lists[ch, which, SEEN, k] == 0:
        classify(ch, bank, row, open_row, chan)
        lists[ch, which, SEEN, k] = 1
    note_command(ch, bank, command, now, cfg[FAW], cfg[N_STACK], nodes, delay, next_ok, acts)
    tally[ch, command] += 1
    take_bus(now, ch, ROW_FREE, command, cfg, hold, chan)
    chan[ch, ROW_WAKE] = now
    open_row[ch, bank] = CLOSED
    if command == ACT:
        open_row[ch, bank] = row
        lower(ch, COL_WAKE, min(next_ok[ch, nodes[bank, 3], RD], next_ok[ch, nodes[bank, 3], WR]), chan)


@inlined
def issue_row(
    now: int, ch: int, which: int, k: int, command: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows,
    acts: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows, tally: Rows
) -> None:  # fmt: skip
    """Close or open a row for the k-th request of a list, which then waits for its column command in OPENING."""
    send_row_command(now, ch, which, k, command, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, chan, tally)
    if command == ACT:
        append(ch, OPENING, lists[ch, which, ITEM, k], lists[ch, which, BANK_ID, k], lists[ch, which, ROW, k], 1, lists,
               counts)  # fmt: skip
        remove(ch, which, k, lists, counts)


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
    passed = opening_banks(ch, lists, counts)  # banks whose turn in this pass is over, as bits
    for k in range(counts[ch, which]):
        bank = lists[ch, which, BANK_ID, k]
        if bank < WORD_BITS and (passed >> bank) & 1:
            continue
        row = lists[ch, which, ROW, k]
        open_ = open_row[ch, bank]
        if open_ == row or bank == reserved:
            continue
        if bank < WORD_BITS:
            passed |= 1 << bank
        command = ACT if open_ == CLOSED else PRE
        tick = ready_at(ch, bank, command, nodes, next_ok)
        if tick > now:
            lower(ch, ROW_WAKE, tick, chan)
            continue
        if command == PRE and bank >= WORD_BITS and is_opening(ch, bank, lists, counts):
            continue
        if command == PRE and cfg[PREFER_HITS] and is_hit_in(ch, which, bank, open_, lists, counts):
            continue  # hits in the other direction are not served now and would hold the bank for ever
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
def note_refresh_due(now: int, ch: int, cfg: Rows, chan: Rows) -> None:
    """Let a refresh of every pseudo-channel fall due once an interval has passed."""
    if chan[ch, NEXT_REFRESH] <= now:
        chan[ch, NEXT_REFRESH] += cfg[REFRESH_INTERVAL]
        chan[ch, DUE] += cfg[N_PSEUDO]
        chan[ch, ROW_WAKE] = now


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
    note_refresh_due(now, ch, cfg, chan)
    if now >= chan[ch, COL_WAKE] and now >= chan[ch, COL_FREE]:
        served = column_pass(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally,
                             finished, is_write, extra)  # fmt: skip
    if now >= chan[ch, ROW_WAKE] and now >= chan[ch, ROW_FREE]:
        row_pass(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally)
    return served


@inlined
def soonest_column(
    ch: int, cfg: Rows, nodes: Rows, next_ok: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows,
    is_write: Rows
) -> int:  # fmt: skip
    """Return a tick before which no column command of a request that is here is ready; FAR where there is none.

    With many requests it is that of the data pins alone.
    """
    soonest = FAR
    if counts[ch, OPENING] + counts[ch, WRITES if chan[ch, WRITE_MODE] else READS] > FEW_REQUESTS:
        for pseudo in range(cfg[N_PSEUDO]):
            soonest = min(soonest, next_ok[ch, pseudo, RD], next_ok[ch, pseudo, WR])
        return soonest
    for turn in range(2):
        which = OPENING if turn == 0 else (WRITES if chan[ch, WRITE_MODE] else READS)
        if turn == 1 and cfg[REFRESH] == ALL_BANK and chan[ch, DUE] > 0:
            break
        for k in range(counts[ch, which]):
            bank = lists[ch, which, BANK_ID, k]
            if open_row[ch, bank] == lists[ch, which, ROW, k]:
                command = WR if is_write[lists[ch, which, ITEM, k]] else RD
                soonest = min(soonest, ready_at(ch, bank, command, nodes, next_ok))
    return soonest


@inlined
def soonest_row(ch: int, nodes: Rows, next_ok: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows) -> int:
    """Return the first tick at which a row command for a request that is here could be ready; FAR where none."""
    soonest = FAR
    which = WRITES if chan[ch, WRITE_MODE] else READS
    for k in range(counts[ch, which]):
        bank = lists[ch, which, BANK_ID, k]
        opened = open_row[ch, bank]
        if opened != lists[ch, which, ROW, k]:
            command = ACT if opened == CLOSED else PRE
            soonest = min(soonest, ready_at(ch, bank, command, nodes, next_ok))
    return soonest


@inlined
def look_ahead(
    now: int, ch: int, cfg: Rows, nodes: Rows, next_ok: Rows, open_row: Rows, lists: Rows, counts: Rows, chan: Rows,
    is_write: Rows
) -> None:  # fmt: skip
    """After a visit, let a channel that would look again at once look when there may be something to do."""
    if chan[ch, COL_WAKE] <= now:
        chan[ch, COL_WAKE] = soonest_column(ch, cfg, nodes, next_ok, open_row, lists, counts, chan, is_write)
    if (
        chan[ch, ROW_WAKE] <= now
        and chan[ch, DUE] == 0
        and counts[ch, WRITES if chan[ch, WRITE_MODE] else READS] <= FEW_REQUESTS
    ):
        chan[ch, ROW_WAKE] = soonest_row(ch, nodes, next_ok, open_row, lists, counts, chan)


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

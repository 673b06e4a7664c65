"""One DRAM channel at one tick where every bank has a short queue of its own and the banks take turns.

A bank's queue is the requests for it in the list READS, reads and writes, in the order in which they entered. Reads
come from STAGED; writes wait in WRITES until these are drained.
"""

from __future__ import annotations

from dieshot.kernels.dram import (
    ALL_BANK,
    BANK_DEPTH,
    COL_FREE,
    COL_WAKE,
    DUE,
    DUE_PSEUDO,
    FAR,
    LOW_MARK,
    REFRESH,
    ROW_FREE,
    ROW_WAKE,
    TURN,
    WRITE_DEPTH,
    WRITE_MODE,
    is_data_clock_off,
    issue_column,
    lower,
    next_visit,
    note_refresh_due,
    refresh_all_banks,
    refresh_one_bank,
    refreshed_bank,
    send_row_command,
    start_data_clock,
)
from dieshot.kernels.dram_queue import BANK_ID, ITEM, READS, ROW, STAGED, WRITES, append, is_hit_in, remove
from dieshot.kernels.dram_timing import ACT, CLOSED, PRE, RD, WR, ready_at
from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows

# at_bank (channel, bank, N_AT_BANK): requests in its queue, columns served since its row was opened, last pass.
QUEUED, ROW_HITS, PASS, N_AT_BANK = range(4)
HIT_LIMIT = 4  # then the bank's oldest request may close a row that younger ones still want
NOBODY = -1


@inlined
def needed_command(ch: int, k: int, open_row: Rows, lists: Rows, is_write: Rows) -> int:
    """Return the command that the k-th request in the banks' queues needs next."""
    opened = open_row[ch, lists[ch, READS, BANK_ID, k]]
    if opened == lists[ch, READS, ROW, k]:
        command: int = WR if is_write[lists[ch, READS, ITEM, k]] else RD
    else:
        command = ACT if opened == CLOSED else PRE
    return command


@inlined
def is_same_place(ch: int, which: int, k: int, bank: int, row: int, column: int, columns: Rows, lists: Rows) -> bool:
    """Return whether a waiting request is for this burst; columns (item)."""
    return bool(
        lists[ch, which, BANK_ID, k] == bank
        and lists[ch, which, ROW, k] == row
        and columns[lists[ch, which, ITEM, k]] == column
    )


@inlined
def is_read_waiting(
    ch: int, which: int, stop: int, item: int, bank: int, row: int, lists: Rows, is_write: Rows, columns: Rows
) -> bool:
    """Return whether one of a list's first `stop` requests is a read of the burst that a write would change."""
    if columns.shape[0] == 0:
        return False
    for k in range(stop):
        if not is_write[lists[ch, which, ITEM, k]] and is_same_place(
            ch, which, k, bank, row, columns[item], columns, lists
        ):
            return True
    return False


@inlined
def may_issue(
    ch: int, k: int, command: int, is_oldest: bool, open_row: Rows, lists: Rows, counts: Rows, at_bank: Rows,
    is_write: Rows, columns: Rows
) -> bool:  # fmt: skip
    """Return whether a command that is ready may go out as far as the other requests for its bank are concerned."""
    bank = lists[ch, READS, BANK_ID, k]
    if command == PRE:
        kept = at_bank[ch, bank, ROW_HITS] < HIT_LIMIT and is_hit_in(ch, READS, bank, open_row[ch, bank], lists, counts)
        return is_oldest and not kept
    if command == WR:
        row = lists[ch, READS, ROW, k]
        return not is_read_waiting(ch, READS, k, lists[ch, READS, ITEM, k], bank, row, lists, is_write, columns)
    return True


@inlined
def whose_turn(
    now: int, ch: int, stamp: int, closed_pseudo: int, closed_bank: int, cfg: Rows, nodes: Rows, next_ok: Rows,
    open_row: Rows, lists: Rows, counts: Rows, chan: Rows, at_bank: Rows, is_write: Rows, columns: Rows
) -> int:  # fmt: skip
    """Return the request whose command goes out now: the first ready one of the next bank in turn that has one.

    closed_pseudo, closed_bank: what a refresh has reserved. Where there is none, the wakes are lowered to when there
    may be. stamp: a number that no other pass has.
    """
    n_banks = nodes.shape[0]
    nearest = n_banks
    chosen = NOBODY
    for k in range(counts[ch, READS]):
        bank = lists[ch, READS, BANK_ID, k]
        is_oldest = at_bank[ch, bank, PASS] != stamp
        at_bank[ch, bank, PASS] = stamp
        distance = (bank - chan[ch, TURN] - 1 + n_banks) % n_banks
        if distance >= nearest or bank == closed_bank or nodes[bank, 0] == closed_pseudo:
            continue
        command = needed_command(ch, k, open_row, lists, is_write)
        is_column = command in (RD, WR)
        tick = max(ready_at(ch, bank, command, nodes, next_ok), chan[ch, COL_FREE if is_column else ROW_FREE])
        if tick > now:
            lower(ch, COL_WAKE if is_column else ROW_WAKE, tick, chan)
        elif may_issue(ch, k, command, is_oldest, open_row, lists, counts, at_bank, is_write, columns):
            nearest = distance
            chosen = k
    return chosen


@inlined
def refresh_step(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows
) -> None:  # fmt: skip
    """Go on with a refresh that is due as soon as the row bus is free."""
    if now < chan[ch, ROW_FREE]:
        lower(ch, ROW_WAKE, chan[ch, ROW_FREE], chan)
    elif cfg[REFRESH] == ALL_BANK:
        refresh_all_banks(now, ch, cfg, nodes, delay, hold, next_ok, open_row, lists, counts, chan, tally)
    else:
        refresh_one_bank(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally)


@inlined
def visit_in_turn(
    now: int, ch: int, cfg: Rows, nodes: Rows, delay: Rows, hold: Rows, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, tally: Rows, finished: Rows, is_write: Rows, extra: Rows, at_bank: Rows,
    columns: Rows
) -> int:  # fmt: skip
    """Issue what one channel can at this tick: a command on each bus, banks in turn. Returns the item served + 1, or 0.

    Arguments as for dram.visit; at_bank: state; columns (item): where in its row an item is (empty: not told apart).
    """
    served = 0
    note_refresh_due(now, ch, cfg, chan)
    if next_visit(ch, chan) > now:
        return 0
    chan[ch, COL_WAKE] = FAR
    chan[ch, ROW_WAKE] = FAR
    closed_pseudo = NOBODY
    closed_bank = NOBODY
    if chan[ch, DUE] > 0:
        if cfg[REFRESH] == ALL_BANK:
            closed_pseudo = chan[ch, DUE_PSEUDO]
        else:
            closed_bank = refreshed_bank(ch, cfg, nodes, chan)
        refresh_step(now, ch, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts, chan, tally)
    for lookup in range(2):
        k = whose_turn(now, ch, 2 * now + lookup + 1, closed_pseudo, closed_bank, cfg, nodes, next_ok, open_row, lists,
                       counts, chan, at_bank, is_write, columns)  # fmt: skip
        if k == NOBODY:
            break
        bank = lists[ch, READS, BANK_ID, k]
        command = needed_command(ch, k, open_row, lists, is_write)
        chan[ch, TURN] = bank
        if command in (ACT, PRE):
            send_row_command(now, ch, READS, k, command, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, chan,
                             tally)  # fmt: skip
            at_bank[ch, bank, ROW_HITS] = 0
        elif is_data_clock_off(now, ch, bank, cfg, nodes, acts):
            start_data_clock(now, ch, bank, cfg, nodes, acts, chan, tally)
        else:
            served = lists[ch, READS, ITEM, k] + 1
            issue_column(now, ch, READS, k, command, cfg, nodes, delay, hold, next_ok, acts, open_row, lists, counts,
                         chan, tally, finished, extra)  # fmt: skip
            at_bank[ch, bank, ROW_HITS] += 1
            at_bank[ch, bank, QUEUED] -= 1
        chan[ch, COL_WAKE] = now  # what waits for nothing but the issued command is looked at again
        chan[ch, ROW_WAKE] = now
    return served


@inlined
def move_to_bank(ch: int, which: int, k: int, lists: Rows, counts: Rows, chan: Rows, at_bank: Rows) -> None:
    """Move the k-th request of a list into its bank's queue."""
    bank = lists[ch, which, BANK_ID, k]
    append(ch, READS, lists[ch, which, ITEM, k], bank, lists[ch, which, ROW, k], 0, lists, counts)
    remove(ch, which, k, lists, counts)
    at_bank[ch, bank, QUEUED] += 1
    chan[ch, COL_WAKE] = 0
    chan[ch, ROW_WAKE] = 0


@inlined
def drain_writes(
    ch: int, cfg: Rows, lists: Rows, counts: Rows, chan: Rows, at_bank: Rows, is_write: Rows, columns: Rows
) -> int:
    """Move the oldest write whose bank has room; 1 if one was moved. A write waits for older reads of its burst."""
    for k in range(counts[ch, WRITES]):
        item, bank, row = lists[ch, WRITES, ITEM, k], lists[ch, WRITES, BANK_ID, k], lists[ch, WRITES, ROW, k]
        if at_bank[ch, bank, QUEUED] >= cfg[BANK_DEPTH]:
            continue
        if is_read_waiting(ch, STAGED, counts[ch, STAGED], item, bank, row, lists, is_write, columns):
            chan[ch, WRITE_MODE] = 0
            return 0
        if is_read_waiting(ch, READS, counts[ch, READS], item, bank, row, lists, is_write, columns):
            chan[ch, WRITE_MODE] = 0
            return 0
        move_to_bank(ch, WRITES, k, lists, counts, chan, at_bank)
        chan[ch, WRITE_MODE] -= 1
        return 1
    return 0


@inlined
def fill_bank_queues(
    ch: int, cfg: Rows, lists: Rows, counts: Rows, chan: Rows, at_bank: Rows, is_write: Rows, columns: Rows
) -> int:
    """Move one request into its bank's queue; 1 if one was moved.

    Writes go, as many as there are then, once their queue is full, or fuller than the low mark with the banks idle, or
    nothing else is there.
    """
    idle = counts[ch, READS] == 0
    if chan[ch, WRITE_MODE] == 0 and (
        counts[ch, WRITES] >= cfg[WRITE_DEPTH]
        or (idle and counts[ch, WRITES] > (cfg[LOW_MARK] if counts[ch, STAGED] > 0 else 0))
    ):
        chan[ch, WRITE_MODE] = counts[ch, WRITES]
    if chan[ch, WRITE_MODE] > 0:
        if drain_writes(ch, cfg, lists, counts, chan, at_bank, is_write, columns):
            return 1
        if chan[ch, WRITE_MODE] > 0:
            return 0
    for k in range(counts[ch, STAGED]):
        if at_bank[ch, lists[ch, STAGED, BANK_ID, k], QUEUED] < cfg[BANK_DEPTH]:
            move_to_bank(ch, STAGED, k, lists, counts, chan, at_bank)
            return 1
    return 0

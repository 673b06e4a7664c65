"""Exact repetition of a stretch of a stream: where the channels' whole state recurs relative to now, to the next item
and to its row, and the items ahead are those behind with rows shifted alike, what lies between happens again."""

from __future__ import annotations

from dieshot.kernels.dram_queue import BANK_ID, ITEM, N_ENTRY, N_LISTS, READS, ROW, SEEN
from dieshot.kernels.dram_timing import CLOSED, N_COMMANDS
from dieshot.kernels.dram_turns import HIT_LIMIT, QUEUED, ROW_HITS
from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows

FAR = 1 << 62
HASH, AT_ITEM, AT_TICK, AT_ROW, N_META = range(5)  # then the counters of every channel


@inlined
def relative(tick: int, now: int) -> int:
    """Return a tick as seen from now; what is past no longer matters."""
    ahead: int = FAR if tick >= FAR else max(tick - now, 0)
    return ahead


@inlined
def take_snapshot(
    now: int, item: int, base_row: int, n_times: int, n_plain: int, faw: int, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, at_bank: Rows, out: Rows
) -> int:  # fmt: skip
    """Write the state relative to now, item and row; return the length used. chan's first n_times columns are ticks,
    those up to n_plain plain."""
    k = 0
    for ch in range(counts.shape[0]):
        for node in range(next_ok.shape[1]):
            for command in range(N_COMMANDS):
                out[k] = relative(next_ok[ch, node, command], now)
                k += 1
        for pseudo in range(acts.shape[1]):
            for i in range(acts.shape[2]):
                out[k] = max(acts[ch, pseudo, i] - now, -faw)
                k += 1
        for bank in range(open_row.shape[1]):
            out[k] = FAR if open_row[ch, bank] == CLOSED else open_row[ch, bank] - base_row
            k += 1
        for bank in range(at_bank.shape[1]):
            out[k] = min(at_bank[ch, bank, ROW_HITS], HIT_LIMIT)
            k += 1
        for column in range(n_plain):
            out[k] = relative(chan[ch, column], now) if column < n_times else chan[ch, column]
            k += 1
        for which in range(N_LISTS):
            out[k] = counts[ch, which]
            k += 1
            for i in range(counts[ch, which]):
                out[k] = lists[ch, which, ITEM, i] - item
                out[k + 1] = lists[ch, which, BANK_ID, i]
                out[k + 2] = lists[ch, which, ROW, i] - base_row
                out[k + 3] = lists[ch, which, SEEN, i]
                k += N_ENTRY
    return k


@inlined
def restore_snapshot(
    now: int, item: int, base_row: int, n_times: int, n_plain: int, next_ok: Rows, acts: Rows, open_row: Rows,
    lists: Rows, counts: Rows, chan: Rows, at_bank: Rows, kept: Rows
) -> None:  # fmt: skip
    """Bring the state back to what `take_snapshot` wrote, as seen from another now, item and row."""
    k = 0
    for ch in range(counts.shape[0]):
        for node in range(next_ok.shape[1]):
            for command in range(N_COMMANDS):
                next_ok[ch, node, command] = now + kept[k]
                k += 1
        for pseudo in range(acts.shape[1]):
            for i in range(acts.shape[2]):
                acts[ch, pseudo, i] = now + kept[k]
                k += 1
        for bank in range(open_row.shape[1]):
            open_row[ch, bank] = CLOSED if kept[k] == FAR else base_row + kept[k]
            k += 1
        for bank in range(at_bank.shape[1]):
            at_bank[ch, bank, ROW_HITS] = kept[k]
            at_bank[ch, bank, QUEUED] = 0
            k += 1
        for column in range(n_plain):
            is_tick = column < n_times and kept[k] < FAR
            chan[ch, column] = now + kept[k] if is_tick else kept[k]
            k += 1
        for which in range(N_LISTS):
            counts[ch, which] = kept[k]
            k += 1
            for i in range(counts[ch, which]):
                lists[ch, which, ITEM, i] = item + kept[k]
                lists[ch, which, BANK_ID, i] = kept[k + 1]
                lists[ch, which, ROW, i] = base_row + kept[k + 2]
                lists[ch, which, SEEN, i] = kept[k + 3]
                if which == READS and at_bank.shape[1] > 0:
                    at_bank[ch, kept[k + 1], QUEUED] += 1
                k += N_ENTRY


@inlined
def mixed(values: Rows, n: int) -> int:
    """Return a hash of the first n values."""
    code = n
    for i in range(n):
        code = (code ^ values[i]) * 1099511628211
        code ^= code >> 29
    return code


@inlined
def equal(left: Rows, right: Rows, n: int) -> bool:
    """Return whether the first n values agree."""
    k = 0
    while k < n and left[k] == right[k]:
        k += 1
    return k == n


@inlined
def items_repeated(
    item: int, period: int, channel: Rows, bank: Rows, row: Rows, columns: Rows, is_write: Rows, shift: int
) -> int:
    """Return how many items ahead are those a period before, rows shifted; one item is left over."""
    n_items = bank.shape[0]
    j = item
    while (
        j + 1 < n_items
        and channel[j] == channel[j - period]
        and bank[j] == bank[j - period]
        and is_write[j] == is_write[j - period]
        and row[j] - row[j - period] == shift
        and (columns.shape[0] == 0 or columns[j] == columns[j - period])
    ):
        j += 1
    return j - item


@inlined
def oldest_waiting(item: int, lists: Rows, counts: Rows) -> int:
    """Return the lowest number of an item that is still waiting."""
    oldest = item
    for ch in range(counts.shape[0]):
        for which in range(N_LISTS):
            for i in range(counts[ch, which]):
                oldest = min(oldest, lists[ch, which, ITEM, i])
    return oldest


@inlined
def copy_outputs(first: int, stop: int, item: int, period: int, ticks: int, accepted: Rows, finished: Rows) -> None:
    """Fill in what items from `first` on repeat of those a period before; waiting ones have no end yet."""
    for j in range(first, stop):
        if j >= item:
            accepted[j] = accepted[j - period] + ticks
        if j >= item or finished[j] == 0:
            finished[j] = finished[j - period] + ticks


@inlined
def clear_waiting(finished: Rows, lists: Rows, counts: Rows) -> None:
    """Take the end from items that are still waiting."""
    for ch in range(counts.shape[0]):
        for which in range(N_LISTS):
            for i in range(counts[ch, which]):
                finished[lists[ch, which, ITEM, i]] = 0


@inlined
def repeat_counters(times: int, begin: Rows, end: Rows, n_plain: int, chan: Rows, tally: Rows) -> None:
    """Count what the period since `begin` counted as often as it is repeated, and once more what it had up to `end`."""
    k = N_META
    for ch in range(chan.shape[0]):
        for column in range(n_plain, chan.shape[1]):
            chan[ch, column] += times * (chan[ch, column] - begin[k]) + end[k] - begin[k]
            k += 1
        for command in range(N_COMMANDS):
            tally[ch, command] += times * (tally[ch, command] - begin[k]) + end[k] - begin[k]
            k += 1


@inlined
def note_counters(meta: Rows, n_plain: int, chan: Rows, tally: Rows) -> None:
    """Keep the counters beside a snapshot."""
    k = N_META
    for ch in range(chan.shape[0]):
        for column in range(n_plain, chan.shape[1]):
            meta[k] = chan[ch, column]
            k += 1
        for command in range(N_COMMANDS):
            meta[k] = tally[ch, command]
            k += 1

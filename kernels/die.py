"""A GPU die, window by window: SMs, cache, memory stacks and dispatcher hand each other what arrives in the next one.

Each part's own loop is in kernels/sm.py, l2.py and dram_stack.py; no part can hear within a window of what another did
in it. The state of a part, its constants and its output rows are one tuple.
"""

from __future__ import annotations

from numba import types

from dieshot.kernels import dram_stack, l2, sm
from dieshot.kernels.die_state import CACHE, INT, SMS, STACKS, WIRES, Cache, Sms, Stacks, Wires
from dieshot.kernels.jit import Rows, part_of_loop, timing_loop
from dieshot.kernels.order import count_before, order_ties, sort_by_time

FOREVER = 1 << 62
GOING_ON, DONE, NO_ROOM = range(3)
ACT, LOOK_UP, FETCH, RETURN = range(4)  # steps of a window
EMITS = 4  # log rows that a response, or an access served, adds at most

# regs: windows that have begun, the step that comes next, rows under way: fills, responses, stores and misses announced
# for later, finished slots announced, the next CTA to be dispatched, log rows of the cache and of the memory.
(N_WINDOWS, STEP, N_FILLS, N_RESPONSES, N_STORES, N_MISSES, N_FINISHED, NEXT_CTA, CACHE_LOG, MEMORY_LOG,
 N_REGS) = range(11)  # fmt: skip

# counts of sm.advance_sms
REQUESTS, STORES, FINISHED, SM_LOG, N_DONE = range(5)


@part_of_loop
def _act(until_fs: int, sms: Sms) -> int:
    """Let the multiprocessors act; 0, or 1 when their output rows are nearly full."""
    status: int = sm.advance_sms(
        until_fs, sms.period_fs, sms.n_stages, sms.n_groups, sms.slots_per_sm, sms.stride, sms.send_fs, sms.record,
        sms.classes, sms.ctas, sms.slots, sms.groups, sms.resident_fs, sms.ring, sms.units, sms.in_bytes, sms.open_,
        sms.requests, sms.stores, sms.finished, sms.log, sms.counts,
    )  # fmt: skip
    return status


@part_of_loop
def _append(rows: Rows, n_rows: int, out: Rows, n_out: int) -> int:
    """Copy rows behind the first n_out of others; return how many there are then."""
    for k in range(n_rows):
        for column in range(rows.shape[1]):
            out[n_out + k, column] = rows[k, column]
    return n_out + n_rows


@part_of_loop
def _keep_rest(rows: Rows, first: int, n_rows: int, out: Rows) -> int:
    """Copy the rows from `first` on to the front of others; return how many."""
    return _append(rows[first:], n_rows - first, out, 0)


@part_of_loop
def _has_cache_room(sms: Sms, cache: Cache, wires: Wires) -> bool:
    n_requests, n_stores = sms.counts[REQUESTS], sms.counts[STORES] + wires.regs[N_STORES]
    n_misses = wires.regs[N_MISSES] + 2 * n_requests + n_stores
    n_log = wires.regs[CACHE_LOG] + cache.pool.shape[0] + n_requests + n_stores + 1
    return (
        max(n_stores, n_requests, n_misses) <= wires.orders.shape[1]
        and n_requests <= wires.requests_due.shape[0]
        and n_stores <= min(wires.stores.shape[0], wires.stores_due.shape[0])
        and n_misses <= min(wires.misses.shape[0], wires.misses_due.shape[0])
        and n_misses <= cache.misses.shape[0]
        and (sms.record == 0 or n_log <= cache.log.shape[0])
    )


@part_of_loop
def _look_up(until_fs: int, sms: Sms, cache: Cache, stacks: Stacks, wires: Wires) -> None:
    """Let the cache answer what arrived; its misses go to those announced."""
    regs = wires.regs
    n_requests = sms.counts[REQUESTS]
    sort_by_time(sms.requests, n_requests, wires.orders, wires.requests_due)
    # Stores of one time are ordered by what they are, so that their order does not depend on the windows.
    n_stores = _append(sms.stores, sms.counts[STORES], wires.stores, regs[N_STORES])
    sort_by_time(wires.stores, n_stores, wires.orders, wires.stores_due)
    order_ties(wires.stores_due, n_stores)
    due = count_before(wires.stores_due, n_stores, until_fs)
    l2.advance_l2(
        until_fs, cache.lookup_fs, cache.respond_fs, cache.capacity_bytes, cache.fs_per_mib, sms.record,
        wires.requests_due, n_requests, wires.stores_due, due, stacks.fills, regs[N_FILLS], cache.tile_bytes,
        cache.tile_ready_fs, cache.older, cache.newer, cache.waiters, cache.wait_next, cache.pool, cache.heap,
        cache.regs, cache.open_, cache.responses, cache.misses, cache.log[regs[CACHE_LOG] :], cache.counts,
    )  # fmt: skip
    regs[N_STORES] = _keep_rest(wires.stores_due, due, n_stores, wires.stores)
    regs[N_RESPONSES] = cache.counts[0]
    regs[N_MISSES] = _append(cache.misses, cache.counts[1], wires.misses, regs[N_MISSES])
    regs[CACHE_LOG] += cache.counts[2]


@part_of_loop
def _accesses_coming(until_fs: int, stacks: Stacks, wires: Wires) -> int:
    """Return the most accesses that may be under way at one time in this window."""
    n = 0
    for channel in range(stacks.queue.shape[0]):
        n += stacks.queue[channel, dram_stack.IN_FLIGHT]
    for k in range(wires.regs[N_MISSES]):
        if wires.misses[k, 0] < until_fs:
            n += wires.misses[k, 1] // stacks.shape[dram_stack.ACCESS_BYTES] + 2
    return n


@part_of_loop
def _has_memory_room(until_fs: int, record: int, stacks: Stacks, wires: Wires) -> bool:
    n = _accesses_coming(until_fs, stacks, wires)
    return n <= stacks.accesses.shape[0] and (record == 0 or wires.regs[MEMORY_LOG] + EMITS * n <= stacks.log.shape[0])


@part_of_loop
def _fetch(until_fs: int, record: int, stacks: Stacks, wires: Wires) -> None:
    """Let the memory serve the misses that arrive before `until_fs`."""
    regs = wires.regs
    n_misses = regs[N_MISSES]
    sort_by_time(wires.misses, n_misses, wires.orders, wires.misses_due)
    due = count_before(wires.misses_due, n_misses, until_fs)
    counts = dram_stack.advance_stack(
        until_fs, record, wires.misses_due, due, stacks.tile_address, stacks.shape, stacks.cfg, stacks.nodes,
        stacks.delay, stacks.hold, stacks.next_ok, stacks.acts, stacks.open_row, stacks.lists, stacks.counts,
        stacks.chan, stacks.tally, stacks.queue, stacks.accesses, stacks.is_write, stacks.extra, stacks.finished,
        stacks.pending, stacks.pins, stacks.regs, stacks.open_, stacks.fills, stacks.log[regs[MEMORY_LOG] :],
    )  # fmt: skip
    regs[N_MISSES] = _keep_rest(wires.misses_due, due, n_misses, wires.misses)
    regs[N_FILLS] = counts >> 32
    regs[MEMORY_LOG] += counts & 0xFFFFFFFF


@part_of_loop
def _dispatch(until_fs: int, sms: Sms, wires: Wires) -> None:
    """Hand the next CTAs to the slots that finish before `until_fs`, in the order of time, then of slot."""
    regs = wires.regs
    n = _append(sms.finished, sms.counts[FINISHED], wires.finished, regs[N_FINISHED])
    n_due = 0
    n_later = 0
    for k in range(n):
        time, slot = wires.finished[k, 0], wires.finished[k, 1]
        if time >= until_fs:
            wires.finished[n_later, 0], wires.finished[n_later, 1] = time, slot
            n_later += 1
            continue
        at = n_due
        while at > 0 and (
            wires.finished_due[at - 1, 0] > time
            or (wires.finished_due[at - 1, 0] == time and wires.finished_due[at - 1, 1] > slot)
        ):
            wires.finished_due[at, 0], wires.finished_due[at, 1] = (
                wires.finished_due[at - 1, 0], wires.finished_due[at - 1, 1]
            )  # fmt: skip
            at -= 1
        wires.finished_due[at, 0], wires.finished_due[at, 1] = time, slot
        n_due += 1
    regs[N_FINISHED] = n_later
    for k in range(min(n_due, sms.ctas.shape[0] - regs[NEXT_CTA])):
        _assign(wires.finished_due[k, 0] + sms.dispatch_fs, wires.finished_due[k, 1], regs[NEXT_CTA], sms)
        regs[NEXT_CTA] += 1


@part_of_loop
def _assign(time_fs: int, slot: int, cta: int, sms: Sms) -> None:
    """Make a CTA resident in a slot at the next cycle."""
    start_fs = -(-time_fs // sms.period_fs) * sms.period_fs
    sms.slots[slot, sm.L_CTA] = cta
    sms.slots[slot, sm.L_STEP] = 0
    sms.slots[slot, sm.L_READY] = start_fs
    sms.slots[slot, sm.L_OPEN_GROUPS] = sms.n_groups
    sms.resident_fs[slot] = start_fs
    sms.units[slot // sms.slots_per_sm, sm.WAKE] = 0
    for group in range(slot * sms.n_groups, (slot + 1) * sms.n_groups):
        sms.groups[group, sm.G_CTA] = cta
        sms.groups[group, sm.G_READY] = start_fs


@part_of_loop
def _deliver(sms: Sms, cache: Cache, n_responses: int) -> None:
    """Bring the cache's responses into the multiprocessors."""
    n_log = sm.deliver(
        sms.n_stages, sms.slots_per_sm, sms.launch_fs, sms.ingress_fs_per_mib, sms.record, cache.responses,
        n_responses, sms.ring, sms.units, sms.in_bytes, sms.open_, sms.log[sms.counts[SM_LOG] :],
    )  # fmt: skip
    sms.counts[SM_LOG] += n_log


@timing_loop(types.int64(INT, INT, SMS, CACHE, STACKS, WIRES))
def advance_die(n_windows: int, quantum_fs: int, sms: Sms, cache: Cache, stacks: Stacks, wires: Wires) -> int:
    """Advance to the end of the `n_windows`-th window of `quantum_fs`, or until all CTAs are done and what they
    started in cache and memory is over.

    Returns GOING_ON, DONE, or NO_ROOM where rows of output or of working space might not suffice for what comes next:
    make room (log rows taken out, and counted as none; longer arrays) and call again.
    """
    regs = wires.regs
    n_parts = sms.ctas.shape[0] * sms.n_groups
    while regs[N_WINDOWS] < n_windows or regs[STEP] != ACT:
        if regs[STEP] == ACT:
            if _act((regs[N_WINDOWS] + 1) * quantum_fs, sms):
                return NO_ROOM
            regs[N_WINDOWS] += 1
            regs[STEP] = LOOK_UP
        window_fs = regs[N_WINDOWS] * quantum_fs
        last = sms.counts[N_DONE] == n_parts
        until_fs = FOREVER if last else window_fs + sms.send_fs
        if regs[STEP] == LOOK_UP:
            if not _has_cache_room(sms, cache, wires):
                return NO_ROOM
            _look_up(until_fs, sms, cache, stacks, wires)
            regs[STEP] = FETCH
        until_fs = FOREVER if last else until_fs + cache.lookup_fs
        if regs[STEP] == FETCH:
            if not _has_memory_room(until_fs, sms.record, stacks, wires):
                return NO_ROOM
            _fetch(until_fs, sms.record, stacks, wires)
            regs[STEP] = RETURN
        if last:
            return DONE
        if sms.record and sms.counts[SM_LOG] + EMITS * regs[N_RESPONSES] > sms.log.shape[0]:
            return NO_ROOM
        if sms.stride == 0:
            _dispatch(window_fs, sms, wires)
        _deliver(sms, cache, regs[N_RESPONSES])
        sms.counts[:SM_LOG] = 0
        regs[STEP] = ACT
    return GOING_ON

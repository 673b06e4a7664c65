"""Streaming multiprocessors working through CTAs: tile loads ahead of the arithmetic, matrix and vector units shared by the
resident CTAs, epilogues and stores. One row a multiprocessor, slot (resident CTA) or group (of warps) in the state arrays."""

from __future__ import annotations

from numba import njit

from dieshot.kernels.interval import emit

BUSY = 1
STALL_MEMORY = 2
STALL_OPERAND = 4
STALL_CREDIT = 5
STALL_LAUNCH = 6
MIB = 1 << 20
NEVER = (1 << 63) - 1

# Classes of CTAs (n, 15): what one step of the main loop loads and computes, per group of warps.
C_STEPS = 0
C_READ = 1  # bytes out of the L2 for a step
C_READ_LAST = 2
C_IN = 3  # bytes into the SM for a step (multicast: more than it read itself)
C_IN_LAST = 4
C_TENSOR1 = 5  # fs of the matrix unit before the vector work
C_SIMT = 6  # fs of the vector unit
C_TENSOR2 = 7  # fs of the matrix unit after it
C_MACS1 = 8
C_OPS = 9
C_MACS2 = 10
C_EPILOGUE = 11  # fs of the vector unit after the last step
C_EPILOGUE_OPS = 12
C_STORE = 13  # bytes stored by a group after the last step
C_ONCE = 14  # bytes of tile A when only the first step loads it (queries), else 0: tile A + step is loaded every step
N_CLASS = 15

# CTAs (n, 4)
K_CLASS = 0
K_TILE_A = 1
K_TILE_B = 2
K_TILE_OUT = 3
N_CTA = 4

# Slots (n, 5): where the loader of a resident CTA stands.
L_CTA = 0
L_STEP = 1  # step within the CTA
L_COUNT = 2  # steps loaded so far, over all CTAs of the slot
L_READY = 3
L_OPEN_GROUPS = 4  # groups that still work on the slot's CTA (dynamic dispatch)
N_SLOT = 5

# Groups (n, 5)
G_CTA = 0
G_STEP = 1
G_COUNT = 2
G_PHASE = 3
G_READY = 4
N_GROUP = 5
PHASE_LOAD = 0
PHASE_SIMT = 1
PHASE_TENSOR2 = 2
PHASE_EPILOGUE = 3

# Units of an SM (n, 3), also the order of its log lines.
TENSOR = 0
SIMT = 1
COPY = 2
N_UNITS = 3

# Ring stages (n, 4)
B_ISSUE = 0
B_ARRIVE = 1
B_FREED = 2
B_USERS = 3
N_RING = 4


@njit(
    "int64(int64, int64, int64, int64, int64, int64[:, ::1], int64, int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1],"
    " int64[:, ::1])",
    cache=True,
)
def deliver(n_stages, slots_per_sm, launch_fs, fs_per_mib, record, responses, n_responses, ring, units, in_bytes, open_, log):
    """Take responses (n, 2: time, ring row; sorted by time) into the SMs through their ingress ports.

    ring (rows, 4), units (SMs, 3: time each unit is free), in_bytes (rows): bytes that a stage brings in. Gaps of the port are
    waiting for memory from the request on, before that for a free stage. Returns the log rows written (two a response).
    """
    n_log = 0
    for i in range(n_responses):
        row = responses[i, 1]
        sm = row // (n_stages * slots_per_sm)
        free = units[sm, COPY]
        start = max(responses[i, 0], free)
        end = start + in_bytes[row] * fs_per_mib // MIB
        units[sm, COPY] = end
        ring[row, B_ARRIVE] = end
        if record:
            line = sm * N_UNITS + COPY
            issue = max(min(ring[row, B_ISSUE], start), free)
            if free < launch_fs:
                edge = min(launch_fs, start)
                n_log = emit(line, free, edge, STALL_LAUNCH, 0, open_, n_log, log)
                free = edge
                issue = max(issue, free)
            n_log = emit(line, free, issue, STALL_CREDIT, 0, open_, n_log, log)
            n_log = emit(line, issue, start, STALL_MEMORY, 0, open_, n_log, log)
            n_log = emit(line, start, end, BUSY, in_bytes[row], open_, n_log, log)
    return n_log


@njit("int64(int64, int64)", cache=True, inline="always")
def _edge(time_fs, period_fs):
    return -(-time_fs // period_fs) * period_fs


@njit("int64(int64, int64, int64, int64, int64, int64, int64, int64, int64[:, ::1], int64, int64[:, ::1])", cache=True)
def _emit_gap(line, free_fs, resident_fs, start_fs, reason, end_fs, amount, launch_fs, open_, n_log, log):
    """Log the wait before a unit's work (launch until the CTA is resident, then `reason`) and the work itself."""
    if free_fs < start_fs:
        edge = min(max(resident_fs, free_fs), start_fs)
        n_log = emit(line, free_fs, edge, STALL_LAUNCH, 0, open_, n_log, log)
        n_log = emit(line, edge, start_fs, reason, 0, open_, n_log, log)
    return emit(line, start_fs, end_fs, BUSY, amount, open_, n_log, log)


@njit(
    "int64(int64, int64, int64, int64, int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[::1])",
    cache=True,
)
def advance_sms(
    until_fs,
    period_fs,
    n_stages,
    n_groups,
    slots_per_sm,
    stride,
    send_fs,
    record,
    classes,
    ctas,
    slots,
    groups,
    resident_fs,
    ring,
    units,
    in_bytes,
    open_,
    requests,
    stores,
    finished,
    log,
    counts,
):
    """Carry out every action that starts before `until_fs`, on every SM, earliest first.

    Actions are: issue the load of the next step (a free stage is the credit), matrix work, vector work, epilogue with store.
    `stride` > 0: a slot goes on with CTA + stride by itself and loads ahead over the boundary (persistent kernel);
    0: it reports in finished (n, 2: time, slot) and waits for the dispatcher.
    requests (n, 5) and stores (n, 3) carry their arrival at the L2 (`send_fs` later), in the order of SMs, not of time.
    counts (5, in/out): rows in requests, stores, finished, log; CTAs completed; time of the last completion.
    Returns 0, or 1 when an output is nearly full: take what is there and call again with the same `until_fs`.
    """
    n_sms = units.shape[0]
    n_requests = counts[0]
    n_stores = counts[1]
    n_finished = counts[2]
    n_log = counts[3]
    status = 0
    for sm in range(n_sms):
        while True:
            if (
                n_requests + 1 >= requests.shape[0]
                or n_stores + 1 >= stores.shape[0]
                or n_finished + 1 >= finished.shape[0]
                or n_log + 4 >= log.shape[0]
            ):
                status = 1
                break
            best = until_fs
            best_slot = -1
            best_group = -1
            for slot in range(sm * slots_per_sm, (sm + 1) * slots_per_sm):
                if slots[slot, L_CTA] >= 0:
                    row = slot * n_stages + slots[slot, L_COUNT] % n_stages
                    if ring[row, B_USERS] == 0:
                        ready = max(ring[row, B_FREED], slots[slot, L_READY])
                        if ready < best:
                            best = ready
                            best_slot = slot
                            best_group = -1
                for group in range(slot * n_groups, (slot + 1) * n_groups):
                    cta = groups[group, G_CTA]
                    if cta < 0:
                        continue
                    phase = groups[group, G_PHASE]
                    ready = groups[group, G_READY]
                    if phase == PHASE_LOAD:
                        if groups[group, G_COUNT] >= slots[slot, L_COUNT]:
                            continue
                        arrive = ring[slot * n_stages + groups[group, G_COUNT] % n_stages, B_ARRIVE]
                        if arrive == NEVER:
                            continue
                        ready = max(ready, arrive)
                        if classes[ctas[cta, K_CLASS], C_TENSOR1] > 0:
                            ready = max(ready, units[sm, TENSOR])
                    elif phase == PHASE_TENSOR2:
                        ready = max(ready, units[sm, TENSOR])
                    else:
                        ready = max(ready, units[sm, SIMT])
                    ready = _edge(ready, period_fs)
                    if ready < best:
                        best = ready
                        best_slot = slot
                        best_group = group
            if best_slot < 0:
                break
            slot = best_slot
            if best_group < 0:
                cta = slots[slot, L_CTA]
                step = slots[slot, L_STEP]
                kind = ctas[cta, K_CLASS]
                row = slot * n_stages + slots[slot, L_COUNT] % n_stages
                last = step + 1 == classes[kind, C_STEPS]
                ring[row, B_ISSUE] = best
                ring[row, B_ARRIVE] = NEVER
                ring[row, B_USERS] = n_groups
                once = classes[kind, C_ONCE]
                tile_a = ctas[cta, K_TILE_A]
                if once == 0 and tile_a >= 0:
                    tile_a += step
                elif step > 0:
                    tile_a = -1
                    once = 0
                in_bytes[row] = (classes[kind, C_IN_LAST] if last else classes[kind, C_IN]) + once
                requests[n_requests, 0] = best + send_fs
                requests[n_requests, 1] = row
                requests[n_requests, 2] = tile_a
                requests[n_requests, 3] = ctas[cta, K_TILE_B] + step if ctas[cta, K_TILE_B] >= 0 else -1
                requests[n_requests, 4] = (classes[kind, C_READ_LAST] if last else classes[kind, C_READ]) + once
                n_requests += 1
                slots[slot, L_COUNT] += 1
                slots[slot, L_STEP] += 1
                slots[slot, L_READY] = best + period_fs
                if last:
                    slots[slot, L_STEP] = 0
                    slots[slot, L_CTA] = -1
                    if stride > 0 and cta + stride < ctas.shape[0]:
                        slots[slot, L_CTA] = cta + stride
                continue
            group = best_group
            cta = groups[group, G_CTA]
            kind = ctas[cta, K_CLASS]
            phase = groups[group, G_PHASE]
            row = slot * n_stages + groups[group, G_COUNT] % n_stages
            before = groups[group, G_READY]
            end = best
            next_phase = phase + 1
            if phase == PHASE_LOAD:
                end = best + classes[kind, C_TENSOR1]
                waited = STALL_MEMORY if ring[row, B_ARRIVE] > before else STALL_OPERAND
                if classes[kind, C_TENSOR1] > 0:
                    if record:
                        n_log = _emit_gap(
                            sm * N_UNITS + TENSOR,
                            units[sm, TENSOR],
                            resident_fs[slot],
                            best,
                            waited,
                            end,
                            classes[kind, C_MACS1],
                            0,
                            open_,
                            n_log,
                            log,
                        )
                    units[sm, TENSOR] = end
                if classes[kind, C_SIMT] == 0:
                    next_phase = PHASE_TENSOR2
            elif phase == PHASE_SIMT:
                end = best + classes[kind, C_SIMT]
                if record:
                    waited = STALL_OPERAND if classes[kind, C_TENSOR1] > 0 else STALL_MEMORY
                    n_log = _emit_gap(
                        sm * N_UNITS + SIMT,
                        units[sm, SIMT],
                        resident_fs[slot],
                        best,
                        waited,
                        end,
                        classes[kind, C_OPS],
                        0,
                        open_,
                        n_log,
                        log,
                    )
                units[sm, SIMT] = end
            elif phase == PHASE_TENSOR2:
                end = best + classes[kind, C_TENSOR2]
                if record:
                    n_log = _emit_gap(
                        sm * N_UNITS + TENSOR,
                        units[sm, TENSOR],
                        resident_fs[slot],
                        best,
                        STALL_OPERAND,
                        end,
                        classes[kind, C_MACS2],
                        0,
                        open_,
                        n_log,
                        log,
                    )
                units[sm, TENSOR] = end
            if phase != PHASE_EPILOGUE:
                if next_phase == PHASE_TENSOR2 and classes[kind, C_TENSOR2] == 0:
                    next_phase = PHASE_EPILOGUE
                groups[group, G_READY] = end
                if next_phase < PHASE_EPILOGUE:
                    groups[group, G_PHASE] = next_phase
                    continue
                ring[row, B_USERS] -= 1
                ring[row, B_FREED] = max(ring[row, B_FREED], end)
                groups[group, G_COUNT] += 1
                groups[group, G_STEP] += 1
                groups[group, G_PHASE] = PHASE_LOAD
                if groups[group, G_STEP] == classes[kind, C_STEPS]:
                    groups[group, G_PHASE] = PHASE_EPILOGUE
                continue
            end = best + classes[kind, C_EPILOGUE]
            if record and classes[kind, C_EPILOGUE] > 0:
                n_log = _emit_gap(
                    sm * N_UNITS + SIMT,
                    units[sm, SIMT],
                    resident_fs[slot],
                    best,
                    STALL_OPERAND,
                    end,
                    classes[kind, C_EPILOGUE_OPS],
                    0,
                    open_,
                    n_log,
                    log,
                )
            if classes[kind, C_EPILOGUE] > 0:
                units[sm, SIMT] = end
            if classes[kind, C_STORE] > 0:
                stores[n_stores, 0] = end + send_fs
                stores[n_stores, 1] = classes[kind, C_STORE]
                stores[n_stores, 2] = ctas[cta, K_TILE_OUT] + (group % n_groups) if ctas[cta, K_TILE_OUT] >= 0 else -1
                n_stores += 1
            groups[group, G_READY] = end
            groups[group, G_STEP] = 0
            groups[group, G_PHASE] = PHASE_LOAD
            groups[group, G_CTA] = -1
            counts[4] += 1
            counts[5] = max(counts[5], end)
            if stride > 0:
                if cta + stride < ctas.shape[0]:
                    groups[group, G_CTA] = cta + stride
            else:
                slots[slot, L_OPEN_GROUPS] -= 1
                if slots[slot, L_OPEN_GROUPS] == 0:
                    finished[n_finished, 0] = end
                    finished[n_finished, 1] = slot
                    n_finished += 1
        if status == 1:
            break
    counts[0] = n_requests
    counts[1] = n_stores
    counts[2] = n_finished
    counts[3] = n_log
    return status

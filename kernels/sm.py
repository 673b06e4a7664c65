"""Streaming multiprocessors working through CTAs: tile loads ahead of the arithmetic, matrix and vector units shared
by the resident CTAs, epilogues and stores. One row a multiprocessor, slot (resident CTA) or group (of warps) in the
state arrays."""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.interval import emit
from dieshot.kernels.jit import Rows, part_of_loop, timing_loop

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

# Slots (n, 6): where the loader of a resident CTA stands.
L_CTA = 0
L_STEP = 1  # step within the CTA
L_COUNT = 2  # steps loaded so far, over all CTAs of the slot
L_READY = 3
L_OPEN_GROUPS = 4  # groups that still work on the slot's CTA (dynamic dispatch)
L_STAGE = 5  # ring stage of the next load
N_SLOT = 6

# Groups (n, 6)
G_CTA = 0
G_STEP = 1
G_COUNT = 2
G_PHASE = 3
G_READY = 4
G_STAGE = 5  # ring stage of the step it works on
N_GROUP = 6
PHASE_LOAD = 0
PHASE_SIMT = 1
PHASE_TENSOR2 = 2
PHASE_EPILOGUE = 3

# Units of an SM, also the order of its log lines; columns of `units` (n, 4): when each is free, when the SM is to be
# looked at next.
TENSOR = 0
SIMT = 1
COPY = 2
N_UNITS = 3
WAKE = 3
N_SM = 4

# Ring stages (n, 4)
B_ISSUE = 0
B_ARRIVE = 1
B_FREED = 2
B_USERS = 3
N_RING = 4


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64[:, ::1], int64, int64[:, ::1], int64[:, ::1], int64[::1],"
    " int64[:, ::1], int64[:, ::1])"
)
def deliver(
    n_stages: int,
    slots_per_sm: int,
    launch_fs: int,
    fs_per_mib: int,
    record: int,
    responses: Rows,
    n_responses: int,
    ring: Rows,
    units: Rows,
    in_bytes: Rows,
    open_: Rows,
    log: Rows,
) -> int:
    """Take responses (n, 2: time, ring row; sorted by time) into the SMs through their ingress ports.

    ring (rows, 4), units (SMs, 4), in_bytes (rows): bytes that a stage brings in. Gaps of the
    port are waiting for memory from the request on, before that for a free stage. Returns the log rows written (two a
    response).
    """
    n_log = 0
    for i in range(n_responses):
        row = responses[i, 1]
        sm = row // (n_stages * slots_per_sm)
        free = units[sm, COPY]
        start = max(responses[i, 0], free)
        end = start + in_bytes[row] * fs_per_mib // MIB
        units[sm, COPY] = end
        units[sm, WAKE] = 0
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


@inlined
def _edge(time_fs: int, period_fs: int) -> int:
    return -(-time_fs // period_fs) * period_fs


@part_of_loop
def _occupy(
    unit: int,
    sm: int,
    resident_fs: int,
    start_fs: int,
    reason: int,
    end_fs: int,
    amount: int,
    record: int,
    units: Rows,
    open_: Rows,
    n_log: int,
    log: Rows,
) -> int:
    """Take a unit of an SM; log the wait before (launch until the CTA is resident, then `reason`) and the work
    itself."""
    if record:
        line = sm * N_UNITS + unit
        free_fs = units[sm, unit]
        if free_fs < start_fs:
            edge = min(max(resident_fs, free_fs), start_fs)
            n_log = emit(line, free_fs, edge, STALL_LAUNCH, 0, open_, n_log, log)
            n_log = emit(line, edge, start_fs, reason, 0, open_, n_log, log)
        n_log = emit(line, start_fs, end_fs, BUSY, amount, open_, n_log, log)
    units[sm, unit] = end_fs
    return n_log


@inlined
def _group_ready(
    group: int, row: int, loaded: int, sm: int, classes: Rows, ctas: Rows, groups: Rows, ring: Rows, units: Rows
) -> int:
    """Return when a group of warps can take its next action; NEVER while its data or its CTA is missing."""
    cta = groups[group, G_CTA]
    if cta < 0:
        return NEVER
    phase = groups[group, G_PHASE]
    ready = groups[group, G_READY]
    if phase == PHASE_LOAD:
        if groups[group, G_COUNT] >= loaded or ring[row, B_ARRIVE] == NEVER:
            return NEVER
        ready = max(ready, ring[row, B_ARRIVE])
        if classes[ctas[cta, K_CLASS], C_TENSOR1] > 0:
            ready = max(ready, units[sm, TENSOR])
    elif phase == PHASE_TENSOR2:
        ready = max(ready, units[sm, TENSOR])
    else:
        ready = max(ready, units[sm, SIMT])
    return int(ready)


@inlined
def _earliest(
    sm: int,
    period_fs: int,
    n_stages: int,
    n_groups: int,
    slots_per_sm: int,
    classes: Rows,
    ctas: Rows,
    slots: Rows,
    groups: Rows,
    ring: Rows,
    units: Rows,
) -> tuple[int, int, int]:
    """Return (start, slot, group) of the SM's next action; group -1 is a load, slot -1 none in sight."""
    best = NEVER
    best_slot = -1
    best_group = -1
    for slot in range(sm * slots_per_sm, (sm + 1) * slots_per_sm):
        if slots[slot, L_CTA] >= 0:
            row = slot * n_stages + slots[slot, L_STAGE]
            if ring[row, B_USERS] == 0:
                ready = max(ring[row, B_FREED], slots[slot, L_READY])
                if ready < best:
                    best = ready
                    best_slot = slot
                    best_group = -1
        for group in range(slot * n_groups, (slot + 1) * n_groups):
            row = slot * n_stages + groups[group, G_STAGE]
            ready = _group_ready(group, row, slots[slot, L_COUNT], sm, classes, ctas, groups, ring, units)
            if ready < best:
                ready = _edge(ready, period_fs)
                if ready < best:
                    best = ready
                    best_slot = slot
                    best_group = group
    return best, best_slot, best_group


@part_of_loop
def _load(
    slot: int,
    start_fs: int,
    n_stages: int,
    n_groups: int,
    stride: int,
    period_fs: int,
    send_fs: int,
    classes: Rows,
    ctas: Rows,
    slots: Rows,
    ring: Rows,
    in_bytes: Rows,
    requests: Rows,
    n: int,
) -> int:
    """Issue the load of a slot's next step: takes a free ring stage, writes request row n; returns n + 1."""
    cta = slots[slot, L_CTA]
    step = slots[slot, L_STEP]
    kind = ctas[cta, K_CLASS]
    last = step + 1 == classes[kind, C_STEPS]
    once = classes[kind, C_ONCE]
    tile_a = ctas[cta, K_TILE_A]
    if once == 0 and tile_a >= 0:
        tile_a += step
    elif step > 0:
        tile_a = -1
        once = 0
    row = slot * n_stages + slots[slot, L_STAGE]
    ring[row, B_ISSUE] = start_fs
    ring[row, B_ARRIVE] = NEVER
    ring[row, B_USERS] = n_groups
    in_bytes[row] = (classes[kind, C_IN_LAST] if last else classes[kind, C_IN]) + once
    requests[n, 0] = start_fs + send_fs
    requests[n, 1] = row
    requests[n, 2] = tile_a
    requests[n, 3] = ctas[cta, K_TILE_B] + step if ctas[cta, K_TILE_B] >= 0 else -1
    requests[n, 4] = (classes[kind, C_READ_LAST] if last else classes[kind, C_READ]) + once
    slots[slot, L_COUNT] += 1
    slots[slot, L_STAGE] = 0 if slots[slot, L_STAGE] + 1 == n_stages else slots[slot, L_STAGE] + 1
    slots[slot, L_STEP] = 0 if last else step + 1
    slots[slot, L_READY] = start_fs + period_fs
    if last:
        slots[slot, L_CTA] = cta + stride if stride > 0 and cta + stride < ctas.shape[0] else -1
    return n + 1


@part_of_loop
def _work(
    group: int,
    row: int,
    n_stages: int,
    sm: int,
    resident_fs: int,
    start_fs: int,
    record: int,
    classes: Rows,
    ctas: Rows,
    groups: Rows,
    ring: Rows,
    units: Rows,
    open_: Rows,
    n_log: int,
    log: Rows,
) -> int:
    """Carry out a group's phase of a step (matrix, vector, matrix work); free the ring stage after the last one."""
    kind = ctas[groups[group, G_CTA], K_CLASS]
    phase = groups[group, G_PHASE]
    has_tensor = classes[kind, C_TENSOR1] > 0
    end = start_fs
    if phase == PHASE_LOAD:
        end += classes[kind, C_TENSOR1]
        if has_tensor:
            waited = STALL_MEMORY if ring[row, B_ARRIVE] > groups[group, G_READY] else STALL_OPERAND
            macs = classes[kind, C_MACS1]
            n_log = _occupy(TENSOR, sm, resident_fs, start_fs, waited, end, macs, record, units, open_, n_log, log)
    elif phase == PHASE_SIMT:
        end += classes[kind, C_SIMT]
        waited = STALL_OPERAND if has_tensor else STALL_MEMORY
        ops = classes[kind, C_OPS]
        n_log = _occupy(SIMT, sm, resident_fs, start_fs, waited, end, ops, record, units, open_, n_log, log)
    else:
        end += classes[kind, C_TENSOR2]
        macs = classes[kind, C_MACS2]
        n_log = _occupy(TENSOR, sm, resident_fs, start_fs, STALL_OPERAND, end, macs, record, units, open_, n_log, log)
    groups[group, G_READY] = end
    phase += 1
    if phase == PHASE_SIMT and classes[kind, C_SIMT] == 0:
        phase += 1
    if phase == PHASE_TENSOR2 and classes[kind, C_TENSOR2] == 0:
        phase += 1
    groups[group, G_PHASE] = phase
    if phase == PHASE_EPILOGUE:
        ring[row, B_USERS] -= 1
        ring[row, B_FREED] = max(ring[row, B_FREED], end)
        groups[group, G_COUNT] += 1
        groups[group, G_STAGE] = 0 if groups[group, G_STAGE] + 1 == n_stages else groups[group, G_STAGE] + 1
        groups[group, G_STEP] += 1
        if groups[group, G_STEP] < classes[kind, C_STEPS]:
            groups[group, G_PHASE] = PHASE_LOAD
    return n_log


@part_of_loop
def _finish(
    group: int,
    sm: int,
    resident_fs: int,
    start_fs: int,
    stride: int,
    record: int,
    classes: Rows,
    ctas: Rows,
    groups: Rows,
    units: Rows,
    open_: Rows,
    n_log: int,
    log: Rows,
) -> int:
    """Carry out a group's epilogue and go on with the next CTA of a persistent kernel; returns n_log."""
    cta = groups[group, G_CTA]
    kind = ctas[cta, K_CLASS]
    end = start_fs + classes[kind, C_EPILOGUE]
    if end > start_fs:
        ops = classes[kind, C_EPILOGUE_OPS]
        n_log = _occupy(SIMT, sm, resident_fs, start_fs, STALL_OPERAND, end, ops, record, units, open_, n_log, log)
    groups[group, G_READY] = end
    groups[group, G_STEP] = 0
    groups[group, G_PHASE] = PHASE_LOAD
    groups[group, G_CTA] = cta + stride if stride > 0 and cta + stride < ctas.shape[0] else -1
    return n_log


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[:, ::1], int64[::1])"
)
def advance_sms(
    until_fs: int,
    period_fs: int,
    n_stages: int,
    n_groups: int,
    slots_per_sm: int,
    stride: int,
    send_fs: int,
    record: int,
    classes: Rows,
    ctas: Rows,
    slots: Rows,
    groups: Rows,
    resident_fs: Rows,
    ring: Rows,
    units: Rows,
    in_bytes: Rows,
    open_: Rows,
    requests: Rows,
    stores: Rows,
    finished: Rows,
    log: Rows,
    counts: Rows,
) -> int:
    """Carry out every action that starts before `until_fs`, on every SM, earliest first.

    Actions are: issue the load of the next step (a free stage is the credit), matrix work, vector work, epilogue with
    store. `stride` > 0: a slot goes on with CTA + stride by itself and loads ahead over the boundary (persistent
    kernel); 0: it reports in finished (n, 2: time, slot) and waits for the dispatcher.
    requests (n, 5) and stores (n, 3) carry their arrival at the L2 (`send_fs` later), in the order of SMs, not of time.
    counts (6, in/out): rows in requests, stores, finished, log; groups that completed a CTA; time of the last of them.
    Returns 0, or 1 when an output is nearly full: take what is there and call again with the same `until_fs`.
    """
    for sm in range(units.shape[0]):
        while units[sm, WAKE] < until_fs:
            if (
                counts[0] + 1 >= requests.shape[0]
                or counts[1] + 1 >= stores.shape[0]
                or counts[2] + 1 >= finished.shape[0]
                or counts[3] + 4 >= log.shape[0]
            ):
                return 1
            start, slot, group = _earliest(
                sm, period_fs, n_stages, n_groups, slots_per_sm, classes, ctas, slots, groups, ring, units
            )
            if slot < 0 or start >= until_fs:
                units[sm, WAKE] = start
                break
            if group < 0:
                counts[0] = _load(
                    slot,
                    start,
                    n_stages,
                    n_groups,
                    stride,
                    period_fs,
                    send_fs,
                    classes,
                    ctas,
                    slots,
                    ring,
                    in_bytes,
                    requests,
                    counts[0],
                )
                continue
            resident = resident_fs[slot]
            if groups[group, G_PHASE] != PHASE_EPILOGUE:
                stage = slot * n_stages + groups[group, G_STAGE]
                counts[3] = _work(
                    group,
                    stage,
                    n_stages,
                    sm,
                    resident,
                    start,
                    record,
                    classes,
                    ctas,
                    groups,
                    ring,
                    units,
                    open_,
                    counts[3],
                    log,
                )
                continue
            cta = groups[group, G_CTA]
            counts[3] = _finish(
                group, sm, resident, start, stride, record, classes, ctas, groups, units, open_, counts[3], log
            )
            end = groups[group, G_READY]
            if classes[ctas[cta, K_CLASS], C_STORE] > 0:
                stores[counts[1], 0] = end + send_fs
                stores[counts[1], 1] = classes[ctas[cta, K_CLASS], C_STORE]
                stores[counts[1], 2] = ctas[cta, K_TILE_OUT] + group % n_groups if ctas[cta, K_TILE_OUT] >= 0 else -1
                counts[1] += 1
            counts[4] += 1
            counts[5] = max(counts[5], end)
            if stride == 0:
                slots[slot, L_OPEN_GROUPS] -= 1
                if slots[slot, L_OPEN_GROUPS] == 0:
                    finished[counts[2], 0] = end
                    finished[counts[2], 1] = slot
                    counts[2] += 1
    return 0

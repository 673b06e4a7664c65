"""Wavelets on one line of PEs (a row or a column of a wafer), cycle by cycle: static colours, routers, ramps, cores.

Each PE has a router and a core, joined by a ramp of some cycles each way. A router sends a wavelet of a colour that
came in at one side on to all sides that its table names, in one cycle and only if all have room; every link and every
ramp moves one wavelet a cycle, of several colours the lowest first. Routers act first in a cycle: they see the room in
other routers as it was when the cycle began. A core works through its instructions one by one: each takes a wavelet
from its queue, sends one, or both, as soon as there is one to take and room to send.
"""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows, timing_loop
from dieshot.kernels.wavelet_router import commit_wavelets, route_wavelets
from dieshot.kernels.wavelet_table import (
    C_AT,
    C_DONE,
    C_NEXT,
    C_REASON,
    C_SINCE,
    C_WAKE,
    DONE,
    FROM_CORE,
    I_IN,
    I_OUT,
    I_PACE,
    I_START,
    I_WAVELETS,
    N_CYCLES,
    N_SIDES,
    NEVER,
    NO_ROUTE,
    NONE,
    Q_COUNT,
    Q_FIRST,
    Q_HEAD,
    R_LIMIT,
    R_RAMP,
    STUCK,
    T_BEGIN,
    T_ELIGIBLE,
    T_END,
    T_WAIT_IN,
    T_WAIT_OUT,
    TOO_LONG,
)


@inlined
def _blocked_by(cycle: int, taking: int, sending: int, room: int, inbox: Rows, outbox: Rows) -> int:
    """Return what a core waits for: 0 nothing, else the column of its times that this counts in.

    taking, sending: rows of inbox and outbox, NONE for neither; room: wavelets that its outbox holds.
    """
    if taking >= 0 and (inbox[taking, Q_COUNT] == 0 or inbox[taking, Q_FIRST + inbox[taking, Q_HEAD]] > cycle):
        return T_WAIT_IN
    if sending >= 0 and outbox[sending, Q_COUNT] >= room:
        return T_WAIT_OUT
    return 0


@inlined
def _exchange(cycle: int, ramp: int, taking: int, sending: int, inbox: Rows, outbox: Rows) -> None:
    """Take a wavelet and send one, which is on its ramp from the next cycle on."""
    if taking >= 0:
        inbox[taking, Q_HEAD] = (inbox[taking, Q_HEAD] + 1) % (inbox.shape[1] - Q_FIRST)
        inbox[taking, Q_COUNT] -= 1
    if sending >= 0:
        size = outbox.shape[1] - Q_FIRST
        outbox[sending, Q_FIRST + (outbox[sending, Q_HEAD] + outbox[sending, Q_COUNT]) % size] = cycle + 1 + ramp
        outbox[sending, Q_COUNT] += 1


@inlined
def _work(
    cycle: int,
    settings: Rows,
    pe: int,
    n_pes: int,
    n_instructions: int,
    depths: Rows,
    program: Rows,
    inbox: Rows,
    outbox: Rows,
    cores: Rows,
    held: Rows,
    times: Rows,
) -> int:
    """Let one core act if it can; return the cycle after an action, which others may have waited for, or NEVER.

    held (PEs): bits of the queues from which a router has something to pass, N_SIDES by colour.
    """
    ramp = settings[R_RAMP]
    soonest = NEVER
    while cores[pe, C_AT] < n_instructions:
        row = pe * n_instructions + cores[pe, C_AT]
        if cycle < cores[pe, C_NEXT]:
            cores[pe, C_WAKE] = cores[pe, C_NEXT]
            return int(soonest)
        if cores[pe, C_DONE] < program[row, I_WAVELETS]:
            taking, sending, room = NONE, NONE, 0
            if program[row, I_IN] >= 0:
                taking = program[row, I_IN] * n_pes + pe
            if program[row, I_OUT] >= 0:
                sending, room = program[row, I_OUT] * n_pes + pe, depths[program[row, I_OUT], 1] + ramp
            reason = _blocked_by(cycle, taking, sending, room, inbox, outbox)
            if cores[pe, C_REASON] != reason:
                if cores[pe, C_REASON] != 0:
                    times[row, cores[pe, C_REASON]] += cycle - cores[pe, C_SINCE]
                cores[pe, C_REASON], cores[pe, C_SINCE] = reason, cycle
            if reason != 0:
                cores[pe, C_WAKE] = NEVER
                if reason == T_WAIT_IN and inbox[taking, Q_COUNT] > 0:
                    cores[pe, C_WAKE] = inbox[taking, Q_FIRST + inbox[taking, Q_HEAD]]
                return int(soonest)
            _exchange(cycle, ramp, taking, sending, inbox, outbox)
            if sending >= 0:
                held[pe] |= 1 << (program[row, I_OUT] * N_SIDES + FROM_CORE)
            soonest = cycle + 1
            cores[pe, C_DONE] += 1
            cores[pe, C_NEXT] = cycle + program[row, I_PACE]
            if cores[pe, C_DONE] < program[row, I_WAVELETS]:
                cores[pe, C_WAKE] = cores[pe, C_NEXT]
                return int(soonest)
        end = cores[pe, C_NEXT]
        times[row, T_END] = end
        cores[pe, C_AT] += 1
        cores[pe, C_DONE] = 0
        if cores[pe, C_AT] < n_instructions:
            times[row + 1, T_BEGIN] = end
            cores[pe, C_NEXT] = end + program[row + 1, I_START]
            times[row + 1, T_ELIGIBLE] = cores[pe, C_NEXT]
    cores[pe, C_WAKE] = NEVER
    return int(soonest)


@inlined
def _next_departure(cycle: int, earliest: int, n_pes: int, n_colours: int, outbox: Rows, held: Rows) -> int:
    """Return the first cycle, up to `earliest`, in which a wavelet comes to the upper end of a ramp."""
    for pe in range(n_pes):
        if held[pe] != 0:
            for colour in range(n_colours):
                queue = colour * n_pes + pe
                due = outbox[queue, Q_FIRST + outbox[queue, Q_HEAD]]
                if outbox[queue, Q_COUNT] > 0 and due > cycle:
                    earliest = min(earliest, due)
    return earliest


@timing_loop(
    "int64(int64[::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[:, ::1], int64[::1])"
)
def run_line(
    settings: Rows,
    depths: Rows,
    routes: Rows,
    program: Rows,
    ready: Rows,
    links: Rows,
    inbox: Rows,
    outbox: Rows,
    cores: Rows,
    taken: Rows,
    held: Rows,
    touched: Rows,
    times: Rows,
    counts: Rows,
) -> int:
    """Run every core's instructions to their end; return DONE, STUCK (a cycle of waiting), NO_ROUTE or TOO_LONG.

    settings (N_SETTINGS). depths (colours, 2): entries of the input and output queue. routes (colours * PEs * N_SIDES):
    sides that a wavelet from a side goes to; at most MOST_COLOURS. program (PEs * instructions, N_INSTRUCTION). ready
    (PEs): cycle from which a core may begin. Zeros at first: links (colours * PEs * 2, 2), inbox and outbox (colours *
    PEs, Q_FIRST + most entries), cores (PEs, N_CORE), taken (PEs * N_SIDES), held (PEs), touched (1 + 9 * PEs), times
    (PEs * instructions, N_TIMES), counts (N_COUNTS).
    """
    n_pes = ready.shape[0]
    n_instructions = program.shape[0] // n_pes
    cycle = NEVER
    for pe in range(n_pes):
        row = pe * n_instructions
        times[row, T_BEGIN] = ready[pe]
        times[row, T_ELIGIBLE] = ready[pe] + program[row, I_START]
        cores[pe, C_NEXT] = times[row, T_ELIGIBLE]
        cores[pe, C_WAKE] = cores[pe, C_NEXT]
        cycle = min(cycle, cores[pe, C_NEXT])
    n_left = n_pes
    while n_left > 0:
        if cycle > settings[R_LIMIT]:
            return TOO_LONG
        moved, earliest = 0, NEVER
        taken[:] = 0
        touched[0] = 0
        for pe in range(n_pes):
            if held[pe] == 0:
                continue
            passed = route_wavelets(
                cycle, settings, pe, n_pes, depths, routes, links, inbox, outbox, cores, taken, held, touched, counts
            )
            if passed < 0:
                return NO_ROUTE
            moved += passed
        commit_wavelets(n_pes, links, held, touched)
        if moved > 0:
            earliest = cycle + 1
        for pe in range(n_pes):
            if cores[pe, C_WAKE] <= cycle and cores[pe, C_AT] < n_instructions:
                soonest = _work(
                    cycle, settings, pe, n_pes, n_instructions, depths, program, inbox, outbox, cores, held, times
                )
                earliest = min(earliest, soonest)
                n_left -= cores[pe, C_AT] == n_instructions
            if cores[pe, C_AT] < n_instructions:
                earliest = min(earliest, cores[pe, C_WAKE])
        if earliest > cycle + 1:
            earliest = _next_departure(cycle, earliest, n_pes, depths.shape[0], outbox, held)
        counts[N_CYCLES] = cycle
        if n_left > 0 and earliest == NEVER:
            return STUCK
        cycle = max(cycle + 1, earliest)
    return DONE

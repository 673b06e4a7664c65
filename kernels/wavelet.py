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

FROM_WEST = 0
FROM_EAST = 1
FROM_CORE = 2
N_SIDES = 3
TO_EAST = 1
TO_WEST = 2
TO_CORE = 4

I_IN = 0  # colour taken from, NONE for none
I_OUT = 1  # colour sent on, NONE for none
I_WAVELETS = 2
I_START = 3  # cycles from the end of the instruction before to the first wavelet
I_PACE = 4  # cycles a wavelet
N_INSTRUCTION = 5
NONE = -1

T_BEGIN = 0
T_ELIGIBLE = 1
T_END = 2
T_WAIT_IN = 3
T_WAIT_OUT = 4
N_TIMES = 5

R_RAMP = 0  # settings: cycles of the ramp, wavelets that a router holds by colour and side, cycle to give up at
R_ROUTER = 1
R_LIMIT = 2
N_SETTINGS = 3

C_AT = 0
C_DONE = 1
C_NEXT = 2
C_REASON = 3
C_SINCE = 4
C_WAKE = 5  # cycle before which it need not be looked at
N_CORE = 6

Q_HEAD = 0
Q_COUNT = 1
Q_FIRST = 2

L_NOW = 0
L_NEXT = 1

N_HOPS = 0  # counts: wavelets over links, up and down ramps, cycle reached
N_UP = 1
N_DOWN = 2
N_CYCLES = 3
N_COUNTS = 4

MOST_COLOURS = 21  # N_SIDES bits each in a word
DONE = 0
STUCK = 1
NO_ROUTE = 2
TOO_LONG = 3
NEVER = 1 << 62


@inlined
def _has_room(
    settings: Rows, pe: int, n_pes: int, colour: int, outs: int, depths: Rows, links: Rows, inbox: Rows, taken: Rows
) -> bool:
    """Return whether all sides that a wavelet goes to can take it in this cycle."""
    if outs & TO_EAST:
        row = (colour * n_pes + pe + 1) * 2 + FROM_WEST
        if taken[pe * N_SIDES + 0] or links[row, L_NOW] >= settings[R_ROUTER]:
            return False
    if outs & TO_WEST:
        row = (colour * n_pes + pe - 1) * 2 + FROM_EAST
        if taken[pe * N_SIDES + 1] or links[row, L_NOW] >= settings[R_ROUTER]:
            return False
    if outs & TO_CORE:
        room = depths[colour, 0] + settings[R_RAMP]
        if taken[pe * N_SIDES + 2] or inbox[colour * n_pes + pe, Q_COUNT] >= room:
            return False
    return True


@inlined
def _hand_on(
    cycle: int,
    settings: Rows,
    pe: int,
    n_pes: int,
    colour: int,
    outs: int,
    links: Rows,
    inbox: Rows,
    cores: Rows,
    taken: Rows,
    touched: Rows,
    n_touched: int,
    counts: Rows,
) -> int:
    """Put a wavelet where it goes; return how many rows of links have been touched."""
    for side in range(2):
        if outs & (1 << side):
            next_pe = pe + 1 - 2 * side
            row = (colour * n_pes + next_pe) * 2 + side
            links[row, L_NEXT] += 1
            taken[pe * N_SIDES + side] = 1
            touched[n_touched] = row
            n_touched += 1
            counts[N_HOPS] += 1
    if outs & TO_CORE:
        row = colour * n_pes + pe
        size = inbox.shape[1] - Q_FIRST
        inbox[row, Q_FIRST + (inbox[row, Q_HEAD] + inbox[row, Q_COUNT]) % size] = cycle + settings[R_RAMP]
        inbox[row, Q_COUNT] += 1
        cores[pe, C_WAKE] = min(cores[pe, C_WAKE], cycle + settings[R_RAMP])
        taken[pe * N_SIDES + 2] = 1
        counts[N_DOWN] += 1
    return n_touched


@inlined
def _route(
    cycle: int,
    settings: Rows,
    pe: int,
    n_pes: int,
    depths: Rows,
    routes: Rows,
    links: Rows,
    inbox: Rows,
    outbox: Rows,
    cores: Rows,
    taken: Rows,
    held: Rows,
    touched: Rows,
    counts: Rows,
) -> int:
    """Let one router pass what it can; return how many wavelets it passed, or -1 if one has no way.

    touched: row 0 is the number of rows of links changed, which follow.
    """
    moved = 0
    left, index = held[pe], -1
    while left != 0:
        index += 1
        is_held = left & 1
        left >>= 1
        if is_held == 0:
            continue
        colour, side = index // N_SIDES, index % N_SIDES
        queue = colour * n_pes + pe
        row = queue * 2 + side
        if side == FROM_CORE and outbox[queue, Q_FIRST + outbox[queue, Q_HEAD]] > cycle:
            continue
        outs = routes[queue * N_SIDES + side]
        if outs == 0 or (outs & TO_EAST and pe == n_pes - 1) or (outs & TO_WEST and pe == 0):
            return -1
        if not _has_room(settings, pe, n_pes, colour, outs, depths, links, inbox, taken):
            continue
        if side != FROM_CORE:
            links[row, L_NEXT] -= 1
            touched[1 + touched[0]] = row
            touched[0] += 1
        else:
            outbox[queue, Q_HEAD] = (outbox[queue, Q_HEAD] + 1) % (outbox.shape[1] - Q_FIRST)
            outbox[queue, Q_COUNT] -= 1
            cores[pe, C_WAKE] = min(cores[pe, C_WAKE], cycle)
            if outbox[queue, Q_COUNT] == 0:
                held[pe] &= ~(1 << index)
            counts[N_UP] += 1
        n_touched = touched[0] + 1
        n_touched = _hand_on(
            cycle, settings, pe, n_pes, colour, outs, links, inbox, cores, taken, touched, n_touched, counts
        )
        touched[0] = n_touched - 1
        moved += 1
    return moved


@inlined
def _commit(n_pes: int, links: Rows, held: Rows, touched: Rows) -> None:
    """Let routers see, from the next cycle on, what their neighbours sent them in this one."""
    for i in range(1, touched[0] + 1):
        row = touched[i]
        links[row, L_NOW] = links[row, L_NEXT]
        bit = 1 << (row // (2 * n_pes) * N_SIDES + row % 2)
        if links[row, L_NOW] > 0:
            held[row // 2 % n_pes] |= bit
        else:
            held[row // 2 % n_pes] &= ~bit


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
            passed = _route(
                cycle, settings, pe, n_pes, depths, routes, links, inbox, outbox, cores, taken, held, touched, counts
            )
            if passed < 0:
                return NO_ROUTE
            moved += passed
        _commit(n_pes, links, held, touched)
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

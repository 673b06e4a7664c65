"""Routers of a line of PEs in one cycle: wavelets go on over links and down ramps, as far as there is room."""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows
from dieshot.kernels.wavelet_table import (
    C_WAKE,
    FROM_CORE,
    FROM_EAST,
    FROM_WEST,
    L_NEXT,
    L_NOW,
    N_DOWN,
    N_HOPS,
    N_SIDES,
    N_UP,
    Q_COUNT,
    Q_FIRST,
    Q_HEAD,
    R_RAMP,
    R_ROUTER,
    TO_CORE,
    TO_EAST,
    TO_WEST,
)


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
def route_wavelets(
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
def commit_wavelets(n_pes: int, links: Rows, held: Rows, touched: Rows) -> None:
    """Let routers see, from the next cycle on, what their neighbours sent them in this one."""
    for i in range(1, touched[0] + 1):
        row = touched[i]
        links[row, L_NOW] = links[row, L_NEXT]
        bit = 1 << (row // (2 * n_pes) * N_SIDES + row % 2)
        if links[row, L_NOW] > 0:
            held[row // 2 % n_pes] |= bit
        else:
            held[row // 2 % n_pes] &= ~bit

"""Allocation of virtual channels in wormhole routers: one iteration of iSLIP (McKeown, 1999).

With one output a packet, the virtual channels of each output are allocated on their own.
"""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows
from dieshot.kernels.noc_table import (
    ASKING,
    BEFORE,
    C_ASKER,
    C_FIRST,
    C_FIRST_IN,
    C_FREE,
    C_TAILS,
    C_VCS_IN,
    C_VCS_OUT,
    CLASS_BITS,
    CLASS_MASK,
    DESTINATION_AT,
    F_TERMINALS,
    MOST_DESTINATIONS,
    MOST_VCS,
    OFFER,
    R_ASKING,
    R_READY,
    READY,
    V_ASKERS_TURN,
    V_FRONT,
    V_ROUTE,
    V_TARGET,
    V_TURN,
)
from dieshot.kernels.noc_turn import distance, following, lowest_bit, next_bit, row


@inlined
def ask_vc(vc: int, router: int, settings: Rows, routes: Rows, vcs: Rows, lists: Rows, regs: Rows) -> None:
    """Let the packet whose head is at the front of a queue ask for a virtual channel on its way."""
    destination = (vcs[vc, V_FRONT] >> DESTINATION_AT) & (MOST_DESTINATIONS - 1)
    vcs[vc, V_ROUTE] = routes[row(router * settings[F_TERMINALS] + destination)]
    lists[ASKING, row(regs[R_ASKING])] = vc
    regs[R_ASKING] += 1


@inlined
def local_number(vc: int, vc_bits: int, channels: Rows) -> int:
    """Return the number of a virtual channel among those into its router."""
    return int(channels[vc >> vc_bits, C_FIRST_IN] + (vc & ((1 << vc_bits) - 1)))


@inlined
def offer_vcs(channel: int, vc_bits: int, channels: Rows, classes: Rows, vcs: Rows, lists: Rows) -> None:
    """Let every free virtual channel of a channel choose the next in turn of several that ask for it.

    Who is chosen by several keeps the one that is next in its own turn.
    """
    n_inputs = channels[channel, C_VCS_IN]
    n_outputs = channels[channel, C_VCS_OUT]
    first = channels[channel, C_FIRST]
    free = channels[channel, C_FREE]
    while free != 0:
        out = lowest_bit(free)
        free &= free - 1
        turn = vcs[(channel << vc_bits) + out, V_ASKERS_TURN]
        winner = -1
        nearest = n_inputs
        i = channels[channel, C_ASKER]
        while i >= 0:
            vc = row(lists[ASKING, i])
            if (classes[vcs[vc, V_ROUTE] & CLASS_MASK] >> out) & 1:
                place = distance(local_number(vc, vc_bits, channels), turn, n_inputs)
                if place < nearest:
                    winner = i
                    nearest = place
            i = lists[BEFORE, i]
        if winner >= 0:
            best = lists[OFFER, winner]
            pointer = vcs[row(lists[ASKING, winner]), V_TURN]
            if best < 0 or distance(first + out, pointer, n_outputs) < distance(first + best, pointer, n_outputs):
                lists[OFFER, winner] = out


@inlined
def allocate_vcs(vc_bits: int, channels: Rows, classes: Rows, vcs: Rows, lists: Rows, regs: Rows) -> int:
    """Match free virtual channels with the packets that ask for one, which go on to ask for the switch.

    Return how many won.
    """
    n_asking = row(regs[R_ASKING])
    n_ready = row(regs[R_READY])
    for i in range(n_asking):
        channel = row(vcs[row(lists[ASKING, i]), V_ROUTE]) >> CLASS_BITS
        lists[BEFORE, i] = channels[channel, C_ASKER]
        lists[OFFER, i] = -1
        channels[channel, C_ASKER] = i
    n_left = 0
    for i in range(n_asking):
        vc = row(lists[ASKING, i])
        route = row(vcs[vc, V_ROUTE])
        channel = route >> CLASS_BITS
        last = channels[channel, C_ASKER]
        if last >= 0:
            if last == i and lists[BEFORE, i] < 0:
                # Whoever asks alone is granted everything, whatever the turns of the others.
                start = vcs[vc, V_TURN] - channels[channel, C_FIRST]
                free = channels[channel, C_FREE] & classes[route & CLASS_MASK]
                lists[OFFER, i] = next_bit(free, start if 0 <= start <= MOST_VCS else 0)
            else:
                offer_vcs(channel, vc_bits, channels, classes, vcs, lists)
            channels[channel, C_ASKER] = -1
        out = lists[OFFER, i]
        if out < 0:
            lists[ASKING, n_left] = vc
            n_left += 1
            continue
        won = (channel << vc_bits) + row(out)
        channels[channel, C_FREE] ^= 1 << out
        channels[channel, C_TAILS] &= ~(1 << out)
        vcs[won, V_ASKERS_TURN] = following(local_number(vc, vc_bits, channels), channels[channel, C_VCS_IN])
        vcs[vc, V_TURN] = following(channels[channel, C_FIRST] + out, channels[channel, C_VCS_OUT])
        vcs[vc, V_TARGET] = won
        lists[READY, n_ready] = vc
        n_ready += 1
    regs[R_ASKING] = n_left
    regs[R_READY] = n_ready
    n_won: int = n_asking - n_left
    return n_won

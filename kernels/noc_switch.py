"""Allocation of the switches of wormhole routers, one iteration of iSLIP, and the flits that pass through them.

An output of a switch chooses among the inputs that ask for it, an input among the outputs that chose it. Every request
carries a key, the number of places until its turn; the smallest wins, in whatever order the requests are looked at.
"""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows
from dieshot.kernels.noc_allocate import ask_vc
from dieshot.kernels.noc_table import (
    C_BEST,
    C_CREDIT_CYCLES,
    C_FLIT_CYCLES,
    C_FREE,
    C_LANES_IN,
    C_OUT,
    C_TAILS,
    C_TO,
    C_TO_OUTPUTS,
    C_TURN,
    F_BUFFER,
    F_SPEEDUP,
    F_VC_BITS,
    F_VCS,
    F_WAITS,
    KEY,
    KEY_BITS,
    L_BEST,
    L_LOCAL,
    L_TURN,
    L_VC_TURN,
    NEVER,
    R_FLIT_HOPS,
    R_READY,
    READY,
    TAIL_BIT,
    V_COUNT,
    V_CREDITS,
    V_FRONT,
    V_HEAD,
    V_TARGET,
)
from dieshot.kernels.noc_turn import distance, following, row


@inlined
def lane_of(vc: int, vc_bits: int, speedup: int, lane_numbers: Rows) -> int:
    """Return the row of the switch input that a virtual channel uses."""
    return row((vc >> vc_bits) * speedup + lane_numbers[vc & ((1 << vc_bits) - 1)])


@inlined
def request_outputs(
    n_ready: int, settings: Rows, lane_numbers: Rows, channels: Rows, vcs: Rows, lanes: Rows, lists: Rows
) -> None:
    """Let the flits that have a credit ask for their outputs, which remember the smallest key."""
    n_vcs = settings[F_VCS]
    vc_bits = settings[F_VC_BITS]
    speedup = settings[F_SPEEDUP]
    for i in range(n_ready):
        vc = row(lists[READY, i])
        target = row(vcs[vc, V_TARGET])
        key = NEVER
        if vcs[target, V_CREDITS] > 0:
            channel = target >> vc_bits
            lane = lane_of(vc, vc_bits, speedup, lane_numbers)
            turn = distance(lanes[lane, L_LOCAL], channels[channel, C_TURN], channels[channel, C_LANES_IN]) * n_vcs
            turn += distance(vc & ((1 << vc_bits) - 1), lanes[lane, L_VC_TURN], n_vcs)
            key = (turn << KEY_BITS) + vc
            channels[channel, C_BEST] = min(channels[channel, C_BEST], key)
        lists[KEY, i] = key


@inlined
def grant_inputs(
    n_ready: int, settings: Rows, lane_numbers: Rows, channels: Rows, vcs: Rows, lanes: Rows, lists: Rows
) -> None:
    """Let the outputs grant the smallest key; the inputs remember the smallest key of a grant."""
    vc_bits = settings[F_VC_BITS]
    speedup = settings[F_SPEEDUP]
    for i in range(n_ready):
        key = lists[KEY, i]
        vc = row(lists[READY, i])
        channel = row(vcs[vc, V_TARGET]) >> vc_bits
        if key == NEVER or channels[channel, C_BEST] != key:
            lists[KEY, i] = NEVER
            continue
        channels[channel, C_BEST] = NEVER
        lane = lane_of(vc, vc_bits, speedup, lane_numbers)
        key = distance(channels[channel, C_OUT], lanes[lane, L_TURN], channels[vc >> vc_bits, C_TO_OUTPUTS])
        lists[KEY, i] = key
        lanes[lane, L_BEST] = min(lanes[lane, L_BEST], key)


@inlined
def send(target: int, code: int, slot: int, wheel: Rows) -> None:
    """Put a flit on its way to a virtual channel."""
    entry = row(wheel[slot, 0, 0]) + 1
    wheel[slot, entry, 0] = target
    wheel[slot, entry, 1] = code
    wheel[slot, 0, 0] = entry


@inlined
def give_back(vc: int, slot: int, credits: Rows) -> None:
    """Put a credit on its way back to the sender of a virtual channel."""
    entry = row(credits[slot, 0]) + 1
    credits[slot, entry] = vc
    credits[slot, 0] = entry


@inlined
def take_flit(vc: int, buffer_flits: int, vcs: Rows, queues: Rows) -> int:
    """Take the flit at the front of a queue; return how many are left."""
    left = vcs[vc, V_COUNT] - 1
    vcs[vc, V_COUNT] = left
    if left > 0:
        head = row(vcs[vc, V_HEAD])
        vcs[vc, V_FRONT] = queues[vc * buffer_flits + head]
        vcs[vc, V_HEAD] = following(head, buffer_flits)
    return int(left)


@inlined
def pass_switch(
    cycle: int,
    n_ready: int,
    settings: Rows,
    lane_numbers: Rows,
    channels: Rows,
    vcs: Rows,
    lanes: Rows,
    queues: Rows,
    flits: Rows,
    ejects: Rows,
    credits: Rows,
    lists: Rows,
    regs: Rows,
    routes: Rows,
) -> int:
    """Send the flit of every input on to the output that it accepts; return how many were sent."""
    n_vcs = settings[F_VCS]
    vc_bits = settings[F_VC_BITS]
    speedup = settings[F_SPEEDUP]
    buffer_flits = row(settings[F_BUFFER])
    mask = row(flits.shape[0] - 1)
    n_sent = 0
    n_kept = 0
    for i in range(n_ready):
        vc = row(lists[READY, i])
        key = lists[KEY, i]
        lane = lane_of(vc, vc_bits, speedup, lane_numbers)
        if key == NEVER or lanes[lane, L_BEST] != key:
            lists[READY, n_kept] = vc
            n_kept += 1
            continue
        n_sent += 1
        target = row(vcs[vc, V_TARGET])
        channel = target >> vc_bits
        source = vc >> vc_bits
        lanes[lane, L_BEST] = NEVER
        lanes[lane, L_TURN] = following(channels[channel, C_OUT], channels[source, C_TO_OUTPUTS])
        turn = (vc & ((1 << vc_bits) - 1)) + speedup
        lanes[lane, L_VC_TURN] = turn if turn < n_vcs else lane - source * speedup
        channels[channel, C_TURN] = following(lanes[lane, L_LOCAL], channels[channel, C_LANES_IN])
        code = vcs[vc, V_FRONT]
        left = take_flit(vc, buffer_flits, vcs, queues)
        vcs[target, V_CREDITS] -= 1
        slot = (cycle + channels[channel, C_FLIT_CYCLES]) & mask
        if channels[channel, C_TO] >= 0:
            send(target, code, slot, flits)
        else:
            send(target, code, slot, ejects)
        give_back(vc, (cycle + channels[source, C_CREDIT_CYCLES]) & mask, credits)
        if code & TAIL_BIT:
            number = 1 << (target & ((1 << vc_bits) - 1))
            channels[channel, C_TAILS] |= number
            if settings[F_WAITS] == 0:
                channels[channel, C_FREE] |= number
            vcs[vc, V_TARGET] = -1
            if left > 0:
                ask_vc(vc, channels[source, C_TO], settings, routes, vcs, lists, regs)
        elif left > 0:
            lists[READY, n_kept] = vc
            n_kept += 1
    # Those that won a virtual channel in this cycle compete from the next one on.
    for i in range(n_ready, row(regs[R_READY])):
        lists[READY, n_kept] = lists[READY, i]
        n_kept += 1
    regs[R_READY] = n_kept
    regs[R_FLIT_HOPS] += n_sent
    return n_sent

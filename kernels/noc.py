"""A network of wormhole routers with virtual channels and credits, flit by flit and cycle by cycle.

The router is the input-queued one of Dally and Towles: virtual-channel allocation in one cycle, switch allocation in
the next, crossbar in the third, both allocations by one iteration of iSLIP. Every *channel* (from a terminal or a
router to a router or a terminal) has `n_vcs` virtual channels; row `channel * n_vcs + vc` of `vcs` holds both what its
receiver knows (the queue) and what its sender knows (credits).
"""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows, timing_loop
from dieshot.kernels.noc_allocate import accept_switch, allocate_vcs, ask_switch, ask_vc, grant_switch
from dieshot.kernels.noc_table import (
    A_COUNT,
    A_LISTED,
    A_SWITCH,
    A_VC,
    C_CREDIT_CYCLES,
    C_FLIT_CYCLES,
    C_TO,
    D_ARRIVED,
    D_FLITS,
    D_INJECTED,
    DESTINATION_AT,
    DONE,
    LIMIT,
    LOW,
    MOST_DESTINATIONS,
    MOST_PACKETS,
    OUT_OF_ORDER,
    P_CREATED,
    P_DESTINATION,
    P_FLITS,
    PACKET_AT,
    R_ACTIVE,
    R_CYCLE,
    R_EJECTED,
    R_ERROR,
    R_IN_FLIGHT,
    R_LIVE,
    R_TO_MEASURE,
    S_CHANNEL,
    S_END,
    S_FLIT,
    S_NEXT,
    S_VC,
    STOPPED,
    STUCK,
    TAIL_BIT,
    TOO_LATE,
    V_CHANNEL,
    V_COUNT,
    V_CREDITS,
    V_HEAD,
    V_TAIL_SENT,
    V_TARGET,
    V_WANTED,
)


@inlined
def receive_flits(
    cycle: int,
    n_vcs: int,
    buffer_flits: int,
    measure_from: int,
    measure_to: int,
    channels: Rows,
    routes: Rows,
    vcs: Rows,
    queues: Rows,
    asking: Rows,
    asked: Rows,
    flits: Rows,
    n_wheel: Rows,
    credits: Rows,
    regs: Rows,
    packets: Rows,
    delivered: Rows,
) -> None:
    """Queue the flits that arrive in this cycle, or hand them to their terminal, whose credit then goes back."""
    n_slots = flits.shape[0]
    slot = cycle & (n_slots - 1)
    for i in range(n_wheel[slot, 0]):
        vc = flits[slot, i, 0]
        code = flits[slot, i, 1]
        channel = vcs[vc, V_CHANNEL]
        if channels[channel, C_TO] < 0:
            packet = code >> PACKET_AT
            flit = code & LOW
            if delivered[packet, D_FLITS] != flit:
                regs[R_ERROR] = OUT_OF_ORDER
            delivered[packet, D_FLITS] = flit + 1
            measured = measure_from <= packets[packet, P_CREATED] < measure_to
            if code & TAIL_BIT:
                delivered[packet, D_ARRIVED] = cycle
                regs[R_TO_MEASURE] -= measured
            regs[R_LIVE] -= 1
            regs[R_EJECTED] += measure_from <= cycle < measure_to
            back = (cycle + channels[channel, C_CREDIT_CYCLES]) & (n_slots - 1)
            credits[back, n_wheel[back, 1]] = vc
            n_wheel[back, 1] += 1
            regs[R_IN_FLIGHT] += 1
            continue
        tail = vcs[vc, V_HEAD] + vcs[vc, V_COUNT]
        if tail >= buffer_flits:
            tail -= buffer_flits
        queues[vc * buffer_flits + tail] = code
        vcs[vc, V_COUNT] += 1
        if vcs[vc, V_COUNT] == 1:
            if vcs[vc, V_TARGET] < 0:
                destination = (code >> DESTINATION_AT) & (MOST_DESTINATIONS - 1)
                ask_vc(vc, channels[channel, C_TO], destination, routes, vcs, asking, asked, regs)
            else:
                ask_switch(vc, vcs[vc, V_WANTED], asking, asked, regs)
    regs[R_IN_FLIGHT] -= n_wheel[slot, 0]
    n_wheel[slot, 0] = 0


@inlined
def receive_credits(
    cycle: int, buffer_flits: int, wait_for_tail: int, vcs: Rows, used: Rows, n_wheel: Rows, credits: Rows, regs: Rows
) -> None:
    """Count the credits that reach their sender in this cycle; free a virtual channel once its tail has left."""
    slot = cycle & (credits.shape[0] - 1)
    for i in range(n_wheel[slot, 1]):
        vc = credits[slot, i]
        vcs[vc, V_CREDITS] += 1
        if wait_for_tail and vcs[vc, V_CREDITS] == buffer_flits and vcs[vc, V_TAIL_SENT]:
            used[vc] = 0
    regs[R_IN_FLIGHT] -= n_wheel[slot, 1]
    n_wheel[slot, 1] = 0


@inlined
def inject(
    cycle: int,
    n_vcs: int,
    wait_for_tail: int,
    channels: Rows,
    vcs: Rows,
    used: Rows,
    flits: Rows,
    n_wheel: Rows,
    regs: Rows,
    packets: Rows,
    sources: Rows,
    delivered: Rows,
) -> int:
    """Let every terminal send one flit if a virtual channel and a credit are free; return how many were sent."""
    n_sent = 0
    for node in range(sources.shape[0]):
        packet = sources[node, S_NEXT]
        if packet >= sources[node, S_END] or packets[packet, P_CREATED] > cycle:
            continue
        channel = sources[node, S_CHANNEL]
        flit = sources[node, S_FLIT]
        vc = sources[node, S_VC]
        if flit == 0:
            found = -1
            candidate = vc
            for _ in range(n_vcs):
                candidate = candidate + 1 if candidate + 1 < n_vcs else 0
                row = channel * n_vcs + candidate
                if used[row] == 0 and vcs[row, V_CREDITS] > 0:
                    found = candidate
                    break
            if found < 0:
                continue
            vc = found
            used[channel * n_vcs + vc] = 1
            vcs[channel * n_vcs + vc, V_TAIL_SENT] = 0
            sources[node, S_VC] = vc
            delivered[packet, D_INJECTED] = cycle
        row = channel * n_vcs + vc
        if vcs[row, V_CREDITS] == 0:
            continue
        vcs[row, V_CREDITS] -= 1
        slot = (cycle + channels[channel, C_FLIT_CYCLES]) & (flits.shape[0] - 1)
        flits[slot, n_wheel[slot, 0], 0] = row
        is_tail = flit + 1 == packets[packet, P_FLITS]
        code = (packet << PACKET_AT) + (packets[packet, P_DESTINATION] << DESTINATION_AT) + flit
        flits[slot, n_wheel[slot, 0], 1] = code + TAIL_BIT if is_tail else code
        n_wheel[slot, 0] += 1
        n_sent += 1
        sources[node, S_FLIT] = flit + 1
        if is_tail:
            vcs[row, V_TAIL_SENT] = 1
            if wait_for_tail == 0:
                used[row] = 0
            sources[node, S_FLIT] = 0
            sources[node, S_NEXT] = packet + 1
    regs[R_LIVE] += n_sent
    regs[R_IN_FLIGHT] += n_sent
    return n_sent


@inlined
def next_creation(cycle: int, packets: Rows, sources: Rows) -> int:
    """Return the first cycle after `cycle` in which a terminal has a packet to send, or -1 if none is left."""
    first = -1
    for node in range(sources.shape[0]):
        packet = sources[node, S_NEXT]
        if packet < sources[node, S_END]:
            created = packets[packet, P_CREATED]
            if first < 0 or created < first:
                first = created
    return max(first, cycle + 1) if first >= 0 else -1


@inlined
def in_range(packets: Rows) -> bool:
    """Return whether every packet has a cycle and a number of flits that the tables can hold."""
    for i in range(packets.shape[0]):
        if not 0 <= packets[i, P_CREATED] <= LIMIT or not 0 < packets[i, P_FLITS] <= LOW:
            return False
        if not 0 <= packets[i, P_DESTINATION] < MOST_DESTINATIONS:
            return False
    return bool(packets.shape[0] <= MOST_PACKETS)


@timing_loop(
    "int64(int64, int64, int64, int64, int64, int64, int64, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1],"
    " int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, :, ::1], int64[:, ::1],"
    " int64[:, ::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1])"
)
def advance_network(
    n_vcs: int,
    buffer_flits: int,
    input_speedup: int,
    wait_for_tail: int,
    measure_from: int,
    measure_to: int,
    stop_cycle: int,
    channels: Rows,
    routes: Rows,
    vcs: Rows,
    used: Rows,
    queues: Rows,
    switch: Rows,
    asking: Rows,
    asked: Rows,
    grants: Rows,
    flits: Rows,
    n_wheel: Rows,
    credits: Rows,
    regs: Rows,
    packets: Rows,
    sources: Rows,
    delivered: Rows,
) -> int:
    """Move flits until every packet created in [measure_from, measure_to) has arrived.

    channels, vcs, switch, asking, asked and grants: columns in kernels/noc_table.py. routes (routers * terminals,
    3): channel out, first and last + 1 of its virtual channels. flits (slots, channels, 2), credits (slots, entries)
    and n_wheel (slots, 2): what arrives in cycle mod slots. sources (terminals, 5): next packet, end of its packets,
    next flit, last virtual channel, its channel. packets (n, 3): cycle of creation, destination, flits; sorted by
    source, then cycle. delivered (n, 3): cycle of injection, of the tail's arrival, flits arrived.
    regs[R_TO_MEASURE] is the number of packets to wait for. Returns DONE, STOPPED (at stop_cycle), STUCK (no flit can
    ever move again), OUT_OF_ORDER or TOO_LATE (a cycle beyond LIMIT, or a length that has no number).
    """
    cycle = regs[R_CYCLE]
    if stop_cycle > LIMIT or not in_range(packets):
        return TOO_LATE
    while regs[R_TO_MEASURE] > 0 and cycle < stop_cycle:
        receive_flits(
            cycle, n_vcs, buffer_flits, measure_from, measure_to, channels, routes, vcs, queues, asking, asked, flits,
            n_wheel, credits, regs, packets, delivered,
        )  # fmt: skip
        if regs[R_ERROR] != 0:
            return OUT_OF_ORDER
        receive_credits(cycle, buffer_flits, wait_for_tail, vcs, used, n_wheel, credits, regs)
        moved = inject(
            cycle, n_vcs, wait_for_tail, channels, vcs, used, flits, n_wheel, regs, packets, sources, delivered
        )  # fmt: skip
        n_grants = 0
        n_left = 0
        for i in range(regs[R_ACTIVE]):
            channel = asked[i, A_COUNT]
            # A virtual channel won in this cycle competes for the switch in the next: it is appended behind these.
            n_ready = asked[channel, A_SWITCH]
            if asked[channel, A_VC] > 0:
                moved += allocate_vcs(channel, n_vcs, channels, vcs, used, asking, asked)
            if n_ready > 0:
                n_grants = grant_switch(
                    channel, n_ready, n_vcs, input_speedup, channels, vcs, switch, asking, grants, n_grants
                )
            if asked[channel, A_VC] + asked[channel, A_SWITCH] > 0:
                asked[n_left, A_COUNT] = channel
                n_left += 1
            else:
                asked[channel, A_LISTED] = 0
        regs[R_ACTIVE] = n_left
        moved += accept_switch(
            cycle, n_grants, n_vcs, buffer_flits, input_speedup, wait_for_tail, channels, routes, vcs, used, queues,
            switch, asking, asked, grants, flits, n_wheel, credits, regs,
        )  # fmt: skip
        if regs[R_LIVE] > 0 and moved == 0 and regs[R_IN_FLIGHT] == 0:
            return STUCK
        cycle += 1
        if regs[R_LIVE] == 0 and regs[R_IN_FLIGHT] == 0:
            following = next_creation(cycle - 1, packets, sources)
            cycle = stop_cycle if following < 0 else following
        regs[R_CYCLE] = cycle
    return DONE if regs[R_TO_MEASURE] == 0 else STOPPED

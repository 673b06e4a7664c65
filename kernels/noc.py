"""A network of wormhole routers with virtual channels and credits, flit by flit and cycle by cycle.

The router is the input-queued one of Dally and Towles: virtual-channel allocation in one cycle, switch allocation in
the next, crossbar in the third, both allocations by one iteration of iSLIP. Every *channel* (from a terminal or a
router to a router or a terminal) has virtual channels; row `(channel << vc_bits) + number` of `vcs` holds both what the
receiver of one knows and what its sender knows.
"""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows, timing_loop
from dieshot.kernels.noc_allocate import allocate_vcs, ask_vc
from dieshot.kernels.noc_switch import give_back, grant_inputs, pass_switch, request_outputs, send
from dieshot.kernels.noc_table import (
    C_CREDIT_CYCLES,
    C_FLIT_CYCLES,
    C_FREE,
    C_TAILS,
    C_TO,
    D_ARRIVED,
    D_FLITS,
    D_INJECTED,
    DESTINATION_AT,
    DONE,
    F_BUFFER,
    F_MEASURE_FROM,
    F_MEASURE_TO,
    F_STOP,
    F_VC_BITS,
    F_WAITS,
    LIMIT,
    LOW,
    MEASURED_BIT,
    MOST_DESTINATIONS,
    MOST_PACKETS,
    NEVER,
    NOBODY,
    OUT_OF_ORDER,
    P_CREATED,
    P_DESTINATION,
    P_FLITS,
    PACKET_AT,
    R_CYCLE,
    R_EJECTED,
    R_ERROR,
    R_LIVE,
    R_READY,
    R_TO_MEASURE,
    READY,
    S_DUE,
    S_FLIT,
    S_NEXT,
    S_VC,
    STOPPED,
    STUCK,
    TAIL_BIT,
    TOO_LATE,
    V_COUNT,
    V_CREDITS,
    V_FRONT,
    V_HEAD,
    V_TARGET,
)
from dieshot.kernels.noc_turn import next_bit, row


@inlined
def receive_credits(slot: int, settings: Rows, channels: Rows, vcs: Rows, credits: Rows) -> None:
    """Count the credits that reach their sender in this cycle; free a virtual channel once its tail has left."""
    vc_bits = settings[F_VC_BITS]
    buffer_flits = settings[F_BUFFER]
    waits = settings[F_WAITS]
    for i in range(1, row(credits[slot, 0]) + 1):
        vc = row(credits[slot, i])
        n_credits = vcs[vc, V_CREDITS] + 1
        vcs[vc, V_CREDITS] = n_credits
        if waits and n_credits == buffer_flits:
            channel = vc >> vc_bits
            channels[channel, C_FREE] |= channels[channel, C_TAILS] & (1 << (vc & ((1 << vc_bits) - 1)))
    credits[slot, 0] = 0


@inlined
def eject(cycle: int, settings: Rows, channels: Rows, ejects: Rows, credits: Rows, regs: Rows, delivered: Rows) -> None:
    """Hand the flits that arrive in this cycle to their terminals, whose credits then go back."""
    mask = row(ejects.shape[0] - 1)
    slot = cycle & mask
    vc_bits = settings[F_VC_BITS]
    n = row(ejects[slot, 0, 0])
    for i in range(1, n + 1):
        vc = row(ejects[slot, i, 0])
        code = ejects[slot, i, 1]
        packet = row(code >> PACKET_AT)
        flit = code & LOW
        if delivered[packet, D_FLITS] != flit:
            regs[R_ERROR] = OUT_OF_ORDER
        delivered[packet, D_FLITS] = flit + 1
        if code & TAIL_BIT:
            delivered[packet, D_ARRIVED] = cycle
            if code & MEASURED_BIT:
                regs[R_TO_MEASURE] -= 1
        give_back(vc, (cycle + channels[vc >> vc_bits, C_CREDIT_CYCLES]) & mask, credits)
    regs[R_LIVE] -= n
    if settings[F_MEASURE_FROM] <= cycle < settings[F_MEASURE_TO]:
        regs[R_EJECTED] += n
    ejects[slot, 0, 0] = 0


@inlined
def receive_flits(
    slot: int,
    settings: Rows,
    channels: Rows,
    vcs: Rows,
    queues: Rows,
    flits: Rows,
    lists: Rows,
    regs: Rows,
    routes: Rows,
) -> None:
    """Queue the flits that arrive at routers in this cycle; one that finds its queue empty goes on asking."""
    buffer_flits = row(settings[F_BUFFER])
    vc_bits = settings[F_VC_BITS]
    for i in range(1, row(flits[slot, 0, 0]) + 1):
        vc = row(flits[slot, i, 0])
        code = flits[slot, i, 1]
        count = vcs[vc, V_COUNT]
        vcs[vc, V_COUNT] = count + 1
        if count > 0:
            end = row(vcs[vc, V_HEAD] + count - 1)
            queues[vc * buffer_flits + (end - buffer_flits if end >= buffer_flits else end)] = code
            continue
        vcs[vc, V_FRONT] = code
        if vcs[vc, V_TARGET] < 0:
            ask_vc(vc, channels[vc >> vc_bits, C_TO], settings, routes, vcs, lists, regs)
        else:
            lists[READY, row(regs[R_READY])] = vc
            regs[R_READY] += 1
    flits[slot, 0, 0] = 0


@inlined
def take_vc(node: int, vc_bits: int, channels: Rows, vcs: Rows, sources: Rows) -> int:
    """Return the next free virtual channel with a credit into a terminal's router, now taken; -1 if none is."""
    free = channels[node, C_FREE]
    vc = next_bit(free, sources[node, S_VC] + 1)
    while vc >= 0 and vcs[(node << vc_bits) + vc, V_CREDITS] == 0:
        free ^= 1 << vc
        vc = next_bit(free, vc)
    if vc >= 0:
        channels[node, C_FREE] ^= 1 << vc
        channels[node, C_TAILS] &= ~(1 << vc)
        sources[node, S_VC] = vc
    return vc


@inlined
def inject(
    cycle: int,
    settings: Rows,
    channels: Rows,
    vcs: Rows,
    flits: Rows,
    regs: Rows,
    sources: Rows,
    packets: Rows,
    successor: Rows,
    delivered: Rows,
) -> int:
    """Let every terminal send one flit if a virtual channel and a credit are free; return how many were sent."""
    n_sent = 0
    vc_bits = settings[F_VC_BITS]
    for node in range(sources.shape[0]):
        if sources[node, S_DUE] > cycle:
            continue
        packet = row(sources[node, S_NEXT])
        flit = sources[node, S_FLIT]
        vc = sources[node, S_VC]
        if flit == 0:
            vc = take_vc(node, vc_bits, channels, vcs, sources)
            if vc < 0:
                continue
            delivered[packet, D_INJECTED] = cycle
        taken = (node << vc_bits) + row(vc)
        if vcs[taken, V_CREDITS] == 0:
            continue
        vcs[taken, V_CREDITS] -= 1
        code = (packet << PACKET_AT) + (packets[packet, P_DESTINATION] << DESTINATION_AT) + flit
        sources[node, S_FLIT] = flit + 1
        if flit + 1 == packets[packet, P_FLITS]:
            code += TAIL_BIT
            if settings[F_MEASURE_FROM] <= packets[packet, P_CREATED] < settings[F_MEASURE_TO]:
                code += MEASURED_BIT
            channels[node, C_TAILS] |= 1 << vc
            if settings[F_WAITS] == 0:
                channels[node, C_FREE] |= 1 << vc
            following = successor[packet]
            sources[node, S_FLIT] = 0
            sources[node, S_NEXT] = following
            sources[node, S_DUE] = packets[following, P_CREATED] if following != NOBODY else NEVER
        send(taken, code, (cycle + channels[node, C_FLIT_CYCLES]) & row(flits.shape[0] - 1), flits)
        n_sent += 1
    regs[R_LIVE] += n_sent
    return n_sent


@inlined
def next_creation(sources: Rows) -> int:
    """Return the first cycle in which a terminal has a packet to send, NEVER if none has."""
    first = NEVER
    for node in range(sources.shape[0]):
        first = min(first, sources[node, S_DUE])
    return first


@inlined
def under_way(flits: Rows, ejects: Rows, credits: Rows) -> int:
    """Return how many flits and credits are on a wire."""
    n = 0
    for slot in range(credits.shape[0]):
        n += flits[slot, 0, 0] + ejects[slot, 0, 0] + credits[slot, 0]
    return n


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
    "int64(int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[:, :, ::1],"
    " int64[:, :, ::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[:, ::1],"
    " int64[:, ::1], int64[::1], int64[:, ::1])"
)
def advance_network(
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
    classes: Rows,
    sources: Rows,
    packets: Rows,
    successor: Rows,
    delivered: Rows,
) -> int:
    """Move flits until every packet created in the window measured has arrived; called again, go on from there.

    Columns in kernels/noc_table.py. lane_numbers: the switch input of its port that a virtual channel uses. queues
    (rows of vcs * buffer flits): flits behind the front. flits and ejects (slots, 1 + entries, 2) and credits (slots,
    1 + entries): what arrives at routers, terminals and senders in cycle mod slots, a power of two; how many comes
    first. routes (routers * terminals): channel out and, in the lowest CLASS_BITS, class. classes: bits of the virtual
    channels that one may use. packets (n, 3): cycle of creation, destination, flits; successor (n): the next packet of
    the same source, created no earlier, or NOBODY. delivered (n, 3): cycle of injection, of the tail's arrival, flits
    arrived. regs[R_TO_MEASURE] is the number of packets to wait for. Returns DONE, STOPPED (at the cycle to stop at),
    STUCK (no flit can ever move again), OUT_OF_ORDER or TOO_LATE (a cycle beyond LIMIT, or a length that has no
    number).
    """
    cycle = regs[R_CYCLE]
    stop_cycle = settings[F_STOP]
    if stop_cycle > LIMIT or not in_range(packets):
        return TOO_LATE
    while regs[R_TO_MEASURE] > 0 and cycle < stop_cycle:
        slot = cycle & row(flits.shape[0] - 1)
        receive_credits(slot, settings, channels, vcs, credits)
        eject(cycle, settings, channels, ejects, credits, regs, delivered)
        if regs[R_ERROR] != 0:
            return OUT_OF_ORDER
        receive_flits(slot, settings, channels, vcs, queues, flits, lists, regs, routes)
        moved = inject(cycle, settings, channels, vcs, flits, regs, sources, packets, successor, delivered)
        n_ready = regs[R_READY]
        moved += allocate_vcs(settings[F_VC_BITS], channels, classes, vcs, lists, regs)
        request_outputs(n_ready, settings, lane_numbers, channels, vcs, lanes, lists)
        grant_inputs(n_ready, settings, lane_numbers, channels, vcs, lanes, lists)
        moved += pass_switch(
            cycle, n_ready, settings, lane_numbers, channels, vcs, lanes, queues, flits, ejects, credits, lists, regs,
            routes,
        )  # fmt: skip
        cycle += 1
        if moved == 0 and under_way(flits, ejects, credits) == 0:
            if regs[R_LIVE] > 0:
                return STUCK
            cycle = min(max(cycle, next_creation(sources)), stop_cycle)
        regs[R_CYCLE] = cycle
    return DONE if regs[R_TO_MEASURE] == 0 else STOPPED

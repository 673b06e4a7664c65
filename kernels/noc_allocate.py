"""Virtual-channel and switch allocation of wormhole routers: one iteration of iSLIP each (McKeown, 1999).

With one output a packet, the virtual channels of each output are allocated on their own; the switch couples the
outputs of a router through the inputs that may accept only one of them.
"""

from __future__ import annotations

from dieshot.kernels.inlined import inlined
from dieshot.kernels.jit import Rows
from dieshot.kernels.noc_table import (
    A_COUNT,
    A_LISTED,
    A_SWITCH,
    A_VC,
    C_CREDIT_CYCLES,
    C_FLIT_CYCLES,
    C_FROM_INPUTS,
    C_OUT,
    C_TO,
    C_TO_OUTPUTS,
    DESTINATION_AT,
    G_CHANNEL,
    G_INPUT,
    G_KEY,
    G_VC,
    MOST_DESTINATIONS,
    R_ACTIVE,
    R_FLIT_HOPS,
    R_IN_FLIGHT,
    R_TERMINALS,
    TAIL_BIT,
    V_ACCEPT,
    V_BEST,
    V_CHANNEL,
    V_COUNT,
    V_CREDITS,
    V_GRANT,
    V_HEAD,
    V_HIGH,
    V_LANE,
    V_LANE_LOCAL,
    V_LOCAL,
    V_LOW,
    V_NUMBER,
    V_TAIL_SENT,
    V_TARGET,
    V_WANTED,
    X_ACCEPT,
    X_BEST,
    X_GRANT,
    X_TURN,
)


@inlined
def list_channel(channel: int, asked: Rows, regs: Rows) -> None:
    """Put a channel out into the list of those with requests."""
    if asked[channel, A_LISTED] == 0:
        asked[channel, A_LISTED] = 1
        asked[regs[R_ACTIVE], A_COUNT] = channel
        regs[R_ACTIVE] += 1


@inlined
def ask_vc(
    vc: int, router: int, destination: int, routes: Rows, vcs: Rows, asking: Rows, asked: Rows, regs: Rows
) -> None:
    """Let the head of a packet ask for a virtual channel on its way."""
    row = router * regs[R_TERMINALS] + destination
    channel = routes[row, 0]
    vcs[vc, V_WANTED] = channel
    vcs[vc, V_LOW] = routes[row, 1]
    vcs[vc, V_HIGH] = routes[row, 2]
    asking[channel, asked[channel, A_VC]] = vc
    asked[channel, A_VC] += 1
    list_channel(channel, asked, regs)


@inlined
def ask_switch(vc: int, channel: int, asking: Rows, asked: Rows, regs: Rows) -> None:
    """Let a virtual channel compete for the crossbar's output to `channel`."""
    asking[channel, asking.shape[1] // 2 + asked[channel, A_SWITCH]] = vc
    asked[channel, A_SWITCH] += 1
    list_channel(channel, asked, regs)


@inlined
def distance(index: int, pointer: int, n: int) -> int:
    """Return how many places after a round-robin pointer an index has its turn."""
    return index - pointer if index >= pointer else index - pointer + n


@inlined
def first_free(first: int, first_local: int, low: int, high: int, pointer: int, used: Rows) -> int:
    """Return the free virtual channel in [low, high) of a channel that is next after a pointer, or -1."""
    start = pointer - first_local
    if start < low or start >= high:
        start = low
    for out in range(start, high):
        if used[first + out] == 0:
            return out
    for out in range(low, start):
        if used[first + out] == 0:
            return out
    return -1


@inlined
def allocate_vcs(channel: int, n_vcs: int, channels: Rows, vcs: Rows, used: Rows, asking: Rows, asked: Rows) -> int:
    """Match free virtual channels of a channel with the packets that ask for one; return how many won.

    Every free one grants the packet next in turn; a packet granted several accepts the one next in its own turn.
    """
    first = channel * n_vcs
    n_inputs = channels[channel, C_FROM_INPUTS] * n_vcs
    n_asking = asked[channel, A_VC]
    first_local = channels[channel, C_OUT] * n_vcs
    if n_asking == 1:
        # Whoever asks alone is granted everything, whatever the pointers.
        vc = asking[channel, 0]
        vcs[vc, V_BEST] = first_free(first, first_local, vcs[vc, V_LOW], vcs[vc, V_HIGH], vcs[vc, V_ACCEPT], used)
        return take_vcs(channel, n_vcs, channels, vcs, used, asking, asked)
    for i in range(n_asking):
        vcs[asking[channel, i], V_BEST] = -1
    for out in range(n_vcs):
        if used[first + out] != 0:
            continue
        winner = -1
        nearest = n_inputs
        for i in range(n_asking):
            vc = asking[channel, i]
            if vcs[vc, V_LOW] <= out < vcs[vc, V_HIGH]:
                turn = distance(vcs[vc, V_LOCAL], vcs[first + out, V_GRANT], n_inputs)
                if turn < nearest:
                    winner = vc
                    nearest = turn
        if winner >= 0:
            n_outputs = channels[vcs[winner, V_CHANNEL], C_TO_OUTPUTS] * n_vcs
            best = vcs[winner, V_BEST]
            pointer = vcs[winner, V_ACCEPT]
            if best < 0 or distance(first_local + out, pointer, n_outputs) < distance(
                first_local + best, pointer, n_outputs
            ):
                vcs[winner, V_BEST] = out
    return take_vcs(channel, n_vcs, channels, vcs, used, asking, asked)


@inlined
def take_vcs(channel: int, n_vcs: int, channels: Rows, vcs: Rows, used: Rows, asking: Rows, asked: Rows) -> int:
    """Give the virtual channels accepted to their packets, which go on to ask for the switch."""
    n_asking = asked[channel, A_VC]
    switch_list = asking.shape[1] // 2
    n_left = 0
    for i in range(n_asking):
        vc = asking[channel, i]
        out = vcs[vc, V_BEST]
        if out < 0:
            asking[channel, n_left] = vc
            n_left += 1
            continue
        taken = channel * n_vcs + out
        used[taken] = 1
        vcs[taken, V_TAIL_SENT] = 0
        vcs[vc, V_TARGET] = taken
        local = vcs[vc, V_LOCAL] + 1
        vcs[taken, V_GRANT] = 0 if local == channels[channel, C_FROM_INPUTS] * n_vcs else local
        local = channels[channel, C_OUT] * n_vcs + out + 1
        vcs[vc, V_ACCEPT] = 0 if local == channels[vcs[vc, V_CHANNEL], C_TO_OUTPUTS] * n_vcs else local
        asking[channel, switch_list + asked[channel, A_SWITCH]] = vc
        asked[channel, A_SWITCH] += 1
    asked[channel, A_VC] = n_left
    n_won: int = n_asking - n_left
    return n_won


@inlined
def grant_switch(
    channel: int,
    n_ready: int,
    n_vcs: int,
    input_speedup: int,
    channels: Rows,
    vcs: Rows,
    switch: Rows,
    asking: Rows,
    grants: Rows,
    n_grants: int,
) -> int:
    """Let a crossbar output choose among the switch inputs whose flit has a credit, and remember the best grant.

    Input v mod input_speedup of a port carries the virtual channels v. Returns the new number of grants.
    """
    first = asking.shape[1] // 2
    n_inputs = channels[channel, C_FROM_INPUTS] * input_speedup
    winner = -1
    nearest = n_inputs * n_vcs
    if n_ready == 1:
        vc = asking[channel, first]
        if vcs[vcs[vc, V_TARGET], V_CREDITS] > 0:
            winner = vc
        n_ready = 0
    for i in range(first, first + n_ready):
        vc = asking[channel, i]
        if vcs[vcs[vc, V_TARGET], V_CREDITS] == 0:
            continue
        turn = distance(vcs[vc, V_LANE_LOCAL], switch[channel, X_GRANT], n_inputs) * n_vcs
        turn += distance(vcs[vc, V_NUMBER], switch[vcs[vc, V_LANE], X_TURN], n_vcs)
        if turn < nearest:
            winner = vc
            nearest = turn
    if winner < 0:
        return n_grants
    row = vcs[winner, V_LANE]
    outputs = channels[vcs[winner, V_CHANNEL], C_TO_OUTPUTS]
    key = distance(channels[channel, C_OUT], switch[row, X_ACCEPT], outputs)
    grants[n_grants, G_CHANNEL] = channel
    grants[n_grants, G_VC] = winner
    grants[n_grants, G_INPUT] = row
    grants[n_grants, G_KEY] = key
    best = switch[row, X_BEST]
    if best < 0 or key < grants[best, G_KEY]:
        switch[row, X_BEST] = n_grants
    return n_grants + 1


@inlined
def accept_switch(
    cycle: int,
    n_grants: int,
    n_vcs: int,
    buffer_flits: int,
    input_speedup: int,
    wait_for_tail: int,
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
) -> int:
    """Move the flit of every accepted grant into the crossbar; return how many moved."""
    n_moved = 0
    for i in range(n_grants):
        row = grants[i, G_INPUT]
        if switch[row, X_BEST] != i:
            continue
        switch[row, X_BEST] = -1
        n_moved += 1
        channel = grants[i, G_CHANNEL]
        vc = grants[i, G_VC]
        source = vcs[vc, V_CHANNEL]
        local = vcs[vc, V_LANE_LOCAL] + 1
        switch[channel, X_GRANT] = 0 if local == channels[channel, C_FROM_INPUTS] * input_speedup else local
        local = channels[channel, C_OUT] + 1
        switch[row, X_ACCEPT] = 0 if local == channels[source, C_TO_OUTPUTS] else local
        turn = vcs[vc, V_NUMBER] + input_speedup
        switch[row, X_TURN] = turn - n_vcs if turn >= n_vcs else turn
        code = pop_flit(vc, buffer_flits, vcs, queues)
        is_tail = code & TAIL_BIT != 0
        target = vcs[vc, V_TARGET]
        send_flit(cycle, channel, target, code, is_tail, wait_for_tail, channels, vcs, used, flits, n_wheel)
        slot = (cycle + channels[source, C_CREDIT_CYCLES]) & (credits.shape[0] - 1)
        credits[slot, n_wheel[slot, 1]] = vc
        n_wheel[slot, 1] += 1
        if is_tail:
            vcs[vc, V_TARGET] = -1
        if is_tail or vcs[vc, V_COUNT] == 0:
            withdraw(vc, channel, asking, asked)
        if is_tail and vcs[vc, V_COUNT] > 0:
            destination = (queues[vc * buffer_flits + vcs[vc, V_HEAD]] >> DESTINATION_AT) & (MOST_DESTINATIONS - 1)
            ask_vc(vc, channels[source, C_TO], destination, routes, vcs, asking, asked, regs)
    regs[R_IN_FLIGHT] += 2 * n_moved
    regs[R_FLIT_HOPS] += n_moved
    return n_moved


@inlined
def pop_flit(vc: int, buffer_flits: int, vcs: Rows, queues: Rows) -> int:
    """Take the first flit out of a queue."""
    head = vcs[vc, V_HEAD]
    vcs[vc, V_HEAD] = 0 if head + 1 == buffer_flits else head + 1
    vcs[vc, V_COUNT] -= 1
    return int(queues[vc * buffer_flits + head])


@inlined
def send_flit(
    cycle: int,
    channel: int,
    target: int,
    code: int,
    is_tail: bool,
    wait_for_tail: int,
    channels: Rows,
    vcs: Rows,
    used: Rows,
    flits: Rows,
    n_wheel: Rows,
) -> None:
    """Put a flit on its way to the virtual channel `target` and take a credit for it."""
    slot = (cycle + channels[channel, C_FLIT_CYCLES]) & (flits.shape[0] - 1)
    flits[slot, n_wheel[slot, 0], 0] = target
    flits[slot, n_wheel[slot, 0], 1] = code
    n_wheel[slot, 0] += 1
    vcs[target, V_CREDITS] -= 1
    if is_tail:
        vcs[target, V_TAIL_SENT] = 1
        if wait_for_tail == 0:
            used[target] = 0


@inlined
def withdraw(vc: int, channel: int, asking: Rows, asked: Rows) -> None:
    """Take a virtual channel off the list of those that compete for an output."""
    first = asking.shape[1] // 2
    last = first + asked[channel, A_SWITCH] - 1
    for i in range(first, last + 1):
        if asking[channel, i] == vc:
            asking[channel, i] = asking[channel, last]
            asked[channel, A_SWITCH] -= 1
            return

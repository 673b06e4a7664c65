"""Vectors between chips: sent and received at known cycles, sums in the vector unit, one hierarchy of links.

All ranks of a group run the same program from the same cycle on, so what a rank sends over a link at a cycle, its peer
sends back in the same cycle.
"""

from __future__ import annotations

from collections.abc import Sequence

from dieshot.chips.mapping.static_machine import LinkTiming
from dieshot.chips.mapping.static_resource import Choice, Need
from dieshot.chips.mapping.static_schedule import Schedule, buffer_group
from dieshot.chips.mapping.static_sram import Buffer
from dieshot.chips.mapping.static_vector import PUT_LATENCY, Input, Rows, Step, vector_pass
from dieshot.kernels.static_program import RECEIVE, SEND
from dieshot.simulator.engine.chip import UnsupportedError

PIECES = 8  # a share is added up in so many pieces, so that sums leave while copies still come
MOST_ROWS = 12  # of a piece: longer ones would not find a gap between the vectors that are being written


def link_of(schedule: Schedule) -> LinkTiming:
    """Return the timing of the links; UnsupportedError without any."""
    if schedule.machine.link is None:
        raise UnsupportedError(f"{schedule.machine.parameters.name} has no links in a system without a fabric")
    return schedule.machine.link


def send(schedule: Schedule, links: Sequence[int], source: Rows, n: int) -> int:
    """Send n rows over links at one hemisphere's edge, the same to each; return when a peer has the first vector."""
    machine, timing, buffer = schedule.machine, link_of(schedule), source.buffer
    h, d = machine.link_hemisphere(links[0]), timing.interval * buffer.bytes
    latency = machine.parameters.mem.read_latency
    needs = [Need(("tx", link), machine.edge, n * d) for link in links]
    choices, earliest = [], 0
    for byte in range(buffer.bytes):
        x, late = buffer.x(byte), byte * timing.interval
        offset = x - latency + late
        needs += schedule.read_needs(h, x, buffer.base + source.row, n - 1, offset, n, d)
        earliest = max(earliest, buffer.earliest(source.row, source.stride, n, d) - offset, -offset)
        choices.append(Choice(schedule.pool(True, h), 1, late, n, d))
    anchor, picks = schedule.resources.place(earliest, needs, choices)
    for byte, pick in enumerate(picks):
        x, late = buffer.x(byte), byte * timing.interval
        code = schedule.pair_code(True, h, pick[0])
        group = buffer_group(buffer, source.row, source.stride, byte, code)
        at = (buffer.base + source.row, source.stride)
        schedule.read(h, x, anchor + x - latency + late, n, d, at, group)
        for link in links:
            schedule.row(SEND, link, schedule.queues["c2c"] + link, anchor + machine.edge + late, n, d, a=group)
    schedule.complete(anchor + machine.edge + n * d)
    return anchor + machine.edge + timing.interval + timing.flight


def receive(schedule: Schedule, link: int, target: Rows, n: int, arrival: int) -> int:
    """Receive n rows that begin to arrive at `arrival`; return the cycle in which all can be read."""
    machine, timing, buffer = schedule.machine, link_of(schedule), target.buffer
    h, d = machine.link_hemisphere(link), timing.interval * buffer.bytes
    crosses = (1 - h) in buffer.hemispheres
    pool = schedule.pool(False, h)
    if crosses:  # a stream goes on past the vector unit into the other hemisphere
        beyond = schedule.pool(True, 1 - h)
        pool = [(*near, *far) for near, far in zip(pool, beyond, strict=True)]
    needs, choices = [], []
    at_centre = PUT_LATENCY + machine.edge
    for byte in range(buffer.bytes):
        late = byte * timing.interval
        needs.append(Need(("rx", link), late, n, d))
        choices.append(Choice(pool, 1, at_centre + late, n, d))
        for side in buffer.hemispheres:
            x = buffer.x(byte)
            offset = at_centre + late + (-x if side == h else x)
            needs += schedule.write_needs(side, x, buffer.base + target.row, n - 1, offset, n, d)
    anchor, picks = schedule.resources.place(arrival, needs, choices)
    last = 0
    for byte, pick in enumerate(picks):
        late, x = byte * timing.interval, buffer.x(byte)
        code = schedule.pair_code(False, h, pick[0])
        group = buffer_group(buffer, target.row, target.stride, byte, code)
        queue = schedule.queues["c2c"] + link
        schedule.row(RECEIVE, link, queue, anchor + late, n, d, out=group, latency=PUT_LATENCY)
        for side in buffer.hemispheres:
            start = anchor + at_centre + late + (-x if side == h else x)
            at = (buffer.base + target.row, target.stride)
            ready = schedule.write(side, x, start, n, d, at, group)
            buffer.written(target.row, target.stride, n, ready, d)
            last = max(last, ready + (n - 1) * d)
    return last


def groups_of(schedule: Schedule) -> tuple[int, int]:
    """Return the chips of a node that take part and the number of nodes; UnsupportedError where links cannot join
    them."""
    timing, p = link_of(schedule), schedule.machine.parameters
    local = min(timing.group, p.c2c.node)
    nodes, rest = divmod(timing.group, local)
    if rest or nodes - 1 > p.c2c.global_links:
        raise UnsupportedError(
            f"{p.name} joins {p.c2c.node} chips a node and up to {p.c2c.global_links + 1} nodes for a collective, "
            f"not {timing.group} chips"
        )
    return local, nodes


def reduced(schedule: Schedule, source: Buffer) -> Buffer:
    """Return the buffer that `all_reduce` fills: in slices that neither the source nor the copies lie in."""
    local, nodes = groups_of(schedule)
    groups = -(-(-(-source.rows // local) * local) // source.tokens)
    free = [pair for pair in range(schedule.machine.activation_pairs) if pair != source.pair]
    pair = free[0] if nodes > 1 else free[-1]
    out = schedule.sram.buffer(f"sum of {source.name}", groups, source.tokens, source.bytes, pair=pair)
    out.lanes = source.lanes
    return out


def all_reduce(schedule: Schedule, source: Buffer, out: Buffer) -> None:
    """Add up a buffer over the group: shares within the node, sums between nodes, shares back within the node."""
    local, nodes = groups_of(schedule)
    sram, share = schedule.sram, -(-source.rows // local)
    free = [pair for pair in range(schedule.machine.activation_pairs) if pair != source.pair]
    copies: list[Input] = [Rows(source)]
    for link in range(local - 1):
        copy = sram.buffer(f"copy of {source.name}", 1, share, source.bytes, pair=free[link // 2])
        copy.hemispheres = (schedule.machine.link_hemisphere(link),)
        copies.append(Rows(copy))
        # the last shares of an uneven split overlap: a rank sends as many rows to each peer
        first = min((link + 1) * share, source.rows - share)
        arrival = send(schedule, [link], Rows(source, first), share)
        receive(schedule, link, Rows(copy), share, arrival)
    if nodes == 1:
        _add(schedule, copies, Rows(out), share)
    else:
        part = sram.buffer(f"sum of {source.name} in a node", 1, share, source.bytes, pair=free[-1])
        _add(schedule, copies, Rows(part), share)
        _between_nodes(schedule, part, out, nodes, share)
    if local > 1:
        _share_out(schedule, out, Rows(out), share, local)


def _between_nodes(schedule: Schedule, part: Buffer, out: Buffer, nodes: int, share: int) -> None:
    first = schedule.machine.parameters.c2c.local_links
    free = [pair for pair in range(schedule.machine.activation_pairs) if pair not in (part.pair, out.pair)]
    copies: list[Input] = [Rows(part, 0)]
    for node in range(1, nodes):
        link = first + node - 1
        copy = schedule.sram.buffer(f"copy of {part.name}", 1, share, part.bytes, pair=free[(node - 1) // 2])
        copy.hemispheres = (schedule.machine.link_hemisphere(link),)
        arrival = send(schedule, [link], Rows(part, 0), share)
        receive(schedule, link, Rows(copy, 0), share, arrival)
        copies.append(Rows(copy, 0))
    _add(schedule, copies, Rows(out, 0), share)


def _share_out(schedule: Schedule, out: Buffer, source: Rows, n: int, local: int) -> None:
    """Send the own rows to all peers of the node, and take theirs into the rows after the own."""
    arrivals: dict[int, int] = {}
    for hemisphere in (0, 1):
        links = [link for link in range(local - 1) if schedule.machine.link_hemisphere(link) == hemisphere]
        if links:
            arrival = send(schedule, links, source, n)
            arrivals |= dict.fromkeys(links, arrival)
    for link, arrival in sorted(arrivals.items()):
        receive(schedule, link, Rows(out, (link + 1) * n), n, arrival)


def _add(schedule: Schedule, copies: Sequence[Input], to: Rows, n: int) -> None:
    """Add up copies, piece by piece, in a tree of ALUs."""
    if len(copies) == 1:
        vector_pass(schedule, n, copies, [Step(False, 0, None, to)])
        return
    piece = min(MOST_ROWS, -(-n // PIECES))
    for first in range(0, n, piece):
        length = min(piece, n - first)
        inputs = [Rows(each.buffer, each.row + first) for each in copies if isinstance(each, Rows)]
        vector_pass(schedule, length, inputs, tree(len(inputs), Rows(to.buffer, to.row + first)))


def tree(n: int, to: Rows) -> list[Step]:
    """Return the steps that make one of n operands, two at a time, as deep as need be."""
    waiting, steps = list(range(n)), []
    while len(waiting) > 1:
        later = []
        for i in range(0, len(waiting) - 1, 2):
            steps.append(Step(False, waiting[i], waiting[i + 1]))
            later.append(-len(steps))
        if len(waiting) % 2:
            odd = waiting[-1]
            if odd < 0:  # a result may not wait: one more operation takes it along
                steps.append(Step(False, odd))
                odd = -len(steps)
            later.append(odd)
        waiting = later
    last = steps[-1]
    steps[-1] = Step(last.is_transcendental, last.a, last.b, to)
    return steps


def gathered(schedule: Schedule, source: Buffer) -> Buffer:
    """Return the buffer that `all_gather` fills."""
    local, nodes = groups_of(schedule)
    groups = source.groups * local * nodes
    return schedule.sram.buffer(f"all of {source.name}", groups, source.tokens, source.bytes, avoid=(source.pair,))


def all_gather(schedule: Schedule, source: Buffer, out: Buffer) -> None:
    """Bring every rank's buffer to every rank: first between nodes, then within the node."""
    local, nodes = groups_of(schedule)
    rows = source.rows
    vector_pass(schedule, rows, [Rows(source)], [Step(False, 0, None, Rows(out))])
    first = schedule.machine.parameters.c2c.local_links
    for node in range(1, nodes):
        link = first + node - 1
        arrival = send(schedule, [link], Rows(source), rows)
        receive(schedule, link, Rows(out, node * rows), rows, arrival)
    if local > 1:
        _share_out(schedule, out, Rows(out), rows * nodes, local)


def hand_on(schedule: Schedule, source: Buffer) -> None:
    """Send a buffer to the next stage and receive as much from the one before, over all links between stages."""
    p = schedule.machine.parameters.c2c
    share = -(-source.rows // p.stage_links)
    target = schedule.sram.buffer(f"next {source.name}", source.groups, source.tokens, 2, avoid=(source.pair,))
    for i in range(p.stage_links):
        n = min(share, source.rows - i * share)
        if n < 1:
            break
        link = p.local_links + i
        arrival = send(schedule, [link], Rows(source, i * share), n)
        receive(schedule, link, Rows(target, i * share), n, arrival)

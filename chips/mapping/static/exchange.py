"""Sums and copies among chips: one hierarchy of links, sums in the vector unit.

All ranks of a group run the same program from the same cycle on, so what a rank sends over a link at a cycle, its peer
sends back in the same cycle.
"""

from __future__ import annotations

from collections.abc import Sequence

from dieshot.chips.mapping.static.schedule import Schedule
from dieshot.chips.mapping.static.sram import Buffer
from dieshot.chips.mapping.static.transfer import link_of, transfer
from dieshot.chips.mapping.static.vector import Input, Rows, Step, vector_pass
from dieshot.simulator.engine.chip import UnsupportedError

PIECES = 8  # a share is added up in so many pieces, so that sums leave while copies still come
MOST_ROWS = 12  # of a piece: longer ones would not find a gap between the vectors that are being written


def groups_of(schedule: Schedule) -> tuple[int, int]:
    """Return the chips of a node that take part and the number of nodes; UnsupportedError where links cannot join
    them."""
    timing, p = link_of(schedule), schedule.machine.parameters
    local = min(timing.group, p.c2c.node)
    if local - 1 > timing.interval:
        raise UnsupportedError(
            f"{p.name} takes a vector a cycle into a slice; {local - 1} links that bring one every {timing.interval} "
            "cycles are too fast for its programs"
        )
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
        transfer(schedule, [link], Rows(source, first), [Rows(copy)], share)
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
        transfer(schedule, [link], Rows(part), [Rows(copy)], share)
        copies.append(Rows(copy, 0))
    _add(schedule, copies, Rows(out, 0), share)


def _share_out(schedule: Schedule, out: Buffer, source: Rows, n: int, local: int) -> None:
    """Send the own rows to all peers of the node, and take theirs into the rows after the own."""
    for hemisphere in (0, 1):
        links = [link for link in range(local - 1) if schedule.machine.link_hemisphere(link) == hemisphere]
        if links:
            transfer(schedule, links, source, [Rows(out, (link + 1) * n) for link in links], n)


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
        transfer(schedule, [link], Rows(source), [Rows(out, node * rows)], rows)
    if local > 1:
        _share_out(schedule, out, Rows(out), rows * nodes, local)


def hand_on(schedule: Schedule, source: Buffer) -> None:
    """Send a buffer to the next stage over all links to it, up to the last write there.

    What the next stage's chip does when it receives is acted out here: it is a chip like this one, and waits for it.
    """
    p = schedule.machine.parameters
    _, nodes = groups_of(schedule)
    if nodes - 1 + 2 * p.c2c.stage_links > p.c2c.global_links:
        raise UnsupportedError(
            f"{p.name} has {p.c2c.global_links} global links; stages of {nodes} nodes with {p.c2c.stage_links} links "
            f"from stage to stage need {nodes - 1 + 2 * p.c2c.stage_links}"
        )
    share = -(-source.rows // p.c2c.stage_links)
    target = schedule.sram.buffer(f"next {source.name}", source.groups, source.tokens, 2, avoid=(source.pair,))
    for i in range(p.c2c.stage_links):
        n = min(share, source.rows - i * share)
        if n > 0:
            link = p.c2c.local_links + nodes - 1 + i
            transfer(schedule, [link], Rows(source, i * share), [Rows(target, i * share)], n)

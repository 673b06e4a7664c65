"""Vectors between chips: sent and received at known cycles, sums in the vector unit, one hierarchy of links.

All ranks of a group run the same program from the same cycle on, so what a rank sends over a link at a cycle, its peer
sends back in the same cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dieshot.chips.mapping.static_machine import LinkTiming
from dieshot.chips.mapping.static_resource import Choice, Need
from dieshot.chips.mapping.static_schedule import Schedule, buffer_group
from dieshot.chips.mapping.static_sram import Buffer
from dieshot.chips.mapping.static_vector import PUT_LATENCY, Input, Rows, Step, vector_pass
from dieshot.kernels.static_program import RECEIVE, SEND
from dieshot.simulator.engine.chip import UnsupportedError

PIECES = 8  # a share is added up in so many pieces, so that sums leave while copies still come
RECEIVED_ROWS = 16  # in one run of Receives: a longer one may have to wait until all its cycles are free
MOST_ROWS = 12  # of a piece: longer ones would not find a gap between the vectors that are being written


def link_of(schedule: Schedule) -> LinkTiming:
    """Return the timing of the links; UnsupportedError without any."""
    if schedule.machine.link is None:
        raise UnsupportedError(f"{schedule.machine.parameters.name} has no links in a system without a fabric")
    return schedule.machine.link


@dataclass
class _Leg:
    """One end of a transfer: what it needs, from when, and the rows of instructions once it has a place."""

    schedule: Schedule
    rows: Rows
    n: int
    needs: list[Need] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    earliest: int = 0

    @property
    def interval(self) -> int:
        """Cycles of a vector on a link."""
        return link_of(self.schedule).interval

    @property
    def period(self) -> int:
        """Cycles of a row: its byte planes one after the other."""
        return self.interval * self.rows.buffer.bytes

    def find(self, earliest: int) -> int:
        """Return where this end could be placed."""
        return self.schedule.resources.find(max(earliest, self.earliest), self.needs, self.choices)[0]


class _Sending(_Leg):
    """Rows read and sent over links at one hemisphere's edge; the anchor is a vector's passing of the vector unit."""

    def want(self, links: Sequence[int], targets: Sequence[Rows]) -> None:
        """Ask for links, slices and streams; targets: where what the peers send back goes."""
        self.targets = targets
        machine, (buffer, row, stride), n, d = self.schedule.machine, self.rows, self.n, self.period
        self.links, self.h = links, machine.link_hemisphere(links[0])
        self.needs = [Need(("tx", link), machine.edge, n * d) for link in links]
        for byte in range(buffer.bytes):
            x, late = buffer.x(byte), byte * self.interval
            offset = x - machine.parameters.mem.read_latency + late
            self.needs += self.schedule.read_needs(self.h, x, buffer.base + row, (n - 1) * stride, offset, n, d)
            self.earliest = max(self.earliest, buffer.earliest(row, stride, n, d) - offset, -offset)
            self.choices.append(Choice(self.schedule.pool(True, self.h), 1, late, n, d))
        # vectors leave a port in the order in which they came, so links carry them in the order of the program
        self.earliest = max(self.earliest, *(self.schedule.link_sent.get(link, 0) for link in links))

    def arrival(self, anchor: int) -> int:
        """Return when a peer has the first vector."""
        return anchor + self.schedule.machine.edge + self.interval + link_of(self.schedule).flight

    def place(self, earliest: int) -> None:
        """Take the place and add the instructions."""
        schedule, (buffer, row, stride), n, d = self.schedule, self.rows, self.n, self.period
        machine = schedule.machine
        anchor, picks = schedule.resources.place(max(earliest, self.earliest), self.needs, self.choices)
        for byte, pick in enumerate(picks):
            x, late = buffer.x(byte), byte * self.interval
            group = buffer_group(buffer, row, stride, byte, schedule.pair_code(True, self.h, pick[0]))
            start = anchor + x - machine.parameters.mem.read_latency + late
            schedule.read(self.h, x, start, n, d, (buffer.base + row, stride), group)
            for link, to in zip(self.links, self.targets, strict=True):
                queue, twin = (
                    schedule.queues["c2c"] + link,
                    (to.buffer.id(to.row) + byte, to.stride * to.buffer.bytes, 0),
                )
                schedule.row(SEND, link, queue, anchor + machine.edge + late, n, d, a=group, x=twin)
        schedule.complete(anchor + machine.edge + n * d)
        schedule.link_sent |= dict.fromkeys(self.links, anchor + n * d)


class _Receiving(_Leg):
    """Rows received and written; the anchor is the first Receive. A stream goes on past the vector unit into the other
    hemisphere where the buffer lies in both."""

    def want(self, link: int) -> None:
        """Ask for the port, streams and slices."""
        schedule, (buffer, row, stride), n, d = self.schedule, self.rows, self.n, self.period
        self.earliest = schedule.link_received.get(link, 0)
        self.link, self.h = link, schedule.machine.link_hemisphere(link)
        pool = schedule.pool(False, self.h)
        if (1 - self.h) in buffer.hemispheres:
            beyond = schedule.pool(True, 1 - self.h)
            pool = [(*near, *far) for near, far in zip(pool, beyond, strict=True)]
        for byte in range(buffer.bytes):
            late = byte * self.interval
            self.needs.append(Need(("rx", link), late, n, d))
            self.choices.append(Choice(pool, 1, PUT_LATENCY + schedule.machine.edge + late, n, d))
            for side in buffer.hemispheres:
                x, offset = buffer.x(byte), self.offset(side, byte)
                self.needs += schedule.write_needs(side, x, buffer.base + row, (n - 1) * stride, offset, n, d)

    def offset(self, side: int, byte: int) -> int:
        """Return the cycles from the first Receive to the first write of a byte plane in a hemisphere."""
        x = self.rows.buffer.x(byte)
        return PUT_LATENCY + self.schedule.machine.edge + byte * self.interval + (-x if side == self.h else x)

    def place(self, earliest: int) -> None:
        """Take the place and add the instructions."""
        schedule, (buffer, row, stride), n, d = self.schedule, self.rows, self.n, self.period
        anchor, picks = schedule.resources.place(max(earliest, self.earliest), self.needs, self.choices)
        for byte, pick in enumerate(picks):
            group = buffer_group(buffer, row, stride, byte, schedule.pair_code(False, self.h, pick[0]))
            queue, start = schedule.queues["c2c"] + self.link, anchor + byte * self.interval
            schedule.row(RECEIVE, self.link, queue, start, n, d, out=group, latency=PUT_LATENCY)
            for side in buffer.hemispheres:
                at = (buffer.base + row, stride)
                ready = schedule.write(side, buffer.x(byte), anchor + self.offset(side, byte), n, d, at, group)
                buffer.written(row, stride, n, ready, d)
        schedule.link_received[self.link] = anchor + n * d


def transfer(schedule: Schedule, links: Sequence[int], source: Rows, targets: Sequence[Rows], n: int) -> None:
    """Send n rows over links at one hemisphere's edge, the same to each, and take in what comes back over each.

    Goes piece by piece; a piece is not sent before its like can be received, since a port holds few that wait.
    """
    slack = schedule.machine.parameters.c2c.receive_rows * link_of(schedule).interval // 4
    for first in range(0, n, RECEIVED_ROWS):
        count = min(RECEIVED_ROWS, n - first)
        sending = _Sending(schedule, _from(source, first), count)
        sending.want(links, [_from(target, first) for target in targets])
        legs = []
        for link, target in zip(links, targets, strict=True):
            legs.append(_Receiving(schedule, _from(target, first), count))
            legs[-1].want(link)
        earliest, waits = 0, slack + 1
        while waits > slack:
            earliest = sending.find(earliest)
            arrival = sending.arrival(earliest)
            waits = max(leg.find(arrival) for leg in legs) - arrival
            earliest += waits if waits > slack else 0
        sending.place(earliest)
        for leg in legs:
            leg.place(arrival)


def _from(rows: Rows, first: int) -> Rows:
    return Rows(rows.buffer, rows.row + first * rows.stride, rows.stride)


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
            f"{p.name} has {p.c2c.global_links} global links; stages of {nodes} nodes with {p.c2c.stage_links} links from "
            f"stage to stage need {nodes - 1 + 2 * p.c2c.stage_links}"
        )
    share = -(-source.rows // p.c2c.stage_links)
    target = schedule.sram.buffer(f"next {source.name}", source.groups, source.tokens, 2, avoid=(source.pair,))
    for i in range(p.c2c.stage_links):
        n = min(share, source.rows - i * share)
        if n > 0:
            link = p.c2c.local_links + nodes - 1 + i
            transfer(schedule, [link], Rows(source, i * share), [Rows(target, i * share)], n)

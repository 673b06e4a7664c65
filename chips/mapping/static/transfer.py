"""Vectors over links: sent and received at known cycles, what comes back over a link the mirror of what goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dieshot.chips.mapping.static.machine import LinkTiming
from dieshot.chips.mapping.static.resource import Choice, Need
from dieshot.chips.mapping.static.schedule import Schedule, buffer_group
from dieshot.chips.mapping.static.vector import PUT_LATENCY, Rows
from dieshot.kernels.static_program import RECEIVE, SEND
from dieshot.simulator.engine.chip import UnsupportedError

RECEIVED_ROWS = 16  # in one run of Receives: a longer one may have to wait until all its cycles are free


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
        p = schedule.machine.parameters
        if anchor - earliest >= p.c2c.receive_rows * self.interval:
            raise UnsupportedError(f"{p.name} has ports for {p.c2c.receive_rows} vectors, too few for {buffer.name}")


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

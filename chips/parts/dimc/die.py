"""One program on one card: wires the parts, runs SimPy until the last operator is over, and says what was."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from dieshot.chips.parts.activity import Rows
from dieshot.chips.parts.dimc.arrays import Arrays, Multiplication
from dieshot.chips.parts.dimc.line_log import LineLog
from dieshot.chips.parts.dimc.program import LINKS, DimcTiming, Interval, Step
from dieshot.chips.parts.dimc.segments import Segments
from dieshot.chips.parts.dimc.serial import SerialPart
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.simulator.engine.cell import BUSY, STALL_LAUNCH, STALL_LINK, STALL_OPERAND, Activity
from dieshot.simulator.engine.component import Component

CONTROL = 0


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """When each operator of a program was over (fs), and what happened."""

    ends_fs: tuple[int, ...]
    activity: Activity
    counters: dict[str, int]


class ControlCores(Component):
    """Begin one operator after the other, as far ahead of those that are not over as their queue goes."""

    def __init__(self, env: simpy.Environment, timing: DimcTiming, n_operators: int, log: LaneLog) -> None:
        self.timing = timing
        self.log = log
        self.issued = [env.event() for _ in range(n_operators)]
        self.over = [env.event() for _ in range(n_operators)]
        super().__init__(env, "control")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Walk through the program."""
        for number, issued in enumerate(self.issued):
            if number >= self.timing.depth:
                yield self.over[number - self.timing.depth]
            begin = int(self.env.now)
            yield self.env.timeout(self.timing.clock.fs(self.timing.operator_cycles))
            self.log.add(begin, int(self.env.now), BUSY, 1)
            issued.succeed(self.timing.clock.ceil_cycles(int(self.env.now)))


class Card(Component):
    """Follows the vectors of a program through the parts of a card, step by step."""

    def __init__(self, env: simpy.Environment, timing: DimcTiming, steps: Sequence[Step], record: bool) -> None:
        self.timing = timing
        self.steps = steps
        self.n_operators = steps[-1].operator + 1
        self.ends = [0] * self.n_operators
        of_parts = {
            "arrays": ("select", "array"),
            "reduce": ("reduce",),
            "noc": ("noc",),
            "simd": ("simd",),
            "d2d": ("d2d",),
        }
        self.logs = {key: LineLog(timing.chiplet_lines(*parts), record) for key, parts in of_parts.items()}
        self.control_log = LaneLog(CONTROL)
        self.link_logs = {link: LaneLog(timing.link_line(link)) for link in timing.links}
        self.control = ControlCores(env, timing, self.n_operators, self.control_log)
        streams = timing.dram is not None
        self.segments = Segments(env, timing, steps, self.n_operators, record) if streams else None
        self.arrays = Arrays(env, timing, self.segments, self.logs["arrays"])
        self.noc = SerialPart(env, "noc", 1, timing.port_bytes, self.logs["noc"])
        self.trees = SerialPart(env, "reduce", 1, timing.tree_bytes, self.logs["reduce"])
        self.d2d = SerialPart(env, "d2d", timing.d2d_scale, timing.d2d_rate, self.logs["d2d"])
        self.lanes = SerialPart(env, "simd", 1, timing.lanes, self.logs["simd"])
        self.end_fs = 0
        super().__init__(env, "card")

    def run(self) -> Generator[simpy.Event, Any, None]:
        """Carry all steps out; an operator is over when its last vector is through."""
        times = np.zeros((self.timing.n_chiplets, 1), np.int64)
        waits: list[tuple[int, int]] = []
        for number, step in enumerate(self.steps):
            issued = yield self.control.issued[step.operator]
            waits.append((issued, STALL_LAUNCH))
            times = np.maximum(self._items(times, step.n_items), issued)
            times = yield from self._step(number, step, issued, times, waits)
            latest = int(times.max())
            self.ends[step.operator] = max(latest, *self.ends)
            if number + 1 == len(self.steps) or self.steps[number + 1].operator != step.operator:
                self._over(step.operator)
        end = self.timing.clock.fs(max(self.ends))
        yield self.env.timeout(max(0, end - int(self.env.now)))
        if self.segments is not None:
            stored = yield from self.segments.close()
            end = max(end, self.timing.clock.fs(self.timing.clock.ceil_cycles(stored)))
        self.end_fs = end
        last = self.timing.clock.ceil_cycles(end)
        self.arrays.wait_on(np.array([*waits, (last, STALL_OPERAND)], np.int64), last)

    def _items(self, times: Rows, n_items: int) -> Rows:
        """Return when the vectors of the next step are there: each as the one before, or all with the last."""
        if times.shape[1] == n_items:
            return times
        return np.repeat(times.max(axis=1, keepdims=True), n_items, axis=1)

    def _over(self, operator: int) -> None:
        """Let the control cores know when an operator is over."""
        event = self.control.over[operator]
        event._ok, event._value = True, None
        self.env.schedule(event, delay=max(0, self.timing.clock.fs(self.ends[operator]) - int(self.env.now)))

    def _step(
        self, number: int, step: Step, issued: int, times: Rows, waits: list[tuple[int, int]]
    ) -> Generator[simpy.Event, Any, Rows]:
        timing = self.timing
        waits.append((int(times[:, 0].min()), STALL_OPERAND))
        if step.exchange is not None:
            times = self._exchange(step, int(times.max()))
            waits.append((int(times.max()), STALL_LINK))
        if any(step.gather):
            times = yield from self.d2d.serve(_from_all(times), step.gather, timing.d2d_latency)
        times = yield from self.noc.serve(np.ascontiguousarray(times), step.spread, timing.noc_latency)
        if step.tiles:
            if any(step.gather) or any(step.spread):
                waits.append((int(times[:, 0].max()), STALL_LINK))
            times = yield from self._multiply(number, step, issued, times, waits)
        else:
            if self.segments is not None:
                for segment in self.segments.of_step(number):
                    there = yield from self.segments.loaded(segment)
                    times = np.maximum(times, there)
                    self.segments.release(segment, there)
            times = yield from self.lanes.serve(times, step.simd_ops, timing.lane_overhead)
        if any(step.publish):
            times = yield from self.d2d.serve(_from_all(times), step.publish, timing.d2d_latency)
        if step.store_bytes and self.segments is not None:
            self.segments.store(step.store_bytes)
        return times

    def _multiply(
        self, number: int, step: Step, issued: int, times: Rows, waits: list[tuple[int, int]]
    ) -> Generator[simpy.Event, Any, Rows]:
        """Multiply group after group of columns; each goes on through trees and lanes by itself."""
        timing, segments = self.timing, self.segments.of_step(number) if self.segments else range(0)
        table, done = np.array(waits, np.int64), times
        waits.clear()
        for group in range(step.groups):
            tiles = [each.part(group, step.groups) for each in step.tiles]
            first, last = (len(segments) * edge // step.groups for edge in (group, group + 1))
            work = Multiplication(tiles, step.vector_cycles, segments[first:last], issued, times, table)
            through = yield from self.arrays.multiply(work)
            through = yield from self.trees.serve(through, step.share_of(step.sums, group), step.tree_cycles)
            through = yield from self.noc.serve(through, step.share_of(step.reduce, group), 0)
            shared = step.share_of(step.share, group)
            if any(shared):
                through = yield from self.d2d.serve(_from_all(through), shared, timing.d2d_latency)
            ops = step.share_of(step.simd_ops, group)
            through = yield from self.lanes.serve(through, ops, timing.lane_overhead)
            done = np.maximum(done, through)
        return done

    def _exchange(self, step: Step, begin: int) -> Rows:
        """Return when a collective is over that begins with the last vector; log what the card sends."""
        assert step.exchange is not None
        clock = self.timing.clock
        for link, start_fs, end_fs, n_bytes in step.exchange.sends:
            self.link_logs[link].add(clock.fs(begin) + start_fs, clock.fs(begin) + end_fs, BUSY, n_bytes)
        over = begin + clock.ceil_cycles(step.exchange.duration_fs)
        return np.full((self.timing.n_chiplets, 1), over, np.int64)

    def activity(self) -> Activity:
        """Return what all lines did."""
        period, end = self.timing.clock.period_fs, self.timing.clock.ceil_cycles(self.end_fs)
        parts = [log.activity(end, period) for log in self.logs.values()]
        parts += [log.activity(self.end_fs) for log in (self.control_log, *self.link_logs.values())]
        parts += [self.segments.activity(self.end_fs)] if self.segments is not None else []
        return Activity.joined(*parts)


def _from_all(times: Rows) -> Rows:
    """Return when vectors that all chiplets have parts of are there: with the last part, at every chiplet."""
    return np.ascontiguousarray(np.broadcast_to(times.max(axis=0), times.shape))


def run_program(timing: DimcTiming, steps: Sequence[Step], record: bool) -> ProgramRun:
    """Simulate a program from a quiet card to a quiet card."""
    env = simpy.Environment()
    card = Card(env, timing, steps, record)
    env.run(until=card.process)
    ends = [timing.clock.fs(end) for end in card.ends]
    ends[-1] = card.end_fs
    counters = card.segments.counters() if card.segments is not None else {}
    return ProgramRun(tuple(ends), card.activity() if record else Activity.empty(), counters)


def sent_bytes(sends: Sequence[Interval]) -> dict[str, int]:
    """Return the bytes that a card sends in a collective, by link."""
    return {link: sum(n for name, _, _, n in sends if name == link) for link in LINKS}

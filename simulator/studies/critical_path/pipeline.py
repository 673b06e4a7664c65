"""What waited for what: turns of stages, the token from the last to the first, and the room between stages.

The rules are the machine's (`engine.machine`): a stage begins a turn when its input is there and the one before has
left; it leaves when there is room, which there is as soon as the next stage has begun the turn two before.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.machine import ACTIVATION_BUFFERS
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.critical_path.timeline import Timeline

UNKNOWN = -1  # start of a turn that left no record, because its stage has nothing to do in that step


def longest_path_fs(timeline: Timeline, step_fs: Sequence[int], gap_fs: int) -> int:
    """Return when the last turn ends, were each shape of step to take `step_fs` and the host `gap_fs`.

    Equal steps whose turns come to lie as those of an earlier step did, relative to its end, repeat from there on.
    """
    line = _Line(timeline, step_fs, gap_fs)
    n_parts = timeline.micro_batches
    steps = timeline.shape.reshape(-1, n_parts * timeline.shape.shape[1])
    alike = [len(list(group)) for _, group in groupby(row.tobytes() for row in steps)]
    first = 0
    for n_alike in alike:
        line.advance(timeline.shape[first * n_parts : (first + 1) * n_parts].tolist(), n_alike)
        first += n_alike
    return line.end_fs


def with_empty_steps(timeline: Timeline) -> Timeline:
    """Return the timeline with the starts of turns in which a stage has nothing to do: it hands on what it gets."""
    unknown = np.argwhere(timeline.start_fs == UNKNOWN).tolist()
    if not unknown:
        return timeline
    step_fs = [shape.duration_fs for shape in timeline.shapes]
    start, shape = timeline.start_fs.tolist(), timeline.shape.tolist()

    def left(turn: int, stage: int) -> int:
        end_fs: int = start[turn][stage] + step_fs[shape[turn][stage]]
        room = stage + 1 == len(start[turn]) or turn < ACTIVATION_BUFFERS
        return end_fs if room else max(end_fs, int(start[turn - ACTIVATION_BUFFERS][stage + 1]))

    for turn, stage in unknown:
        if stage > 0:
            arrived_fs = left(turn, stage - 1)
        else:
            known = turn < timeline.n_known
            arrived_fs = timeline.gap_fs + (0 if known else left(turn - timeline.micro_batches, len(start[turn]) - 1))
        start[turn][stage] = max(arrived_fs, left(turn - 1, stage) if turn else 0)
    return replace(timeline, start_fs=np.array(start, np.int64))


class _Line:
    """The stages at a moment: when each is free, when it began its last turns, and the tokens under way."""

    def __init__(self, timeline: Timeline, step_fs: Sequence[int], gap_fs: int) -> None:
        n_stages = timeline.shape.shape[1]
        self.step_fs, self.gap_fs, self.n_known = step_fs, gap_fs, timeline.n_known
        self.free_fs = [0] * n_stages
        self.begun_fs = [deque([0] * ACTIVATION_BUFFERS, ACTIVATION_BUFFERS) for _ in range(n_stages)]
        self.tokens_fs = deque([0] * timeline.micro_batches, timeline.micro_batches)
        self.turn = 0

    @property
    def end_fs(self) -> int:
        """When the last turn so far ended."""
        return self.tokens_fs[-1]

    def advance(self, turns: Sequence[Sequence[int]], n_steps: int) -> None:
        """Carry out a step's turns (shapes by turn and stage) `n_steps` times."""
        seen: dict[tuple[int, ...], tuple[int, int]] = {}
        done = 0
        while done < n_steps:
            if self.turn >= self.n_known:
                lie = self._lie()
                if lie in seen:
                    at, end_fs = seen[lie]
                    n_periods = (n_steps - done) // (done - at)
                    self._shift(n_periods * (self.end_fs - end_fs))
                    self.turn += n_periods * (done - at) * len(turns)
                    done += n_periods * (done - at)
                    seen.clear()
                    if done == n_steps:
                        return
                seen[lie] = (done, self.end_fs)
            for shapes in turns:
                self._take(shapes)
            done += 1

    def _take(self, shapes: Sequence[int]) -> None:
        arrived_fs = (0 if self.turn < self.n_known else self.tokens_fs[0]) + self.gap_fs
        last = len(shapes) - 1
        for stage, shape in enumerate(shapes):
            start_fs = max(arrived_fs, self.free_fs[stage])
            end_fs = start_fs + self.step_fs[shape]
            if stage < last and self.turn >= ACTIVATION_BUFFERS:
                end_fs = max(end_fs, self.begun_fs[stage + 1][0])
            self.begun_fs[stage].append(start_fs)
            self.free_fs[stage] = arrived_fs = end_fs
        self.tokens_fs.append(arrived_fs)
        self.turn += 1

    def _lie(self) -> tuple[int, ...]:
        """Return all that the next turns depend on, relative to the last end."""
        end_fs = self.end_fs
        begun = [time for times in self.begun_fs for time in times]
        return tuple(time - end_fs for time in (*self.free_fs, *begun, *self.tokens_fs))

    def _shift(self, by_fs: int) -> None:
        self.free_fs = [time + by_fs for time in self.free_fs]
        for times in (*self.begun_fs, self.tokens_fs):
            shifted = [time + by_fs for time in times]
            times.extend(shifted)


class Path(Counter[tuple[int, int]]):
    """How often the longest path passes a shape of step on a stage; `n_gaps`: how often the host."""

    n_gaps = 0


def longest_path(timeline: Timeline) -> Path:
    """Return the chain of turns that the run's end waited for; InputError where the record is not of such a chain.

    Where a turn's input came at the moment when its stage was free, the input is followed.
    """
    return _Walk(timeline).path()


class _Walk:
    """Goes back from the end of the last turn, each time to what the start had waited for."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        step_fs = np.array([shape.duration_fs for shape in timeline.shapes], np.int64)
        self.start = timeline.start_fs.tolist()
        end = timeline.start_fs + step_fs[timeline.shape]
        self.end = end.tolist()
        self.left = _left(timeline.start_fs, end).tolist()
        self.shape = timeline.shape.tolist()

    def path(self) -> Path:
        """Return what the path passes."""
        path = Path()
        turn, stage = len(self.start) - 1, len(self.start[0]) - 1
        if self.end[turn][stage] != self.timeline.duration_fs:
            raise self._broken(turn, stage)
        at_end = True
        while True:
            if at_end:
                path[self.shape[turn][stage], stage] += 1
            found = self._cause(turn, stage)
            if found is None:
                path.n_gaps += 1
                return path
            before, stage_before, through_host = found
            path.n_gaps += through_host
            turn, stage, at_end = self._departure(before, stage_before)

    def _cause(self, turn: int, stage: int) -> tuple[int, int, bool] | None:
        """Return the turn and stage whose departure a start waited for, and whether through the host; None: nothing."""
        start_fs, line = self.start[turn][stage], self.timeline
        if stage > 0 and self.left[turn][stage - 1] == start_fs:
            return turn, stage - 1, False
        if stage == 0 and turn < line.n_known and start_fs == line.gap_fs:
            return None
        if stage == 0 and turn >= line.n_known:
            before = turn - line.micro_batches
            if self.left[before][-1] + line.gap_fs == start_fs:
                return before, len(self.start[0]) - 1, True
        if turn > 0 and self.left[turn - 1][stage] == start_fs:
            return turn - 1, stage, False
        raise self._broken(turn, stage)

    def _departure(self, turn: int, stage: int) -> tuple[int, int, bool]:
        """Return what a departure waited for: the end of its own turn, or the start of another that made room."""
        if self.left[turn][stage] == self.end[turn][stage]:
            return turn, stage, True
        return turn - ACTIVATION_BUFFERS, stage + 1, False

    def _broken(self, turn: int, stage: int) -> InputError:
        problem = f"turn {turn} of stage {stage} does not follow from what was before it"
        return InputError(problem, file=self.timeline.name, expected="a run's file")


def _left(start_fs: NDArray[np.int64], end_fs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when each turn left its stage."""
    left = end_fs.copy()
    n = ACTIVATION_BUFFERS
    left[n:, :-1] = np.maximum(left[n:, :-1], start_fs[:-n, 1:])
    return left

"""The engine without workers: every run in this process, one after another. The others are held against it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines.engine import Chunk, Ended, Engine, Event, Finished, Started, Task
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.outcome import Outcome, carry_out


class Serial(Engine):
    """Tells of a run's start at one call of `events` and carries it out at the next."""

    chunk_s: ClassVar[tuple[float, float]] = (0.1, 0.5)

    def __init__(self, function: Callable[[PointRequest, Path | None], Outcome] = carry_out) -> None:
        self._function = function
        self._chunk: int | None = None
        self._left: deque[Task] = deque()
        self._started: Task | None = None

    @property
    def n_workers(self) -> int:
        """This process."""
        return 1

    @property
    def room(self) -> int:
        """One chunk when there is none."""
        return 1 if self._chunk is None else 0

    def submit(self, chunk: Chunk) -> None:
        """Keep a chunk for the calls of `events` to come."""
        self._chunk = chunk.number
        self._left.extend(chunk.tasks)

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Carry out the run that was started last, if any; start the next."""
        if self._chunk is None:
            return []
        told: list[Event] = []
        if self._started is not None:
            task, self._started = self._started, None
            told.append(Finished(self._chunk, task.run, self._function(task.request, task.log)))
        if self._left:
            self._started = self._left.popleft()
            told.append(Started(self._chunk, self._started.run))
        else:
            told.append(Ended(self._chunk))
            self._chunk = None
        return told

    def stop(self) -> None:
        """Give back what has not begun."""
        self._left.clear()
        self._started = None

    def close(self) -> None:
        """Forget everything."""
        self.stop()
        self._chunk = None


def open_engine(options: EngineOptions) -> Engine:
    """Return the engine; it needs no options."""
    return Serial()

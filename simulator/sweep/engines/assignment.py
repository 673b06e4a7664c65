"""Which worker of a cluster has which chunks: a state without any input or output of its own.

A chunk is placed on one worker by name, so that a death tells which run a worker was at, and nothing is done again
behind the client's back. Chunks that have not begun may move; a chunk's `attempt` counts its places.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from dieshot.simulator.sweep.engines.engine import Chunk, Ended, Event, Finished, Lost, Started
from dieshot.simulator.sweep.outcome import Outcome

WINDOW = 2  # chunks that a worker holds: the one that it is at, and the next
MOST_DEATHS = 3  # workers that may die with a chunk at the head of their line before it is held to have begun


@dataclass(slots=True, eq=False)
class Placed:
    """A chunk in the line of a worker: the runs not told of yet (`open`), the one under way (`at`)."""

    chunk: Chunk
    attempt: int
    worker: str
    open: set[int]
    begun: bool = False
    at: int | None = None
    deaths: int = 0

    @property
    def name(self) -> tuple[int, int]:
        """What a worker calls it."""
        return self.chunk.number, self.attempt


@dataclass(slots=True)
class Orders:
    """What to tell the cluster: take these back, then begin those."""

    withdrawn: list[tuple[int, int]]
    placed: list[Placed]


class Assignment:
    """Chunks in the lines of workers and before them; every change returns the events that the client gets to know."""

    def __init__(self) -> None:
        self._lines: dict[str, list[Placed]] = {}
        self._leaving: dict[str, list[Placed]] = {}
        self._places: dict[int, Placed] = {}
        self._waiting: deque[Placed] = deque()
        self._withdrawn: list[tuple[int, int]] = []

    @property
    def workers(self) -> Sequence[str]:
        """Workers that take chunks."""
        return list(self._lines)

    @property
    def room(self) -> int:
        """Chunks that would not have to wait for long."""
        return max(0, WINDOW * len(self._lines) - len(self._places))

    def take(self, chunk: Chunk) -> None:
        """Take a chunk that no worker has."""
        placed = Placed(chunk, 0, "", {task.run for task in chunk.tasks})
        self._places[chunk.number] = placed
        self._waiting.append(placed)

    def worker_came(self, worker: str) -> None:
        """A worker takes chunks from now on."""
        if worker not in self._leaving:
            self._lines.setdefault(worker, [])

    def worker_leaves(self, worker: str) -> None:
        """A worker ends after the run that it is at: what it has not begun goes elsewhere."""
        line = self._leaving[worker] = self._lines.pop(worker, [])
        for placed in [each for each in reversed(line) if not each.begun]:
            self._move(placed)

    def worker_gone(self, worker: str, reason: str | None) -> list[Event]:
        """A worker is no more; why, if that may be due to the run that it was at."""
        if worker in self._leaving:
            reason = None
        line = self._lines.pop(worker, None) or self._leaving.pop(worker, [])
        for placed in reversed(line[1:]):
            self._move(placed)
        if not line:
            return []
        head = line[0]
        if not head.begun:
            head.deaths += reason is not None
            if head.deaths < MOST_DEATHS:
                self._move(head)
                return []
        self._forget(head)
        if reason is None or not head.open:
            return [Ended(head.chunk.number)]
        return [Lost(head.chunk.number, head.at, reason)]

    def started(self, name: tuple[int, int], run: int) -> list[Event]:
        """A worker has begun a run."""
        placed = self._placed(name)
        if placed is None or run not in placed.open:
            return []
        placed.begun, placed.at = True, run
        return [Started(placed.chunk.number, run)]

    def finished(self, name: tuple[int, int], run: int, outcome: Outcome) -> list[Event]:
        """A worker has carried out a run; the first to tell of it counts, whoever has the chunk now."""
        placed = self._places.get(name[0])
        if placed is None or run not in placed.open:
            return []
        placed.open.remove(run)
        if placed.at == run:
            placed.at = None
        return [Finished(placed.chunk.number, run, outcome)]

    def returned(self, name: tuple[int, int]) -> list[Event]:
        """A worker has done with a chunk."""
        placed = self._placed(name)
        if placed is None:
            return []
        self._forget(placed)
        return [Ended(placed.chunk.number)]

    def give_back(self) -> list[Event]:
        """Withdraw everything: what has not begun is back at once, the rest after the run that its worker is at."""
        told: list[Event] = []
        for placed in list(self._places.values()):
            self._withdrawn.append(placed.name)
            if not placed.begun:
                self._forget(placed)
                told.append(Ended(placed.chunk.number))
        return told

    def forget_all(self) -> list[Event]:
        """There are no workers any more and no chunks in their lines."""
        told: list[Event] = [Ended(number) for number in self._places]
        for state in (self._lines, self._leaving, self._places, self._waiting, self._withdrawn):
            state.clear()
        return told

    def orders(self) -> Orders:
        """Fill the lines, then even them out; return what has changed since the last time."""
        placed = []
        while self._waiting and (line := self._shortest(WINDOW)) is not None:
            placed.append(self._place(self._waiting.popleft(), line))
        while (line := self._shortest(1)) is not None and (last := self._spare()) is not None:
            self._move(last)
            placed.append(self._place(self._waiting.popleft(), line))
        withdrawn, self._withdrawn = self._withdrawn, []
        return Orders(withdrawn, placed)

    def _shortest(self, below: int) -> str | None:
        worker = min(self._lines, key=lambda name: len(self._lines[name]), default=None)
        return worker if worker is not None and len(self._lines[worker]) < below else None

    def _spare(self) -> Placed | None:
        """Return a chunk that waits behind another while a worker has nothing to do."""
        return next((line[-1] for line in self._lines.values() if len(line) > 1 and not line[-1].begun), None)

    def _placed(self, name: tuple[int, int]) -> Placed | None:
        placed = self._places.get(name[0])
        return placed if placed is not None and placed.name == name else None

    def _place(self, placed: Placed, worker: str) -> Placed:
        placed.worker = worker
        self._lines[worker].append(placed)
        return placed

    def _move(self, placed: Placed) -> None:
        """Put a chunk before all that wait, under a new name."""
        self._leave_line(placed)
        self._withdrawn.append(placed.name)
        placed.attempt += 1
        self._waiting.appendleft(placed)

    def _forget(self, placed: Placed) -> None:
        self._leave_line(placed)
        if placed in self._waiting:
            self._waiting.remove(placed)
        self._withdrawn.append(placed.name)
        del self._places[placed.chunk.number]

    def _leave_line(self, placed: Placed) -> None:
        for lines in (self._lines, self._leaving):
            if placed in lines.get(placed.worker, ()):
                lines[placed.worker].remove(placed)
        placed.worker = ""

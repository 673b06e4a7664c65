"""The least that a client of an engine does: hand out, take back, hand out again; a time limit on everything."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines.engine import Chunk, Ended, Engine, Event, Finished, Lost, Task
from dieshot.simulator.sweep.outcome import Outcome

LIMIT_S = 60.0
MOST_DEATHS = 3


class Client:
    """Carries out requests, each once; counts what came of them."""

    def __init__(self, requests: Sequence[PointRequest], chunk: int) -> None:
        self.tasks = [Task(run, request) for run, request in enumerate(requests)]
        self.outcomes: dict[int, Outcome] = {}
        self.times = Counter[int]()
        self.deaths = Counter[int]()
        self.n_lost = 0
        self._size = chunk
        self._waiting = deque([task.run] for task in self.tasks[:0])
        self._waiting.extend(
            [task.run for task in self.tasks[first : first + chunk]] for first in range(0, len(self.tasks), chunk)
        )
        self._out: dict[int, list[int]] = {}
        self._next = 0

    @property
    def set_aside(self) -> set[int]:
        return {run for run, deaths in self.deaths.items() if deaths >= MOST_DEATHS}

    @property
    def n_ended(self) -> int:
        return len(self.outcomes) + len(self.set_aside)

    def drive(self, engine: Engine, until: Callable[[], bool] | None = None) -> None:
        """Go on until everything has ended, or `until` says so."""
        deadline = time.monotonic() + LIMIT_S
        while self.n_ended < len(self.tasks) and not (until is not None and until()):
            assert time.monotonic() < deadline, f"{self.n_ended} of {len(self.tasks)} after {LIMIT_S} s"
            while engine.room > 0 and self._waiting:
                self._submit(engine, self._waiting.popleft())
            for event in engine.events(0.2):
                self._take(event)

    def take_back(self, engine: Engine) -> None:
        """Stop the engine and wait for all chunks."""
        deadline = time.monotonic() + LIMIT_S
        engine.stop()
        while self._out:
            assert time.monotonic() < deadline
            for event in engine.events(0.2):
                self._take(event)

    def _submit(self, engine: Engine, runs: list[int]) -> None:
        self._out[self._next] = runs
        engine.submit(Chunk(self._next, tuple(self.tasks[run] for run in runs)))
        self._next += 1

    def _take(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.times[event.run] += 1
            self.outcomes[event.run] = event.outcome
        elif isinstance(event, Ended | Lost):
            left = [run for run in self._out.pop(event.chunk) if run not in self.outcomes]
            if isinstance(event, Lost):
                self.n_lost += 1
                if event.run is not None:
                    self.deaths[event.run] += 1
                left = [run for run in left if run not in self.set_aside]
                self._waiting.extend([run] for run in left)
            elif left:
                self._waiting.appendleft(left)

"""The client of a sweep: hands its runs to an engine and keeps what comes back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Protocol

from dieshot.simulator.store.outcome import FinishedRun
from dieshot.simulator.store.store import Store
from dieshot.simulator.sweep.chunking import ChunkSizer
from dieshot.simulator.sweep.engines.engine import Chunk, Engine, Event, Finished, Lost, Started, Task
from dieshot.simulator.sweep.progress import Progress, Rate, Tell, UnderWay
from dieshot.simulator.sweep.row import Row
from dieshot.simulator.sweep.stop import Stop

WRITE_S = 0.25  # what has ended is kept within this time, a run that took as long at once
WRITE_SHARE = 0.02  # of the time may go into keeping runs; what has ended is kept sooner where that is enough
MOST_ROWS = 2000  # kept in one transaction
READ_AHEAD = 4096  # runs; what the client holds does not grow with the sweep
TELL_S = 0.2
LEASE_S = 3600.0  # tells a reader of the ledger; while the client lives nobody else hands out its runs
COMPACT_RUNS = 65_536
STRIKES_BEFORE_ALONE = 2
_NUMBERS = count(1)  # of chunks: no two of a process are the same, for an engine may serve several sweeps


class Points(Protocol):
    """The points of a sweep, as the client needs them."""

    def task(self, run: int, point: int) -> Task:
        """Return what a worker has to know of a run."""

    def row(self, point: int, figures: Row | None) -> Row:
        """Return what the store keeps of it; figures None: there are none."""


def drive(
    store: Store, sweep: int, points: Points, engine: Engine, tell: Tell | None = None, stop: Stop | None = None
) -> None:
    """Carry out what waits of a sweep; return when nothing does, or when `stop` has been told and workers have ended.

    What has ended is in the store then, whatever is raised: EngineLostError, and the store's own errors.
    """
    client = _Client(store, sweep, points, engine, tell, stop or Stop())
    try:
        client.work()
    finally:
        client.settle()


class _Client:
    """Runs are in one of four places: waiting in the store (some read ahead), suspects, in flight, or ended."""

    def __init__(self, store: Store, sweep: int, points: Points, engine: Engine, tell: Tell | None, stop: Stop) -> None:
        self._store, self._sweep, self._points, self._engine = store, sweep, points, engine
        self._tell, self._stop = tell, stop
        counts = store.counts(sweep)
        self._total = counts.total
        self._n = {"done": counts.done, "failed": counts.failed, "set_aside": counts.set_aside}
        self._sizer = ChunkSizer(*engine.chunk_s)
        self._rate = Rate()
        self._ahead: deque[tuple[int, int]] = deque()  # run, point
        self._is_all_read = False
        self._suspects: dict[int, int] = {}  # run: point; a worker died with them, so they go one by one
        self._strikes: dict[int, int] = {}
        self._is_alone = False
        self._flight: dict[int, dict[int, int]] = {}  # chunk: {run: point}
        self._under_way: dict[int, UnderWay] = {}
        self._rows: list[FinishedRun] = []
        self._due_s = self._told_s = self._next_write_s = 0.0
        self._n_not_compact = 0

    def work(self) -> None:
        """Hand out and take back until there is nothing more to do."""
        self._report()
        is_stopping = False
        while self._hand_out() or self._flight:
            events: Sequence[Event] = ()
            with self._stop.interruptible():
                events = self._engine.events(self._patience_s())
            for event in events:
                self._take(event)
            self._keep()
            self._report()
            if self._stop.is_over:
                return
            if self._stop.number is not None and not is_stopping:
                is_stopping = True
                self._engine.stop()

    def settle(self) -> None:
        """Keep what has ended, give back what has not, whatever has happened."""
        self._due_s = 0.0
        self._keep()
        self._store.release([run for runs in self._flight.values() for run in runs])
        self._flight.clear()
        self._told_s = 0.0
        self._report()

    @property
    def _n_ended(self) -> int:
        return sum(self._n.values())

    def _patience_s(self) -> float:
        return max(0.0, self._due_s - time.monotonic()) if self._rows else WRITE_S

    def _hand_out(self) -> bool:
        """Give the engine chunks while it has room; return whether there is anything left to give."""
        if self._stop.number is not None:
            return False
        while self._engine.room > 0 and (runs := self._next()):
            tasks = tuple(self._points.task(run, point) for run, point in runs)
            number = next(_NUMBERS)
            self._store.lease([run for run, _ in runs], number, seconds=LEASE_S)
            self._flight[number] = dict(runs)
            self._engine.submit(Chunk(number, tasks))
        return bool(self._suspects) or self._read()

    def _next(self) -> list[tuple[int, int]]:
        """Return the runs of the next chunk; none where there are none, or where one has to be alone.

        A run with which two workers died is tried once more while nothing else runs: by then nothing else can be
        to blame, be it for the memory that it took or in an engine that cannot tell which run a worker was at.
        """
        if self._flight and self._is_alone:
            return []
        self._is_alone = False
        if self._suspects:
            run = next(iter(self._suspects))
            self._is_alone = self._strikes.get(run, 0) >= STRIKES_BEFORE_ALONE
            return [] if self._is_alone and self._flight else [(run, self._suspects.pop(run))]
        if not self._read():
            return []
        size = self._sizer.size(self._total - self._n_ended, self._engine.n_workers)
        return [self._ahead.popleft() for _ in range(min(size, len(self._ahead)))]

    def _read(self) -> bool:
        """Read ahead where nothing is; return whether there is anything."""
        if not self._ahead and not self._is_all_read:
            found = self._store.pending(self._sweep, READ_AHEAD + len(self._suspects))
            self._ahead.extend(each for each in found if each[0] not in self._suspects)
            self._is_all_read = not self._ahead
        return bool(self._ahead)

    def _take(self, event: Event) -> None:
        runs = self._flight.get(event.chunk)
        if runs is None:  # of a chunk that was given up before
            return
        if isinstance(event, Started):
            if event.run in runs:
                self._under_way[event.run] = UnderWay(event.run, runs[event.run], time.time())
        elif isinstance(event, Finished):
            self._finish(event, runs)
        else:
            del self._flight[event.chunk]
            for run in runs:
                self._under_way.pop(run, None)
            if isinstance(event, Lost):
                self._lose(event, runs)
            self._give_back([run for run in runs if run not in self._suspects])

    def _finish(self, event: Finished, runs: dict[int, int]) -> None:
        point = runs.pop(event.run, None)
        if point is None:
            return
        outcome = event.outcome
        row = self._points.row(point, outcome.figures)
        now_s = time.monotonic()
        due_s = now_s if outcome.seconds >= WRITE_S else max(now_s, self._next_write_s)
        self._due_s = min(due_s, self._due_s) if self._rows else due_s
        self._rows.append(FinishedRun(event.run, row, outcome.error, outcome.seconds))
        self._n["done" if outcome.error is None else "failed"] += 1
        self._sizer.note(outcome.seconds)
        self._under_way.pop(event.run, None)
        self._strikes.pop(event.run, None)

    def _lose(self, event: Lost, runs: dict[int, int]) -> None:
        """A worker has died: its run is counted against and tried by itself; so are all, uncounted, if it is unknown
        which it was, to find the one."""
        culprit = next(iter(runs)) if event.run is None and len(runs) == 1 else event.run
        if culprit is None:
            self._suspects |= runs
            self._store.release(list(runs))
        elif culprit in runs:
            point = runs.pop(culprit)
            self._strikes[culprit] = self._strikes.get(culprit, 0) + 1
            if self._store.died(culprit, event.reason, self._points.row(point, None)):
                self._n["set_aside"] += 1
                del self._strikes[culprit]
            else:
                self._suspects[culprit] = point

    def _give_back(self, runs: list[int]) -> None:
        if runs:
            self._store.release(runs)
            self._is_all_read = False

    def _keep(self) -> None:
        """Write what has ended, if it is time."""
        started_s = time.monotonic()
        if self._rows and (started_s >= self._due_s or len(self._rows) >= MOST_ROWS):
            self._store.finish(self._rows)
            ended_s = time.monotonic()
            self._next_write_s = ended_s + min(WRITE_S, (ended_s - started_s) / WRITE_SHARE)
            self._n_not_compact += len(self._rows)
            self._rows = []
            if self._n_not_compact >= COMPACT_RUNS:
                self._n_not_compact = 0
                self._store.compact()

    def _report(self) -> None:
        now_s = time.monotonic()
        if self._tell is not None and now_s >= self._told_s + TELL_S:
            self._told_s = now_s
            per_s = self._rate.at(now_s, self._n_ended)
            n: Mapping[str, int] = self._n
            self._tell(
                Progress(self._total, n["done"], n["failed"], n["set_aside"], per_s, self._engine.n_workers,
                         tuple(self._under_way.values()))
            )  # fmt: skip

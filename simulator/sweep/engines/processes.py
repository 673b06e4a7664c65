"""The engine of worker processes on this machine: each run is told of as it begins and ends, so a death costs one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import ClassVar

from dieshot.simulator.studies.processors import n_processors
from dieshot.simulator.sweep.engines.engine import (
    Chunk,
    Ended,
    Engine,
    EngineLostError,
    Event,
    Finished,
    Lost,
    Started,
)
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.engines.serving import Function, serve
from dieshot.simulator.sweep.outcome import carry_out

LARGEST_WORKER_BYTES = 4 << 30
LEAST_WORKER_BYTES = 1 << 30
LARGEST_SHARE = 0.75  # of the machine's memory, for all workers together
SHORT_S = 1.0  # a worker with a chunk shorter than this has the next one ready beside it
LAST_BREATH_S = 1.0  # between the end of a worker's connection and that of its process
MOST_EARLY = 4  # workers started before it is known how many runs there are
MOST_STILLBORN = 5  # workers that end before they say a word, one after another


class Processes(Engine):
    """Workers are started when there is a chunk for them, and again where one has ended."""

    chunk_s: ClassVar[tuple[float, float]] = (0.1, 0.25)

    def __init__(self, n: int, function: Function = carry_out, most_bytes: int | None = None) -> None:
        self._n = n
        self._function = function
        self._most_bytes = most_bytes or _share_bytes(n)
        self._workers: list[_Worker] = []
        self._chunk_s = SHORT_S
        self._n_stillborn = 0

    @property
    def n_workers(self) -> int:
        """As many as were asked for."""
        return self._n

    @property
    def room(self) -> int:
        """Chunks until all workers have one, or two if they are short."""
        depth = 2 if self._chunk_s < SHORT_S else 1
        return depth * self._n - sum(len(worker.chunks) for worker in self._workers)

    def start_early(self) -> None:
        """Start workers while there is nothing for them to do yet, for that takes them as long as many a run."""
        for _ in range(min(self._n, MOST_EARLY)):
            self._start()

    def submit(self, chunk: Chunk) -> None:
        """Send a chunk to the worker that has the fewest, to a new one rather than to a busy one."""
        worker = min(self._workers, key=lambda each: len(each.chunks), default=None)
        if worker is None or (worker.chunks and len(self._workers) < self._n):
            worker = self._start()
        worker.take(chunk)

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return what workers have told."""
        told: list[Event] = []
        by_connection = {worker.connection: worker for worker in self._workers}
        for connection in wait(list(by_connection), timeout_s):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                told += worker.hear()
            except (EOFError, OSError):
                told += self._bury(worker)
            else:
                self._n_stillborn = 0
                self._chunk_s = worker.chunk_s or self._chunk_s
        return told

    def stop(self) -> None:
        """Tell all workers to leave after the run that they are at."""
        for worker in self._workers:
            worker.send(None)

    def close(self) -> None:
        """End all workers now."""
        for worker in self._workers:
            worker.end(0.0)
        self._workers.clear()

    def _start(self) -> _Worker:
        # spawn: threads of the client (SQLite, Arrow) must not be copied in the middle of what they do
        context = multiprocessing.get_context("spawn")
        try:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(self._function, theirs, self._most_bytes), daemon=True)
            process.start()
        except OSError as error:
            raise EngineLostError(f"no worker process can be started ({error.strerror})") from None
        theirs.close()  # the worker's end is its own, so that its death is an end of file here
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def _bury(self, worker: _Worker) -> list[Event]:
        worker.end(LAST_BREATH_S)
        self._workers.remove(worker)
        self._n_stillborn += 0 if worker.has_spoken else 1
        if self._n_stillborn > MOST_STILLBORN:
            hint = 'a script has to call under `if __name__ == "__main__":`, as they import it'
            raise EngineLostError(f"worker processes end before their first run ({worker.end_reason}); {hint}")
        return worker.last_events()


class _Worker:
    """A worker process as the client knows it: the chunks that it has, the run that it is at."""

    def __init__(self, process: SpawnProcess, connection: Connection) -> None:
        self.connection = connection
        self.chunks: dict[int, float] = {}  # number: seconds of its finished runs
        self.chunk_s = 0.0
        self.has_spoken = False
        self._process = process
        self._at: Started | None = None

    def take(self, chunk: Chunk) -> None:
        self.chunks[chunk.number] = 0.0
        self.send(chunk)

    def send(self, message: Chunk | None) -> None:
        with suppress(OSError):  # it is dead: `hear` will say so
            self.connection.send(message)

    def hear(self) -> list[Event]:
        """Return what there is to hear; EOFError or OSError from a worker that is gone."""
        told: list[Event] = self.connection.recv()
        with suppress(EOFError, OSError):  # there will be an end of file at the next call, too
            while self.connection.poll():
                told += self.connection.recv()
        self.has_spoken = True
        for event in told:
            self._note(event)
        return told

    def end(self, patience_s: float) -> None:
        self.connection.close()
        self._process.join(patience_s)
        self._process.kill()
        self._process.join()

    @property
    def end_reason(self) -> str:
        """Why the process, which has ended, did so."""
        status = self._process.exitcode or 0
        if status < 0:
            name = signal.Signals(-status).name
            return f"killed by {name}" + (", out of memory?" if -status == signal.SIGKILL else "")
        return f"ended with status {status}"

    def last_events(self) -> list[Event]:
        """Return what becomes of the chunks of a worker that has ended."""
        lost, self._at = self._at, None
        reason = f"the worker process at this run was lost ({self.end_reason})"
        return [
            Lost(number, lost.run, reason) if lost is not None and lost.chunk == number else Ended(number)
            for number in self.chunks
        ]

    def _note(self, event: Event) -> None:
        if isinstance(event, Started):
            self._at = event
        elif isinstance(event, Finished):
            self._at = None
            self.chunks[event.chunk] += event.outcome.seconds
        else:
            self.chunk_s = self.chunks.pop(event.chunk)


def open_engine(options: EngineOptions) -> Engine:
    """Return the engine, of as many workers as this process may use processors if none are asked for."""
    return _engine(options)


def prepare(options: EngineOptions) -> Engine:
    """Return the engine with workers on their way."""
    engine = _engine(options)
    try:
        engine.start_early()
    except BaseException:
        engine.close()
        raise
    return engine


def _engine(options: EngineOptions) -> Processes:
    return Processes(options.workers or n_processors())


def _share_bytes(n_workers: int) -> int:
    import psutil

    share = int(LARGEST_SHARE * psutil.virtual_memory().total / n_workers)
    return max(LEAST_WORKER_BYTES, min(LARGEST_WORKER_BYTES, share))

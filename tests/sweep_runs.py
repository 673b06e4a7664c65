"""Runs for tests of sweeps that cost nothing, and some that do harm: what one does is told by its batch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from dieshot.simulator.store.store import Store
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.drive import drive
from dieshot.simulator.sweep.engines.engine import Chunk, Started, Task
from dieshot.simulator.sweep.engines.processes import Processes
from dieshot.simulator.sweep.outcome import Outcome
from dieshot.simulator.sweep.row import Row

EXITS, KILLED, FAILS, HOLDS_MEMORY, SLEEPS = 13, 17, 19, 29, 31
SLEEP_S = 0.4
BUSY_S = 0.2
BRIEF_S = 0.005
HELD_BYTES = 64 << 20
held: list[bytearray] = []


def quick(request: PointRequest, log: Path | None = None) -> Outcome:
    """Return figures that follow from the request alone."""
    if request.batch == FAILS:
        return Outcome(None, "refused", 0.0)
    figures: Row = {"worker": None, "square": request.batch**2, "root": request.batch**0.5}
    return Outcome(figures, None, 1e-5)


def harmful(request: PointRequest, log: Path | None = None) -> Outcome:
    """Do what the batch stands for, else as `quick`."""
    if request.batch == EXITS:
        os._exit(3)
    if request.batch == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if request.batch == SLEEPS:
        time.sleep(SLEEP_S)
    return quick(request, log)


def weighed(request: PointRequest, log: Path | None = None) -> Outcome:
    """Return what the worker holds, and have one run leave it with more."""
    if request.batch == HOLDS_MEMORY:
        held.append(bytearray(os.urandom(1024)) * (HELD_BYTES // 1024))
    return Outcome({"bytes": psutil.Process().memory_info().rss}, None, 0.0)


def brief(request: PointRequest, log: Path | None = None) -> Outcome:
    """Return as many figures as a run has, after a few milliseconds."""
    started_s = time.perf_counter()
    time.sleep(BRIEF_S)
    figures: Row = {f"figure_{index}_s": request.batch / (index + 3) for index in range(45)}
    return Outcome(figures, None, time.perf_counter() - started_s)


def busy(request: PointRequest, log: Path | None = None) -> Outcome:
    """Keep a processor busy for BUSY_S of its time."""
    started_s, stop_s = time.perf_counter(), time.process_time() + BUSY_S
    while time.process_time() < stop_s:
        sum(range(1000))
    return Outcome({"square": request.batch**2}, None, time.perf_counter() - started_s)


def interrupted(request: PointRequest, log: Path | None = None) -> Outcome:
    """Have the client hear a signal in the middle of a run, then sleep for longer than a test takes."""
    if request.batch == KILLED:
        os.kill(os.getpid(), signal.SIGTERM)
    if request.batch == SLEEPS:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    return quick(request, log)


class Unstartable:
    """A function that ends the process that receives it."""

    def __call__(self, request: PointRequest, log: Path | None = None) -> Outcome:
        """Never be called."""
        raise AssertionError

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def request_of(batch: int) -> PointRequest:
    """Return the request of a batch."""
    return PointRequest("system", "model", batch=batch)


class Batches:
    """Points by their batches."""

    def __init__(self, batches: list[int]) -> None:
        self.batches = batches

    @property
    def keys(self) -> list[bytes]:
        """A key for each, equal for equal batches."""
        return [batch.to_bytes(16, "big") for batch in self.batches]

    def task(self, run: int, point: int) -> Task:
        """Return the task of a run."""
        return Task(run, request_of(self.batches[point]))

    def row(self, point: int, figures: Row | None) -> Row:
        """Return what is kept of it."""
        return {"batch": self.batches[point]} | (figures or {})


def asleep(request: PointRequest, log: Path | None = None) -> Outcome:
    """Sleep for longer than a test takes."""
    time.sleep(60)
    return quick(request, log)


def recorded(request: PointRequest, log: Path | None = None) -> Outcome:
    """Add a line to a file as the run begins, and take a few milliseconds."""
    assert log is not None
    with open(log, "a") as file:
        file.write(f"{request.batch}\n")
    return brief(request, log)


class RecordedBatches(Batches):
    """Batches whose runs leave a line in a file each time that they are begun."""

    def __init__(self, batches: list[int], file: Path) -> None:
        super().__init__(batches)
        self._file = file

    def task(self, run: int, point: int) -> Task:
        """Return the task of a run."""
        return Task(run, request_of(self.batches[point]), self._file)


def carry_out_recorded(folder: Path, file: Path, n: int) -> None:
    """Be a client that carries out `n` recorded runs."""
    points = RecordedBatches(list(range(1000, 1000 + n)), file)
    with Store.open(folder, create=True) as store:
        number = store.add_sweep("recorded", "text", points.keys)
        with Processes(2, recorded) as engine:
            drive(store, number, points, engine)


def hold_workers(connection: Connection) -> None:
    """Be a client whose two workers are in the middle of long runs; tell their process ids."""
    with Processes(2, asleep) as engine:
        for number in (1, 2):
            engine.submit(Chunk(number, (Task(number, request_of(1)),)))
        n_started = 0
        while n_started < 2:
            n_started += sum(isinstance(event, Started) for event in engine.events(0.1))
        connection.send([each.pid for each in multiprocessing.active_children()])
        time.sleep(60)

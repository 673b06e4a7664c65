"""What a Dask worker does with a chunk of runs: one after another, each told of as it begins and ends.

Everything is told by events of the topic TOPIC, which reach the client through the scheduler in the order in which
they were sent: nothing that is done is lost with the worker, and a worker that is told to end has nothing to hand over.
"""

from __future__ import annotations

import asyncio
import functools
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.worker import Worker

from dieshot import __version__
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.code import code_digest
from dieshot.simulator.sweep.engines.engine import Task
from dieshot.simulator.sweep.outcome import Outcome

TOPIC = "dieshot-sweep"
GRACE_S = 30.0
PAUSE_S = 0.02
_UNDER_WAY = ("executing", "long-running")


class UnfitWorkerError(RuntimeError):
    """A worker that cannot serve this client; one line says why."""


def identity() -> str:
    """Return which dieshot this is: results of another are not to be mixed with ours."""
    return f"dieshot {__version__} with code {code_digest().hex()[:16]}"


def carry_out_chunk(key: str, client: str, client_identity: str, name: tuple[int, int], payload: bytes) -> None:
    """Carry out the runs of a pickled (function, tasks), until done, withdrawn by the client or told to end."""
    worker = get_worker()
    if client_identity != identity():
        raise UnfitWorkerError(f"worker {worker.address} has {identity()}, this client {client_identity}")
    if worker.state.nthreads != 1:
        raise UnfitWorkerError(f"worker {worker.address} has {worker.state.nthreads} threads; start it with one")
    leaving = _leaving(worker)
    function: Callable[[PointRequest, Path | None], Outcome]
    tasks: Sequence[Task]
    function, tasks = pickle.loads(payload)
    tell = functools.partial(_tell, worker, client, name)
    leaving.n_chunks += 1
    try:
        finished: tuple[int, bytes] | None = None
        for task in tasks:
            if leaving.asked or not _is_wanted(worker, key):
                break
            tell(finished=finished, started=task.run)
            finished = (task.run, pickle.dumps(function(task.request, task.log)))
        tell(finished=finished, returned=True)
    finally:
        leaving.n_chunks -= 1


class Leaving(WorkerPlugin):
    """Has a worker that is closed, or gets SIGTERM, end after the run that it is at."""

    name = "dieshot-leaving"

    def __init__(self) -> None:
        self.asked = False
        self.n_chunks = 0

    def setup(self, worker: Worker) -> None:
        """Take SIGTERM, where the worker's loop is the main thread's."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def leave(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(lambda: loop.create_task(_close(worker)))

        signal.signal(signal.SIGTERM, leave)

    async def teardown(self, worker: Worker) -> None:
        """Say so, and keep the connection until the run under way has ended and is told of."""
        self.asked = True
        worker.log_event(TOPIC, {"leaving": worker.address})
        for _ in range(round(GRACE_S / PAUSE_S)):
            if not self.n_chunks:
                break
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(PAUSE_S)  # what the chunk told last is still to be sent


async def _close(worker: Worker) -> None:
    await worker.close(timeout=GRACE_S, executor_wait=False, nanny=False, reason="SIGTERM")


def _leaving(worker: Worker) -> Leaving:
    found = worker.plugins.get(Leaving.name)
    if not isinstance(found, Leaving):
        found = Leaving()
        added = worker.plugin_add(found, Leaving.name)
        asyncio.run_coroutine_threadsafe(added, worker.loop.asyncio_loop).result(GRACE_S)  # type: ignore[attr-defined]
    return found


def _is_wanted(worker: Worker, key: str) -> bool:
    """Return whether the client has neither withdrawn the chunk nor gone."""
    state = worker.state.tasks.get(key)
    return state is not None and state.state in _UNDER_WAY


def _tell(worker: Worker, client: str, name: tuple[int, int], **what: Any) -> None:
    worker.log_event(TOPIC, {"client": client, "name": list(name), **what})

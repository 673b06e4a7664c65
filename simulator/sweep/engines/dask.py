"""The engine on Dask workers: an address or a scheduler file says where they are; each has one thread."""

from __future__ import annotations

import contextlib
import functools
import pickle
import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from distributed import Client, Future, KilledWorker
from distributed.security import Security

from dieshot.simulator.errors import InputError, one_line
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines.assignment import Assignment, Placed
from dieshot.simulator.sweep.engines.dask_client import connect, disconnect, silence, workers_of
from dieshot.simulator.sweep.engines.dask_worker import TOPIC, carry_out_chunk, identity
from dieshot.simulator.sweep.engines.engine import Chunk, Engine, EngineLostError, Event
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.engines.scheduler_address import address_of, security_of
from dieshot.simulator.sweep.outcome import Outcome, carry_out

CONNECT_S = 10.0
RETURN_S = 15.0  # how long a scheduler that was there may be away
ROLL_CALL_S = 10.0
ABSENT_S = 600.0
MEMBERSHIP = "all"  # the topic in which a scheduler tells who comes and goes
Function = Callable[[PointRequest, Path | None], Outcome]
Heard = tuple[str, Any]


class Dask(Engine):
    """Chunks on the workers of a scheduler. absent_s: how long it may be without any, None for as long as it takes."""

    chunk_s: ClassVar[tuple[float, float]] = (5.0, 30.0)

    def __init__(
        self,
        where: Callable[[], str],
        security: Security | None,
        function: Function = carry_out,
        absent_s: float | None = ABSENT_S,
    ) -> None:
        self._where, self._security, self._function = where, security, function
        self._identity = identity()
        self._absent_s = absent_s
        self._worked_s = time.monotonic()
        self._assignment = Assignment()
        self._futures: dict[tuple[int, int], Future[None]] = {}
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._told: list[Event] = []
        self._kept = contextlib.ExitStack()
        self._kept.enter_context(silence())
        try:
            self._client = self._connect(CONNECT_S)
        except BaseException:
            self._kept.close()
            raise

    @property
    def n_workers(self) -> int:
        """Workers that the scheduler has."""
        return len(self._assignment.workers)

    @property
    def room(self) -> int:
        """Two chunks a worker."""
        return self._assignment.room

    def submit(self, chunk: Chunk) -> None:
        """Place a chunk on a worker, or keep it until there is one."""
        self._assignment.take(chunk)
        self._give_orders()

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Hear what workers and scheduler have told."""
        if self._client.scheduler_comm is not self._connection or not self._is_up_to_date():
            self._reconnect()
        deadline = time.monotonic() + timeout_s
        while not self._told:
            try:
                self._hear(*self._heard.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        while not self._heard.empty():
            self._hear(*self._heard.get())
        self._give_orders()
        self._mind_absence()
        told, self._told = self._told, []
        return told

    def stop(self) -> None:
        """Withdraw all chunks."""
        self._told += self._assignment.give_back()
        self._give_orders()

    def close(self) -> None:
        """Leave the scheduler, which then withdraws what is ours."""
        self._leave()

    def shut_down(self) -> None:
        """Leave the scheduler and have it end, and its workers."""
        self._leave(shut_down=True)

    def _leave(self, *, shut_down: bool = False) -> None:
        self._futures.clear()
        disconnect(self._client, shut_down=shut_down)
        self._kept.close()

    def _connect(self, timeout_s: float) -> Client:
        client = connect(self._where(), self._security, timeout_s)
        heard = self._heard = queue.SimpleQueue()
        client.subscribe_topic(TOPIC, lambda event: heard.put(("worker", event[1])))
        client.subscribe_topic(MEMBERSHIP, lambda event: heard.put(("scheduler", event[1])))
        self._roll_call(client)
        # Dask connects again by itself, but the scheduler that it then finds knows nothing of us.
        self._connection = client.scheduler_comm
        return client

    def _roll_call(self, client: Client) -> None:
        """Ask who is there, should a message have been missed."""
        self._called_s = time.monotonic()
        present = workers_of(client, RETURN_S)
        for worker in present:
            self._assignment.worker_came(worker)
        for worker in set(self._assignment.workers) - set(present):
            self._told += self._assignment.worker_gone(worker, f"worker {worker} died")

    def _is_up_to_date(self) -> bool:
        """Call the roll from time to time; return whether the scheduler has answered."""
        if time.monotonic() > self._called_s + ROLL_CALL_S:
            try:
                self._roll_call(self._client)
            except EngineLostError:
                return False
        return True

    def _mind_absence(self) -> None:
        now_s = time.monotonic()
        if self.n_workers:
            self._worked_s = now_s
        elif self._absent_s is not None and now_s > self._worked_s + self._absent_s:
            raise EngineLostError(f"no worker has come to the Dask scheduler for {self._absent_s:.0f} s")

    def _reconnect(self) -> None:
        """Begin again with a scheduler that went away and may be back, perhaps elsewhere."""
        self._futures.clear()
        disconnect(self._client)
        self._told += self._assignment.forget_all()
        deadline = time.monotonic() + RETURN_S
        while True:
            try:
                self._client = self._connect(2.0)
                return
            except (EngineLostError, InputError):  # the file of a scheduler that is not back yet
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _hear(self, who: str, what: Any) -> None:
        if who == "worker":
            self._hear_worker(what)
        elif who == "scheduler":
            self._hear_scheduler(what)
        else:
            self._hear_future(*what)

    def _hear_worker(self, what: dict[str, Any]) -> None:
        assignment = self._assignment
        if "leaving" in what:
            assignment.worker_leaves(what["leaving"])
        if what.get("client") != self._client.id:
            return
        chunk, attempt = what["name"]
        name = (int(chunk), int(attempt))
        if what.get("finished"):
            run, outcome = what["finished"]
            self._told += assignment.finished(name, run, pickle.loads(outcome))
        if what.get("started") is not None:
            self._told += assignment.started(name, what["started"])
        if what.get("returned"):
            self._told += assignment.returned(name)

    def _hear_scheduler(self, what: dict[str, Any]) -> None:
        action, worker = what.get("action"), what.get("worker")
        if action == "add-worker" and isinstance(worker, str):
            self._assignment.worker_came(worker)
        elif action == "remove-worker" and isinstance(worker, str):
            reason = None if what.get("expected") else f"worker {worker} died"
            self._told += self._assignment.worker_gone(worker, reason)

    def _hear_future(self, name: tuple[int, int], status: str, error: BaseException | None) -> None:
        """A chunk's future has come to its end without the client's doing."""
        if name not in self._futures:
            return
        if status == "finished":
            self._told += self._assignment.returned(name)
        elif status == "cancelled":
            self._reconnect()
        elif not isinstance(error, KilledWorker):  # of deaths the scheduler tells by itself
            raise EngineLostError(one_line(str(error) or type(error).__name__))

    def _give_orders(self) -> None:
        orders = self._assignment.orders()
        for name in orders.withdrawn:
            future = self._futures.pop(name, None)
            if future is not None and not future.done():
                future.cancel()
        for placed in orders.placed:
            self._place(placed)

    def _place(self, placed: Placed) -> None:
        tasks = [task for task in placed.chunk.tasks if task.run in placed.open]
        key = f"dieshot-{self._client.id}-{placed.name[0]}-{placed.name[1]}"
        arguments = (key, self._client.id, self._identity, placed.name, pickle.dumps((self._function, tasks)))
        future = self._client.submit(carry_out_chunk, *arguments, key=key, workers=[placed.worker], pure=False)
        self._futures[placed.name] = future
        future.add_done_callback(functools.partial(_ended, self._heard, placed.name))


def check_options(options: EngineOptions) -> None:
    """Raise InputError for a scheduler that is not safe to use, or none."""
    security_of(options)


def open_engine(options: EngineOptions, function: Function = carry_out) -> Engine:
    """Return the engine for an address or a scheduler file; InputError for one that is not safe to use."""
    return Dask(functools.partial(address_of, options), security_of(options), function)


def _ended(heard: queue.SimpleQueue[Heard], name: tuple[int, int], future: Future[None]) -> None:
    status = future.status
    heard.put(("future", (name, status, future.exception() if status == "error" else None)))

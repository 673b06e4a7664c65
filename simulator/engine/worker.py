"""Worker processes: calls of one function spread over them, results in the order of the calls."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerLostError(RuntimeError):
    """A worker process ended before it had done its work; the message says so in one line."""


def map_in_workers(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    processes: int,
    told: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Return the function's results for all tasks, computed by up to `processes` worker processes, by this one if one.

    Function, tasks and results must be picklable. told: called with how many are done, and of how many.
    A task's exception is raised here, WorkerLostError if a worker dies.
    """
    results: dict[int, Result] = {}
    tell = told or (lambda n_done, n: None)
    if processes == 1:
        for index, task in enumerate(tasks):
            results[index] = function(task)
            tell(len(results), len(tasks))
        return list(results.values())
    waiting = iter(enumerate(tasks))
    with _workers(function, min(processes, len(tasks))) as connections:
        # An end of file, and not a pool's bookkeeping, tells of a death: it cannot be missed while workers still start.
        is_alive = all(_send_next(connection, waiting) for connection in connections)
        while is_alive and len(results) < len(tasks):
            ready = wait(connections)
            for connection in [each for each in connections if each in ready]:
                answer = _receive(connection)
                is_alive = is_alive and answer is not None and _send_next(connection, waiting)
                if answer is not None:
                    index, result, error = answer
                    if error is not None:
                        raise error
                    results[index] = result
                    tell(len(results), len(tasks))
    if not is_alive:
        raise WorkerLostError("a worker process ended in the middle of its work (killed, or out of memory?)")
    return [results[index] for index in range(len(tasks))]


@contextmanager
def _workers(function: Callable[[Task], Result], n: int) -> Iterator[list[Connection]]:
    # spawn: threads of the parent (HDF5, numba) must not be copied in the middle of what they do
    context = multiprocessing.get_context("spawn")
    started = []
    try:
        for _ in range(n):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_serve, args=(function, theirs), daemon=True)
            worker.start()
            theirs.close()
            started.append((worker, ours))
        yield [ours for _, ours in started]
    finally:
        for worker, ours in started:
            ours.close()
            worker.kill()
            worker.join()


def _serve(function: Callable[[Task], Result], connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    while True:
        try:
            index, task = connection.recv()
        except EOFError:
            return
        try:
            connection.send((index, function(task), None))
        except Exception as error:
            connection.send((index, None, error))


def _send_next(connection: Connection, waiting: Iterator[tuple[int, Task]]) -> bool:
    """Send the next task if one is left; return whether the worker is alive as far as that shows."""
    task = next(waiting, None)
    if task is None:
        return True
    try:
        connection.send(task)
    except OSError:
        return False
    return True


def _receive(connection: Connection) -> tuple[int, Any, Exception | None] | None:
    """Return a task's number, result and exception; None if the worker is dead."""
    try:
        answer: tuple[int, Any, Exception | None] = connection.recv()
    except (EOFError, OSError):
        return None
    return answer

"""What a worker process of a sweep does: take chunks from its client, tell of every run, end when it is no use."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines.engine import Chunk, Ended, Event, Finished, Started
from dieshot.simulator.sweep.outcome import Outcome

Function = Callable[[PointRequest, Path | None], Outcome]


def serve(function: Function, connection: Connection, most_bytes: int) -> None:
    """Carry out the chunks that come until there is reason to leave.

    It leaves after the run that it is at when told to (a None among the chunks, or SIGTERM) or when it holds more than
    `most_bytes` of memory, and at once when the client is gone. What it has taken and not begun is the client's again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the client's to handle
    inbox = Inbox(connection)
    signal.signal(signal.SIGTERM, lambda number, frame: inbox.leave())
    try:
        while (chunk := inbox.next()) is not None:
            _carry_out(chunk, function, connection, inbox, most_bytes)
    except (BrokenPipeError, ConnectionResetError):
        return


class Inbox:
    """Chunks as they come. A thread of its own takes them off the connection, so that the client never waits to send,
    and sees the client go whatever this process is at."""

    def __init__(self, connection: Connection) -> None:
        self.is_leaving = False
        self._waiting: SimpleQueue[Chunk | None] = SimpleQueue()
        threading.Thread(target=self._receive, args=(connection,), daemon=True).start()

    def next(self) -> Chunk | None:
        """Wait for the next chunk and return it; None when it is time to leave."""
        chunk = None if self.is_leaving else self._waiting.get()
        return None if self.is_leaving else chunk

    def leave(self) -> None:
        """Have `next` return None from now on."""
        self.is_leaving = True
        self._waiting.put(None)  # wakes `next`; safe in a signal handler

    def _receive(self, connection: Connection) -> None:
        try:
            while (chunk := connection.recv()) is not None:
                self._waiting.put(chunk)
            self.leave()
            connection.recv()
        except (EOFError, OSError):
            os._exit(0)


def _carry_out(chunk: Chunk, function: Function, connection: Connection, inbox: Inbox, most_bytes: int) -> None:
    told: list[Event] = []
    for task in chunk.tasks:
        if inbox.is_leaving:
            break
        connection.send(
            [*told, Started(chunk.number, task.run)]
        )  # the end of one run and the start of the next at once
        told = [Finished(chunk.number, task.run, function(task.request, task.log))]
        if _resident_bytes() > most_bytes:
            inbox.leave()
    connection.send([*told, Ended(chunk.number)])


def _resident_bytes() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)

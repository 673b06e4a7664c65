"""Connections to a Dask scheduler: made in a bounded time or refused in one line, ended whatever it does."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator

from distributed import Client
from distributed.security import Security

from dieshot.simulator.errors import one_line
from dieshot.simulator.sweep.engines.engine import EngineLostError

NAME = "dieshot-sweep"
END_S, MARGIN_S = 5.0, 3.0


def connect(address: str, security: Security | None, timeout_s: float) -> Client:
    """Return a client that is nobody's default; EngineLostError if no scheduler answers."""
    made: queue.SimpleQueue[Client | Exception] = queue.SimpleQueue()

    def make() -> None:
        try:
            made.put(Client(address, security=security, timeout=timeout_s, set_as_default=False, name=NAME))
        except Exception as error:  # of a dozen kinds, by what it is that answers
            made.put(error)

    # In a thread, as Dask waits for ever where a connection is taken and nothing is said.
    threading.Thread(target=make, daemon=True).start()
    try:
        client = made.get(timeout=timeout_s + MARGIN_S)
    except queue.Empty:
        client = TimeoutError("it takes connections and says nothing")
    if isinstance(client, Exception):
        why = one_line(str(client) or type(client).__name__)
        raise EngineLostError(f"no Dask scheduler answers at {address}: {why}")
    return client


def workers_of(client: Client, timeout_s: float) -> list[str]:
    """Return the addresses of all workers; EngineLostError if the scheduler does not say."""
    try:
        return list(client.nthreads(callback_timeout=timeout_s))
    except Exception as error:
        raise EngineLostError(f"the Dask scheduler does not answer: {type(error).__name__}") from None


def disconnect(client: Client, *, shut_down: bool = False) -> None:
    """Leave a scheduler; shut_down: have it end, and its workers."""
    with contextlib.suppress(Exception):  # whatever it is, it is over
        if shut_down:
            client.sync(client._shutdown, callback_timeout=END_S)
    with contextlib.suppress(Exception):
        client.close(timeout=END_S)


def shut_down(address: str, security: Security | None) -> None:
    """Have a scheduler end, and its workers, if it answers."""
    with silence(), contextlib.suppress(EngineLostError):
        disconnect(connect(address, security, END_S), shut_down=True)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep Dask's own messages from the terminal: what matters of them is told in one line."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)

"""What the client of a sweep asks of an engine: take chunks of runs, tell what became of each run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Task:
    """One run: its number in the ledger, what to run, and where its log goes (None for nowhere)."""

    run: int
    request: PointRequest
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Runs that one worker takes at once, in this order."""

    number: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A worker has begun a run; engines that cannot tell do not."""

    chunk: int
    run: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A run has come to its end, well or badly."""

    chunk: int
    run: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker has given a chunk back: runs of it that have not finished were not carried out (it was told to stop)."""

    chunk: int


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker died: `run` is the one it was at, as far as the engine knows; other runs of the chunk are unharmed."""

    chunk: int
    run: int | None
    reason: str


Event = Started | Finished | Ended | Lost


class EngineLostError(RuntimeError):
    """The engine cannot go on (its scheduler is gone, no worker can be started); one line says why."""


class Engine(ABC):
    """Carries out chunks; a context manager. One client thread uses it.

    chunk_s: how long a chunk should take, at least and at most. All that a run's outcome depends on is its request.
    """

    chunk_s: ClassVar[tuple[float, float]]

    @property
    @abstractmethod
    def n_workers(self) -> int:
        """Workers that are there or on their way."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many more chunks it wants now, so that no worker has to wait for the client."""

    @abstractmethod
    def submit(self, chunk: Chunk) -> None:
        """Take a chunk. Every chunk ends in one `Ended` or `Lost`, unless the engine is closed before."""

    @abstractmethod
    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return what has happened since, waiting for it up to `timeout_s`; EngineLostError if nothing more can."""

    @abstractmethod
    def stop(self) -> None:
        """Have workers give their chunks back after the run that they are at; `events` goes on telling."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all workers at once, whatever they are at."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

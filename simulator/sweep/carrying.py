"""One client's work on one store: the points of a space carried out by an engine that is opened once it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self

from dieshot.simulator.store.store import Store
from dieshot.simulator.sweep.drive import Points, drive
from dieshot.simulator.sweep.engines.engine import Engine
from dieshot.simulator.sweep.engines.opening import engine_named, prepared_engine
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.note import Note
from dieshot.simulator.sweep.progress import Progress, Tell
from dieshot.simulator.sweep.row import Row
from dieshot.simulator.sweep.space import Space
from dieshot.simulator.sweep.stop import Stop
from dieshot.simulator.sweep.tasks import SpacePoints

LOGS = "logs"
Seen = Callable[[int, Row], None]  # a point, its row


class Carrier:
    """Carries out what waits of a sweep; a context manager that holds the engine."""

    store: Store

    def __init__(self, engine: str, options: EngineOptions, logs: bool, tell: Tell | None, stop: Stop | None) -> None:
        self.stop = stop or Stop()
        self._hears_signals = stop is not None
        self._engine_name, self._options = engine, options
        self._tell = tell
        self._logs = options.folder / LOGS if logs else None
        self._engine: Engine | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def prepare(self) -> None:
        """Open the engine now if it may be."""
        engine = prepared_engine(self._engine_name, self._options)
        if engine is not None:
            self._engine = self._stack.enter_context(engine)

    @contextmanager
    def at_work_on(self, store: Store) -> Iterator[None]:
        """Work on a store; the engine is let go of before the store is."""
        self.store = store
        with self._stack:
            yield

    def carry_out(self, number: int, space: Space, seen: Seen | None = None, n_points: int | None = None) -> None:
        """Carry out the runs of a sweep that wait. seen: called with what comes; n_points: of a sweep that grows."""
        if not self.store.counts(number).open:
            return
        if self._logs is not None:
            self._logs.mkdir(exist_ok=True)
        points: Points = SpacePoints(space, self._logs)
        note = Note(self.store.folder, number, self._engine_name, lambda point: space.request(point).command)
        tells = self._teller(note, n_points)
        with ExitStack() as stack:
            stack.callback(note.remove)
            if self._hears_signals:  # here only: whatever else is done can be broken off at any moment
                stack.enter_context(self.stop)
            drive(self.store, number, _Seen(points, seen) if seen else points, self._opened(), tells, self.stop)

    def _opened(self) -> Engine:
        if self._engine is None:
            self._engine = self._stack.enter_context(engine_named(self._engine_name, self._options))
        return self._engine

    def _teller(self, note: Note, n_points: int | None) -> Tell:
        def tells(progress: Progress) -> None:
            note.write(progress)
            if self._tell is not None:
                self._tell(progress if n_points is None else replace(progress, total=max(n_points, progress.total)))

        return tells


class _Seen:
    """Points of which each row is shown to somebody as it comes."""

    def __init__(self, points: Points, seen: Seen) -> None:
        self.task = points.task
        self._points, self._seen = points, seen

    def row(self, point: int, figures: Row | None) -> Row:
        row = self._points.row(point, figures)
        self._seen(point, row)
        return row

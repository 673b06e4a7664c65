"""Many runs from one document, in one store: nothing is computed twice, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dieshot.simulator.store.counts import Counts
from dieshot.simulator.store.store import Store
from dieshot.simulator.sweep.document import SweepDocument, read_sweep
from dieshot.simulator.sweep.drive import drive
from dieshot.simulator.sweep.engines.engine import Engine
from dieshot.simulator.sweep.engines.opening import check_engine, engine_named
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.note import Note
from dieshot.simulator.sweep.points import space_of
from dieshot.simulator.sweep.progress import Progress, Tell
from dieshot.simulator.sweep.space import Space
from dieshot.simulator.sweep.stop import Stop
from dieshot.simulator.sweep.tasks import SpacePoints

if TYPE_CHECKING:
    import pandas
    import pyarrow

LOGS = "logs"


@dataclass(frozen=True)
class SweepResult:
    """A sweep in its store. before: its counts when it began, see `counts`; wall_s: what it took now."""

    document: SweepDocument
    space: Space
    folder: Path
    number: int
    before: Counts
    counts: Counts
    wall_s: float

    @property
    def n_points(self) -> int:
        """Points of the sweep; several may have one run."""
        return self.space.n_points

    def rows(self, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """Return the rows of runs that have ended, in order of point."""
        from dieshot.simulator.store.question import rows

        return rows(self.folder, self.number, columns)

    def table(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """Return the rows as a DataFrame."""
        found: pandas.DataFrame = self.rows(columns).to_pandas()
        return found


def sweep(
    document: Path | str | Mapping[str, Any],
    *,
    store: Path | str | None = None,
    engine: str = "processes",
    workers: int | None = None,
    logs: bool = False,
    retry: Sequence[str] = (),
    tell: Tell | None = None,
    stop: Stop | None = None,
    options: Mapping[str, Any] | None = None,
) -> SweepResult:
    """Carry out the runs of a sweep that its store does not have yet; return when all have ended, or `stop` is told.

    document: a sweep of the catalog by name, a file, or a mapping as the file would hold it. store: a folder, made
    where there is none; `NAME.sweep` in the current one if None. engine: serial, processes, dask or slurm; the results
    are the same with any, and with any number of workers (a script that asks for processes needs the usual
    `if __name__ == "__main__":`, as workers import it). logs: keep the log of each run in `logs` of the store.
    retry: "failed", "set_aside": the store's runs of these kinds are tried again. options: of the engine.
    Raises InputError before anything is written; EngineLostError or StoreError where it cannot go on, with all that has
    ended in the store: the same call again goes on from there.
    """
    started_s = time.monotonic()
    check_engine(engine)
    found = read_sweep(document)
    space = space_of(found)
    folder = Path(store if store is not None else f"{found.name}.sweep").absolute()
    with Store.open(folder, create=True) as opened:
        if retry:
            opened.retry(retry)
        number = opened.add_sweep(found.name, found.text, space.keys())
        before = opened.counts(number)
        if before.open:
            points = SpacePoints(space, _logs_folder(folder) if logs else None)
            wanted = EngineOptions(folder=folder, workers=workers, **(options or {}))
            with ExitStack() as stack:
                tells = _noting(stack, folder, number, engine, space, tell)
                opened_engine: Engine = stack.enter_context(engine_named(engine, wanted))
                drive(opened, number, points, opened_engine, tells, stop)
        if stop is None or not stop.is_over:
            opened.compact()
        counts = opened.counts(number)
    return SweepResult(found, space, folder, number, before, counts, time.monotonic() - started_s)


def _noting(stack: ExitStack, folder: Path, number: int, engine: str, space: Space, tell: Tell | None) -> Tell:
    """Return a teller that leaves a note for others, too, until the stack is left."""
    note = Note(folder, number, engine, lambda point: space.request(point).command)
    stack.callback(note.remove)

    def tells(progress: Progress) -> None:
        note.write(progress)
        if tell is not None:
            tell(progress)

    return tells


def _logs_folder(folder: Path) -> Path:
    logs = folder / LOGS
    logs.mkdir(exist_ok=True)
    return logs

"""Many runs from one document, in one store: nothing is computed twice, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.counts import Counts
from dieshot.simulator.store.ledger import FILE_NAME
from dieshot.simulator.store.store import Store
from dieshot.simulator.sweep.carrying import Carrier
from dieshot.simulator.sweep.document import SweepDocument, read_sweep
from dieshot.simulator.sweep.engines.opening import check_engine
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.generations import carry_out_search
from dieshot.simulator.sweep.points import space_of
from dieshot.simulator.sweep.progress import Tell
from dieshot.simulator.sweep.search import Search
from dieshot.simulator.sweep.space import Space
from dieshot.simulator.sweep.stop import Stop

if TYPE_CHECKING:
    import pandas
    import pyarrow

SEARCH = "search"


@dataclass(frozen=True)
class SweepResult:
    """A sweep in its store. n_before: runs that had ended when it began; wall_s: what it took now."""

    document: SweepDocument
    space: Space
    folder: Path
    number: int
    n_before: int
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
    retry: "failed", "set_aside": the store's runs of these kinds are tried again. options: of the engine. stop: what
    hears signals, in a main thread, while runs are carried out; None leaves them to the caller.
    Raises InputError before anything is written; EngineLostError or StoreError where it cannot go on, with all that has
    ended in the store: the same call again goes on from there.
    """
    started_s = time.monotonic()
    found = read_sweep(document)
    folder = store_folder(found, store)
    engine_options = EngineOptions(folder=folder, workers=workers, **(options or {}))
    check_engine(engine, engine_options)
    with Carrier(engine, engine_options, logs, tell, stop) as carrier:
        if not (folder / FILE_NAME).exists():  # so there is something to do
            carrier.prepare()
        plan = Search(found) if found.method == SEARCH else space_of(found)
        if retry and isinstance(plan, Search):
            problem = InputError("a search tries no run again: what came after hangs on it", expected="another store")
            found.refuse(problem, "method")
        with Store.open(folder, create=True) as opened:
            if retry:
                opened.retry(retry)
            with carrier.at_work_on(opened):
                if isinstance(plan, Search):
                    number, space, n_before = carry_out_search(found, plan, carrier)
                else:
                    space, number = plan, opened.add_sweep(found.name, found.text, plan.keys())
                    n_before = opened.counts(number).final
                    carrier.carry_out(number, space)
            if stop is None or not stop.is_over:
                opened.compact()
            counts = opened.counts(number)
    return SweepResult(found, space, folder, number, n_before, counts, time.monotonic() - started_s)


def store_folder(document: SweepDocument, store: Path | str | None) -> Path:
    """Return the store that is meant: the one named, or that of the document's name in the current folder."""
    return Path(store if store is not None else f"{document.name}.sweep").absolute()

"""The store of a sweep's runs: what is to do, who is at it, what came out; one client writes, anyone reads."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dieshot.simulator.errors import InputError, one_line
from dieshot.simulator.store import compact, ledger, points, shard
from dieshot.simulator.store.counts import Counts, Extent, counts, extent
from dieshot.simulator.store.error import told
from dieshot.simulator.store.ledger import transaction
from dieshot.simulator.store.lock import Lock
from dieshot.simulator.store.outcome import FinishedRun, Row, Shapes
from dieshot.simulator.store.schema import DEATHS_MOST, State
from dieshot.simulator.store.snapshot import sweep_number

if TYPE_CHECKING:
    import pyarrow

LONGEST_ERROR = 1000
MANY_KEYS = 10_000  # from here on it is worth it to work off the ledger's log at once
KILLS = f"set aside: {DEATHS_MOST} workers died at this run"
OWN_FILES = ("lock", "logs", "cluster", ledger.RESULTS)


class Store:
    """A folder with a ledger (SQLite) and results (Parquet), held by one client; a context manager.

    Every method that changes something is one transaction: once it has returned, a kill takes nothing back. Runs are
    numbered from 0 in order of their first appearance, sweeps from 1, a sweep's points from 0.
    Errors: InputError for a store that cannot be used, StoreError where the disk takes no more.
    """

    def __init__(self, folder: Path, lock: Lock, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.repeated = 0  # outcomes of runs that had come to their end before
        self._lock = lock
        self._connection = connection
        self._shapes = Shapes(connection)
        self._lowest: dict[int, int] = {}  # by sweep: no run below waits
        self._extents: dict[int, Extent] = {}
        self._at_work: int | None = None

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> Self:
        """Open a store for its one client, or make one. Runs that a dead client had leased wait again."""
        if create:
            _make_folder(folder)
        else:
            ledger.ledger_file(folder)
        lock = Lock(folder)
        try:
            store = cls(folder, lock, ledger.connect(folder, create))
        except BaseException:
            lock.release()
            raise
        try:
            ledger.ledger_file(folder)
            store._recover()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Let go of the store."""
        ledger.finish(self._connection)
        self._lock.release()

    def add_sweep(self, name: str, text: str, keys: Iterable[bytes]) -> int:
        """Add a sweep of points given by the keys of their runs; return its number, that of an equal sweep if known.

        text: the sweep's document. keys: 16 bytes each, read once, in order of point; points of one key share a run,
        also with other sweeps.
        """
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass") + b"\0")
        try:
            with told(self._file):
                n = points.take_in(self._connection, keys, digest, 0)
            with self._writing() as connection:
                known = connection.execute("SELECT sweep FROM sweep WHERE digest = ?", (digest.digest(),)).fetchone()
                if known:
                    return int(known[0])
                sweep = connection.execute(
                    "INSERT INTO sweep VALUES (NULL, ?, ?, ?, 0, ?, 0.0, NULL, NULL)",
                    (name, text, digest.digest(), time.time()),
                ).lastrowid
                assert sweep is not None
                points.place(connection, sweep)
        finally:
            self._tidy()
        if n > MANY_KEYS:
            with told(self._file):
                ledger.work_off(self._connection)
        return sweep

    def add_points(self, sweep: int, keys: Sequence[bytes]) -> None:
        """Add points at the end of a sweep that grows."""
        first_point = self.n_points(sweep)
        try:
            with told(self._file):
                points.take_in(self._connection, keys, hashlib.sha256(), first_point)
            with self._writing() as connection:
                points.place(connection, sweep)
        finally:
            self._tidy()
        self._lowest.pop(sweep, None)
        self._extents.pop(sweep, None)

    def sweep_of(self, name: str) -> int:
        """Return the number of the last sweep of a name."""
        with self._asking() as connection:
            return sweep_number(connection, self.folder, name)

    def n_points(self, sweep: int) -> int:
        """Return how many points a sweep has."""
        with self._asking() as connection:
            found = connection.execute("SELECT points FROM sweep WHERE sweep = ?", (sweep,)).fetchone()
        if found is None:
            raise ValueError(f"store has no sweep {sweep}")
        return int(found[0])

    def runs_of(self, sweep: int, first_point: int, n: int) -> list[int]:
        """Return the runs of `n` points from one on; fewer where the sweep ends."""
        with self._asking() as connection:
            return points.runs_of(connection, sweep, first_point, n)

    def pending(self, sweep: int, limit: int) -> list[tuple[int, int]]:
        """Return up to `limit` runs of a sweep that wait, each with its first point, in order of run."""
        with self._asking() as connection:
            found = points.waiting(connection, sweep, self._lowest.get(sweep, 0), limit)
            self._lowest[sweep] = found[0][0] if found else points.n_runs(connection)
        self._at_work = sweep
        return found

    def lease(self, runs: Sequence[int], chunk: int, worker: str = "", seconds: float = 3600.0) -> None:
        """Note that runs that wait have been handed out, as a chunk, for some time; each is one attempt more."""
        until_s = time.time() + seconds
        with self._writing() as connection:
            for run in runs:
                moved = connection.execute(
                    "UPDATE run SET state = ?, attempts = attempts + 1 WHERE run = ? AND state = ?",
                    (State.LEASED, run, State.WAITING),
                )
                if not moved.rowcount:
                    raise ValueError(f"run {run} does not wait")
            connection.executemany("INSERT INTO lease VALUES (?, ?, ?, ?)", ((r, chunk, worker, until_s) for r in runs))

    def overdue(self) -> list[tuple[int, int, str]]:
        """Return (run, chunk, worker) of leases whose time is over; they stay leased until they are released."""
        with self._asking() as connection:
            return connection.execute(
                "SELECT run, chunk, worker FROM lease WHERE until_s < ? ORDER BY run", (time.time(),)
            ).fetchall()

    def release(self, runs: Sequence[int]) -> None:
        """Have leased runs wait again: they were not carried out."""
        with self._writing() as connection:
            self._let_wait(connection, runs, (State.LEASED,))

    def finish(self, rows: Sequence[FinishedRun]) -> None:
        """Keep what became of runs, all or none. A run that has ended before stays as it is (see `repeated`)."""
        repeated, spent = 0, 0.0
        with self._writing() as connection:
            for row in rows:
                if self._end(connection, row, State.DONE if row.error is None else State.FAILED):
                    spent += row.seconds
                else:
                    repeated += 1
            if len(rows) > repeated and self._at_work is not None:
                connection.execute(
                    """UPDATE sweep SET seconds = seconds + ?1, last_finish_s = ?2,
                       first_finish_s = coalesce(first_finish_s, ?2) WHERE sweep = ?3""",
                    (spent, time.time(), self._at_work),
                )
        self.repeated += repeated

    def died(self, run: int, reason: str, row: Row | None = None) -> bool:
        """Note that a worker died at a run: True if it is set aside for that, else it waits again.

        row: what was asked for, for the table of results. The reason stays in the ledger: results are the same whoever
        carried them out.
        """
        with self._writing() as connection:
            deaths = connection.execute(
                """INSERT INTO death VALUES (?, 1, ?) ON CONFLICT (run) DO UPDATE SET deaths = deaths + 1,
                   reason = excluded.reason RETURNING deaths""",
                (run, one_line(reason, LONGEST_ERROR)),
            ).fetchone()[0]
            if deaths >= DEATHS_MOST:
                return self._end(connection, FinishedRun(run, row or {}, KILLS, 0.0), State.SET_ASIDE)
            self._let_wait(connection, (run,), (State.LEASED,))
        return False

    def retry(self, states: Sequence[str]) -> int:
        """Have runs that failed or were set aside wait again; return how many."""
        wanted = [State[state.upper()] for state in states]
        if set(wanted) - {State.FAILED, State.SET_ASIDE}:
            raise ValueError(f"only failed and set_aside runs can be tried again, not {', '.join(states)}")
        with self._writing() as connection:
            marks = ", ".join("?" * len(wanted))
            runs = [run for (run,) in connection.execute(f"SELECT run FROM run WHERE state IN ({marks})", wanted)]
            for name, n, part in compact.take_out(self.folder, connection, runs):
                connection.execute("DELETE FROM shard WHERE part = ?", (part,))
                if name is not None:
                    connection.execute("INSERT INTO shard VALUES (?, ?, ?)", (part, name, n))
            connection.executemany("DELETE FROM outcome WHERE run = ?", ((run,) for run in runs))
            connection.executemany("DELETE FROM death WHERE run = ?", ((run,) for run in runs))
            self._let_wait(connection, runs, wanted)
        self._remove_orphans()
        return len(runs)

    def counts(self, sweep: int | None = None) -> Counts:
        """Return how many runs are in which state, of a sweep or of the store."""
        with self._asking() as connection:
            if sweep is not None and sweep not in self._extents:
                self._extents[sweep] = extent(connection, sweep)
            return counts(connection, sweep, None if sweep is None else self._extents[sweep])

    def compact(self) -> None:
        """Move rows to Parquet, by ranges of runs that have all ended; the last range once no run is open at all."""
        with self._asking() as connection:
            parts = compact.ripe(connection)
        for part in parts:
            with told(self._file):
                compact.move(self.folder, self._connection, self._writing, part)
        if parts:
            ledger.work_off(self._connection)
            self._remove_orphans()

    def rows(self, sweep: int | None = None, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """Return the rows of runs that have ended: of a sweep by point, each with its run's, or of the store by run."""
        from dieshot.simulator.store.question import rows

        return rows(self.folder, sweep, columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _file(self) -> Path:
        return self.folder / ledger.FILE_NAME

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        with told(self._file):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with told(self._file):
            try:
                with transaction(self._connection):
                    yield self._connection
            except BaseException:
                self._shapes.forget()
                raise

    def _end(self, connection: sqlite3.Connection, finished: FinishedRun, state: State) -> bool:
        """Bring a run to its end; False if it had come to one before."""
        run = finished.run
        moved = connection.execute(
            "UPDATE run SET state = ? WHERE run = ? AND state IN (?, ?)", (state, run, State.WAITING, State.LEASED)
        )
        if not moved.rowcount:
            if not connection.execute("SELECT 1 FROM run WHERE run = ?", (run,)).fetchone():
                raise ValueError(f"store has no run {run}")
            return False
        error = None if finished.error is None else one_line(finished.error, LONGEST_ERROR)
        connection.execute("INSERT INTO outcome VALUES (?, ?, ?, ?)", (run, *self._shapes.encoded(finished.row), error))
        connection.execute("DELETE FROM lease WHERE run = ?", (run,))
        return True

    def _let_wait(self, connection: sqlite3.Connection, runs: Sequence[int], states: Sequence[State]) -> None:
        marks = ", ".join("?" * len(states))
        for run in runs:
            connection.execute(
                f"UPDATE run SET state = ? WHERE run = ? AND state IN ({marks})", (State.WAITING, run, *states)
            )
        connection.executemany("DELETE FROM lease WHERE run = ?", ((run,) for run in runs))
        if runs:
            self._lowest = {sweep: min(lowest, *runs) for sweep, lowest in self._lowest.items()}

    def _recover(self) -> None:
        with self._writing() as connection:
            leased = [run for (run,) in connection.execute("SELECT run FROM lease")]
            self._let_wait(connection, leased, (State.LEASED,))
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        with self._asking() as connection:
            current = {file for (file,) in connection.execute("SELECT file FROM shard")}
            found = shard.orphans(self.folder, current)
            # A power cut must not bring back a ledger that names them.
            if found and ledger.work_off(connection):
                for path in found:
                    path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        with suppress(sqlite3.Error):
            points.forget(self._connection)


def _make_folder(folder: Path) -> None:
    """Make the folder of a store; one that holds other things is refused."""
    if folder.exists() and not folder.is_dir():
        raise InputError("not a folder", file=str(folder), expected="a folder for the result store")
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        ours = {*OWN_FILES, *(f"{ledger.FILE_NAME}{tail}" for tail in ("", "-wal", "-shm", "-journal"))}
        strange = sorted(each.name for each in folder.iterdir() if each.name not in ours)
    if strange and not (folder / ledger.FILE_NAME).exists():
        raise InputError(
            f"not a result store: the folder has other files, such as {one_line(strange[0], 60)!r}", file=str(folder),
            expected="a store, or an empty or new folder",
        )  # fmt: skip

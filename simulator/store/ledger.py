"""The ledger's file: made, opened for its one client, opened for readers; what is not ours is refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.error import StoreError, damaged, read_only, told
from dieshot.simulator.store.schema import APPLICATION_ID, TABLES, VERSION

FILE_NAME = "ledger.sqlite"
RESULTS = "results"
BUSY_SECONDS = 30.0
OLDEST_SQLITE = (3, 37)  # strict tables
JOURNAL = "WAL"
WAL_BYTES = 16 << 20  # what a write-ahead log keeps of the disk once it has been worked off


def ledger_file(folder: Path) -> Path:
    """Return the ledger of a store; InputError where there is none, or where it lies elsewhere."""
    file = folder / FILE_NAME
    if not folder.is_dir() or not file.exists():
        raise InputError("no result store", file=str(folder), expected=f"a folder with {FILE_NAME}")
    for each in (file, folder / RESULTS, folder / f"{FILE_NAME}-wal", folder / f"{FILE_NAME}-shm"):
        if each.is_symlink():
            raise damaged(each, "a link out of the store")
    return file


def connect(folder: Path, create: bool) -> sqlite3.Connection:
    """Open the ledger to write; whoever calls has the lock.

    A process killed at any moment loses nothing that was committed and damages nothing. With a write-ahead log a power
    cut may take the last transactions, whole, and their runs are carried out again; where the file system takes none,
    every commit is on the disk before it returns.
    """
    file = folder / FILE_NAME
    if not create:
        ledger_file(folder)
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"Python's SQLite is {sqlite3.sqlite_version}, the result store needs 3.37 or later")
    with told(file):
        if file.exists() and not os.access(file, os.W_OK):
            raise read_only(file)
        connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _configure(connection)
            if create and _is_blank(connection):
                _make(connection)
            _refuse_foreign(connection, file)
            _journal(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Hold the ledger open in one read transaction, whether or not it can be written and a client is at work."""
    file = ledger_file(folder)
    with contextlib.ExitStack() as stack, told(file):
        connection = _reader(file, stack)
        stack.callback(connection.close)
        _refuse_foreign(connection, file)
        yield connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, how: str = "IMMEDIATE") -> Iterator[None]:
    """Do what is done inside wholly or not at all."""
    try:
        connection.execute(f"BEGIN {how}")
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # on a full disk SQLite has rolled it back before
            connection.execute("ROLLBACK")
        raise


def work_off(connection: sqlite3.Connection) -> bool:
    """Bring all that was committed to the disk and empty the log; False where a reader is in the way."""
    busy, n_frames, n_done = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy and n_frames == n_done


def finish(connection: sqlite3.Connection) -> None:
    """Close a writer's connection and leave one plain file behind, if no reader holds on to the log."""
    with contextlib.suppress(sqlite3.Error):
        connection.execute("PRAGMA busy_timeout = 200")
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA secure_delete = OFF")  # rows that have moved to Parquet need not be overwritten
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")


def _journal(connection: sqlite3.Connection) -> None:
    mode = ""
    with contextlib.suppress(sqlite3.OperationalError):  # file systems without shared memory take no such log
        mode = connection.execute(f"PRAGMA journal_mode = {JOURNAL}").fetchone()[0]
    if mode != "wal":
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")


def _is_blank(connection: sqlite3.Connection) -> bool:
    """Tell whether nothing was ever written: a new file, or one whose maker was killed before it was done."""
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return not tables and _number(connection, "application_id") == 0 and _number(connection, "user_version") == 0


def _make(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        for table in TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _refuse_foreign(connection: sqlite3.Connection, file: Path) -> None:
    if _number(connection, "application_id") != APPLICATION_ID:
        raise InputError("not the ledger of a result store", file=str(file))
    version = _number(connection, "user_version")
    if version > VERSION:
        raise InputError(
            f"result store of a newer dieshot: its version is {version}, this dieshot knows {VERSION}", file=str(file)
        )
    # Tables, indexes and triggers by their text: a ledger from a stranger holds data and nothing that acts.
    if version != VERSION or _schema(connection) != sorted(TABLES):
        raise damaged(file, "other tables than a ledger has")


def _schema(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return sorted(str(text) for (text,) in rows)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _reader(file: Path, stack: contextlib.ExitStack) -> sqlite3.Connection:
    """Return a connection in a read transaction.

    A log that cannot be opened where it lies (a folder that is read-only) is read from a copy; without one the ledger
    is a plain file.
    """
    with contextlib.suppress(sqlite3.OperationalError):
        return _begun(f"{file.absolute().as_uri()}?mode=ro")
    log = file.with_name(f"{FILE_NAME}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return _begun(f"{file.absolute().as_uri()}?mode=ro&immutable=1")
    copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dieshot-"))) / FILE_NAME
    shutil.copyfile(file, copy)
    shutil.copyfile(log, copy.with_name(log.name))
    return _begun(copy.as_uri())


def _begun(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        _configure(connection)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection

"""What goes wrong with a store, in one line: the reader's mistake, or a disk that took no more."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dieshot.simulator.errors import InputError, one_line

_CODE = 0xFF  # the primary part of an extended SQLite code
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StoreError(RuntimeError):
    """The store cannot go on, such as on a full disk; what it has acknowledged is safe. `str()` is one line."""


class GoneError(InputError):
    """A file that the ledger names is not there: it may have been replaced since the ledger was read."""


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Turn what SQLite and the system say about `file` into an InputError or a StoreError of one line."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, file) from error
    except OSError as error:
        raise _of_system(error, file) from error


def damaged(file: Path, why: str) -> InputError:
    """Return the error that says that a file of a store is not as it was written."""
    return InputError(f"file of a result store is damaged or foreign ({one_line(why)})", file=str(file))


def read_only(file: Path) -> InputError:
    """Return the error that says that a store cannot be written."""
    return InputError("result store is read-only", file=str(file), expected="a folder and files that can be written")


def _of_sqlite(error: sqlite3.Error, file: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & _CODE
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT):
        return damaged(file, str(error))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return read_only(file)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreError(f"{one_line(file)}: cannot be written, disk full? ({one_line(error)}); nothing is lost")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"{one_line(file)}: {one_line(error)}")
    return error


def _of_system(error: OSError, file: Path) -> Exception:
    if error.errno in _NO_ROOM:
        return StoreError(f"{one_line(file)}: disk full ({one_line(error.strerror)}); nothing is lost")
    if error.errno == errno.ELOOP:
        return damaged(file, "a link out of the store")
    if error.errno in _READ_ONLY:
        return read_only(file)
    return StoreError(f"{one_line(file)}: {one_line(error.strerror or error)}")

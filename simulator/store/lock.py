"""One client at a time: a lock that the kernel lets go of when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.error import told

FILE_NAME = "lock"
LONGEST_PID = 20
TRIES, PAUSE_S = 10, 0.03  # a look at the lock from another terminal holds it for a moment


class Lock:
    """The exclusive lock on a store's folder; the file holds the number of the process that has it."""

    def __init__(self, folder: Path) -> None:
        """Take the lock; InputError where another process has it, or where the folder cannot be written."""
        self._file = folder / FILE_NAME
        with told(self._file):
            self._descriptor: int | None = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        if not _taken(self._descriptor, fcntl.LOCK_EX):
            holder = _read(self._descriptor)
            self.release()
            by = "another process" if holder is None else f"process {holder}"
            raise InputError(f"result store is in use by {by}", file=str(folder), expected="one client at a time")
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name on it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(folder: Path) -> int | None:
    """Return the number of the process that has the store, None if nobody has it; nothing is kept or written."""
    try:
        descriptor = os.open(folder / FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _read(descriptor) or 0
        return None
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int) -> bool:
    for attempt in range(TRIES):
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except OSError:
            time.sleep(PAUSE_S if attempt < TRIES - 1 else 0)
        else:
            return True
    return False


def _read(descriptor: int) -> int | None:
    written = os.pread(descriptor, LONGEST_PID, 0).strip()
    return int(written) if written.isdigit() else None

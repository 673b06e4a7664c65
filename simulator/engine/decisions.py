"""Decisions kept from one process to the next, such as which of several kernels is the fastest when simulated.

A decision follows from its key and the code alone, so a run that remembers it is the same to the last byte as one that
works it out again. Whatever is wrong with the store (no room, no permission, another format), runs go on without it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.resources
import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "DIESHOT_CACHE"  # the folder of the store; `off` for none
OFF = "off"
FILE_NAME = "decisions.sqlite"
PARTS_OF_THE_CODE = ("chips", "kernels", "simulator/engine")
LIBRARIES = ("numba", "numpy", "simpy")
BUSY_SECONDS = 1.0


class Decisions:
    """Numbers by key, for one subject: whatever has a bearing on them beside the key, in a form that can be pickled."""

    def __init__(self, subject: Any) -> None:
        self._subject = hashlib.sha256(code_digest().encode() + pickle.dumps(subject, protocol=5))
        self._store = _open(store_folder())

    def get(self, key: Any, n_alternatives: int) -> int | None:
        """Return the decision for a key, below `n_alternatives`; None if there is none."""
        if self._store is None:
            return None
        with contextlib.suppress(sqlite3.Error):
            row = self._store.execute("SELECT choice FROM decisions WHERE key = ?", (self._name(key),)).fetchone()
            if row is not None and isinstance(row[0], int) and 0 <= row[0] < n_alternatives:
                return row[0]
        return None

    def put(self, key: Any, choice: int) -> None:
        """Keep a decision."""
        if self._store is not None:
            with contextlib.suppress(sqlite3.Error):
                self._store.execute("INSERT OR REPLACE INTO decisions VALUES (?, ?)", (self._name(key), choice))

    def _name(self, key: Any) -> bytes:
        name = self._subject.copy()
        name.update(repr(key).encode())
        return name.digest()


def store_folder() -> Path | None:
    """Return the folder of the store: DIESHOT_CACHE, or dieshot in the user's cache folder; None where it is off."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named == OFF:
        return None
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # no home
        return (Path(base) if base else Path.home() / ".cache") / "dieshot"
    return None


@functools.cache
def code_digest() -> str:
    """Return a digest of all code that a simulated time can depend on, and of the libraries that run it."""
    root = Path(str(importlib.resources.files("dieshot")))
    digest = hashlib.sha256(" ".join(importlib.metadata.version(name) for name in LIBRARIES).encode())
    for part in PARTS_OF_THE_CODE:
        for file in sorted((root / part).rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _open(folder: Path | None) -> sqlite3.Connection | None:
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        store = sqlite3.connect(folder / FILE_NAME, timeout=BUSY_SECONDS, isolation_level=None)
        store.execute("PRAGMA synchronous = OFF")  # a lost decision is worked out again
        store.execute("PRAGMA journal_mode = DELETE")  # home folders on network file systems take no shared memory
        store.execute("CREATE TABLE IF NOT EXISTS decisions (key BLOB PRIMARY KEY, choice INTEGER) WITHOUT ROWID")
    except (OSError, sqlite3.Error):
        return None
    return store

"""What a client at work leaves for others to see: who it is, how fast it goes, what its workers are at."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dieshot.simulator.sweep.progress import Progress

FILE_NAME = "progress.json"
EVERY_S = 1.0
MOST_SHOWN = 64  # workers
LARGEST_BYTES = 1 << 20


class Note:
    """Written at most every EVERY_S, whole or not at all; removed when the client leaves. Nothing hangs on it."""

    def __init__(self, folder: Path, sweep: int, engine: str, command_of: Callable[[int], str]) -> None:
        self._file = folder / FILE_NAME
        self._about = {"pid": os.getpid(), "host": socket.gethostname(), "sweep": sweep, "engine": engine}
        self._command_of = command_of
        self._written_s = 0.0

    def write(self, progress: Progress) -> None:
        """Note how far the sweep is."""
        now_s = time.monotonic()
        if now_s < self._written_s + EVERY_S:
            return
        self._written_s = now_s
        at = [
            {"run": each.run, "command": self._command_of(each.point), "since": each.since}
            for each in progress.under_way[:MOST_SHOWN]
        ]
        told = {"at": time.time(), "per_s": progress.per_s, "workers": progress.n_workers, "under_way": at}
        part = self._file.with_name(f"{FILE_NAME}.part")
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(self._about | told))
            part.replace(self._file)

    def remove(self) -> None:
        """Take it away."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)


def read_note(folder: Path) -> dict[str, Any] | None:
    """Return the note of a store's last client; None where there is none, or none that can be read."""
    try:
        with open(folder / FILE_NAME, encoding="utf-8") as file:
            told = json.loads(file.read(LARGEST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("pid"), int) else None

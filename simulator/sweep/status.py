"""How a store's sweeps stand, seen from another process than their client's; nothing is written."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from dieshot.simulator.store.status import status as status_of
from dieshot.simulator.sweep.note import read_note


def sweep_status(folder: Path) -> dict[str, Any]:
    """Return the store's status with what its client, if one is at work, has noted: `at_work`, None without.

    at_work: process and host of the client, engine, workers, runs per second of late, seconds left of its sweep (None
    while nothing ends), and under_way: run, command and since when (seconds) of each worker that tells.
    """
    found = status_of(folder)
    note = read_note(folder)
    if found["client"] is None or note is None or note["pid"] != found["client"]:
        return found | {"at_work": None}
    open_runs = sum(each["waiting"] + each["leased"] for each in found["sweeps"] if each["sweep"] == note.get("sweep"))
    per_s = note.get("per_s") or 0.0
    now_s = time.time()
    at = [{**each, "for_s": max(0.0, now_s - each["since"])} for each in note.get("under_way", ())]
    return found | {"at_work": note | {"left_s": open_runs / per_s if per_s > 0 else None, "under_way": at}}

"""Keys, rows and outcomes for tests of the result store: a run's row follows from the number behind its key alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from dieshot.simulator.store.outcome import FinishedRun, Value
from dieshot.simulator.store.store import Store


def key(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()[:16]


def keys(numbers: Iterable[int]) -> Iterator[bytes]:
    return (key(number) for number in numbers)


def row(number: int) -> dict[str, Value]:
    return {
        "system": "dgx-h100",
        "batch": number,
        "chip.hbm.pin_rate": number / 2,
        "prefill_chunk": None,
        "energy_per_token_j": 1 / (1 + number),
    }


def finished(run: int, number: int) -> FinishedRun:
    """A run's outcome: every eleventh fails."""
    if number % 11 == 10:
        return FinishedRun(run, {"system": "dgx-h100", "batch": number}, f"batch {number} does not fit", 0.25)
    return FinishedRun(run, row(number), None, 0.5)


def carry_out(store: Store, sweep: int, chunk: int = 10, most: int | None = None) -> int:
    """Hand out and finish runs of a sweep whose point n has the key of n; return how many."""
    n = 0
    while (found := store.pending(sweep, chunk)) and (most is None or n < most):
        store.lease([run for run, _ in found], n, "worker")
        store.finish([finished(run, point) for run, point in found])
        n += len(found)
    return n


def contents(folder: Path) -> dict[str, bytes]:
    """The Parquet files of a store."""
    return {path.name: path.read_bytes() for path in (folder / "results").iterdir()}

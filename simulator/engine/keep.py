"""Cells kept from one run of a process to the next: a sweep simulates the same region on the same chip in the same
state once, not once a run.

A cell follows from its key and from all that its chip is made of, so a run that finds one is the same to the last byte
as one that simulates it. Where the store of decisions is off, so is this.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from dieshot.simulator.engine.cell import Activity, Cell
from dieshot.simulator.engine.decisions import store_folder

CAPACITY_BYTES = 256 << 20
LARGEST_SHARE = 4  # an outcome larger than this part of the capacity would drive too many others out


class KeptCells:
    """Outcomes by subject and key, the latest used first out last; `capacity_bytes` bounds their activity."""

    def __init__(self, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self.capacity_bytes = capacity_bytes
        self.n_bytes = 0
        self._outcomes: OrderedDict[tuple[bytes, Hashable], tuple[Any, int]] = OrderedDict()

    def get(self, subject: bytes, key: Hashable) -> Any | None:
        """Return the outcome kept for a key; None if there is none."""
        found = self._outcomes.get((subject, key))
        if found is None:
            return None
        self._outcomes.move_to_end((subject, key))
        return found[0]

    def put(self, subject: bytes, key: Hashable, cells: Sequence[Cell], outcome: Any) -> None:
        """Keep an outcome with the cells in it, of which nobody may change anything from now on."""
        n_bytes = sum(_freeze(cell.activity) for cell in cells)
        if (subject, key) in self._outcomes or n_bytes * LARGEST_SHARE >= self.capacity_bytes:
            return
        self._outcomes[subject, key] = outcome, n_bytes
        self.n_bytes += n_bytes
        while self.n_bytes > self.capacity_bytes:
            _, (_, freed_bytes) = self._outcomes.popitem(last=False)
            self.n_bytes -= freed_bytes


_KEPT = KeptCells()
_NONE = KeptCells(0)


def kept_cells() -> KeptCells:
    """Return what this process keeps; a store that takes nothing where it is off."""
    return _NONE if store_folder() is None else _KEPT


def subject_of(*facts: Any) -> bytes:
    """Return a name for what a chip is made of, in a form that can be pickled; all that cells depend on beside keys."""
    return hashlib.sha256(pickle.dumps(facts, protocol=5)).digest()


def _freeze(activity: Activity) -> int:
    """Make an activity's columns read-only; return their bytes."""
    columns = [getattr(activity, name) for name in Activity.__slots__]
    for column in columns:
        column.flags.writeable = False
    return sum(column.nbytes for column in columns)

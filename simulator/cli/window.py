"""A window of cycles as rows: dense, or with equal neighbours on one line."""

import csv
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dieshot.simulator.log.record import CyclesWindow


class Rows:
    """The cycles of one component, first cycle and length per row."""

    def __init__(self, window: "CyclesWindow", run_length: bool) -> None:
        self._window = window
        self._run_length = run_length
        n_cycles = window.stop - window.start
        self._first = _changes(window) if run_length else np.arange(n_cycles)
        self._length = np.diff(np.append(self._first, n_cycles))

    def record(self) -> dict[str, Any]:
        """Return a JSON-ready record: one list per column, one item per row."""
        window, first = self._window, self._first
        names = ("component", "start", "stop", "clock_period_fs", "unit")
        header = {name: getattr(window, name) for name in names}
        columns = {
            "utilization": window.utilization[first],
            "state": [window.state[code] for code in window.codes[first]],
            "amount": window.amount[first],
            "power_w": window.power_w[first],
        }
        runs = {"cycle": first + window.start, "length": self._length} if self._run_length else {}
        return {**header, **runs, **columns}

    def print_csv(self) -> None:
        """Print a header and one line per row; `amount` is in the component's unit of work."""
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(
            ["cycle", *(["length"] if self._run_length else []), "utilization", "state", "amount", "power_w"]
        )
        for cycle, length, *values in self:
            writer.writerow([cycle, *([length] if self._run_length else []), *values])

    def print_table(self) -> None:
        """Print the rows as a table for the terminal."""
        from rich.table import Table

        from dieshot.simulator.cli.quantity import si
        from dieshot.simulator.cli.table import console

        window = self._window
        table = Table(title=f"{window.component}, cycles {window.start:,} to {window.stop:,}", title_justify="left")
        for heading in ("cycle", "length", "utilization", "state", window.unit, "power"):
            table.add_column(heading, justify="left" if heading == "state" else "right")
        for cycle, length, utilization, state, amount, power_w in self:
            table.add_row(f"{cycle:,}", f"{length:,}", f"{utilization:.3f}", state, f"{amount:,.6g}", si(power_w, "W"))
        console().print(table)

    def __iter__(self) -> Iterator[tuple[int, int, float, str, float, float]]:
        window, first = self._window, self._first
        columns = (window.utilization, window.codes, window.amount, window.power_w)
        utilization, code, amount, power_w = (column[first].tolist() for column in columns)
        state = [window.state[each] for each in code]
        starts = (first + window.start).tolist()
        return zip(starts, self._length.tolist(), utilization, state, amount, power_w, strict=True)


def _changes(window: "CyclesWindow") -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the offsets of cycles that differ from the one before, the first included."""
    differs = np.zeros(max(window.stop - window.start, 1), dtype=bool)
    differs[0] = True
    for column in (window.utilization, window.codes, window.amount, window.power_w):
        differs[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(differs)

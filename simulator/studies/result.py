"""The result of a run, in memory or in its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dieshot.simulator.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from dieshot.simulator.log.record import CyclesWindow
    from dieshot.simulator.studies.ledger import Ledger


@dataclass(frozen=True)
class Run:
    """A finished run: `summary` (JSON-ready), how to lay out its operators by column, its file if it was recorded.

    ledger, duration_fs: all that was carried out, and how long it took; for `critical_path`.
    """

    summary: Mapping[str, Any]
    operator_columns: Callable[[], Mapping[str, Any]]
    file: Path | None
    ledger: Ledger
    duration_fs: int

    @property
    def operators(self) -> pd.DataFrame:
        """The operator table: one row per operator and step (instances that went alike share a row)."""
        import pandas

        return pandas.DataFrame(self.operator_columns())

    def cycles(self, component: str, start: int, stop: int) -> CyclesWindow:
        """Return dense per-cycle utilization, state and power of a component; InputError without a file."""
        from dieshot.simulator.log.reader import open_run

        if self.file is None:
            raise InputError("the run was not recorded", key="cycles", expected="a run with an output file")
        with open_run(self.file) as file:
            return file.cycles(component, start, stop)

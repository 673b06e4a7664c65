"""Two result files side by side: any two runs, of whatever system, model and batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dieshot.simulator.engine.cell import IDLE
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.digest import digest
from dieshot.simulator.log.reader import RunFile, open_run
from dieshot.simulator.params import document_from_text
from dieshot.simulator.studies.account import Done, shares
from dieshot.simulator.studies.difference import OPERATOR, difference
from dieshot.simulator.studies.limit import Kinds, kinds_of, limit
from dieshot.simulator.studies.setup import architecture_of

NEEDED = ("total_time_s", "operators", "stall_fractions", "energy_j")
TITLE = ("system", "model", "batch", "prompt", "generate", "precision", "chips")


@dataclass(frozen=True, slots=True)
class Against:
    """A finished run that others are compared with: its file's name, the digest of its content, its summary."""

    file: str
    digest: str
    summary: Mapping[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What names the run: file and digest, and what it was of."""
        return {"file": self.file, "digest": self.digest} | {name: self.summary.get(name) for name in TITLE}

    def told(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """Return the difference from this run to one with `summary`, and what this one is."""
        return {"against": self.identity} | difference(self.summary, summary)


def compare(before: Path | str, after: Path | str) -> dict[str, Any]:
    """Return {before, after, difference} of two result files: what they are, and what differs (`difference`).

    InputError where one is no result file, or of a run that did not come to its end.
    """
    a, b = (against(Path(path)) for path in (before, after))
    return {"before": a.identity, "after": b.identity, "difference": difference(a.summary, b.summary)}


def against(path: Path) -> Against:
    """Return the run of a result file, to compare with; InputError where it has none that came to its end."""
    with open_run(path) as run:
        if not run.complete:
            raise InputError("the run did not come to its end", file=str(path), expected="a finished run's file")
        missing = next((key for key in NEEDED if key not in run.summary), None)
        if missing:
            raise InputError("nothing to compare", file=str(path), key=f"summary.{missing}", expected="a run's figures")
        summary = run.summary if "component_states" in run.summary else _completed(run)
    return Against(path.name, digest(path), summary)


def _completed(run: RunFile) -> dict[str, Any]:
    """Return the summary of an older file with what later ones tell: states of all kinds of parts, and limits."""
    kinds = _kinds(run)
    done = _done_by_operator(run, list(dict.fromkeys((kinds.main, *kinds.others))))
    whole = Done.nothing(list(done[None].cycles))
    for each in done.values():
        whole.add(each, 1)
    _rest_is_idle(run, whole)
    states = {kind: shares(counts) for kind, counts in whole.cycles.items()}
    operators = [
        dict(each) | {"limit": _limit(kinds, done.get(tuple(each[name] for name in OPERATOR)), each["time_s"])}
        for each in run.summary["operators"]
    ]
    return run.summary | {"main_kind": kinds.main, "component_states": states, "operators": operators}


def _limit(kinds: Kinds, done: Done | None, time_s: float) -> str | None:
    return None if done is None else limit(kinds, done, round(time_s * FS_PER_SECOND))


def _kinds(run: RunFile) -> Kinds:
    """Return the kinds of parts, as the architecture names them; by themselves where the file does not name it."""
    text = run.provenance.get("chip", "")
    try:
        architecture = architecture_of(document_from_text(text, f"{run.path}:chip"))
    except InputError:
        return kinds_of(run.specs, "", {})
    return kinds_of(run.specs, architecture.main_kind, architecture.resources)


def _done_by_operator(run: RunFile, kinds: list[str]) -> dict[Any, Done]:
    """Return what one chip of each stage did, by operator (None: between them)."""
    columns = run.operators()
    names = list(zip(*(columns[name].tolist() for name in OPERATOR), strict=True))
    times: dict[tuple[Any, int], int] = {}
    placed = run.placements
    for row, cell, repeat in zip(*(placed[name].tolist() for name in ("operator", "cell", "repeat")), strict=True):
        key = (names[row] if row >= 0 else None, cell)
        times[key] = times.get(key, 0) + repeat
    rows = {kind: np.flatnonzero([spec.kind == kind for spec in run.specs]) for kind in kinds}
    of_cell = {cell: _done(run, cell, rows) for _, cell in times}
    found: dict[Any, Done] = {None: Done.nothing(kinds)}
    for (name, cell), n in times.items():
        found.setdefault(name, Done.nothing(kinds)).add(of_cell[cell], n)
    return found


def _done(run: RunFile, cell: int, rows: Mapping[str, Any]) -> Done:
    counted = run.cell_totals(cell)
    cycles = {kind: counted.cycles[of].sum(axis=0).tolist() for kind, of in rows.items()}
    return Done(cycles, {kind: int(counted.amount[of].sum()) for kind, of in rows.items()})


def _rest_is_idle(run: RunFile, done: Done) -> None:
    for kind, counts in done.cycles.items():
        periods = [spec.clock_period_fs for spec in run.specs if spec.kind == kind]
        whole = len(run.stages) * sum(-(-run.duration_fs // period_fs) for period_fs in periods)
        counts[IDLE] = whole - (sum(counts) - counts[IDLE])

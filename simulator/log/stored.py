"""The tables of a result file, each checked when it is first touched."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import STATES, Activity, ComponentSpec
from dieshot.simulator.errors import InputError
from dieshot.simulator.log import schema
from dieshot.simulator.log.expand import Int64
from dieshot.simulator.log.fault import LATEST_FS, activity_fault, placement_fault
from dieshot.simulator.log.record import Stage
from dieshot.simulator.log.strict import child, column_of, members, open_dtype, plain_dataset, rows_of

MOST_CHIPS = 10**6
MOST_COMPONENTS = 10**6


class StoredRun:
    """Validated access to one open file; raises ValueError, KeyError or OSError for what is wrong with it."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file = file
        self._tables: dict[str, dict[str, h5py.Dataset]] = {}
        self._fj_per_amount: dict[str, dict[str, int]] = {}
        attributes = file.attrs
        name = attributes.get("schema")
        if (name.decode(errors="replace") if isinstance(name, bytes) else name) != schema.SCHEMA_NAME:
            raise InputError("not a result file", file=str(path), key="schema", expected=f"'{schema.SCHEMA_NAME}'")
        version = int(attributes["schema_version"])
        if version != schema.SCHEMA_VERSION:
            expected = str(schema.SCHEMA_VERSION)
            raise InputError("unknown version", file=str(path), key="schema_version", value=version, expected=expected)
        part = attributes.get("part", schema.WHOLE_CHIP)
        self.part = part.decode(errors="replace") if isinstance(part, bytes) else str(part)
        if not re.fullmatch("[a-z]{1,20}", self.part):
            raise ValueError(f"part is {self.part[:40]!r}")
        self.complete = bool(attributes["complete"])
        self.duration_fs = int(attributes["duration_fs"])
        if not 0 <= self.duration_fs <= LATEST_FS:
            raise ValueError(f"duration_fs is {self.duration_fs}")

    def table(self, name: str) -> dict[str, h5py.Dataset]:
        """Return the columns of a table, all of one length and of the types that the schema says."""
        if name not in self._tables:
            group = child(self.file, name)
            columns = self._open_columns(group) if name in schema.OPEN_TABLES else schema.TABLES[name]
            # The number of components is known from their own table, before any column has that axis.
            lengths = {schema.STATE_AXIS: len(STATES)}
            if any(column.axes for column in columns.values()):
                lengths[schema.COMPONENT_AXIS] = len(self.specs)
            datasets = {column: column_of(group, column, columns[column], lengths) for column in columns}
            if len({len(dataset) for dataset in datasets.values()}) > 1:
                raise ValueError(f"{name}: columns of different lengths")
            self._tables[name] = datasets
        return self._tables[name]

    def n_rows(self, name: str) -> int:
        """Return the number of rows of a table."""
        return next((len(dataset) for dataset in self.table(name).values()), 0)

    def columns(self, name: str) -> dict[str, NDArray[Any]]:
        """Return a whole table; texts as objects of type str."""
        return {column: rows_of(dataset) for column, dataset in self.table(name).items()}

    @cached_property
    def specs(self) -> tuple[ComponentSpec, ...]:
        """Components of one chip."""
        if self.n_rows("components") > MOST_COMPONENTS:
            raise ValueError(f"components: more than {MOST_COMPONENTS} rows")
        columns = {name: values.tolist() for name, values in self.columns("components").items()}
        specs = tuple(ComponentSpec(*row) for row in zip(*(columns[name] for name in schema.COMPONENTS), strict=True))
        if any(s.clock_period_fs < 1 or s.count < 1 or s.static_fj_per_cycle < 0 for s in specs):
            raise ValueError("components: a clock period, count or static energy that cannot be")
        return specs

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Stages of the run, in order."""
        columns = {name: values.tolist() for name, values in self.columns("stages").items()}
        stages = tuple(Stage(*row) for row in zip(columns["first_chip"], columns["n_chips"], strict=True))
        next_chip = 0
        for stage in stages:
            if stage.first_chip != next_chip or not 1 <= stage.n_chips <= MOST_CHIPS - next_chip:
                raise ValueError("stages: chips that do not follow each other")
            next_chip += stage.n_chips
        return stages

    @cached_property
    def cell_duration_fs(self) -> Int64:
        """Duration of every cell."""
        duration_fs = rows_of(self.table("cells")["duration_fs"])
        if np.any((duration_fs < 1) | (duration_fs > LATEST_FS)):
            raise ValueError("cells: a duration that cannot be")
        if len(duration_fs) and self.n_rows("cells/totals") != len(duration_fs):
            raise ValueError("cells/totals: not one row per cell")
        return duration_fs

    @cached_property
    def placements(self) -> dict[str, Int64]:
        """Placement table, its indices and times checked."""
        columns = {name: values.astype(np.int64) for name, values in self.columns("placements").items()}
        fault = placement_fault(columns, self.cell_duration_fs, len(self.stages))
        if fault:
            raise ValueError(f"placements: {fault}")
        if self.complete and columns["operator"].max(initial=-1) >= self.n_rows("operators"):
            raise ValueError("placements: an operator that does not exist")
        if len(columns["cell"]):
            last_fs = columns["start_fs"] + (columns["repeat"] - 1) * columns["stride_fs"]
            if int((last_fs + self.cell_duration_fs[columns["cell"]]).max()) > self.duration_fs:
                raise ValueError("placements: an end after the run's")
        return columns

    def activity(self, cell: int, component: int | None = None) -> Activity:
        """Return the activity of a cell, or its rows of one component; ordered by component and start."""
        n_intervals = self.table("cells/totals")["n_intervals"][cell].astype(np.int64)
        first = int(self.table("cells")["first_interval"][cell])
        n_rows = int(self.table("cells")["n_intervals"][cell])
        if (
            n_intervals.min() < 0
            or n_intervals.sum() != n_rows
            or not 0 <= first <= self.n_rows("cells/activity") - n_rows
        ):
            raise ValueError(f"cell {cell}: intervals that do not exist")
        if component is not None:
            first += int(n_intervals[:component].sum())
            n_rows = int(n_intervals[component])
        datasets = self.table("cells/activity")
        activity = Activity(*(rows_of(datasets[name], slice(first, first + n_rows)) for name in schema.ACTIVITY))
        fault = activity_fault(activity, len(self.specs), int(self.cell_duration_fs[cell]))
        if not fault and component is not None and np.any(activity.component != component):
            fault = "rows of another component"
        if fault:
            raise ValueError(f"cell {cell}: {fault}")
        return activity

    def fj_per_amount(self, kind: str) -> Int64:
        """Return the energy (fJ) of a unit of work of one kind of part, by cell."""
        return np.array([energies.get(kind, 0) for energies in self._energies], np.int64)

    @cached_property
    def _energies(self) -> list[dict[str, int]]:
        return [self._parsed(text) for text in rows_of(self.table("cells")["fj_per_amount"])]

    def _parsed(self, text: str) -> dict[str, int]:
        if text not in self._fj_per_amount:
            self._fj_per_amount[text] = integers_by_name(text)
        return self._fj_per_amount[text]

    def _open_columns(self, group: h5py.Group) -> dict[str, schema.Column]:
        return {name: schema.named_column(name, open_dtype(plain_dataset(group, name))) for name, _ in members(group)}


def integers_by_name(text: str) -> dict[str, int]:
    """Return a JSON object of integers; ValueError for anything else."""
    values = json.loads(text)
    if not isinstance(values, dict) or not all(type(v) is int and abs(v) < 2**62 for v in values.values()):
        raise ValueError("a cell's JSON is no object of integers")
    return values

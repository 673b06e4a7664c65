"""The only writer of result files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import STATES, Cell, ComponentSpec, Placement
from dieshot.simulator.errors import InputError
from dieshot.simulator.log import schema
from dieshot.simulator.log.expand import Int64, sort_activity
from dieshot.simulator.log.fault import activity_fault, placement_fault
from dieshot.simulator.log.image import canonical_image, dataset_filters, image_of, memory_file, put_on_disk
from dieshot.simulator.log.key import key_digest
from dieshot.simulator.log.scalar import put_bytes, put_scalar, refuse_bad_name, to_json
from dieshot.simulator.log.table import ColumnData, Table
from dieshot.simulator.log.total import Totals, totals


class Recorder:
    """Writes one result file; a context manager.

    The file is put together in memory, compressed. `flush` puts all of it as `PATH.part` on the disk in one step, so
    that a run killed at any moment leaves what the last flush knew, marked incomplete. Leaving the context renames it
    to `PATH`; leaving it by an exception does not. `compression` is "gzip", "zstd" or "none".

    Call `components` and `stages` before `add_cell` and `add_placements`; everything else in any order.
    """

    def __init__(self, path: str | os.PathLike[str], compression: str = "gzip") -> None:
        self.path = Path(path)
        self.part = self.path.with_name(f"{self.path.name}.part")
        self._filters = dataset_filters(compression)
        self._specs: tuple[ComponentSpec, ...] = ()
        self._cell_duration_fs: list[int] = []
        self._n_stages = 0
        self._duration_fs = 0
        self._last_operator = -1
        self._tables: dict[str, Table] = {}

    def __enter__(self) -> Recorder:
        if self.path.is_dir():
            raise InputError("is a folder", file=str(self.path), expected="a file to write")
        self._file = memory_file()
        self._set_root(complete=False)
        for name in schema.TABLES:
            if name != "cells/totals":
                self._add_table(name)
        for name in ("provenance", "wall_clock"):
            self._file.create_group(name)
        try:
            self.flush()
        except OSError as error:
            self._file.close()
            problem = f"cannot be written ({error.strerror})"
            raise InputError(problem, file=str(self.path), expected="a file in a folder that can be written") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._complete()
        except BaseException:
            self._keep_part()
            raise
        else:
            if error is not None:
                self._keep_part()
        finally:
            self._file.close()

    def flush(self) -> None:
        """Make all that is recorded so far readable as `PATH.part`, whatever happens next; OSError if the disk is full.

        Writes the whole file, so call it every few seconds, not for every cell.
        """
        self._write_tables()
        self._set_root(complete=False)
        put_on_disk(image_of(self._file), self.part)

    def components(self, specs: Sequence[ComponentSpec]) -> None:
        """Record the components of one chip; `Activity.component` counts in this order."""
        if self._specs:
            raise ValueError("the components are recorded already")
        _refuse_bad_components(specs)
        self._specs = tuple(specs)
        self._tables["components"].append({name: [getattr(spec, name) for spec in specs] for name in schema.COMPONENTS})
        self._add_table("cells/totals", {schema.COMPONENT_AXIS: len(specs), schema.STATE_AXIS: len(STATES)})

    def stages(self, n_chips: Sequence[int], part: str = "chip") -> None:
        """Record the stages by their number of chips; chips are numbered through, stage by stage.

        part: what the paths call them, where several stages share a chip.
        """
        if self._n_stages:
            raise ValueError("the stages are recorded already")
        if len(n_chips) == 0 or min(n_chips) < 1:
            raise ValueError(f"every stage needs at least one chip, not {list(n_chips)}")
        if part != schema.WHOLE_CHIP:
            self._file.attrs.create("part", part.encode(), dtype=h5py.string_dtype("utf-8", len(part)))
        self._n_stages = len(n_chips)
        first_chip = np.cumsum([0, *n_chips[:-1]])
        self._tables["stages"].append({"stage": range(len(n_chips)), "first_chip": first_chip, "n_chips": n_chips})

    def add_cell(self, cell: Cell) -> int:
        """Record a cell with its activity and totals; return its number, for placements.

        Raises ValueError where the activity breaks its contract: a cell that does not add up must not be recorded.
        """
        if not self._specs:
            raise ValueError("record the components before the first cell")
        fault = activity_fault(cell.activity, len(self._specs), cell.duration_fs)
        if cell.duration_fs < 1 or fault:
            raise ValueError(f"cell {cell.name!r} of {cell.duration_fs} fs: {fault or 'it takes no time'}")
        activity = sort_activity(cell.activity)
        counted = totals(activity, self._specs, cell.duration_fs)
        first_interval = self._tables["cells/activity"].n_rows
        self._tables["cells/activity"].append({name: getattr(activity, name) for name in schema.ACTIVITY})
        self._tables["cells/totals"].append(self._totals_row(cell, counted))
        self._tables["cells"].append({name: [value] for name, value in _cell_row(cell, first_interval).items()})
        self._cell_duration_fs.append(cell.duration_fs)
        return len(self._cell_duration_fs) - 1

    def add_placements(self, placements: Sequence[Placement]) -> None:
        """Record where cells are placed in time; ValueError for a cell, stage or time that cannot be."""
        self.add_placement_columns(
            {
                name: np.fromiter((getattr(placement, name) for placement in placements), np.int64, len(placements))
                for name in schema.PLACEMENTS
            }
        )

    def add_placement_columns(self, columns: Mapping[str, Int64]) -> None:
        """Record placements by column, of one length each; see `add_placements`."""
        fault = placement_fault(columns, np.array(self._cell_duration_fs, np.int64), self._n_stages)
        if fault:
            raise ValueError(fault)
        if len(columns["cell"]):
            duration_fs = np.array(self._cell_duration_fs, np.int64)[columns["cell"]]
            end_fs = columns["start_fs"] + (columns["repeat"] - 1) * columns["stride_fs"] + duration_fs
            self._duration_fs = max(self._duration_fs, int(end_fs.max()))
            self._last_operator = max(self._last_operator, int(columns["operator"].max()))
            self._tables["placements"].append(dict(columns))

    def operators(self, columns: Mapping[str, ColumnData]) -> None:
        """Append rows to the operator table, one array per column; later calls bring the same columns."""
        for name in columns:
            refuse_bad_name(name)
        self._tables["operators"].append(columns)

    def parameters(self, records: Iterable[object]) -> None:
        """Append parameters: mappings or dataclass instances whose fields are columns of `schema.PARAMETERS`."""
        rows = [_parameter_row(record) for record in records]
        self._tables["parameters"].append({name: [row[name] for row in rows] for name in schema.PARAMETERS})

    def provenance(self, **texts: object) -> None:
        """Record where the run came from, one text per name; what is no text is recorded as JSON.

        `trace` is stored compressed.
        """
        for name, value in texts.items():
            text = value if isinstance(value, str) else to_json(value)
            if name == "trace":
                put_bytes(self._file["provenance"], name, text, "trace file, UTF-8 text", self._filters)
            else:
                put_scalar(self._file["provenance"], name, text)

    def summary(self, values: Mapping[str, object], duration_fs: int = 0) -> None:
        """Record the summary as JSON; a run that lasts longer than its last placement says `duration_fs`."""
        self._duration_fs = max(self._duration_fs, duration_fs)
        put_scalar(self._file, "summary", to_json(values), "summary of the run, as JSON")

    def difference(self, values: Mapping[str, object]) -> None:
        """Record what differs from another run, as JSON, with what that run is."""
        put_scalar(self._file, "difference", to_json(values), "difference from another run, as JSON")

    def wall_clock(self, values: Mapping[str, float | int | str]) -> None:
        """Record what may differ between two runs of the same inputs: date, wall time, memory, host."""
        for name, value in values.items():
            put_scalar(self._file["wall_clock"], name, value)

    def _add_table(self, name: str, lengths: Mapping[str, int] | None = None) -> None:
        group = self._file.require_group(name)
        open_table = name in schema.OPEN_TABLES
        self._tables[name] = Table(group, schema.TABLES[name], self._filters, lengths, open_table)

    def _totals_row(self, cell: Cell, counted: Totals) -> dict[str, NDArray[Any]]:
        fj_per_amount = np.array([cell.fj_per_amount.get(spec.kind, 0) for spec in self._specs], np.int64)
        if np.any(counted.amount.astype(np.float64) * fj_per_amount >= 2.0**63):
            raise ValueError(f"cell {cell.name!r}: the energy of a component exceeds 2**63 fJ")
        return {
            "cycles": counted.cycles[None],
            "amount": counted.amount[None],
            "dynamic_energy_fj": (counted.amount * fj_per_amount)[None],
            "n_intervals": counted.n_intervals[None],
        }

    def _write_tables(self) -> None:
        for table in self._tables.values():
            table.write()

    def _set_root(self, complete: bool) -> None:
        attributes = self._file.attrs
        attributes.create("schema", schema.SCHEMA_NAME.encode(), dtype=h5py.string_dtype("utf-8", 11))
        attributes.create("schema_version", schema.SCHEMA_VERSION, dtype=np.int64)
        attributes.create("complete", complete, dtype=np.bool_)
        attributes.create("duration_fs", self._duration_fs, dtype=np.int64)

    def _complete(self) -> None:
        n_operators = self._tables["operators"].n_rows
        if self._last_operator >= n_operators:
            raise ValueError(f"a placement names operator {self._last_operator}, but {n_operators} are recorded")
        self._write_tables()
        self._set_root(complete=True)
        put_on_disk(canonical_image(self._file), self.part)
        os.replace(self.part, self.path)

    def _keep_part(self) -> None:
        try:
            self.flush()
        except OSError:
            # The error that ended the run matters more than a disk that cannot take its remains.
            return


def _refuse_bad_components(specs: Sequence[ComponentSpec]) -> None:
    if not specs:
        raise ValueError("a chip has at least one component")
    seen: set[str] = set()
    for spec in specs:
        if spec.path in seen:
            raise ValueError(f"two components are called {spec.path!r}")
        seen.add(spec.path)
        if spec.clock_period_fs < 1 or spec.count < 1 or min(spec.peak_amount_per_cycle, spec.static_fj_per_cycle) < 0:
            raise ValueError(f"component {spec.path!r} has a clock, count, peak or static energy that cannot be")


def _cell_row(cell: Cell, first_interval: int) -> dict[str, object]:
    return {
        "name": cell.name,
        "kind": cell.kind,
        "key": key_digest(cell.key),
        "duration_fs": cell.duration_fs,
        "first_interval": first_interval,
        "n_intervals": len(cell.activity),
        "counters": to_json(cell.counters),
        "fj_per_amount": to_json(cell.fj_per_amount),
    }


def _parameter_row(record: Any) -> dict[str, object]:
    given = asdict(record) if is_dataclass(record) and not isinstance(record, type) else dict(record)
    unknown = sorted(set(given) - set(schema.PARAMETERS))
    if unknown:
        raise ValueError(f"a parameter has no column {unknown[0]!r}")
    row: dict[str, object] = {}
    for name, column in schema.PARAMETERS.items():
        value = given.get(name)
        if column.dtype != schema.TEXT:
            row[name] = int(bool(value))
        elif value is None:
            row[name] = ""
        else:
            row[name] = value if isinstance(value, str) and name != "value" else to_json(value)
    return row

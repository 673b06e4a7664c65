"""Result files, read: tables, and any window of cycles of any component."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import BUSY, STATES, Activity, Cell, ComponentSpec
from dieshot.simulator.errors import InputError, nearest_name
from dieshot.simulator.log.expand import CycleWindow, Int64
from dieshot.simulator.log.record import CellRecord, CellTotals, ComponentRecord, ComponentTotals, CyclesWindow, Stage
from dieshot.simulator.log.stored import StoredRun, integers_by_name
from dieshot.simulator.log.strict import child, members, open_strict, reading, rows_of, scalar_of
from dieshot.simulator.log.window import Placed, placed_window

if TYPE_CHECKING:
    import pandas as pd

MOST_CYCLES = 10_000_000
BLOCK_CYCLES = 2**20
_COMPONENT_PATH = re.compile(r"([a-z]+)(0|[1-9][0-9]{0,8})/(.+)")


def open_run(path: str | os.PathLike[str]) -> RunFile:
    """Open a result file, or the `.part` of a run that was killed; InputError unless a run wrote it."""
    return RunFile(Path(path))


class RunFile:
    """A result file, open for reading; a context manager.

    Reads what is asked for and no more. Every method raises InputError, which names the file, where the file is
    damaged or an argument names nothing in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_strict(path)
        try:
            with reading(path):
                self._stored = StoredRun(self._file, path)
        except InputError:
            self._file.close()
            raise

    def __enter__(self) -> RunFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was returned stays valid."""
        self._file.close()

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self._stored.complete

    @property
    def duration_fs(self) -> int:
        """Duration of the run."""
        return self._stored.duration_fs

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Summary of the run; empty where the run ended before it had one."""
        return self._json("summary") or {}

    @cached_property
    def difference(self) -> dict[str, Any] | None:
        """What differs from the run that it was compared with, named under "against"; None where it was with none."""
        return self._json("difference")

    def _json(self, name: str) -> dict[str, Any] | None:
        with reading(self.path):
            value = json.loads(str(scalar_of(self._file, name))) if name in self._file else None
            if value is not None and not isinstance(value, dict):
                raise ValueError(f"the {name} is no JSON object")
            return value

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Documents and facts that the run came from, as text."""
        with reading(self.path):
            return {name: str(value) for name, value in self._scalars("provenance").items()}

    @cached_property
    def wall_clock(self) -> dict[str, str | int | float]:
        """What may differ between two runs of the same inputs."""
        with reading(self.path):
            return self._scalars("wall_clock")

    @property
    def specs(self) -> tuple[ComponentSpec, ...]:
        """Components of one chip."""
        with reading(self.path):
            return self._stored.specs

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Stages, in order."""
        with reading(self.path):
            return self._stored.stages

    @cached_property
    def cells(self) -> tuple[CellRecord, ...]:
        """Rows of the cell table."""
        with reading(self.path):
            columns = {name: values.tolist() for name, values in self._stored.columns("cells").items()}
            for name in ("counters", "fj_per_amount"):
                columns[name] = [integers_by_name(text) for text in columns[name]]
            return tuple(CellRecord(*row) for row in zip(*(columns[name] for name in CellRecord._fields), strict=True))

    @property
    def placements(self) -> dict[str, Int64]:
        """Placement table by column."""
        with reading(self.path):
            return dict(self._stored.placements)

    def operators(self) -> dict[str, NDArray[Any]]:
        """Return the operator table by column; texts are objects of type str."""
        with reading(self.path):
            return self._stored.columns("operators")

    def operators_frame(self) -> pd.DataFrame:
        """Return the operator table as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.operators())

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Return the parameter table by column."""
        with reading(self.path):
            return self._stored.columns("parameters")

    def activity(self, cell: int) -> Activity:
        """Return the activity of a cell, ordered by component and start."""
        self._refuse_unknown_cell(cell)
        with reading(self.path):
            return self._stored.activity(cell)

    def cell(self, cell: int) -> Cell:
        """Return a cell as it was recorded, with the digest for its key."""
        self._refuse_unknown_cell(cell)
        record = self.cells[cell]
        return Cell(
            record.key,
            record.name,
            record.kind,
            record.duration_fs,
            self.activity(cell),
            record.fj_per_amount,
            record.counters,
        )

    def cell_totals(self, cell: int) -> CellTotals:
        """Return the totals of a cell by component."""
        self._refuse_unknown_cell(cell)
        with reading(self.path):
            datasets = self._stored.table("cells/totals")
            return CellTotals(*(rows_of(datasets[name], cell) for name in CellTotals._fields))

    def components(self, pattern: str = "*") -> list[ComponentRecord]:
        """Return the components of all chips whose path matches a pattern such as "chip0/sm*/tensor"."""
        matches = re.compile(fnmatch.translate(pattern)).match
        specs = self.specs
        return [
            ComponentRecord(path, chip, i_stage, spec, self._n_cycles(spec))
            for i_stage, stage in enumerate(self.stages)
            for chip in range(stage.first_chip, stage.first_chip + stage.n_chips)
            for spec in specs
            if matches(path := f"{self._stored.part}{chip}/{spec.path}")
        ]

    def totals(self, component: str) -> ComponentTotals:
        """Return what a component did in the whole run; equals the sum over its cycles exactly."""
        stage, i_component = self._find(component)
        with reading(self.path):
            placements, totals = self._stored.placements, self._stored.table("cells/totals")
            on_stage = placements["stage"] == stage
            repeat = placements["repeat"][on_stage].tolist()
            cell = placements["cell"][on_stage]
            amount, energy_fj = (
                sum(n * each for n, each in zip(repeat, totals[name][:, i_component][cell].tolist(), strict=True))
                for name in ("amount", "dynamic_energy_fj")
            )
            spec = self._stored.specs[i_component]
            return ComponentTotals(amount, energy_fj, self._n_cycles(spec) * spec.static_fj_per_cycle * spec.count)

    def cycles(self, component: str, start: int, stop: int) -> CyclesWindow:
        """Return what a component did in the cycles `start` .. `stop` (excluded), at most `MOST_CYCLES` of them."""
        stage, i_component = self._find(component)
        spec = self._stored.specs[i_component]
        self._refuse_bad_window(component, start, stop, self._n_cycles(spec))
        with reading(self.path):
            placed = self._placed(stage, spec.kind)
            blocks = [
                self._block(placed, i_component, first, min(first + BLOCK_CYCLES, stop))
                for first in range(start, stop, BLOCK_CYCLES)
            ]
        return _window(component, spec, start, stop, CycleWindow(*map(np.concatenate, zip(*blocks, strict=True))))

    def _block(self, placed: Placed, i_component: int, start: int, stop: int) -> CycleWindow:
        period_fs = self._stored.specs[i_component].clock_period_fs
        return placed_window(placed, period_fs, start, stop, lambda cell: self._stored.activity(cell, i_component))

    def _placed(self, stage: int, kind: str) -> Placed:
        """Return the placements on a stage with the duration and energy of their cells."""
        placements = self._stored.placements
        on_stage = placements["stage"] == stage
        cell = placements["cell"][on_stage]
        return Placed(
            cell,
            placements["start_fs"][on_stage],
            placements["repeat"][on_stage],
            placements["stride_fs"][on_stage],
            self._stored.cell_duration_fs[cell],
            self._stored.fj_per_amount(kind)[cell],
        )

    def _n_cycles(self, spec: ComponentSpec) -> int:
        return -(-self.duration_fs // spec.clock_period_fs)

    def _find(self, component: str) -> tuple[int, int]:
        """Return stage and row of a component; InputError with the nearest name for one that does not exist."""
        rows, part = self._row_of_path, self._stored.part
        match = _COMPONENT_PATH.fullmatch(component)
        match = match if match and match[1] == part else None
        stage = self._stage_of(int(match[2])) if match else None
        if match and stage is not None and match[3] in rows:
            return stage, rows[match[3]]
        chip = match[2] if match and stage is not None else "0"
        nearest = nearest_name(match[3] if match else component.rpartition(part)[2], rows)
        raise InputError(
            "unknown component",
            file=str(self.path),
            key=component,
            expected=f"one of the {len(rows)} components of {part}0 to {part}{self._n_chips - 1}" if rows else "none",
            nearest=f"{part}{chip}/{nearest}" if nearest else None,
        )

    @cached_property
    def _row_of_path(self) -> dict[str, int]:
        return {spec.path: row for row, spec in enumerate(self.specs)}

    @property
    def _n_chips(self) -> int:
        return sum(stage.n_chips for stage in self.stages)

    def _stage_of(self, chip: int) -> int | None:
        spans = enumerate(self.stages)
        return next((i for i, stage in spans if chip < stage.first_chip + stage.n_chips), None)

    def _scalars(self, name: str) -> dict[str, str | int | float]:
        group = child(self._file, name)
        return {member: scalar_of(group, member) for member, _ in members(group)}

    def _refuse_unknown_cell(self, cell: int) -> None:
        with reading(self.path):
            n_cells = self._stored.n_rows("cells")
        if not 0 <= cell < n_cells:
            expected = f"a cell below {n_cells}"
            raise InputError("unknown cell", file=str(self.path), key="cell", value=cell, expected=expected)

    def _refuse_bad_window(self, component: str, start: int, stop: int, n_cycles: int) -> None:
        expected = None
        if not 0 <= start < stop <= n_cycles:
            expected = f"0 <= start < stop <= {n_cycles}"
        elif stop - start > MOST_CYCLES:
            expected = f"at most {MOST_CYCLES} cycles"
        if expected:
            value = f"{start}:{stop}"
            raise InputError("bad window", file=str(self.path), key=component, value=value, expected=expected)


def _window(component: str, spec: ComponentSpec, start: int, stop: int, cycles: CycleWindow) -> CyclesWindow:
    peak = spec.peak_amount_per_cycle
    energy_fj = cycles.energy_fj + spec.static_fj_per_cycle * spec.count
    return CyclesWindow(
        component=component,
        start=start,
        stop=stop,
        clock_period_fs=spec.clock_period_fs,
        unit=spec.amount_unit,
        state=STATES,
        codes=cycles.state,
        utilization=cycles.amount / peak if peak > 0 else (cycles.state == BUSY).astype(np.float64),
        amount=cycles.amount,
        energy_fj=energy_fj,
        power_w=energy_fj / spec.clock_period_fs,
    )

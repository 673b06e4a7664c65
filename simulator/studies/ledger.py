"""What a machine has carried out: rows of operators, placements of cells, and the account of work and energy.

A run places few distinct steps very often. Each is laid out once, as a pattern of columns; a placement of it is three
numbers, and the rows are made when they are asked for.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.engine.machine import StepPlacement, StepRun
from dieshot.simulator.log.recorder import Recorder
from dieshot.simulator.studies.account import Account
from dieshot.simulator.studies.bounds import Bounds, roofline, summed
from dieshot.simulator.studies.split import Split
from dieshot.traces import Operator

Progress = Callable[[str, int, int], None]
Column = NDArray[Any]

FLUSH_SECONDS = 5.0
NO_OPERATOR = -1
STEPS_A_BLOCK = 4096  # placed steps whose rows are made at a time
COUNTS = ("macs", "weight_bytes", "input_bytes", "output_bytes", "kv_read_bytes", "kv_write_bytes")
TEXTS = ("phase", "block", "name", "kind", "dims", "dtype", "bound")
COLUMNS = (
    "step",
    "stage",
    "phase",
    "block",
    "name",
    "kind",
    "dims",
    "dtype",
    *COUNTS,
    "first_instance",
    "repeat",
    "start_fs",
    "stride_fs",
    "duration_fs",
    "bound",
)


@dataclass(slots=True)
class Pattern:
    """A step of a stage, laid out: columns of its operators (times since its start; texts as numbers), and cells.

    cells: columns of the placements of its cells, `operator` counting from the step's first row. times: how often the
    step was placed, `last` when last.
    """

    run: StepRun  # kept, so that no other has its identity
    phase: str
    operators: Mapping[str, Column]
    cells: Mapping[str, Column]
    cell_repeats: Sequence[tuple[Cell, int]]
    roofline_s: Sequence[float]
    times: int = 0
    last: int = 0

    @property
    def n_rows(self) -> int:
        """Operators of the step."""
        return len(self.operators["repeat"])

    def of_stage(self, stage: int) -> Pattern:
        """Return the same step on another stage, not placed yet."""
        columns = [dict(self.operators), dict(self.cells)]
        for each in columns:
            each["stage"] = np.full_like(each["stage"], stage)
        return replace(self, operators=columns[0], cells=columns[1], times=0, last=0)


class PlacedStep(NamedTuple):
    """A pattern at a point of time; first_row: of the operator table."""

    pattern: Pattern
    step: int
    start_fs: int
    first_row: int


@dataclass(frozen=True, slots=True)
class OperatorTotal:
    """An operator of a phase over the whole run: instances, their time, and what bounds them at last.

    cells: how often each was placed for it, by identity.
    """

    phase: str
    name: str
    kind: str
    count: int
    time_fs: int
    bound: str
    cells: Mapping[int, int]


@dataclass(slots=True)
class Ledger:
    """Writes down what the machine places; `recorder` None keeps the figures only."""

    over: Split
    recorder: Recorder | None
    progress: Progress | None
    ends_fs: list[int] = field(default_factory=list)
    _patterns: dict[tuple[int, int, str], Pattern] = field(default_factory=dict)
    _laid_out: dict[tuple[int, str], Pattern] = field(default_factory=dict)
    _together: list[StepPlacement] = field(default_factory=list)
    _placed: list[PlacedStep] = field(default_factory=list)
    _n_sent: int = 0
    _n_rows: int = 0
    _cell_ids: dict[int, int] = field(default_factory=dict)
    _words: dict[str, int] = field(default_factory=dict)
    _dims: dict[int, str] = field(default_factory=dict)
    _flushed: float = field(default_factory=time.monotonic)
    specs: list[Any] = field(init=False)
    bounds: Bounds = field(init=False)

    def __post_init__(self) -> None:
        setup = self.over.setup
        fabric = setup.fabric.components() if setup.fabric else ()
        self.specs = [*setup.chip.components(), *fabric, *setup.lasers]
        self.bounds = Bounds(setup.peaks, len(self.over.parts.stages), setup.chip.overlaps_operators)

    def place(self, placed: StepPlacement) -> None:
        """Take a step of a stage that the machine has carried out; those that end together are written by stage."""
        if self._together and placed.end_fs > self._together[0].end_fs:
            self._settle()
        self._together.append(placed)

    def _settle(self) -> None:
        for placed in sorted(self._together, key=lambda each: each.stage):
            self._place(placed)
        self._together.clear()

    def _place(self, placed: StepPlacement) -> None:
        phase = self.over.parts.stages[placed.stage].steps[placed.step].phase
        key, alike = (placed.stage, id(placed.run), phase), (id(placed.run), phase)
        if key not in self._patterns:
            if alike not in self._laid_out:
                self._laid_out[alike] = self._lay_out(placed)
            self._patterns[key] = self._laid_out[alike].of_stage(placed.stage)
        pattern = self._patterns[key]
        pattern.times += 1
        pattern.last = len(self._placed)
        self._placed.append(PlacedStep(pattern, placed.step, placed.start_fs, self._n_rows))
        self._n_rows += pattern.n_rows
        if placed.stage == len(self.over.parts.stages) - 1:
            self.ends_fs.append(placed.end_fs)
            self._report()

    def close(self) -> Account:
        """Return the account of everything placed, and complete the bounds; once, at the end of the run."""
        self._settle()
        account = Account(self.specs, self.over.n_ranks)
        n_chunks = self.over.parts.trace.n_prefill_steps
        n_ranks = self.over.parts.tensor_parallel * self.over.data_parallel
        for pattern in self._of_all_stages():
            for cell, repeat in pattern.cell_repeats:
                account.place(cell, repeat * pattern.times * n_ranks)
        for (stage, *_), pattern in self._patterns.items():
            self.bounds.add(pattern.roofline_s, stage, pattern.times, n_chunks if pattern.phase == "prefill" else 1)
        return account

    @property
    def serial_fs(self) -> int:
        """The time of all cells one after the other, as their counters tell it."""
        return sum(
            cell.counters.get("serial_fs", cell.duration_fs) * repeat * pattern.times
            for pattern in self._of_all_stages()
            for cell, repeat in pattern.cell_repeats
        )

    def _of_all_stages(self) -> list[Pattern]:
        """Return each step once, with how often any stage was placed with it, and when the last was."""
        found = {key: replace(pattern) for key, pattern in self._laid_out.items()}
        for (_, run, phase), pattern in self._patterns.items():
            found[run, phase].times += pattern.times
            found[run, phase].last = max(found[run, phase].last, pattern.last)
        return list(found.values())

    def operator_totals(self) -> list[OperatorTotal]:
        """Return the totals of operators by phase, name and kind."""
        words = list(self._words)
        found: dict[tuple[str, str, str], tuple[int, int, str]] = {}
        cells: dict[tuple[str, str, str], Counter[int]] = {}
        for pattern in sorted(self._of_all_stages(), key=lambda each: each.last):
            columns = (pattern.operators[key].tolist() for key in ("name", "kind", "repeat", "duration_fs", "bound"))
            keys = []
            for name, kind, repeat, duration_fs, bound in zip(*columns, strict=True):
                key = (pattern.phase, words[name], words[kind])
                keys.append(key)
                count, time_fs, _ = found.get(key, (0, 0, ""))
                times = repeat * pattern.times
                found[key] = (count + times, time_fs + times * duration_fs, words[bound])
            for row, (cell, repeat) in zip(pattern.cells["operator"].tolist(), pattern.cell_repeats, strict=True):
                if row != NO_OPERATOR:
                    cells.setdefault(keys[row], Counter())[id(cell)] += repeat * pattern.times
        return [OperatorTotal(*key, *total, cells.get(key, {})) for key, total in found.items()]

    def placed_steps(self) -> list[PlacedStep]:
        """Return all steps placed, of all stages, as they are written; at the end of the run."""
        return self._placed

    def operator_names(self, pattern: Pattern) -> list[tuple[str, str, str]]:
        """Return phase, name and kind of a pattern's operators."""
        words = list(self._words)
        columns = (pattern.operators[key].tolist() for key in ("phase", "name", "kind"))
        return [(words[phase], words[name], words[kind]) for phase, name, kind in zip(*columns, strict=True)]

    def operator_columns(self) -> dict[str, Column]:
        """Return the table of operators, texts as objects."""
        words = np.array(list(self._words), dtype=object)
        blocks = list(self._blocks(words))
        if not blocks:
            return {name: np.empty(0, object if name in TEXTS else np.int64) for name in COLUMNS}
        return {name: np.concatenate([block[name] for block in blocks]) for name in COLUMNS}

    def write(self) -> None:
        """Hand all that is left to the recorder."""
        if self.recorder is not None:
            self._send()
            words = [word.encode() for word in self._words]
            for block in self._blocks(np.arange(len(words))):
                self.recorder.operators(block | {name: _texts(words, block[name]) for name in TEXTS})

    def _blocks(self, words: Column) -> Iterator[dict[str, Column]]:
        for begin in range(0, len(self._placed), STEPS_A_BLOCK):
            placed = self._placed[begin : begin + STEPS_A_BLOCK]
            n_rows = [each.pattern.n_rows for each in placed]
            block = {
                name: np.concatenate([each.pattern.operators[name] for each in placed])
                for name in COLUMNS
                if name != "step"
            }
            block["start_fs"] = block["start_fs"] + np.repeat([each.start_fs for each in placed], n_rows)
            block["step"] = np.repeat(np.array([each.step for each in placed], np.int64), n_rows)
            yield {name: words[block[name]] if name in TEXTS else block[name] for name in COLUMNS}

    def _report(self) -> None:
        if self.progress is not None:
            self.progress("steps", len(self.ends_fs), len(self.over.parts.trace.steps) * self.over.micro_batches)
        if self.recorder is not None and time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._send()
            self.recorder.flush()
            self._flushed = time.monotonic()

    def _send(self) -> None:
        assert self.recorder is not None
        placed = self._placed[self._n_sent :]
        self._n_sent = len(self._placed)
        if not placed:
            return
        n_cells = [len(each.pattern.cells["cell"]) for each in placed]
        columns = {
            name: np.concatenate([each.pattern.cells[name] for each in placed]) for name in placed[0].pattern.cells
        }
        columns["start_fs"] = columns["start_fs"] + np.repeat([each.start_fs for each in placed], n_cells)
        rows = columns["operator"] + np.repeat([each.first_row for each in placed], n_cells)
        columns["operator"] = np.where(columns["operator"] == NO_OPERATOR, NO_OPERATOR, rows)
        self.recorder.add_placement_columns(columns)

    def _lay_out(self, placed: StepPlacement) -> Pattern:
        step = self.over.parts.stages[placed.stage].steps[placed.step]
        rows, cells, repeats, rooflines = [], [], [], []
        for index, run in enumerate(placed.run.runs):
            block = step.blocks[run.block]
            operator = block.operators[run.operator]
            bound = roofline(operator, self.bounds.peaks)
            rooflines.append((bound, run.repeat))
            texts = (step.phase, block.name, operator.name, operator.kind, self._shape(operator), operator.dtype)
            counts = (getattr(operator, name) for name in COUNTS)
            times = (run.first_instance, run.repeat, run.start_fs, run.stride_fs, run.duration_fs)
            rows.append((placed.stage, *map(self._word, texts), *counts, *times, self._word(bound.limit)))
            start_fs = run.start_fs
            for cell in run.cells:
                cells.append((self._cell(cell), start_fs, run.repeat, run.stride_fs, placed.stage, index))
                repeats.append((cell, run.repeat))
                start_fs += cell.duration_fs
        drain = placed.run.drain
        if drain is not None:
            start_fs = placed.run.duration_fs - drain.duration_fs
            cells.append((self._cell(drain), start_fs, 1, 0, placed.stage, NO_OPERATOR))
            repeats.append((drain, 1))
        names = ("cell", "start_fs", "repeat", "stride_fs", "stage", "operator")
        return Pattern(
            placed.run, step.phase, _columns(COLUMNS[1:], rows), _columns(names, cells), repeats, summed(rooflines)
        )

    def _cell(self, cell: Cell) -> int:
        if id(cell) not in self._cell_ids:
            self._cell_ids[id(cell)] = self.recorder.add_cell(cell) if self.recorder else len(self._cell_ids)
        return self._cell_ids[id(cell)]

    def _word(self, text: str) -> int:
        return self._words.setdefault(text, len(self._words))

    def _shape(self, operator: Operator) -> str:
        if id(operator) not in self._dims:
            self._dims[id(operator)] = json.dumps(dict(operator.dims))
        return self._dims[id(operator)]


def _texts(words: Sequence[bytes], codes: Column) -> Column:
    """Return encoded texts, no wider than the longest of them."""
    used, position = np.unique(codes, return_inverse=True)
    return np.array([words[code] for code in used.tolist()])[position]


def _columns(names: Sequence[str], rows: Sequence[Sequence[int]]) -> dict[str, Column]:
    table = np.array(rows, np.int64).reshape(len(rows), len(names))
    return {name: np.ascontiguousarray(table[:, index]) for index, name in enumerate(names)}

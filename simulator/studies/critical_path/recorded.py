"""From a run in memory or its file to its timeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.engine.cell import Activity, ComponentSpec
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.reader import RunFile
from dieshot.simulator.log.scalar import to_json
from dieshot.simulator.studies.critical_path.pipeline import UNKNOWN, with_empty_steps
from dieshot.simulator.studies.critical_path.timeline import DRAIN, OperatorName, Part, StepShape, Timeline
from dieshot.simulator.studies.provenance import provenance
from dieshot.simulator.studies.replay import recorded_setup
from dieshot.simulator.studies.setup import SystemSetup

if TYPE_CHECKING:
    from dieshot.simulator.studies.ledger import Ledger

Column = NDArray[np.int64]
NO_OPERATOR = -1
NAMES = ("phase", "name", "kind")
TIMES = ("first_instance", "repeat", "start_fs", "stride_fs", "duration_fs")


class _Step(NamedTuple):
    """Rows first .. stop - 1 of the operators, and of the placements, that are one step of a stage."""

    first: int
    stop: int
    first_placed: int
    stop_placed: int


class _Turn(NamedTuple):
    """A turn of a stage: the step that it is of, when it began, and its shape."""

    step: int
    start_fs: int
    shape: int


def timeline_of_ledger(ledger: Ledger, duration_fs: int) -> Timeline:
    """Return the timeline of a run that is still in memory."""
    over = ledger.over
    setup, parts = over.setup, over.parts
    of_pattern: dict[Any, int] = {}
    shapes: dict[StepShape, int] = {}
    cells: dict[int, Any] = {}
    turns: list[list[_Turn]] = [[] for _ in parts.stages]
    for placed in ledger.placed_steps():
        if not placed.pattern.cell_repeats:
            continue
        key = (id(placed.pattern.run), placed.pattern.phase)
        if key not in of_pattern:
            names = ledger.operator_names(placed.pattern)
            repeats = placed.pattern.operators["repeat"].tolist()
            durations = placed.pattern.operators["duration_fs"].tolist()
            numbers = [id(cell) for cell, _ in placed.pattern.cell_repeats]
            cells |= {id(cell): cell for cell, _ in placed.pattern.cell_repeats}
            drained = placed.pattern.run.drain.duration_fs if placed.pattern.run.drain else 0
            rows = placed.pattern.cells["operator"].tolist()
            shape = _shape(names, repeats, durations, rows, numbers, drained)
            of_pattern[key] = shapes.setdefault(shape, len(shapes))
        stage = int(placed.pattern.cells["stage"][0])
        turns[stage].append(_Turn(placed.step, placed.start_fs, of_pattern[key]))
    texts = {name: text if isinstance(text, str) else to_json(text) for name, text in provenance(over).items()}
    n_steps, n_prefill = len(parts.trace.steps), parts.trace.n_prefill_steps
    return _timeline(
        setup, list(shapes), turns, n_steps, duration_fs, over.micro_batches, n_prefill, ledger.specs,
        lambda cell: cells[cell].activity, lambda cell: int(cells[cell].duration_fs), texts, setup.name,
    )  # fmt: skip


def timeline_of_file(run: RunFile) -> Timeline:
    """Return the timeline of a result file; InputError where it holds none, or the run did not come to its end."""
    if not run.complete:
        raise InputError("the run did not come to its end", file=str(run.path), expected="a finished run's file")
    setup, options = recorded_setup(run.provenance, run.path)
    columns, placed = run.operators(), run.placements
    missing = next((name for name in ("step", "stage", *NAMES, *TIMES) if name not in columns), None)
    if missing or not len(columns["step"]):
        raise InputError(
            "not recorded", file=str(run.path), key=f"operators/{missing or 'step'}", expected="a run's file"
        )
    names = list(zip(*(columns[name].tolist() for name in NAMES), strict=True))
    durations = [cell.duration_fs for cell in run.cells]
    shapes: dict[bytes, int] = {}
    found: list[StepShape] = []
    turns: list[list[_Turn]] = [[] for _ in run.stages]
    content = _contents(columns, placed, names)
    for step in _steps(columns, placed, options["micro_batches"]):
        key = content(step)
        if key not in shapes:
            shapes[key] = len(found)
            found.append(_shape_of_rows(step, columns, placed, names, durations))
        number, stage, start_fs = (int(columns[name][step.first]) for name in ("step", "stage", "start_fs"))
        turns[stage].append(_Turn(number, start_fs, shapes[key]))
    phase_of_step = dict(zip(columns["step"].tolist(), columns["phase"].tolist(), strict=True))
    n_prefill = sum(phase == "prefill" for phase in phase_of_step.values())
    return _timeline(
        setup, found, turns, 1 + max(phase_of_step), run.duration_fs, options["micro_batches"], n_prefill, run.specs,
        run.activity, durations.__getitem__, dict(run.provenance), str(run.path),
    )  # fmt: skip


def _timeline(
    setup: SystemSetup,
    shapes: Sequence[StepShape],
    turns: Sequence[Sequence[_Turn]],
    n_steps: int,
    duration_fs: int,
    micro_batches: int,
    n_prefill: int,
    specs: Sequence[ComponentSpec],
    activity: Callable[[int], Activity],
    cell_duration_fs: Callable[[int], int],
    inputs: Mapping[str, str],
    name: str,
) -> Timeline:
    host = setup.system.values.host
    timeline = Timeline(
        shapes=shapes,
        start_fs=np.full((n_steps * micro_batches, len(turns)), UNKNOWN),
        shape=np.full((n_steps * micro_batches, len(turns)), len(shapes)),
        duration_fs=duration_fs,
        gap_fs=host.step_gap if host else 0,
        micro_batches=micro_batches,
        n_known=n_prefill * micro_batches,
        specs=specs,
        activity=activity,
        cell_duration_fs=cell_duration_fs,
        inputs=inputs,
        name=name,
        operators_overlap=setup.chip.overlaps_operators,
        main_kind=setup.chip.main_kind,
        resources=setup.chip.resources,
    )
    for stage, of_stage in enumerate(turns):
        _put_turns(timeline, stage, of_stage)
    return with_empty_steps(replace(timeline, shapes=[*shapes, StepShape(())]))


def _put_turns(timeline: Timeline, stage: int, turns: Sequence[_Turn]) -> None:
    """Write down when a stage began its turns, and which shapes they have; those of steps without work are left out."""
    of_step = Counter(turn.step for turn in turns)
    if set(of_step.values()) - {timeline.micro_batches} or not set(of_step) <= set(range(len(timeline.start_fs))):
        expected = "a run's file"
        raise InputError("its steps cannot be told apart", file=timeline.name, key="operators", expected=expected)
    first = {step: index for index, step in enumerate(sorted(of_step))}
    for index, turn in enumerate(sorted(turns)):
        row = turn.step * timeline.micro_batches + index - first[turn.step] * timeline.micro_batches
        timeline.start_fs[row, stage], timeline.shape[row, stage] = turn.start_fs, turn.shape


def _shape(
    names: Sequence[OperatorName],
    repeats: Sequence[int],
    durations: Sequence[int],
    rows: Sequence[int],
    cells: Sequence[int],
    drained_fs: int,
) -> StepShape:
    """Return a step of operators, given the row of each of its cells (NO_OPERATOR: draining)."""
    of_row: dict[int, list[int]] = {}
    for row, cell in zip(rows, cells, strict=True):
        of_row.setdefault(row, []).append(cell)
    parts = [
        Part(name, repeat, duration_fs, tuple(of_row.get(row, ())))
        for row, (name, repeat, duration_fs) in enumerate(zip(names, repeats, durations, strict=True))
    ]
    if drained_fs:
        parts.append(Part(DRAIN, 1, drained_fs, tuple(of_row[NO_OPERATOR])))
    return StepShape(tuple(parts))


def _shape_of_rows(
    step: _Step,
    columns: Mapping[str, Any],
    placed: Mapping[str, Column],
    names: Sequence[OperatorName],
    durations: Sequence[int],
) -> StepShape:
    of = slice(step.first, step.stop)
    cells = placed["cell"][step.first_placed : step.stop_placed].tolist()
    rows = placed["operator"][step.first_placed : step.stop_placed]
    rows = np.where(rows == NO_OPERATOR, NO_OPERATOR, rows - step.first).tolist()
    drained_fs = sum(durations[cell] for row, cell in zip(rows, cells, strict=True) if row == NO_OPERATOR)
    repeats, times = (columns[name][of].tolist() for name in ("repeat", "duration_fs"))
    return _shape(names[of], repeats, times, rows, cells, drained_fs)


def _contents(
    columns: Mapping[str, Any], placed: Mapping[str, Column], names: Sequence[OperatorName]
) -> Callable[[_Step], bytes]:
    """Return what gives the content of a step, equal for equal ones wherever they are."""
    numbers: dict[OperatorName, int] = {}
    name = np.array([numbers.setdefault(each, len(numbers)) for each in names], np.int64)
    rows = np.stack([name, columns["repeat"], columns["duration_fs"]], axis=1)
    cells = np.stack([placed["cell"], placed["operator"], placed["repeat"]], axis=1)

    def content(step: _Step) -> bytes:
        mine = cells[step.first_placed : step.stop_placed].copy()
        mine[:, 1] = np.where(mine[:, 1] == NO_OPERATOR, NO_OPERATOR, mine[:, 1] - step.first)
        return rows[step.first : step.stop].tobytes() + b"|" + mine.tobytes()

    return content


def _steps(columns: Mapping[str, Any], placed: Mapping[str, Column], micro_batches: int) -> list[_Step]:
    """Return the steps as they are written: each a stretch of operators, and of placements with its draining last."""
    first = np.flatnonzero(_begins(columns, micro_batches))
    row = placed["operator"].copy()
    for at in np.flatnonzero(row == NO_OPERATOR).tolist():
        row[at] = row[at - 1] if at else 0
    stops = [*first[1:].tolist(), len(columns["step"])]
    first_placed = np.searchsorted(row, first).tolist()
    stops_placed = [*first_placed[1:], len(row)]
    return [_Step(*bounds) for bounds in zip(first.tolist(), stops, first_placed, stops_placed, strict=True)]


def _begins(columns: Mapping[str, Any], micro_batches: int) -> NDArray[np.bool_]:
    """Return which rows begin a step: another step or stage than before, or its first operator once more.

    Micro-batches of a step may follow each other with the same numbers; no operator of a block bears another's name.
    """
    step, stage = columns["step"], columns["stage"]
    begins = np.ones(len(step), np.bool_)
    begins[1:] = (step[1:] != step[:-1]) | (stage[1:] != stage[:-1])
    if micro_batches == 1:
        return begins
    head = np.maximum.accumulate(np.where(begins, np.arange(len(step)), 0))
    again = columns["first_instance"] == 0
    for name in ("block", "name"):
        again &= columns[name] == columns[name][head]
    found: NDArray[np.bool_] = begins | again
    return found

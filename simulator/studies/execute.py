"""Carry out a trace on a system that is set up, record it, and sum it up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dieshot.simulator.engine.cell import Cell, Placement
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.machine import OperatorRun, StepPlacement
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.recorder import Recorder
from dieshot.simulator.studies.account import Account
from dieshot.simulator.studies.bounds import Bounds
from dieshot.simulator.studies.provenance import provenance, wall_clock
from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.setup import SystemSetup
from dieshot.simulator.studies.split import Degrees, Split, split
from dieshot.simulator.studies.summary import summarize
from dieshot.traces import Operator, Trace

Progress = Callable[[str, int, int], None]

FLUSH_SECONDS = 5.0
NO_OPERATOR = -1


def execute(
    setup: SystemSetup,
    trace: Trace,
    *,
    wanted: Degrees,
    micro_batches: int,
    output: Path | str | None,
    compression: str,
    processes: int,
    progress: Progress | None,
    started: float,
) -> Run:
    """Run the trace of one micro-batch; see studies.run.run for the other arguments."""
    over = split(setup, trace, wanted, micro_batches)
    setup, parts = over.setup, over.parts
    stages = [stage.steps for stage in parts.stages]
    try:
        setup.chip.prepare(stages, processes, micro_batches)
    except UnsupportedError as error:
        raise InputError(str(error), file=setup.name) from None
    path = Path(output) if output is not None else None
    recorder = Recorder(path, compression) if path is not None else None
    with recorder or nullcontext():
        ledger = Ledger(over, recorder, progress)
        if recorder is not None:
            recorder.provenance(**provenance(over))
            recorder.components(ledger.specs)
            recorder.stages([stage.tensor_parallel for stage in parts.stages], over.part)
            recorder.flush()  # a run killed in its first step can still be replayed
        machine = setup.machine(parts.tensor_parallel, micro_batches)
        try:
            end_fs = machine.run(stages, ledger.place, trace.n_prefill_steps)
        except UnsupportedError as error:  # a group of chips that the links do not make
            raise InputError(str(error), file=setup.name) from None
        summary = summarize(over, ledger, end_fs)
        if recorder is not None:
            ledger.write(end_fs)
            for resolved in setup.resolved.values():
                recorder.parameters(resolved.records)
            recorder.summary(summary, end_fs)
            recorder.wall_clock(wall_clock(started))
    measured = wall_clock(started)
    keys = ("wall_s", "peak_rss_bytes")
    summary |= {key: measured[key] for key in keys} | {"log_bytes": path.stat().st_size if path else 0}
    return Run(summary, ledger.columns, path)


class Ledger:
    """Writes down what the machine places: operator rows, placements, cells once each; keeps the account."""

    def __init__(self, over: Split, recorder: Recorder | None, progress: Progress | None) -> None:
        setup, parts = over.setup, over.parts
        self.over = over
        self.parts = parts
        self.recorder = recorder
        self.progress = progress
        fabric = setup.fabric.components() if setup.fabric else ()
        self.specs = [*setup.chip.components(), *fabric]
        self.account = Account(self.specs, over.n_ranks)
        self.columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self.ends_fs: list[int] = []
        self.bounds = Bounds(dict(setup.chip.peaks()), len(parts.stages), setup.chip.overlaps_operators)
        self.serial_fs = 0
        self._cell_ids: dict[int, int] = {}
        self._placements: list[Placement] = []
        self._dims: dict[int, str] = {}
        self._flushed = time.monotonic()
        if setup.fabric_parameters is not None:
            link = setup.fabric_parameters.values
            self.bounds.peaks["link"] = float(link.n_links * link.rate)

    def place(self, placed: StepPlacement) -> None:
        """Take a step of a stage that the machine has carried out."""
        step = self.parts.stages[placed.stage].steps[placed.step]
        for run in placed.run.runs:
            block = step.blocks[run.block]
            operator = block.operators[run.operator]
            self._operator_row(placed, step.phase, block.name, operator, run)
            self._cells(placed, run.cells, run)
        drain = placed.run.drain
        if drain is not None:
            start_fs = placed.run.duration_fs - drain.duration_fs
            self._cells(placed, (drain,), OperatorRun(0, NO_OPERATOR, 0, 1, start_fs, 0, (drain,)))
        if placed.stage == len(self.parts.stages) - 1:
            self.ends_fs.append(placed.start_fs + placed.run.duration_fs)
            self._report()

    def _report(self) -> None:
        if self.progress is not None:
            self.progress("steps", len(self.ends_fs), len(self.parts.trace.steps) * self.over.micro_batches)
        if self.recorder is not None and time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._send()
            self.recorder.flush()
            self._flushed = time.monotonic()

    def _operator_row(
        self, placed: StepPlacement, phase: str, block: str, operator: Operator, run: OperatorRun
    ) -> None:
        bound = self.bounds.add(operator, placed.stage, run.repeat)
        if id(operator) not in self._dims:
            self._dims[id(operator)] = json.dumps(dict(operator.dims))
        values = (
            placed.step,
            placed.stage,
            phase,
            block,
            operator.name,
            operator.kind,
            self._dims[id(operator)],
            operator.dtype,
            operator.macs,
            operator.weight_bytes,
            operator.input_bytes,
            operator.output_bytes,
            operator.kv_read_bytes,
            operator.kv_write_bytes,
            run.first_instance,
            run.repeat,
            placed.start_fs + run.start_fs,
            run.stride_fs,
            run.duration_fs,
            bound.limit,
        )
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)

    def _cells(self, placed: StepPlacement, cells: Sequence[Cell], run: OperatorRun) -> None:
        start_fs = placed.start_fs + run.start_fs
        n_chips = self.parts.tensor_parallel
        row = NO_OPERATOR if run.operator == NO_OPERATOR else len(self.columns["step"]) - 1
        for cell in cells:
            if id(cell) not in self._cell_ids:
                self._cell_ids[id(cell)] = self.recorder.add_cell(cell) if self.recorder else len(self._cell_ids)
            self.account.place(cell, run.repeat * n_chips)
            self.serial_fs += cell.counters.get("serial_fs", cell.duration_fs) * run.repeat
            placement = Placement(self._cell_ids[id(cell)], start_fs, run.repeat, run.stride_fs, placed.stage, row)
            self._placements.append(placement)
            start_fs += cell.duration_fs

    def _send(self) -> None:
        if self.recorder is not None:
            self.recorder.add_placements(self._placements)
            self._placements = []

    def write(self, end_fs: int) -> None:
        """Hand everything to the recorder; `end_fs` is the end of the run."""
        if self.recorder is not None:
            self._send()
            self.recorder.operators(self.columns)


_COLUMNS = (
    "step",
    "stage",
    "phase",
    "block",
    "name",
    "kind",
    "dims",
    "dtype",
    "macs",
    "weight_bytes",
    "input_bytes",
    "output_bytes",
    "kv_read_bytes",
    "kv_write_bytes",
    "first_instance",
    "repeat",
    "start_fs",
    "stride_fs",
    "duration_fs",
    "bound",
)

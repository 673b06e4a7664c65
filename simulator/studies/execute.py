"""Carry out a trace on a system that is set up, record it, and sum it up."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from dieshot.simulator.log.recorder import Recorder
from dieshot.simulator.studies.compare import Against
from dieshot.simulator.studies.ledger import Ledger, Progress
from dieshot.simulator.studies.provenance import provenance, wall_clock
from dieshot.simulator.studies.refusing import refusing
from dieshot.simulator.studies.result import Run
from dieshot.simulator.studies.setup import SystemSetup
from dieshot.simulator.studies.split import Degrees, split
from dieshot.simulator.studies.summary import summarize
from dieshot.traces import Trace


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
    against: Against | None = None,
) -> Run:
    """Run the trace of one micro-batch; against: a run to compare with. See studies.run.run for other arguments."""
    over = split(setup, trace, wanted, micro_batches)
    setup, parts = over.setup, over.parts
    stages = [stage.steps for stage in parts.stages]
    with refusing(setup.name):
        setup.chip.prepare(stages, processes, micro_batches)
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
        with refusing(setup.name):  # such as a group of chips that the links do not make
            end_fs = machine.run(stages, ledger.place, trace.n_prefill_steps)
        summary = summarize(over, ledger, end_fs) | dict(setup.chip.figures(trace))
        if recorder is not None:
            ledger.write()
            for resolved in setup.resolved.values():
                recorder.parameters(resolved.records)
            recorder.summary(summary, end_fs)
            if against is not None:
                recorder.difference(against.told(summary))
            recorder.wall_clock(wall_clock(started))
    measured = wall_clock(started)
    keys = ("wall_s", "peak_rss_bytes")
    summary |= {key: measured[key] for key in keys} | {"log_bytes": path.stat().st_size if path else 0}
    return Run(summary, ledger.operator_columns, path, ledger, end_fs)

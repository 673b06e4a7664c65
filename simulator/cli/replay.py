"""`dieshot replay TRACE|RUN.h5 [SYSTEM]`."""

from pathlib import Path
from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.critical_path import path_of, path_record, print_path
from dieshot.simulator.cli.output import destination, reserved_stdout, short_name
from dieshot.simulator.cli.progress import ProgressBar

Source = Annotated[
    Path,
    typer.Argument(metavar="TRACE|RUN.h5", exists=True, dir_okay=False, readable=True, help="What to run again."),
]
OtherSystem = Annotated[
    str | None, typer.Argument(metavar="[SYSTEM]", help="Another system; a result file brings its own.")
]


def replay(
    source: Source,
    system: OtherSystem = None,
    sets: option.Sets = None,
    tensor_parallel: option.TensorParallel = None,
    pipeline_parallel: option.PipelineParallel = None,
    micro_batches: option.MicroBatches = None,
    against: option.AgainstRun = None,
    critical_path: option.CriticalPath = False,
    if_faster: option.IfFaster = True,
    output: option.Output = None,
    no_log: option.NoLog = False,
    compression: option.CompressionOption = "gzip",
    processes: option.Processes = 1,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
    debug: option.Debug = False,
) -> None:
    """Run a trace, or a result file's own inputs, again; with something changed, print where time and energy moved."""
    target = destination(output, _default_name(source, system), no_log)
    if target is not None and target.exists() and target.samefile(source):
        raise typer.BadParameter(f"{target} is the file being replayed", param_hint="--output")
    if target is not None and against is not None and target.exists() and target.samefile(against):
        raise typer.BadParameter(f"{target} is the file to compare with", param_hint="--output")
    with reserved_stdout(), ProgressBar(enabled=not quiet) as progress:
        from dieshot.simulator.studies.replay import other_run
        from dieshot.simulator.studies.replay import replay as simulate

        changes = (system, sets, tensor_parallel, pipeline_parallel, micro_batches)
        other = other_run(source, against, any(change is not None for change in changes))
        result = simulate(
            source,
            system,
            sets=tuple(sets or ()),
            tensor_parallel=tensor_parallel,
            pipeline_parallel=pipeline_parallel,
            micro_batches=micro_batches,
            against=other,
            output=target,
            compression=compression,
            processes=processes,
            progress=progress,
        )
        path = path_of(result, if_faster, processes, progress) if critical_path else None
    from dieshot.simulator.cli.difference import answer_told

    told = other.told(result.summary) if other else None
    answer_told(dict(result.summary) | path_record(path), told, target, as_json, quiet)
    print_path(path, as_json, quiet)


def _default_name(source: Path, system: str | None) -> str:
    return f"{short_name(source.name)}_{short_name(system) if system else 'replay'}.h5"

"""`dieshot show RUN.h5`."""

import sys

from dieshot.simulator.cli import option
from dieshot.simulator.cli.critical_path import path_of, path_record, print_path
from dieshot.simulator.cli.output import reserved_stdout
from dieshot.simulator.cli.progress import ProgressBar


def show(
    run_file: option.RunFile,
    critical_path: option.CriticalPath = False,
    if_faster: option.IfFaster = True,
    processes: option.Processes = 1,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """Print the figures of a result file, as `dieshot run` printed them."""
    with reserved_stdout(), ProgressBar() as progress:
        from dieshot.simulator.log.reader import open_run

        with open_run(run_file) as result:
            summary, complete, told = result.summary, result.complete, result.difference
        path = path_of(run_file, if_faster, processes, progress) if critical_path else None
    if not complete:
        print(f"{run_file}: the run did not come to its end; `dieshot cycles` reads what there is", file=sys.stderr)
    from dieshot.simulator.cli.difference import answer_told

    answer_told(summary | path_record(path), told, run_file, as_json)
    print_path(path, as_json)

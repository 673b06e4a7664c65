"""`dieshot show RUN.h5`."""

import sys

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import reserved_stdout


def show(run_file: option.RunFile, as_json: option.Json = False, debug: option.Debug = False) -> None:
    """Print the figures of a result file, as `dieshot run` printed them."""
    with reserved_stdout():
        from dieshot.simulator.log.reader import open_run

        with open_run(run_file) as result:
            summary, complete, told = result.summary, result.complete, result.difference
    if not complete:
        print(f"{run_file}: the run did not come to its end; `dieshot cycles` reads what there is", file=sys.stderr)
    from dieshot.simulator.cli.difference import answer_told

    answer_told(summary, told, run_file, as_json)

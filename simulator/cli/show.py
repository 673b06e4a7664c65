"""`dieshot show RUN.h5`."""

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import reserved_stdout


def show(run_file: option.RunFile, as_json: option.Json = False, debug: option.Debug = False) -> None:
    """Print the figures of a result file, as `dieshot run` printed them."""
    with reserved_stdout():
        from dieshot.simulator.log.reader import open_run

        summary = open_run(run_file).summary
    from dieshot.simulator.cli.summary import answer

    answer(summary, run_file, as_json)

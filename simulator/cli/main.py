"""The command line's door: the verbs, and what a failure looks like from outside."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from dieshot import __version__
from dieshot.simulator.cli import (
    audit,
    compare,
    cycles,
    describe,
    failure,
    micro,
    replay,
    results,
    run,
    sensitivity,
    show,
    spectrum,
    sweep,
    trace,
)
from dieshot.simulator.cli import list as listing

app = typer.Typer(
    name="dieshot",
    help="Simulate AI inference chips, cycle by cycle: time, energy and what every component waited for.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_VERBS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "trace": trace.trace,
    "replay": replay.replay,
    "results": results.results,
    "compare": compare.compare,
    "sensitivity": sensitivity.sensitivity,
    "sweep": sweep.sweep,
    "cycles": cycles.cycles,
    "spectrum": spectrum.spectrum,
    "show": show.show,
    "list": listing.list_catalog,
    "describe": describe.describe,
    "audit": audit.audit,
}
for _verb, _function in _VERBS.items():
    app.command(name=_verb)(_function)
app.add_typer(micro.app, name="micro")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"dieshot {__version__}")
        raise typer.Exit


@app.callback()
def dieshot(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Hold the options that come before a verb."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 the run failed, 2 the input was wrong, 130 interrupted.

    A failure prints one line on standard error; ``--debug`` adds the traceback of a failed run.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        status = app(args=words, prog_name="dieshot", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return failure.report(error, debug="--debug" in words)
    if status == failure.INTERRUPTED:
        return failure.report(KeyboardInterrupt())
    return status if isinstance(status, int) else 0

"""`dieshot compare A.h5 B.h5`."""

from pathlib import Path
from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

Before = Annotated[
    Path, typer.Argument(metavar="A.h5", exists=True, dir_okay=False, readable=True, help="A result file.")
]
After = Annotated[
    Path, typer.Argument(metavar="B.h5", exists=True, dir_okay=False, readable=True, help="What to hold beside it.")
]


def compare(before: Before, after: After, as_json: option.Json = False, debug: option.Debug = False) -> None:
    """Print what differs from one run to another, of whatever system, model and batch: what moved and what limits."""
    with reserved_stdout():
        from dieshot.simulator.studies.compare import compare as study

        found = study(before, after)
    if as_json:
        print_json(found)
        return
    from dieshot.simulator.cli.difference import print_difference

    print_difference(found["difference"], *_names(before, after))


def _names(before: Path, after: Path) -> tuple[str, str]:
    """Return what the runs are called: their files, by their folders too where the names are the same."""
    return (str(before), str(after)) if before.name == after.name else (before.name, after.name)

"""`dieshot describe NAME`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `dieshot list`, or a file.")]


def describe(name: Name, as_json: option.Json = False, debug: option.Debug = False) -> None:
    """Show every parameter of a system, chip, model, link or sweep with its value, unit, kind and source."""
    with reserved_stdout():
        from dieshot.simulator.studies.describe import describe as look_up

        record = look_up(name)
    if as_json:
        print_json(record)
    else:
        from dieshot.simulator.cli.table import print_parameters

        print_parameters(record)

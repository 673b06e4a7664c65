"""`dieshot list systems|chips|models|links|memories`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

KINDS = ("systems", "chips", "models", "links", "memories")

Kind = Annotated[
    str | None, typer.Argument(metavar="[systems|chips|models|links|memories]", help="What to list; all if absent.")
]


def list_catalog(kind: Kind = None, as_json: option.Json = False, debug: option.Debug = False) -> None:
    """List the systems, chips, models, links and memories that can be named."""
    if kind is not None:
        option.refuse_unknown(kind, KINDS, "KIND")
    with reserved_stdout():
        from dieshot.simulator.studies.describe import list_names

        names = {each: list(list_names(each)) for each in KINDS if kind in (None, each)}
    if as_json:
        print_json(names)
        return
    for each, members in names.items():
        if kind is None:
            print(f"{each}:")
        for name in members:
            print(name if kind else f"  {name}")

"""`dieshot compare A.h5 B.h5`."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import destination, print_json, reserved_stdout

Before = Annotated[
    Path, typer.Argument(metavar="A.h5", exists=True, dir_okay=False, readable=True, help="A result file.")
]
After = Annotated[
    Path, typer.Argument(metavar="B.h5", exists=True, dir_okay=False, readable=True, help="What to hold beside it.")
]


Page = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="PAGE", help="Write it as an HTML page that needs nothing else."),
]


def compare(
    before: Before,
    after: After,
    page: Page = None,
    as_json: option.Json = False,
    debug: option.Debug = False,
) -> None:
    """Print what differs from one run to another, of whatever system, model and batch: what moved and what limits."""
    target = destination(page, "", no_log=page is None)
    with reserved_stdout():
        from dieshot.simulator.studies.compare import compare as study

        found = study(before, after)
    if target is not None:
        _write_page(found, target, _names(before, after))
    if as_json:
        print_json(found)
        return
    from dieshot.simulator.cli.difference import print_difference

    print_difference(found["difference"], *_names(before, after))


def _write_page(found: Mapping[str, Any], target: Path, names: tuple[str, str]) -> None:
    """Write what the terminal would show, and what the runs are, as a page."""
    from rich.console import Console

    from dieshot.simulator.cli.difference import print_difference
    from dieshot.simulator.cli.table import PIPE_WIDTH

    out = Console(file=io.StringIO(), record=True, width=PIPE_WIDTH, highlight=False)
    for name, key in zip(names, ("before", "after"), strict=True):
        run = found[key]
        out.print(f"{name}: {run['model']} on {run['system']}, SHA-256 {run['digest']}", markup=False, soft_wrap=True)
    print_difference(found["difference"], *names, out)
    target.write_text(out.export_html(inline_styles=True), encoding="utf-8")


def _names(before: Path, after: Path) -> tuple[str, str]:
    """Return what the runs are called: their files, by their folders too where the names are the same."""
    return (str(before), str(after)) if before.name == after.name else (before.name, after.name)

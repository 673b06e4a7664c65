"""`dieshot results STORE`."""

from pathlib import Path
from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import destination, reserved_stdout

TABLE_ROWS = 100
PICTURES = (".png", ".svg")
SUFFIXES = (".csv", ".json", ".parquet")

StoreFolder = Annotated[Path, typer.Argument(metavar="STORE", help="The folder of a sweep's results.")]
QUOTES = "a column whose name has a dot or a dash goes in double quotes: '\"chip.hbm.pin_rate\" > 6'"
Where = Annotated[
    str | None,
    typer.Option(metavar="SQL", help=f'Rows to show, e.g. "batch > 100 and tokens_per_s_user > 50"; {QUOTES}.'),
]
Select = Annotated[
    str | None, typer.Option(metavar="SQL", help='Columns, or what follows from them, e.g. "batch, cycles / 1e9 as g".')
]
Order = Annotated[
    str | None,
    typer.Option(
        metavar="SQL", help='Order of the rows, e.g. "energy_per_token_j desc".', show_default="the sweep's own"
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        parser=option.AT_LEAST_0,
        metavar="N",
        help="Show that many rows at most.",
        show_default=f"all; {TABLE_ROWS} in a table",
    ),
]
SweepName = Annotated[
    str | None,
    typer.Option(
        "--sweep",
        metavar="NAME|N",
        help="One sweep's points, where a store has several.",
        show_default="each run of the store once",
    ),
]
Pareto = Annotated[
    str | None,
    typer.Option(
        metavar="GOALS",
        help="Only rows that no other row beats in all of these: min:energy_per_token_j,max:tokens_per_s_user.",
    ),
]
Picture = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw column --y over --x into a PNG or SVG file.")
]
Over = Annotated[str | None, typer.Option("--x", metavar="COLUMN", help="--plot: the column from left to right.")]
Drawn = Annotated[str | None, typer.Option("--y", metavar="COLUMN", help="--plot: the column from bottom to top.")]
By = Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="--plot: a line for each value of this column.")]
Log = Annotated[str, typer.Option("--log", metavar="x|y|xy", help="--plot: logarithmic axes.", show_default="none")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values, with exact figures.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help=f"Write the rows to a file: {', '.join(SUFFIXES)}."),
]


def results(
    store: StoreFolder,
    where: Where = None,
    select: Select = None,
    order: Order = None,
    limit: Limit = None,
    sweep: SweepName = None,
    pareto: Pareto = None,
    output: Output = None,
    plot: Picture = None,
    x: Over = None,
    y: Drawn = None,
    by: By = None,
    log: Log = "",
    as_json: option.Json = False,
    as_csv: Csv = False,
    quiet: option.Quiet = False,
    debug: option.Debug = False,
) -> None:
    """Show the results of a sweep: rows of runs that have ended, chosen and ordered by SQL expressions.

    Rows have the columns run, state (done, failed or set_aside), what was asked for (system, model, batch, each axis),
    figures with their unit at the end of the name, error and key; with --sweep also point. The sweep may still run.
    """
    file = _file(output)
    if sum(map(bool, (as_json, as_csv, output, plot))) > 1:
        raise typer.BadParameter("of --json, --csv, --output and --plot there can be one")
    picture = _picture(plot, x, y, log)
    is_table = not (as_json or as_csv or file or picture)
    most = TABLE_ROWS + 1 if is_table and limit is None and pareto is None else limit
    with reserved_stdout():
        from dieshot.simulator.cli import rows
        from dieshot.simulator.cli.goals import best
        from dieshot.simulator.store.question import Question, asked

        question = Question(where, select, order, None if pareto else most)
    with asked(store, question, sweep) as answer:
        found = answer if pareto is None else best(answer, pareto, most)
        if picture is not None:
            rows.draw(found, picture, str(x), str(y), by, log)
            if not quiet:
                print(f"{y} over {x} in {picture}")
        elif file is not None:
            n = rows.write(found, file)
            if not quiet:
                print(f"{n:,} rows in {file}")
        elif as_json:
            rows.print_json(found)
        elif as_csv:
            rows.print_csv(found)
        elif not quiet:
            rows.print_table(found, None if limit is not None else TABLE_ROWS, everything=select is not None)


def _file(output: Path | None) -> Path | None:
    if output is None:
        return None
    if output.suffix not in SUFFIXES:
        raise typer.BadParameter(f"{str(output)!r}, expected a name that ends in {', '.join(SUFFIXES)}")
    return destination(output, "")


def _picture(plot: Path | None, x: str | None, y: str | None, log: str) -> Path | None:
    if plot is None:
        return None
    if x is None or y is None:
        raise typer.BadParameter("--plot needs --x and --y")
    if log not in ("", "x", "y", "xy"):
        raise typer.BadParameter(f"{log!r}, expected x, y or xy", param_hint="--log")
    if plot.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"{plot}, expected a file that ends in {' or '.join(PICTURES)}", param_hint="--plot")
    return destination(plot, "")

"""`dieshot cycles RUN.h5 COMPONENT START:STOP`."""

from typing import Annotated

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout

DENSE_ROWS = 64

Component = Annotated[str, typer.Argument(metavar="COMPONENT", help="A component's path, e.g. chip0/sm0.")]
Span = Annotated[str, typer.Argument(metavar="START:STOP", help="Cycles of the component's own clock, STOP excluded.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values, one cycle a line.")]
RunLength = Annotated[
    bool | None,
    typer.Option(
        "--run-length/--dense",
        help="Put equal neighbouring cycles on one line, or not.",
        show_default=f"dense; a table of more than {DENSE_ROWS} cycles run-length",
    ),
]


def cycles(
    run_file: option.RunFile,
    component: Component,
    span: Span,
    as_json: option.Json = False,
    as_csv: Csv = False,
    run_length: RunLength = None,
    debug: option.Debug = False,
) -> None:
    """Show what one component did in every cycle of a window: utilization, state, amount of work and power."""
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    start, stop = parse_span(span)
    with reserved_stdout():
        from dieshot.simulator.log.reader import open_run

        with open_run(run_file) as result:
            window = result.cycles(component, start, stop)
    from dieshot.simulator.cli import window as view

    long_table = not (as_json or as_csv) and window.stop - window.start > DENSE_ROWS
    rows = view.Rows(window, long_table if run_length is None else run_length)
    if as_json:
        print_json(rows.record(), compact=True)
    elif as_csv:
        rows.print_csv()
    else:
        rows.print_table()


def parse_span(span: str) -> tuple[int, int]:
    """Return start and stop in cycles of a text `START:STOP`; anything but 0 <= start < stop is refused."""
    start_text, separator, stop_text = span.partition(":")
    try:
        start, stop = int(start_text), int(stop_text)
    except ValueError:
        start = stop = -1
    if not separator or not 0 <= start < stop:
        raise typer.BadParameter(
            f"{span!r}: expected two cycles such as 0:1000, start below stop", param_hint="START:STOP"
        )
    return start, stop

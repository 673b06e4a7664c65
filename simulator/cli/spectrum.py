"""`dieshot spectrum [SYSTEM ...]`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dieshot.simulator.cli import option, quantity
from dieshot.simulator.cli.output import destination, print_json, reserved_stdout
from dieshot.simulator.cli.progress import ProgressBar

Systems = Annotated[
    list[str] | None, typer.Argument(metavar="[SYSTEM]...", help="Systems by name or file; all of the catalog if none.")
]
SpectrumModel = Annotated[str, typer.Option("--model", metavar="MODEL", help="The model that all systems run.")]
Context = Annotated[
    int, typer.Option("--context", parser=option.AT_LEAST_1, metavar="N", help="Tokens that each sequence holds.")
]
TpotLimit = Annotated[
    str, typer.Option("--tpot-limit", metavar="TIME", help="What a token may take where users share a system.")
]
Page = Annotated[Path | None, typer.Option("-o", "--output", metavar="PAGE.html", help="Write it as a page, too.")]


LONGEST_TPOT_S = 3600


def spectrum(
    systems: Systems = None,
    model: SpectrumModel = "llama-3-70b",
    context: Context = 1088,
    tpot_limit: TpotLimit = "50ms",
    sets: option.Sets = None,
    explain: option.Explain = None,
    output: Page = None,
    processes: option.AllProcesses = None,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
    debug: option.Debug = False,
) -> None:
    """Run one model on every system: single stream, all users together, energy and cost of a token."""
    page = destination(output, "", no_log=output is None)
    with reserved_stdout(), ProgressBar(enabled=not quiet) as progress:
        from dieshot.simulator.studies import spectrum as study
        from dieshot.simulator.studies.micro.core import in_base
        from dieshot.simulator.studies.processors import n_processors

        limit_s = float(in_base("--tpot-limit", tpot_limit, "s", "50ms", 0, LONGEST_TPOT_S))
        asked: dict[str, Any] = {"context": context, "tpot_limit_s": limit_s, "sets": tuple(sets or ())}
        n_processes = processes or n_processors()
        if explain is not None:
            found = study.explain_row(explain, model, processes=n_processes, progress=progress, **asked)
        else:
            found = study.spectrum(model, systems or (), processes=n_processes, progress=progress, **asked)
    if as_json:
        print_json(found)
    elif explain is not None:
        from dieshot.simulator.cli.explain import print_explanation

        print_explanation(found)
    elif not quiet:
        _print(found)
    if page is not None and explain is None:
        from dieshot.simulator.report.page import spectrum_page

        page.write_text(spectrum_page(found))
    failed = [row for row in found.get("systems", ()) if row["failed"]]
    if failed:
        raise RuntimeError("; ".join(f"{row['system']}: {row['failed']}" for row in failed))


def _print(found: Mapping[str, Any]) -> None:
    from dieshot.simulator.cli.table import columns, console
    from dieshot.simulator.report.spectrum import HEADINGS, cells

    out = console()
    able = [row for row in found["systems"] if row["refused"] is None and not row["failed"]]
    limit = quantity.si(found["tpot_limit_s"], "s")
    out.print(
        f"{found['model']}, decoding at {found['context']:,} tokens of context; all users: the batch with the most "
        f"tokens a second of which each takes {limit} at most",
        markup=False,
    )
    out.print(columns("", HEADINGS, (cells(row) for row in able), dense=True))
    others = [row for row in found["systems"] if row["refused"] is not None]
    if others:
        out.print(columns("systems that cannot, and the largest model that they run", {"system": "left", "why": "left"},
                          ((row["system"], row["refused"].split("; expected")[0]) for row in others)))  # fmt: skip
        rows = ((row["model"], *cells(row)) for row in others if row["model"])
        out.print(columns("", {"model": "left", **HEADINGS}, rows, dense=True))
    _print_order(found["order"])


def _print_order(order: Mapping[str, Any]) -> None:
    from dieshot.simulator.cli.table import console
    from dieshot.simulator.report.spectrum import order_line

    out = console()
    marks = "published: * with speculative decoding, which is not simulated; ? perhaps with it. $/Mtok: r rented"
    out.print(marks, markup=False)
    out.print(order_line(order), markup=False)

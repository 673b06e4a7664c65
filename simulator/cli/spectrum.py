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
    float,
    typer.Option(
        "--tpot-limit", parser=option.seconds, metavar="TIME", help="What a token may take where users share a system."
    ),
]
Page = Annotated[Path | None, typer.Option("-o", "--output", metavar="PAGE.html", help="Write it as a page, too.")]


def spectrum(
    systems: Systems = None,
    model: SpectrumModel = "llama-3-70b",
    context: Context = 1088,
    tpot_limit: TpotLimit = 0.05,
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
    asked: dict[str, Any] = {"context": context, "tpot_limit_s": tpot_limit, "sets": tuple(sets or ())}
    with reserved_stdout(), ProgressBar(enabled=not quiet) as progress:
        from dieshot.simulator.studies import spectrum as study

        n_processes = processes or option.all_processors()
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
        from dieshot.simulator.cli.page import spectrum_page

        page.write_text(spectrum_page(found))
    failed = [row for row in found.get("systems", ()) if row["failed"]]
    if failed:
        raise RuntimeError("; ".join(f"{row['system']}: {row['failed']}" for row in failed))


def _print(found: Mapping[str, Any]) -> None:
    from dieshot.simulator.cli.table import columns, console

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


# "user": token/s of one user alone; "all": of all users together. The page has the words in full.
HEADINGS = {
    "system": "left",
    "chips": "right",
    "format": "left",
    "user tok/s": "right",
    "published": "right",
    "all tok/s": "right",
    "batch": "right",
    "J/tok": "right",
    "kW": "right",
    "$/Mtok": "right",
    "waits for": "left",
    "assumed": "right",
}


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        row["system"],
        f"{row['chips']:,}",
        row["precision"],
        _short(row["tokens_per_s_user"]),
        _published(row, "tokens_per_s_user"),
        _short(row["tokens_per_s_system"]),
        f"{row['batch']:,}" if row["batch"] else "-",
        _short(row["energy_per_token_j"] or row["energy_per_token_single_j"]),
        _short(row["power_w"] and row["power_w"] / 1000),
        _short(row["usd_per_mtoken"]) + ("r" if row["usd_basis"] == "rent" else ""),
        f"{row['stall']} {row['stall_share']:.0%}",
        f"{row['assumed_share']:.0%}",
    )


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _published(row: Mapping[str, Any], metric: str) -> str:
    """Return the published figures; those with speculative decoding, or perhaps, are marked."""
    marks = {"no": "", "yes": "*", "unknown": "?"}
    figures = (each for each in row["published"] if each["metric"] == metric)
    return ", ".join(f"{_short(each['value'])}{marks[each['speculation']]}" for each in figures)


def _print_order(order: Mapping[str, Any]) -> None:
    from dieshot.simulator.cli.table import console

    out = console()
    marks = "published: * with speculative decoding, which is not simulated; ? perhaps with it. $/Mtok: r rented"
    out.print(marks, markup=False)
    out.print(order_line(order), markup=False)


def order_line(order: Mapping[str, Any]) -> str:
    """Return in words whether the systems stand in the order of the published figures."""
    n_systems, rank = order["systems"], order["spearman"]
    if rank is None:
        return f"{n_systems} systems have published single streams of this model: too few to compare their order"
    return f"order of the {n_systems} systems with published single streams: rank correlation {rank:.2f}"

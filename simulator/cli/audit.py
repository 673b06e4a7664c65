"""`dieshot audit [CLAIMS.csv]`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dieshot.simulator.cli import option
from dieshot.simulator.cli.output import print_json, reserved_stdout
from dieshot.simulator.cli.progress import ProgressBar

Claims = Annotated[
    Path | None,
    typer.Argument(
        metavar="CLAIMS.csv", exists=True, dir_okay=False, readable=True,
        help="Claims to judge, in the columns of configs/claims/claims.csv.", show_default="those that come along",
    ),
]  # fmt: skip
Only = Annotated[
    str | None, typer.Option("--only", metavar="SYSTEM/METRIC", help="Claims of a system, a metric or both.")
]
Explain = Annotated[
    str | None, typer.Option("--explain", metavar="ID", help="Open one claim: arithmetic, run, what it leans on.")
]
NoRuns = Annotated[
    bool, typer.Option("--no-runs", help="Leave the simulation out: arithmetic and published figures only.")
]


def audit(
    claims: Claims = None,
    only: Only = None,
    explain: Explain = None,
    no_runs: NoRuns = False,
    processes: option.Processes = 2,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
    debug: option.Debug = False,
) -> None:
    """Hold claims about inference chips against simulation, physics, published figures and each other."""
    if explain is not None and only is not None:
        raise typer.BadParameter("--explain and --only exclude each other")
    with reserved_stdout(), ProgressBar(enabled=not quiet) as progress:
        from dieshot.simulator.studies.audit.report import explained, reported

        if explain is not None:
            record = explained(explain, claims, simulate=not no_runs, processes=processes, progress=progress)
        else:
            record = reported(claims, only=only, simulate=not no_runs, processes=processes, progress=progress)
    if as_json:
        print_json(record)
    elif not quiet and explain is not None:
        _print_one(record)
    elif not quiet:
        _print_all(record)


def _print_all(record: Mapping[str, Any]) -> None:
    from dieshot.simulator.cli.table import columns, console

    out = console()
    headings = {
        "claim": "left",
        "figure": "right",
        "simulated (batch)": "right",
        "bound or published": "left",
        "verdict": "left",
    }
    by_system: dict[str, list[Mapping[str, Any]]] = {}
    for claim in record["claims"]:
        by_system.setdefault(claim["system"], []).append(claim)
    for system, claims in by_system.items():
        out.print(columns(system, headings, (_row(each) for each in claims)))
    counts = ", ".join(f"{n} {verdict}" for verdict, n in record["verdicts"].items() if n)
    out.print(f"{len(record['claims'])} claims: {counts}", markup=False)
    out.print(f"{record['runs']} runs; --explain ID opens a claim", markup=False)


def _row(claim: Mapping[str, Any]) -> tuple[str, ...]:
    about = " ".join(part for part in (claim["metric"], claim["model"], _chips(claim)) if part)
    return (f"{claim['id']}\n{about}", claim["figure"], claim["shown"], claim["against"], claim["said"])


def _chips(claim: Mapping[str, Any]) -> str:
    return f"x{claim['chips']}" if claim["chips"] else ""


def _print_one(record: Mapping[str, Any]) -> None:
    from dieshot.simulator.cli.explain import print_explanation
    from dieshot.simulator.cli.table import console, grid

    out = console()
    out.print(grid((name, str(value)) for name, value in record["claim"].items()))
    for finding in record["findings"]:
        out.print(f"\n{finding['verdict']}", style="bold", markup=False, soft_wrap=True)
        out.print(f"  {finding['arithmetic']}", markup=False, soft_wrap=True)
        if finding["source_titles"]:
            out.print(f"  after {'; '.join(finding['source_titles'])}", markup=False, soft_wrap=True)
    out.print()
    for command in record["commands"]:
        out.print(f"held against: {command}", markup=False, soft_wrap=True)
    if record["run"] is not None:
        print_explanation(record["run"])

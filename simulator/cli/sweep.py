"""`dieshot sweep SWEEP.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dieshot.simulator.cli import cluster_option, option
from dieshot.simulator.cli.output import destination, print_json, reserved_stdout
from dieshot.simulator.cli.sweep_progress import SweepProgress

if TYPE_CHECKING:
    from dieshot.simulator.sweep.sweep import SweepResult

RETRIED = ("failed", "set_aside")
PICTURES = (".png", ".svg")


def _retried(value: str) -> str:
    option.refuse_unknown(value, RETRIED, "'--retry'")
    return value


Document = Annotated[
    str | None, typer.Argument(metavar="SWEEP", help="A sweep document, by file or name (see `dieshot list sweeps`).")
]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="Where runs are kept and found again.", show_default="NAME.sweep here"),
]
EngineName = Annotated[str, typer.Option("--engine", metavar="NAME", help="serial, processes, dask or slurm.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        parser=option.AT_LEAST_1,
        metavar="N",
        help="Workers.",
        show_default="as many as there are processors",
    ),
]
Logs = Annotated[bool, typer.Option("--logs", help="Keep the full log of each run that is carried out, in DIR/logs.")]
Retry = Annotated[
    list[str] | None,
    typer.Option(
        "--retry",
        parser=_retried,
        metavar="failed|set_aside",
        help="Try the store's failed runs again, or those that killed three workers. Repeatable.",
    ),
]
Status = Annotated[
    Path | None, typer.Option("--status", metavar="DIR", help="Tell how the store's sweeps stand, and run nothing.")
]
Picture = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw what the document's `plot` says, as PNG or SVG.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Without a terminal, tell every 30 s how far it is.")]


def sweep(
    document: Document = None,
    store: StoreFolder = None,
    engine: EngineName = "processes",
    workers: Workers = None,
    logs: Logs = False,
    retry: Retry = None,
    plot: Picture = None,
    status: Status = None,
    address: cluster_option.Address = None,
    scheduler_file: cluster_option.SchedulerFile = None,
    tls_ca: cluster_option.TlsCa = None,
    tls_cert: cluster_option.TlsCert = None,
    tls_key: cluster_option.TlsKey = None,
    partition: cluster_option.Partition = None,
    time: cluster_option.Time = None,
    slurm_options: cluster_option.SlurmOptions = None,
    interface: cluster_option.Interface = None,
    cluster_folder: cluster_option.ClusterFolder = None,
    dry_run: cluster_option.DryRun = False,
    as_json: option.Json = False,
    quiet: option.Quiet = False,
    verbose: Verbose = False,
    debug: option.Debug = False,
) -> None:
    """Carry out the runs of a sweep into a store, by several workers; the same command again goes on where it was.

    A run is known by what it follows from (configuration, trace, code) and never computed twice in a store. A run that
    fails is kept with its error. Results: `dieshot results DIR`.
    """
    if status is not None:
        _tell_status(status, as_json)
        return
    if document is None:
        raise typer.BadParameter("expected a sweep document, or --status DIR", param_hint="SWEEP")
    options = cluster_option.of_engine(
        engine,
        {
            "address": address,
            "scheduler_file": scheduler_file,
            "tls_ca": tls_ca,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "partition": partition,
            "time": time,
            "slurm_options": tuple(slurm_options or ()),
            "interface": interface,
            "cluster_folder": cluster_folder,
            "dry_run": dry_run,
        },
    )
    if options.pop("dry_run", False):
        _print_script(document, store, workers, options)
        return
    if plot is not None:
        _check_picture(plot, document)
    with reserved_stdout(), SweepProgress(not quiet, verbose) as progress:
        from dieshot.simulator.sweep.findings import findings

        result = _carried_out(
            document,
            progress,
            store=store,
            engine=engine,
            workers=workers,
            logs=logs,
            retry=tuple(retry or ()),
            options=options,
        )
        found = findings(result)
        if plot is not None:
            found["plot"] = _drawn(result, plot)
    _tell(found, as_json, quiet)


def _carried_out(document: str, progress: SweepProgress, **options: Any) -> SweepResult:
    """Return the sweep's result; StoppedError with its exit status where it ended before its time."""
    from dieshot.simulator.sweep.engines.engine import EngineLostError
    from dieshot.simulator.sweep.stop import Stop, StoppedError
    from dieshot.simulator.sweep.sweep import sweep as carry_out

    stop = Stop()
    try:
        result = carry_out(document, tell=progress, stop=stop, **options)
    except EngineLostError as error:
        again = "what has ended is in the store, the same command again goes on"
        raise StoppedError(f"{error}; {again}", 1) from error
    if stop.number is not None and result.counts.open:
        where = f"{result.counts.final:,} of {result.counts.total:,} runs are in {result.folder}"
        raise StoppedError(f"stopped; {where}; the same command again goes on", 128 + stop.number)
    return result


def _check_picture(file: Path, document: str) -> None:
    """Refuse a picture that could not be drawn, before any work."""
    from dieshot.simulator.errors import InputError
    from dieshot.simulator.sweep.document import read_sweep

    if file.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"{file}, expected a file that ends in {' or '.join(PICTURES)}", param_hint="--plot")
    destination(file, "")
    found = read_sweep(document)
    if found.plot is None:
        raise InputError("says nothing of a plot", file=found.file, expected="plot: {x: COLUMN, y: COLUMN}")


def _drawn(result: SweepResult, file: Path) -> str:
    from dieshot.simulator.report.plot import plot
    from dieshot.simulator.sweep.findings import columns, with_values

    wanted = result.document.plot
    assert wanted is not None
    names = [name for name in (wanted.x, wanted.y, wanted.by) if name]
    rows = [with_values(result, row) for row in columns(result, ("point", *names))]
    ways = {name: getattr(wanted, name) for name in ("by", "kind", "x_scale", "y_scale", "title", "x_label", "y_label")}
    return str(plot(rows, wanted.x, wanted.y, file, units=result.space.units, **ways))


def _print_script(document: str, store: Path | None, workers: int | None, options: Mapping[str, Any]) -> None:
    with reserved_stdout():
        from dieshot.simulator.sweep.document import read_sweep
        from dieshot.simulator.sweep.engines.options import EngineOptions
        from dieshot.simulator.sweep.engines.slurm import dry_run
        from dieshot.simulator.sweep.sweep import store_folder

        folder = store_folder(read_sweep(document), store)
        script = dry_run(EngineOptions(folder=folder, workers=workers, **options))
    print(script, end="")


def _tell(found: Mapping[str, Any], as_json: bool, quiet: bool) -> None:
    from dieshot.simulator.sweep.stop import StoppedError

    if as_json:
        print_json(found)
    elif not quiet:
        from dieshot.simulator.cli.sweep_report import print_findings

        print_findings(found)
    if found["runs"]["total"] and not found["runs"]["done"]:
        first = found["errors"][0]["error"] if found["errors"] else "see the store"
        raise StoppedError(f"no run of {found['runs']['total']:,} succeeded: {first}", 1)


def _tell_status(folder: Path, as_json: bool) -> None:
    with reserved_stdout():
        from dieshot.simulator.sweep.status import sweep_status

        found = sweep_status(folder)
    if as_json:
        print_json(found)
        return
    from dieshot.simulator.cli.sweep_report import print_status

    print_status(found)

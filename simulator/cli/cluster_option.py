"""Options of `dieshot sweep` for workers that are elsewhere: a Dask cluster that is there, or Slurm's queue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

DASK, SLURM = "dask", "slurm"
_ENGINES = {
    "address": DASK,
    "scheduler_file": DASK,
    "tls_ca": DASK,
    "tls_cert": DASK,
    "tls_key": DASK,
    "partition": SLURM,
    "time": SLURM,
    "slurm_options": SLURM,
    "interface": SLURM,
    "cluster_folder": SLURM,
    "dry_run": SLURM,
}

Address = Annotated[
    str | None,
    typer.Option("--address", metavar="tls://HOST:PORT", help="dask: the scheduler; tcp:// on this machine only."),
]
SchedulerFile = Annotated[
    Path | None, typer.Option("--scheduler-file", metavar="FILE", help="dask: the scheduler's file.")
]
TlsCa = Annotated[
    Path | None,
    typer.Option("--tls-ca", metavar="FILE", help="dask: the authority's certificate; else Dask's settings."),
]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="dask: this client's certificate.")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="dask: this client's key.")]
Partition = Annotated[str | None, typer.Option("--partition", metavar="NAME", help="slurm: where workers queue.")]
Time = Annotated[str | None, typer.Option("--time", metavar="H:MM:SS", help="slurm: how long a worker may stay.")]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option("--slurm-option", metavar="OPTION", help="slurm: one for sbatch, such as --mem=4G. Repeatable."),
]
Interface = Annotated[
    str | None,
    typer.Option("--interface", metavar="NAME", help="slurm: the network between this machine and the nodes."),
]
ClusterFolder = Annotated[
    Path | None,
    typer.Option(
        "--cluster-folder",
        metavar="DIR",
        help="slurm: where this machine and the nodes meet; on a file system of both.",
        show_default="DIR/cluster",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="slurm: print the batch script, for other systems to adapt, and run nothing.")
]


def of_engine(engine: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that were given; InputError for one that the engine does not have."""
    from dieshot.simulator.errors import InputError

    options = {name: value for name, value in given.items() if value}
    for name in options:
        if _ENGINES[name] != engine:
            key = f"--{name.removesuffix('s') if name == 'slurm_options' else name}".replace("_", "-")
            raise InputError(f"not an option of the engine {engine}", key=key, expected=f"--engine {_ENGINES[name]}")
    return options

"""What the person who starts a sweep may say about its engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """workers: how many (None: the engine's own choice); folder: where an engine may keep files of its own.

    address or scheduler_file: where a Dask scheduler is, with the certificates to reach it. interface: the network
    interface of our own cluster; cluster_folder: a folder that its nodes see, too. partition, time and
    slurm_options (such as `--mem=4G`): what Slurm is asked for.
    """

    folder: Path
    workers: int | None = None
    address: str | None = None
    scheduler_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    interface: str | None = None
    cluster_folder: Path | None = None
    partition: str | None = None
    time: str | None = None
    slurm_options: tuple[str, ...] = ()

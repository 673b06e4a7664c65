"""The engine on Slurm: workers in an array of its queue, which reach a scheduler of our own by TLS."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from typing import ClassVar

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.engines import slurm_queue
from dieshot.simulator.sweep.engines.certificate import CERTIFICATE, KEY, Certificate
from dieshot.simulator.sweep.engines.dask import Dask, Function
from dieshot.simulator.sweep.engines.engine import Chunk, Engine, EngineLostError, Event, Finished
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.engines.own_cluster import OwnCluster, folder_of, with_defaults
from dieshot.simulator.sweep.engines.scheduler_address import security
from dieshot.simulator.sweep.engines.script import script
from dieshot.simulator.sweep.outcome import carry_out

CHECK_S = 10.0  # between looks at the queue while there is no worker
UNANSWERED_S = 300.0


class Slurm(Engine):
    """Dask's engine, and the cluster that it works on."""

    chunk_s: ClassVar[tuple[float, float]] = Dask.chunk_s

    def __init__(self, cluster: OwnCluster, function: Function = carry_out) -> None:
        self._cluster = cluster
        self._checked_s = time.monotonic()
        self._unanswered_s: float | None = None
        certificate, key = cluster.certificate
        try:
            self._dask = Dask(self._address, security(certificate, certificate, key), function, absent_s=None)
        except BaseException:
            with contextlib.suppress(slurm_queue.QueueError):
                cluster.end()
            raise

    @property
    def n_workers(self) -> int:
        """Workers that have come; none while the array waits in the queue."""
        return self._dask.n_workers

    @property
    def room(self) -> int:
        """As of Dask's engine."""
        return self._dask.room

    def submit(self, chunk: Chunk) -> None:
        """Pass a chunk on."""
        self._dask.submit(chunk)

    def events(self, timeout_s: float) -> Sequence[Event]:
        """Return what has happened; see that there are workers, or will be."""
        told = self._dask.events(timeout_s)
        if any(isinstance(event, Finished) for event in told):
            self._cluster.is_of_use()
        if not self._dask.n_workers and time.monotonic() > self._checked_s + CHECK_S:
            self._checked_s = time.monotonic()
            self._look_after_workers()
        return told

    def _look_after_workers(self) -> None:
        """Queue another array where none is left; a queue that does not answer is asked again for some time."""
        try:
            if not self._cluster.has_tasks():
                self._cluster.submit()
            self._unanswered_s = None
        except slurm_queue.QueueError as error:
            self._unanswered_s = self._unanswered_s or time.monotonic()
            if time.monotonic() > self._unanswered_s + UNANSWERED_S:
                raise EngineLostError(f"there are no workers, and no answer from Slurm: {error}") from None

    def stop(self) -> None:
        """As of Dask's engine."""
        self._dask.stop()

    def close(self) -> None:
        """End the array and the scheduler."""
        try:
            self._dask.shut_down()
        finally:
            with contextlib.suppress(slurm_queue.QueueError):  # workers end by themselves without a scheduler
                self._cluster.end()

    def _address(self) -> str:
        try:
            return self._cluster.address()
        except slurm_queue.QueueError as error:
            raise EngineLostError(str(error)) from None


def check_options(options: EngineOptions) -> None:
    """Raise InputError for options that cannot stand in a batch script, or where there is no Slurm."""
    dry_run(options)
    slurm_queue.check()


def open_engine(options: EngineOptions, function: Function = carry_out) -> Engine:
    """Return the engine, its workers in the queue; InputError if Slurm does not take them."""
    try:
        return Slurm(OwnCluster(options), function)
    except slurm_queue.QueueError as error:
        raise InputError(f"Slurm does not take the workers: {error}", key="--engine") from None


def dry_run(options: EngineOptions) -> str:
    """Return the batch script that would be submitted; nothing is written or run."""
    folder = folder_of(options)
    certificate = Certificate(folder / CERTIFICATE, folder / KEY)
    return script(with_defaults(options), "dieshot-sweep", folder, sys.executable, certificate.words)

"""A cluster of our own: a scheduler that this client starts beside itself, and an array of workers in Slurm's queue.

All that is known of it is in one folder, so that a client that was killed finds its cluster again: `cluster.json` (the
array's name, what was asked for), Dask's scheduler file, the certificate, the script and the logs.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError, one_line
from dieshot.simulator.sweep.engines import scheduler_watch, slurm_queue
from dieshot.simulator.sweep.engines.certificate import Certificate, certificate_in
from dieshot.simulator.sweep.engines.dask_client import shut_down
from dieshot.simulator.sweep.engines.dask_worker import identity
from dieshot.simulator.sweep.engines.engine import EngineLostError
from dieshot.simulator.sweep.engines.options import EngineOptions
from dieshot.simulator.sweep.engines.scheduler_address import address_in, security
from dieshot.simulator.sweep.engines.script import file_of, host_of, scheduler_words, script

FOLDER, RECORD, SCRIPT = "cluster", "cluster.json", "workers.sh"
DEFAULT_WORKERS = 4
START_S = 30.0
MOST_STARTS = 4  # of a scheduler, and of arrays without a run's end in between


def folder_of(options: EngineOptions) -> Path:
    """Return where a cluster's files are."""
    return (options.cluster_folder or options.folder / FOLDER).absolute()


def with_defaults(options: EngineOptions) -> EngineOptions:
    """Return the options with a number of workers."""
    return replace(options, workers=options.workers or DEFAULT_WORKERS)


class OwnCluster:
    """Starts, finds again, renews and ends; QueueError and EngineLostError where it cannot."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = with_defaults(options)
        self.folder = folder_of(options)
        self.certificate: Certificate = certificate_in(self.folder)
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._n_starts = self._n_arrays = 0
        found = self._recorded()
        self._name: str = found["name"] if found is not None else ""
        self.is_found = found is not None and found["asked"] == self._asked and self._answers()
        try:
            if not self.is_found:
                if found is not None:
                    self._end_other()
                self._start()
            elif not self.has_tasks():
                self.submit()
        except BaseException:
            self._end_scheduler()
            raise

    def address(self) -> str:
        """Return where the scheduler is; where it is gone, start another with other workers."""
        if not self._answers():
            slurm_queue.cancel(self._name)
            self._start()
        return address_in(self._file)

    def has_tasks(self) -> bool:
        """Return whether workers are at work, or may still be."""
        return slurm_queue.n_tasks(self._name) > 0

    def submit(self) -> None:
        """Queue the array."""
        self._n_arrays += 1
        if self._n_arrays > MOST_STARTS:
            raise EngineLostError(f"{MOST_STARTS} arrays of workers have ended without a run done{self._last_words()}")
        slurm_queue.submit(self.folder / SCRIPT)

    def is_of_use(self) -> None:
        """A run has come to its end: arrays do their work."""
        self._n_arrays = 0

    def end(self) -> None:
        """Take everything down."""
        try:
            slurm_queue.cancel(self._name)
        finally:
            self._end_scheduler()
            (self.folder / RECORD).unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return file_of(self.folder, self._name)

    @property
    def _asked(self) -> dict[str, Any]:
        """What another cluster would be needed for, if it changed."""
        asked = self._options
        return {
            "python": sys.executable,
            "identity": identity(),
            "workers": asked.workers,
            "partition": asked.partition,
            "time": asked.time,
            "interface": asked.interface,
            "slurm_options": list(asked.slurm_options),
        }

    def _end_scheduler(self) -> None:
        if self._scheduler is not None:
            self._scheduler.terminate()
            try:
                self._scheduler.wait(10)
            except subprocess.TimeoutExpired:
                self._scheduler.kill()
                self._scheduler.wait()

    def _end_other(self) -> None:
        """End a cluster that was asked for in another way."""
        slurm_queue.cancel(self._name)
        if self._answers():
            shut_down(self.address(), security(self.certificate.certificate, *self.certificate))

    def _recorded(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            return {"name": str(found["name"]), "asked": found["asked"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _answers(self) -> bool:
        """Return whether something listens where the scheduler was last."""
        try:
            host, _, port = address_in(self._file).rpartition("://")[2].rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
                return self._scheduler is None or self._scheduler.poll() is None
        except (InputError, OSError, ValueError):
            return False

    def _start(self) -> None:
        self._n_starts += 1
        if self._n_starts > MOST_STARTS:
            raise EngineLostError(f"the scheduler has died {MOST_STARTS} times; see {self.folder / 'scheduler.log'}")
        self._name = f"dieshot-{secrets.token_hex(4)}"
        words = self.certificate.words
        text = script(self._options, self._name, self.folder, sys.executable, words)
        (self.folder / SCRIPT).write_text(text, encoding="utf-8")
        # Before anything is in the queue, so that whoever comes after us knows what to look for.
        (self.folder / RECORD).write_text(json.dumps({"name": self._name, "asked": self._asked}), encoding="utf-8")
        self._start_scheduler(words)
        self.submit()

    def _start_scheduler(self, certificate: list[str]) -> None:
        words = scheduler_words(sys.executable, self._file, host_of(self._options.interface), certificate)
        with (self.folder / "scheduler.log").open("ab") as log:
            # A session of its own: what interrupts the client is not to interrupt it.
            self._scheduler = subprocess.Popen(
                [*words, "--preload", scheduler_watch.module_name()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **scheduler_watch.environment(self._name)},
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._scheduler.poll() is not None or time.monotonic() > deadline:
                raise EngineLostError(f"the scheduler does not start; see {self.folder / 'scheduler.log'}")
            time.sleep(0.05)

    def _last_words(self) -> str:
        """Return the last line of a worker, if there is one, to tell what may be wrong."""
        for file in sorted(self.folder.glob("worker-*.log")):
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - 4096))
                lines = [line for line in opened.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return f"; {file} ends with: {one_line(lines[-1].strip(), 200)}"
        return ""

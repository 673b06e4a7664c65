"""Scheduler and workers of Dask as processes of this machine, ended by their own ids whatever happens."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

TESTS = Path(__file__).resolve().parents[1]
START_S = 30.0
NO_PAGES = ("--no-dashboard", "--dashboard-address", "127.0.0.1:0")


class Cluster:
    """A scheduler on loopback, and workers with one thread each."""

    def __init__(self, folder: Path, n_workers: int, *, certificates: Sequence[Path] = (), nanny: bool = False) -> None:
        self.folder = folder
        self.scheduler_file = folder / "scheduler.json"
        self._tls = [
            word
            for name, file in zip(("ca-file", "cert", "key"), certificates, strict=False)
            for word in (f"--tls-{name}", str(file))
        ]
        self._nanny = "--nanny" if nanny else "--no-nanny"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()
        for _ in range(n_workers):
            self.start_worker()

    @property
    def address(self) -> str:
        return str(json.loads(self.scheduler_file.read_text())["address"])

    def start_scheduler(self, port: int = 0) -> subprocess.Popen[bytes]:
        self.scheduler_file.unlink(missing_ok=True)
        protocol = "tls" if self._tls else "tcp"
        words = ["--host", f"{protocol}://127.0.0.1", "--port", str(port), "--scheduler-file", str(self.scheduler_file)]
        self.scheduler = self._start("scheduler", *words)
        wait_for(self.scheduler_file.exists)
        return self.scheduler

    def start_worker(self, n_threads: str = "1") -> subprocess.Popen[bytes]:
        words = [
            "--scheduler-file",
            str(self.scheduler_file),
            "--nthreads",
            n_threads,
            "--memory-limit",
            "0",
            self._nanny,
        ]
        protocol = "tls" if self._tls else "tcp"
        worker = self._start("worker", *words, "--host", "127.0.0.1", "--protocol", protocol, "--death-timeout", "30")
        self.workers.append(worker)
        return worker

    def _start(self, part: str, *words: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "dask",
            part,
            *words,
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
            *self._tls,
        ]
        if part == "worker":
            command += ["--local-directory", str(self.folder)]
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": path_with_tests(),
                    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
                },
            )

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            end_group(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def path_with_tests() -> str:
    """Return where workers are to look for modules, so that they find those of these tests, too."""
    return os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(TESTS)]).lstrip(os.pathsep)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that leads a session of its own, and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def wait_for(condition: Callable[[], object], timeout_s: float = START_S) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)

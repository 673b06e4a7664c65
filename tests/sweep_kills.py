"""Sweeps that are killed at random, over and over, by SIGKILL: for the test, and for the longer trial beside it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dieshot.simulator.store.status import status

VICTIMS = ("client", "worker", "workers", "client and workers", "group")
LONGEST_PAUSE_S = 0.3
LAST_RUNS = 100  # are left in peace, or the sweep would be over before it is killed
PATIENCE_S = 240.0
SHORT_RUNS = """\
name: short
system: hc1
model: llama-3.1-8b
prompt: 1
generate: 1
batch: [1, 2]
cached: {{from: 0, to: {last}}}
"""


@dataclass
class Trial:
    """A sweep under fire. killed: who, by kill; workers: all that were ever seen."""

    document: Path
    store: Path
    rng: random.Random
    victims: tuple[str, ...] = VICTIMS
    killed: list[str] = field(default_factory=list)
    workers: set[psutil.Process] = field(default_factory=set)
    clients: int = 0

    def run(self, n_kills: int, n_runs: int) -> None:
        """Kill `n_kills` times, spread over the sweep; leave it finished."""
        at = sorted(self.rng.sample(range(n_runs - LAST_RUNS), n_kills))
        client = self._start()
        deadline_s = time.monotonic() + PATIENCE_S
        for index in range(n_kills):
            while n_ended(self.store) < at[index]:
                assert time.monotonic() < deadline_s, f"{n_ended(self.store)} runs after {self.killed}"
                client = self._alive(client)
                time.sleep(0.01)
            client = self._alive(client)
            time.sleep(self.rng.random() * LONGEST_PAUSE_S)
            self._kill(client, self.victims[index % len(self.victims)])
        while (ended := client.wait(PATIENCE_S)) == -signal.SIGKILL:
            client = self._start()
        assert ended == 0, client.stderr and client.stderr.read()

    def left_behind(self) -> list[psutil.Process]:
        """Return workers that are still there a moment after the end."""
        return psutil.wait_procs(self.workers, timeout=5)[1]

    def _start(self) -> subprocess.Popen[bytes]:
        self.clients += 1
        command = [sys.executable, "-m", "dieshot", "sweep", str(self.document), "--store", str(self.store)]
        return subprocess.Popen([*command, "--workers", "2", "--quiet"], start_new_session=True, stderr=subprocess.PIPE)

    def _alive(self, client: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """Return the client, a new one where it was killed; one that ended otherwise has failed."""
        ended = client.poll()
        assert ended in (None, 0, -signal.SIGKILL), client.stderr and client.stderr.read()
        return client if ended is None else self._start()

    def _kill(self, client: subprocess.Popen[bytes], victim: str) -> None:
        parent = psutil.Process(client.pid)
        workers = [each for each in parent.children() if _is_worker(each)]
        self.workers |= set(workers)
        at_random = self.rng.sample(workers, min(1, len(workers)))
        doomed = {
            "client": [parent],
            "worker": at_random,
            "workers": workers,
            "client and workers": [parent, *workers],
            "group": [parent, *parent.children(recursive=True)],
        }[victim]
        for process in doomed:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if parent in doomed:
            client.wait()
        self.killed.append(f"{victim} ({len(doomed)})")


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def n_ended(store: Path) -> int:
    """Return how many runs of a store have ended; 0 of one that is not there yet."""
    if not (store / "ledger.sqlite").exists():
        return 0
    try:
        found = status(store)
    except Exception:  # a store that is just being made
        return 0
    return int(found["done"] + found["failed"])


def results_of(store: Path) -> dict[str, bytes]:
    """Return the files of results by name."""
    return {file.name: file.read_bytes() for file in sorted((store / "results").iterdir())}

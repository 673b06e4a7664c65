"""A sweep of short real runs, some of them refused; what its results have to be, to the byte."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.error import StoreError
from dieshot.simulator.store.status import status
from dieshot.simulator.sweep.sweep import SweepResult, sweep

N_RUNS = 200
TEXT = """\
name: cluster-test
system: hc1
model: [llama-3.1-8b, qwen3-0.6b]  # it runs the first one only
batch: {from: 1, to: 100}
prompt: 1
generate: 1
"""


def results_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a store that hold results."""
    return {file.name: file.read_bytes() for file in sorted((folder / "results").iterdir())}


def oracle(folder: Path) -> dict[str, bytes]:
    """Carry out the sweep in this process and return the files."""
    done = sweep(document(folder), store=folder / "serial", engine="serial")
    assert done.counts.done == done.counts.failed == N_RUNS // 2
    return results_of(folder / "serial")


def document(folder: Path) -> Path:
    file = folder / "cluster-test.yaml"
    file.write_text(TEXT)
    return file


def finish(folder: Path, store: Path, engine: str, workers: int | None = None, **options: Any) -> SweepResult:
    """Carry out what is left of the sweep."""
    return sweep(document(folder), store=store, engine=engine, workers=workers, options=options)


def start_client(folder: Path, store: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start the command, in a session of its own."""
    command = [sys.executable, "-m", "dieshot", "sweep", str(document(folder)), "--store", str(store), *words]
    with (folder / "client.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ))


def n_ended(store: Path) -> int:
    """Return how many runs a store has the end of, as another process sees it; 0 before there is one."""
    try:
        found = status(store)
    except (InputError, StoreError):
        return 0
    return sum(each["done"] + each["failed"] for each in found["sweeps"])

"""The commands of Slurm that an engine needs. An array of workers goes by its job name, which no other job has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from dieshot.simulator.errors import InputError, one_line

LIMIT_S = 60.0


class QueueError(RuntimeError):
    """A command of Slurm has failed; one line says which and why."""


def check() -> None:
    """Raise InputError where the commands are not."""
    absent = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if absent:
        raise InputError("Slurm's commands are not here", key="--engine", value="slurm", expected=", ".join(absent))


def submit(script: Path) -> None:
    """Queue a batch script."""
    _call("sbatch", "--parsable", str(script))


def n_tasks(name: str) -> int:
    """Return how many tasks of an array are running or will be."""
    found = _call("squeue", "--noheader", "--array", f"--name={name}", f"--user={os.geteuid()}", "--format=%T")
    return len(found.split())


def cancel(name: str) -> None:
    """Take an array out of the queue and end its tasks; nothing if there is none."""
    _call("scancel", "--quiet", f"--name={name}", f"--user={os.geteuid()}")


def _call(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueueError(one_line(error)) from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise QueueError(one_line(said[-1] if said else f"{words[0]}: exit status {done.returncode}"))
    return done.stdout

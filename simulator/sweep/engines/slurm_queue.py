"""The commands of Slurm that an engine needs. An array of workers goes by its job name, which no other job has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dieshot.simulator.errors import one_line

LIMIT_S = 60.0


class QueueError(RuntimeError):
    """A command of Slurm has failed; one line says which and why."""


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
    except FileNotFoundError:
        raise QueueError(f"{words[0]}: no such command here; sweeps are submitted where Slurm is installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QueueError(one_line(error)) from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise QueueError(one_line(said[-1] if said else f"{words[0]}: exit status {done.returncode}"))
    return done.stdout

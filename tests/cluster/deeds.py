"""What the workers of these tests do in place of a run; they find this folder on their path."""

import os
import signal
import time
from pathlib import Path

from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.outcome import Outcome

FATAL_BATCH = 13


def nap(request: PointRequest, log: Path | None = None) -> Outcome:
    """Take as many milliseconds as the prompt has tokens."""
    time.sleep(request.prompt / 1000)
    return Outcome({"batch": request.batch, "double": request.batch * 2.5}, None, request.prompt / 1000)


def nap_or_die(request: PointRequest, log: Path | None = None) -> Outcome:
    """Kill the worker at one batch."""
    if request.batch == FATAL_BATCH:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    return nap(request, log)

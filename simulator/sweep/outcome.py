"""What became of a run of a sweep, and how a worker comes to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from dieshot.simulator.errors import InputError, one_line
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.studies.run import run
from dieshot.simulator.sweep.row import Row, figures_of
from dieshot.traces import TraceError

LONGEST_ERROR = 1000


class Outcome(NamedTuple):
    """A run's figures, or why it has none in one line; `seconds` is the worker's time, no part of the result."""

    figures: Row | None
    error: str | None
    seconds: float


def carry_out(request: PointRequest, log: Path | None = None) -> Outcome:
    """Run a request, with a log if there is a file for it; whatever it raises is told, so that a sweep goes on."""
    started = time.perf_counter()
    try:
        figures = figures_of(run(request.system, request.model, **request.options, output=log).summary)
    except (InputError, TraceError) as error:
        return _failed(str(error), started)
    except Exception as error:
        return _failed(f"{type(error).__name__}: {error}", started)
    return Outcome(figures, None, time.perf_counter() - started)


def _failed(error: str, started: float) -> Outcome:
    return Outcome(None, one_line(error, LONGEST_ERROR), time.perf_counter() - started)

"""Points: many short runs without a log, each named by the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from dieshot.simulator.engine.worker import map_in_workers
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.bounds import Bounds, roofline
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.plan import plan
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.split import split
from dieshot.traces import TraceError

DECODE_STEPS = 2  # the first counts as the prompt's, the second is timed as a decode step
_NUMBERS = ("batch", "cached", "prompt", "generate")
_WORDS = {"tensor_parallel": "tp", "pipeline_parallel": "pp"}


@dataclass(frozen=True, slots=True)
class PointRequest:
    """What to run; fields as in `studies.run.run`, None the system's own."""

    system: str
    model: str
    batch: int = 1
    prompt: int = 1024
    generate: int = 128
    cached: int = 0
    precision: str | None = None
    kv_precision: str | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    prefill_chunk: int | None = None
    sets: tuple[str, ...] = ()
    micro_batches: int | None = None
    seed: int = 0
    routing: str = "balanced"
    sparsity: str = "dense"
    density: float | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of `studies.run.run`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("system", "model")}

    @property
    def command(self) -> str:
        """The command line that makes this run."""
        words = ["dieshot", "run", self.system, self.model]
        words += [word for name in _NUMBERS if name != "cached" or self.cached for word in _words(self, name)]
        for each in fields(self):
            if each.name not in (*_NUMBERS, "system", "model", "sets") and getattr(self, each.name) != each.default:
                words += _words(self, each.name)
        words += [word for change in self.sets for word in ("--set", change)]
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Point:
    """A run's figures (`summary` as of `Run`), or why there are none."""

    request: PointRequest
    summary: dict[str, Any] | None
    refused: str | None

    @property
    def figures(self) -> dict[str, Any]:
        """The summary of a point that was not refused."""
        if self.summary is None:
            raise ValueError(f"{self.request.command}: {self.refused}")
        return self.summary


def decode_point(system: str, model: str, batch: int, context: int, **others: Any) -> PointRequest:
    """Return the request for two decode steps, in the second of which sequences hold `context` tokens, its own counted
    (at least 2)."""
    cached = max(0, context - DECODE_STEPS)
    return PointRequest(system, model, batch, prompt=1, generate=DECODE_STEPS, cached=cached, **others)


def point(request: PointRequest) -> Point:
    """Run one; what the system or the model refuses is told, not raised."""
    try:
        return Point(request, dict(run(request.system, request.model, **request.options).summary), None)
    except (InputError, TraceError) as error:
        return Point(request, None, str(error))


def refusal(request: PointRequest) -> str | None:
    """Return why a request cannot run (capacity, format, operator), None if it can; nothing is simulated."""
    try:
        plan(request.system, request.model, **request.options).check()
    except (InputError, TraceError) as error:
        return str(error)
    return None


def step_floor_s(request: PointRequest) -> float:
    """Return the time that one of the last steps takes at least, for every rank's roofline; nothing is simulated."""
    found = plan(request.system, request.model, **request.options)
    over = split(found.setup, found.trace, found.wanted, found.micro_batches)
    peaks = over.setup.peaks
    bounds = Bounds(peaks, len(over.parts.stages), over.setup.chip.overlaps_operators)
    for stage in over.parts.stages:
        for block in stage.steps[-1].blocks:
            for operator in block.operators:
                bounds.add(roofline(operator, peaks), stage.index, block.repeat * over.micro_batches)
    return bounds.seconds(over.micro_batches)


def points(requests: Sequence[PointRequest], processes: int = 1, progress: Progress | None = None) -> list[Point]:
    """Run each distinct request once, by several processes if asked for; return the points in the requests' order."""
    distinct = list(dict.fromkeys(requests))
    told = partial(progress, "runs") if progress else None
    found = dict(zip(distinct, map_in_workers(point, distinct, processes, told), strict=True))
    return [found[request] for request in requests]


def _words(request: PointRequest, name: str) -> tuple[str, str]:
    return f"--{_WORDS.get(name, name).replace('_', '-')}", str(getattr(request, name))

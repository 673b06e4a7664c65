"""What a worker is told of a point of a sweep, and what the store keeps of it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines.engine import Task
from dieshot.simulator.sweep.key import Keys
from dieshot.simulator.sweep.row import Row
from dieshot.simulator.sweep.space import Space

NAMES = tuple(each.name for each in fields(PointRequest) if each.name != "sets")


class SpacePoints:
    """The points of a space. logs: the folder for the log of each run, None for no logs; a log is named by its key."""

    def __init__(self, space: Space, logs: Path | None = None) -> None:
        self._space = space
        self._logs = logs
        self._key_of = Keys()

    def task(self, run: int, point: int) -> Task:
        """Return what a worker has to know of a run."""
        request = self._space.request(point)
        return Task(run, request, self._logs / f"{self._key_of(request).hex()}.h5" if self._logs else None)

    def row(self, point: int, figures: Row | None) -> Row:
        """Return the request, the values of the point on its axes, and the figures if there are any."""
        request = self._space.request(point)
        row: Row = {name: getattr(request, name) for name in NAMES}
        row |= {"sets": "; ".join(request.sets), "command": request.command}
        return row | self._space.values(point) | (figures or {})

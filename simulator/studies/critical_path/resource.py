"""Resources: what a path's time is put down to, by the names that architectures give; and what faster ones would give.

What a resource would give is simulated, not guessed: the run is made again with its parameters scaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dieshot.simulator.engine.chip import Resource
from dieshot.simulator.engine.worker import map_in_workers
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.critical_path.timeline import Timeline
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.limit import COMMON
from dieshot.simulator.studies.replay import recorded_setup, rerun

FACTORS = (64, 32, 16, 8, 4, 2)  # the largest that the models accept is taken
LEAST_SHARE = 0.02
WHOLE_UNITS = ("cycle", "1", "fs")


@dataclass(frozen=True, slots=True)
class Faster:
    """A resource made `factor` times as fast by overrides, and what the run takes; None where no model allows it."""

    factor: int | None
    sets: tuple[str, ...]
    duration_fs: int | None


def resources_of(timeline: Timeline) -> dict[str, Resource]:
    """Return the resources by name: the architecture's, and those that all have."""
    return COMMON | dict(timeline.resources)


def faster(
    timeline: Timeline, time_fs: Mapping[str, int], processes: int, progress: Progress | None
) -> dict[str, Faster]:
    """Return what the run takes with each resource made faster that has a share of its path worth it."""
    resources = resources_of(timeline)
    worth = [
        name
        for name, time in time_fs.items()
        if time > LEAST_SHARE * timeline.duration_fs and name in resources and resources[name].faster
    ]
    simulate = partial(_made_faster, dict(timeline.inputs), timeline.name)
    told = partial(progress, "runs") if progress else None
    found = map_in_workers(simulate, [resources[name].faster for name in worth], processes, told) if worth else []
    return dict(zip(worth, found, strict=True))


def _made_faster(inputs: Mapping[str, str], name: str, changes: tuple[str, ...]) -> Faster:
    setup, _ = recorded_setup(inputs, name)
    for factor in FACTORS:
        sets = tuple(text for change in changes if (text := scaled(setup.resolved, change, factor)) is not None)
        if not sets:
            break
        try:
            return Faster(factor, sets, rerun(inputs, name, sets).duration_fs)
        except InputError:
            continue
    return Faster(None, (), None)


def scaled(resolved: Mapping[str, Any], change: str, factor: int) -> str | None:
    """Return a change with its factor; rounded up where only whole numbers are taken. None where there is none."""
    path, _, how = change.partition("=")
    prefix, _, inner = path.partition(".")
    record = (
        next((each for each in resolved[prefix].records if each.path == inner), None) if prefix in resolved else None
    )
    if record is None:
        return None
    if how[0] == "/" and record.unit in WHOLE_UNITS and record.value == int(record.value):
        unit = "" if record.unit == "1" else record.unit
        return f"{path}={-(-int(record.value) // factor)}{unit}"
    return change.format(factor)

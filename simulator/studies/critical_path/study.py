"""The critical path of a run: operators on it, what held their time, and what each would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.studies.critical_path.moment import held, watch
from dieshot.simulator.studies.critical_path.pipeline import longest_path, longest_path_fs
from dieshot.simulator.studies.critical_path.recorded import timeline_of_file, timeline_of_ledger
from dieshot.simulator.studies.critical_path.resource import Faster, faster
from dieshot.simulator.studies.critical_path.timeline import HOST_GAP, OperatorName, Timeline
from dieshot.simulator.studies.ledger import Progress
from dieshot.simulator.studies.limit import HOST, kinds_of
from dieshot.simulator.studies.result import Run

PHASES = ("prefill", "decode")


def critical_path(
    run: Run | Path | str, *, if_faster: bool = True, processes: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Return what sets the time of a run, from its file or in memory: {operators, resources, ...}.

    operators: those on the longest chain of what waited for what, by phase, longest first: their time on it (they add
    up to the run exactly), what the run would take without them (`if_free_fs`: another stage may then set the time),
    and `resources`: what held that time. resources: the same over the run; `if_free_bound_fs`: the run without all of
    that; `in_use_fs`: time on the path in which it worked or was waited for at all, held by it or not; with
    `if_faster`, also `if_faster_fs`: what the run takes where that resource is `factor` times as fast, simulated with
    the overrides `sets`. waiting_fs: time on the path in which nothing worked, whatever the log says was waited for;
    what a faster resource gives is within its `in_use_fs` and this. operators_overlap: of a chip that lets them, an
    operator's time is only what it adds to those before it. stages: how often the chain passes each, and how long.
    InputError where the file is not of a finished run.
    """
    if isinstance(run, Run):
        return _study(timeline_of_ledger(run.ledger, run.duration_fs), if_faster, processes, progress)
    with open_run(run) as file:
        return _study(timeline_of_file(file), if_faster, processes, progress)


def _study(timeline: Timeline, if_faster: bool, processes: int, progress: Progress | None) -> dict[str, Any]:
    end_fs = timeline.duration_fs
    found = on_path(timeline)
    if sum(sum(times.values()) for times in found.operators.values()) != end_fs:
        raise AssertionError(f"the path of {timeline.name} is not as long as the run's {end_fs} fs")
    operators = [
        _row(operator, times, longest_path_fs(timeline, *_without(timeline, operator)), end_fs)
        for operator, times in sorted(found.operators.items(), key=_order)
    ]
    sums: Counter[str] = Counter()
    for times in found.operators.values():
        sums.update(times)
    named = dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))
    simulated = faster(timeline, named, processes, progress) if if_faster else {}
    return {
        "run": timeline.name,
        "duration_fs": end_fs,
        "duration_s": end_fs / FS_PER_SECOND,
        "operators_overlap": timeline.operators_overlap,
        "waiting_fs": found.waiting_fs,
        "stages": [
            {"stage": stage, "turns": turns, "time_fs": time_fs, "share": time_fs / end_fs}
            for stage, (turns, time_fs) in found.stages.items()
        ],
        "operators": operators,
        "resources": [
            _resource(name, time_fs, found.in_use_fs[name], end_fs, simulated.get(name))
            for name, time_fs in named.items()
        ],
    }


class OnPath(NamedTuple):
    """Time (fs) on the longest path: of each operator by the resource that held it; in which each resource was in use
    at all; in which the main parts waited while nothing worked, for whatever reason; and turns and time by stage."""

    operators: dict[OperatorName, dict[str, int]]
    in_use_fs: Mapping[str, int]
    waiting_fs: int
    stages: Mapping[int, tuple[int, int]]


def on_path(timeline: Timeline) -> OnPath:
    """Return the operators on the longest path and the resources; ValueError where a cell cannot be laid out."""
    path = longest_path(timeline)
    cells: dict[OperatorName, Counter[int]] = {}
    stages: dict[int, tuple[int, int]] = {}
    for (shape, stage), passes in path.items():
        turns, time_fs = stages.get(stage, (0, 0))
        stages[stage] = (turns + passes, time_fs + passes * timeline.shapes[shape].duration_fs)
        for part in timeline.shapes[shape].parts:
            for cell in part.cells:
                cells.setdefault(part.operator, Counter())[cell] += part.times * passes
    watched = watch(timeline.specs, kinds_of(timeline.specs, timeline.main_kind, timeline.resources))
    host = watched.kinds.names[HOST]
    of_cell = {
        cell: held(watched, timeline.activity(cell), timeline.cell_duration_fs(cell))
        for cell in dict.fromkeys(cell for placed in cells.values() for cell in placed)
    }
    found: dict[OperatorName, dict[str, int]] = {}
    in_use: Counter[str] = Counter()
    waiting = 0
    for operator, placed in cells.items():
        sums: Counter[str] = Counter()
        for cell, times in placed.items():
            sums.update({name: time * times for name, time in of_cell[cell].put_down.items()})
            in_use.update({name: time * times for name, time in of_cell[cell].in_use_fs.items()})
            waiting += of_cell[cell].waiting * times
        found[operator] = divided(sums, sum(timeline.cell_duration_fs(cell) * times for cell, times in placed.items()))
    if path.n_gaps * timeline.gap_fs:
        found[HOST_GAP] = {host: path.n_gaps * timeline.gap_fs}
        in_use[host] += path.n_gaps * timeline.gap_fs
    return OnPath(found, in_use, -(-waiting // watched.n), dict(sorted(stages.items())))


def divided(weights: Mapping[str, int], whole: int) -> dict[str, int]:
    """Return `whole` divided by weight into whole numbers that add up to it; the largest remainders are rounded up."""
    total = sum(weights.values())
    shares = {name: divmod(weight * whole, total) for name, weight in weights.items()}
    found = {name: quotient for name, (quotient, _) in shares.items()}
    left = whole - sum(found.values())
    for name in sorted(shares, key=lambda each: (-shares[each][1], each))[:left]:
        found[name] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _without(timeline: Timeline, operator: OperatorName) -> tuple[list[int], int]:
    """Return how long each shape of step takes without an operator, and the host's time."""
    gap_fs = 0 if operator == HOST_GAP else timeline.gap_fs
    return [shape.duration_fs - shape.time_of(operator) for shape in timeline.shapes], gap_fs


def _order(item: tuple[OperatorName, Mapping[str, int]]) -> tuple[int, int, OperatorName]:
    operator, times = item
    phase = PHASES.index(operator[0]) if operator[0] in PHASES else len(PHASES)
    return phase, -sum(times.values()), operator


def _row(operator: OperatorName, times: Mapping[str, int], free_fs: int, end_fs: int) -> dict[str, Any]:
    time_fs = sum(times.values())
    return {
        **dict(zip(("phase", "name", "kind"), operator, strict=True)),
        "time_fs": time_fs,
        "share": time_fs / end_fs,
        "if_free_fs": free_fs,
        "resources": [{"resource": name, "time_fs": each, "share": each / end_fs} for name, each in times.items()],
    }


def _resource(name: str, time_fs: int, in_use_fs: int, end_fs: int, simulated: Faster | None) -> dict[str, Any]:
    return {
        "resource": name,
        "time_fs": time_fs,
        "share": time_fs / end_fs,
        "in_use_fs": in_use_fs,
        "if_free_bound_fs": end_fs - time_fs,
        "factor": simulated.factor if simulated else None,
        "sets": list(simulated.sets) if simulated else [],
        "if_faster_fs": simulated.duration_fs if simulated else None,
    }

"""The plain twin of the critical path: a graph with a node for every turn of every stage, and its longest path."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np

from dieshot.simulator.engine.cell import BUSY, IDLE, STALL_MEMORY, STALL_OPERAND, STATES, Activity
from dieshot.simulator.studies.critical_path.moment import Watch
from dieshot.simulator.studies.critical_path.timeline import Timeline
from dieshot.simulator.studies.limit import in_order

ROOM = 2  # a stage writes one while the next reads the other


def event_graph(timeline: Timeline, step_fs: Sequence[int], gap_fs: int) -> nx.DiGraph:
    """Return the graph of starts, ends and departures; an edge's weight is the time from one to the other."""
    graph = nx.DiGraph()
    n_turns, n_stages = timeline.shape.shape
    last = n_stages - 1

    def after(earlier: tuple[str, int, int], later: tuple[str, int, int], weight: int) -> None:
        graph.add_edge(earlier, later, weight=weight)

    for turn in range(n_turns):
        for stage in range(n_stages):
            start, end, left = (("start", turn, stage), ("end", turn, stage), ("left", turn, stage))
            after(start, end, step_fs[int(timeline.shape[turn, stage])])
            after(end, left, 0)
            if stage < last and turn >= ROOM:
                after(("start", turn - ROOM, stage + 1), left, 0)
            if turn:
                after(("left", turn - 1, stage), start, 0)
            if stage:
                after(("left", turn, stage - 1), start, 0)
            elif turn < timeline.n_known:
                after(("begin", 0, 0), start, gap_fs)
            else:
                after(("left", turn - timeline.micro_batches, last), start, gap_fs)
    return graph


def longest_fs(timeline: Timeline, step_fs: Sequence[int], gap_fs: int) -> int:
    """Return the length of the longest path through all events."""
    return int(nx.dag_longest_path_length(event_graph(timeline, step_fs, gap_fs)))


def starts(timeline: Timeline, step_fs: Sequence[int], gap_fs: int) -> list[list[int]]:
    """Return when each turn of each stage begins: the longest path to it."""
    graph, when = event_graph(timeline, step_fs, gap_fs), {}
    for node in nx.topological_sort(graph):
        when[node] = max((when[each] + graph[each][node]["weight"] for each in graph.predecessors(node)), default=0)
    n_turns, n_stages = timeline.shape.shape
    return [[when["start", turn, stage] for stage in range(n_stages)] for turn in range(n_turns)]


def held_by_instant(watched: Watch, activity: Activity, duration_fs: int) -> tuple[dict[str, int], int]:
    """Return what holds the main parts of a cell, looked at in every femtosecond by itself; and how much is waiting."""
    specs, kinds = watched.specs, watched.kinds
    state = np.full((len(specs), duration_fs), IDLE)
    work = dict.fromkeys(kinds.others, 0)
    busy = dict.fromkeys(kinds.others, 0)
    for index in range(len(activity)):
        component = int(activity.component[index])
        for nth in range(int(activity.repeat[index])):
            shift = nth * int(activity.period_fs[index])
            begin, end = int(activity.start_fs[index]) + shift, int(activity.end_fs[index]) + shift
            state[component, begin:end] = activity.state[index]
            if activity.state[index] == BUSY and specs[component].kind != kinds.main:
                work[specs[component].kind] += int(activity.amount[index])
                busy[specs[component].kind] += end - begin
    utilization = {}
    for kind in kinds.others:
        peak, n = kinds.peak_per_fs[kind], sum(spec.kind == kind for spec in specs)
        utilization[kind] = (work[kind] / peak if peak else busy[kind] / n) / duration_fs
    found: dict[str, int] = {}
    waiting = 0
    for instant in range(duration_fs):
        now = state[:, instant]
        for component, weight in enumerate(watched.weight.tolist()):
            if weight:
                of = _held(watched, now.tolist(), int(now[component]), utilization)
                name = kinds.names.get(of, of)
                found[name] = found.get(name, 0) + weight
                waiting += weight if of in STATES else 0
    return found, waiting


def _held(watched: Watch, now: Sequence[int], state: int, utilization: dict[str, float]) -> str:
    kinds, specs = watched.kinds, watched.specs
    if state == BUSY:
        return kinds.main
    if state in (STALL_MEMORY, STALL_OPERAND, IDLE):
        for kind in in_order(kinds.candidates(state), utilization):
            if any(now[index] == BUSY for index, spec in enumerate(specs) if spec.kind == kind):
                return kind
    if state != IDLE:
        return STATES[state]
    waits = [0.0] * len(STATES)
    for kind in kinds.others:
        of_kind = [now[index] for index, spec in enumerate(specs) if spec.kind == kind]
        for each in of_kind:
            waits[each] += 1 / len(of_kind)
    waits[BUSY] = waits[IDLE] = 0.0
    largest = max(waits)
    # shares are sums of a few fractions: the first of those that differ by rounding alone
    return (
        STATES[next(each for each, share in enumerate(waits) if share >= largest - 1e-9)] if largest else STATES[IDLE]
    )

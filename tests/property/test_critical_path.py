"""The critical path against plain twins, and on a run of every architecture: as long as the run, to the femtosecond."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_path import held_by_instant, longest_fs, starts
from recorded import MODEL

from dieshot import run
from dieshot.simulator.engine.cell import BUSY, STATES, Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import OperatorOutcome, Resource
from dieshot.simulator.engine.machine import Machine, StepPlacement
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.studies.critical_path.moment import held, watch
from dieshot.simulator.studies.critical_path.pipeline import (
    UNKNOWN,
    longest_path,
    longest_path_fs,
    with_empty_steps,
)
from dieshot.simulator.studies.critical_path.recorded import timeline_of_file, timeline_of_ledger
from dieshot.simulator.studies.critical_path.study import critical_path, divided
from dieshot.simulator.studies.critical_path.timeline import HOST_GAP, Part, StepShape, Timeline
from dieshot.simulator.studies.limit import kinds_of

NAME = ("decode", "op", "gemm")


def timeline(durations: Sequence[int], shape: Any, gap_fs: int, micro_batches: int, n_known: int) -> Timeline:
    """Return a timeline of shapes that last `durations`, begun as the plain twin says."""
    shapes = [StepShape((Part(NAME, 1, each, ()),)) for each in durations]
    table = np.array(shape, np.int64)
    bare = Timeline(
        shapes, table, np.zeros_like(table), 0, gap_fs, micro_batches, n_known, (), no_activity, durations.__getitem__,
        {}, "drawn", False, "any",
    )  # fmt: skip
    begun = np.array(starts(bare, durations, gap_fs), np.int64)
    end_fs = int((begun + np.array(durations, np.int64)[table])[-1, -1])
    return dataclasses.replace(bare, start_fs=begun, duration_fs=end_fs)


def no_activity(cell: int) -> Activity:
    return Activity.empty()


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Return up to 4 stages that serve up to 3 micro-batches, steps of few shapes, some many times alike."""
    durations = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    n_stages, micro_batches = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    turn = st.lists(st.integers(0, len(durations) - 1), min_size=n_stages, max_size=n_stages)
    step = st.lists(turn, min_size=micro_batches, max_size=micro_batches)
    runs = draw(st.lists(st.tuples(step, st.integers(1, 9)), min_size=1, max_size=3))
    table = [turns for turns_of_step, n in runs for _ in range(n) for turns in turns_of_step]
    n_prefill = draw(st.integers(1, min(3, len(table) // micro_batches)))
    return timeline(durations, table, draw(st.integers(0, 5)), micro_batches, n_prefill * micro_batches)


@settings(max_examples=150)
@given(timelines(), st.data())
def test_folded_steps_end_when_all_of_them_would(line: Timeline, data: st.DataObject) -> None:
    own = [shape.duration_fs for shape in line.shapes]
    assert longest_path_fs(line, own, line.gap_fs) == line.duration_fs
    others = data.draw(st.lists(st.integers(0, 9), min_size=len(own), max_size=len(own)))
    gap_fs = data.draw(st.integers(0, 4))
    assert longest_path_fs(line, others, gap_fs) == longest_fs(line, others, gap_fs)


@given(timelines())
def test_the_path_is_as_long_as_the_run(line: Timeline) -> None:
    path = longest_path(line)
    passed_fs = sum(line.shapes[shape].duration_fs * times for (shape, _), times in path.items())
    assert passed_fs + path.n_gaps * line.gap_fs == line.duration_fs


@given(timelines())
def test_what_left_no_record_is_where_it_must_be(line: Timeline) -> None:
    nothing = [index for index, shape in enumerate(line.shapes) if shape.duration_fs == 0]
    empty = np.isin(line.shape, nothing)
    known = dataclasses.replace(line, start_fs=np.where(empty, UNKNOWN, line.start_fs))
    assert (with_empty_steps(known).start_fs == line.start_fs).all()


class LastingChip:
    """A chip whose operators last as long as they weigh; what the machine asks of one, and nothing else."""

    collectives_inside = False
    initial_state = 0

    def carry_out_all(self, operators: Sequence[Any], state: int) -> tuple[OperatorOutcome[int], ...]:
        return tuple(OperatorOutcome((lasting(each.weight),), state) for each in operators)

    def drain(self, state: int) -> tuple[None, int]:
        return None, state


def lasting(duration_fs: int) -> Cell:
    return Cell(duration_fs, "op", "gemm", duration_fs, Activity.empty(), {})


class Work:
    """An operator, a block and a step in one, of `weight`."""

    kind, name, repeat = "gemm", "op", 1

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.operators = self.blocks = (self,)  # the machine knows operators by identity


@settings(max_examples=100)
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 6), st.integers(0, 5))
def test_the_rules_are_the_machines(data: st.DataObject, n_stages: int, parts: int, n_steps: int, gap_fs: int) -> None:
    works = [Work(weight) for weight in (1, 2, 5, 9)]
    stages = [data.draw(st.lists(st.sampled_from(works), min_size=n_steps, max_size=n_steps)) for _ in range(n_stages)]
    n_prefill = data.draw(st.integers(1, n_steps))
    chip: Any = LastingChip()
    placed: list[StepPlacement] = []
    end_fs = Machine(chip, None, 1, gap_fs, parts).run(stages, placed.append, n_prefill)
    table = [
        [works.index(stages[stage][turn // parts]) for stage in range(n_stages)] for turn in range(n_steps * parts)
    ]
    line = timeline([work.weight for work in works], table, gap_fs, parts, n_prefill * parts)
    assert line.duration_fs == end_fs
    for stage in range(n_stages):
        begun = [each.start_fs for each in placed if each.stage == stage]
        assert sorted(begun) == line.start_fs[:, stage].tolist()
    assert longest_path_fs(line, [work.weight for work in works], gap_fs) == end_fs


def test_two_stages_and_two_micro_batches_by_hand() -> None:
    # Stage 0 takes 3, stage 1 takes 5, the host 2; a prompt and one token of two users.
    line = timeline([3, 5], [[0, 1]] * 4, 2, 2, 2)
    assert line.start_fs.tolist() == [[2, 5], [5, 10], [12, 15], [17, 20]]
    # Back from 25: the second user's token on stage 1 (20) and 0 (17), the host (15), its prompt on stage 1 (10) after
    # the first user's (5), whose way through stage 0 began after the host (2).
    path = longest_path(line)
    assert (dict(path), path.n_gaps, line.duration_fs) == ({(1, 1): 3, (0, 0): 2}, 2, 25)
    assert longest_path_fs(line, [0, 5], 2) == 2 + 4 * 5
    assert longest_path_fs(line, [3, 0], 2) == 2 + 4 * 3  # the host is done before stage 0 is free
    assert longest_path_fs(line, [3, 5], 0) == 3 + 4 * 5


SPECS = (
    ComponentSpec("sm0/tensor", "tensor", 2, "MAC", 8, count=2),
    ComponentSpec("sm1/tensor", "tensor", 2, "MAC", 8, count=4),
    ComponentSpec("hbm0", "hbm", 3, "byte", 64),
    ComponentSpec("hbm1", "hbm", 3, "byte", 64),
    ComponentSpec("l2", "l2", 2, "byte", 16),
    ComponentSpec("vector", "vector", 2, "op", 0),
    ComponentSpec("laser", "laser", 2, "byte", 0, static_fj_per_cycle=1),
)


@st.composite
def activities(draw: st.DrawFn, duration_fs: int = 24) -> Activity:
    """Return intervals of the parts above that do not overlap, some of which repeat."""
    rows = []
    for component in range(len(SPECS) - 1):
        now = draw(st.integers(0, 6))
        while now < duration_fs:
            length, gap = draw(st.integers(1, 5)), draw(st.integers(0, 4))
            repeat = draw(st.sampled_from([1, 1, 3]))
            if now + repeat * (length + gap) > duration_fs:
                break
            state = draw(st.integers(BUSY, len(STATES) - 1))
            amount = draw(st.integers(1, 60)) if state == BUSY else 0
            rows.append((component, now, now + length, state, amount, repeat, length + gap))
            now += repeat * (length + gap) + draw(st.integers(0, 5))
    columns = np.array(rows, np.int64).reshape(-1, 7).T.copy()
    return Activity(columns[0].astype(np.int32), columns[1], columns[2], columns[3].astype(np.int8), *columns[4:])


@settings(max_examples=100)
@given(activities())
def test_moments_are_instants_added_up(activity: Activity) -> None:
    resources = {"launch": Resource(("stall_launch", "stall_barrier", "vector"))}
    watched = watch(SPECS, kinds_of(SPECS, "tensor", resources))
    assert watched.weight.tolist() == [1, 2, 0, 0, 0, 0, 0]
    found = held(watched, activity, 24)
    assert (found.put_down, found.waiting) == held_by_instant(watched, activity, 24)
    assert sum(found.put_down.values()) == 24 * watched.n
    assert all(found.in_use_fs[of] * watched.n >= time for of, time in found.put_down.items())


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10**30), min_size=1), st.integers(0, 10**18))
def test_time_is_divided_without_a_rest(weights: Mapping[str, int], whole: int) -> None:
    found = divided(weights, whole)
    assert sum(found.values()) == whole
    total = sum(weights.values())
    assert all(abs(found[name] * total - weight * whole) < total for name, weight in weights.items())


RUNS = (
    ("h100-sxm", {}),
    ("dgx-h100", {"tensor_parallel": 2, "pipeline_parallel": 2, "micro_batches": 2, "batch": 4}),
    ("tpu-v6e-4", {"batch": 2}),
    ("cs3", {"batch": 2}),
    ("groq-8", {}),
    ("corsair-server", {"batch": 8}),
    ("sohu-8", {"pipeline_parallel": 2, "tensor_parallel": 4, "prefill_chunk": 16}),
    ("hc1-x10", {"batch": 3}),
    ("pace", {}),
    ("sn40l-8", {"batch": 2}),
)


@pytest.mark.parametrize(("system", "options"), RUNS, ids=[system for system, _ in RUNS])
def test_of_every_architecture_the_path_is_the_run(system: str, options: dict[str, Any], tmp_path: Path) -> None:
    config, file = tmp_path / "config.json", tmp_path / "run.h5"
    config.write_text(json.dumps(MODEL))
    model = "llama-3.1-8b" if system.startswith("hc1") else str(config)
    done = run(system, model, prompt=40, generate=4, output=file, **options)
    found = critical_path(file, if_faster=False)
    live = critical_path(done, if_faster=False)
    assert {**found, "run": ""} == {**live, "run": ""}
    operators, resources = found["operators"], found["resources"]
    assert found["duration_fs"] == done.duration_fs == sum(each["time_fs"] for each in operators)
    for each in operators:
        assert each["time_fs"] == sum(of["time_fs"] for of in each["resources"])
        assert found["duration_fs"] - each["time_fs"] <= each["if_free_fs"] <= found["duration_fs"]
    assert sum(each["time_fs"] for each in resources) == found["duration_fs"]
    host_fs = sum(each["time_fs"] for each in operators if each["kind"] == "host")
    assert sum(each["time_fs"] for each in found["stages"]) + host_fs == found["duration_fs"]
    for each in resources:
        of_operators = (
            of["time_fs"] for row in operators for of in row["resources"] if of["resource"] == each["resource"]
        )
        assert each["time_fs"] == sum(of_operators) <= each["in_use_fs"] + len(operators)
    with open_run(file) as opened:
        line = timeline_of_file(opened)
    own = [shape.duration_fs for shape in line.shapes]
    assert longest_path_fs(line, own, line.gap_fs) == longest_fs(line, own, line.gap_fs) == line.duration_fs
    assert starts(line, own, line.gap_fs) == line.start_fs.tolist()
    for each in operators[:3]:
        operator = (each["phase"], each["name"], each["kind"])
        without = [shape.duration_fs - shape.time_of(operator) for shape in line.shapes]
        gap_fs = 0 if operator == HOST_GAP else line.gap_fs
        assert each["if_free_fs"] == longest_fs(line, without, gap_fs)
    in_memory = timeline_of_ledger(done.ledger, done.duration_fs)
    assert sorted(shape.duration_fs for shape in in_memory.shapes) == sorted(own)

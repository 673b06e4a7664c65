"""A region of PEs against PEs one by one: two profiles say when each is ready, a ring's step takes what a wire does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_wavelet import Instruction, Line, Pe

from dieshot.chips.mapping.wafer.phase import AllReduce, Multicast, Neighbour, Phase, Region, Rounds, Shift, Work, X, Y
from dieshot.chips.parts.wafer.line import LineParameters, LineProgram, run
from dieshot.chips.parts.wafer.line_timing import program_of
from dieshot.chips.parts.wafer.pe_region import PeRegion
from dieshot.chips.parts.wafer.sample import N_LINES, SAMPLES, RegionLog
from dieshot.kernels import wavelet_table as k
from dieshot.simulator.engine.cell import STATES

HOW = LineParameters(task_cycles=3, vector_cycles=2)
AXES = st.sampled_from([X, Y])
PHASES = st.lists(
    st.one_of(
        st.builds(Work, st.integers(0, 40)),
        st.builds(AllReduce, AXES, st.integers(1, 9)),
        st.builds(Multicast, AXES, st.integers(1, 9)),
        st.builds(Neighbour, AXES, st.integers(1, 9)),
    ),
    min_size=1,
    max_size=5,
)


def region_ready(region: Region, phases: list[Phase], y: Any, x: Any) -> Any:
    env = simpy.Environment()
    part = PeRegion(env, region, (y, x), [phases], HOW, 1000, {}, RegionLog(False))
    env.run(until=part.process)
    assert part.run_so_far.ends == [int(part.y.min() + part.x.min())]
    return part.y[:, None] + part.x[None, :], part.run_so_far.amounts[0].hops


def line_finish(phase: Any, ready: Any) -> tuple[list[int], int]:
    """Time one line of PEs by the plain twin; return when each is done, and hops."""
    program = program_of(phase, len(ready), HOW)
    pes = [
        Pe([Instruction(*row) for row in rows], int(ready[i]), [0] * 64) for i, rows in enumerate(program.instructions)
    ]
    queues = (HOW.input_queue, HOW.output_queue)
    line = Line(pes, program.routes, program.n_colours, HOW.ramp_cycles, HOW.router_wavelets, queues, -1)
    assert line.run(100_000) >= 0
    return [pe.times[-1][2] if pe.times else pe.ready for pe in pes], line.hops


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), PHASES, st.integers(0, 2**30))
def test_two_profiles_are_as_exact_as_pe_by_pe(n_rows: int, n_columns: int, phases: list[Any], seed: int) -> None:
    random = np.random.default_rng(seed)
    y, x = random.integers(0, 30, n_rows), random.integers(0, 30, n_columns)
    y[0] = x[0] = 0
    found, hops = region_ready(Region("layers", n_rows, n_columns), phases, y, x)
    ready, n_hops = y[:, None] + x[None, :], 0
    for phase in phases:
        if isinstance(phase, Work):
            ready = ready + phase.cycles
            continue
        lines = ready.T if phase.axis == Y else ready
        timed = [line_finish(phase, line) for line in lines]
        done = np.array([finish for finish, _ in timed])
        ready = done.T if phase.axis == Y else done
        n_hops += sum(each for _, each in timed)
    assert found.tolist() == ready.tolist()
    assert hops == n_hops


def spent(activity: Any) -> Any:
    """Return time and amount by part and state."""
    out = np.zeros((2, N_LINES, len(STATES)), np.int64)
    for row, values in ((0, activity.end_fs - activity.start_fs), (1, activity.amount)):
        np.add.at(out[row], (activity.component, activity.state), values * activity.repeat)
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), PHASES, st.integers(1, 12), st.integers(0, 2**30))
def test_rounds_are_their_phases_over_and_over(
    n_rows: int, n_columns: int, phases: list[Any], n: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    profiles = random.integers(0, 90, n_rows), random.integers(0, 90, n_columns)
    profiles[0][0] = profiles[1][0] = 0
    work = Work(13, 640, 64, 6400)
    found = []
    for many in ([Rounds((work, *phases), n)], [work, *phases] * n):
        env = simpy.Environment()
        log = RegionLog(True)
        operators = [[*many, AllReduce(Y, 2)], [work]]
        part = PeRegion(env, Region("layers", n_rows, n_columns), profiles, operators, HOW, 1000, {}, log)
        env.run(until=part.process)
        activities = log.activities(1000)
        ends = part.run_so_far.ends
        for activity, length in zip(activities, np.diff([0, *ends]), strict=True):
            last = activity.end_fs + (activity.repeat - 1) * activity.period_fs
            assert last.max(initial=0) <= length * 1000
        found.append((part.y.tolist(), part.x.tolist(), ends, part.run_so_far.amounts, [*map(spent, activities)]))
    assert found[0][:4] == found[1][:4]
    for one, other in zip(found[0][4], found[1][4], strict=True):
        assert (one[1] == other[1]).all()
        assert (one[0, : 2 * SAMPLES] == other[0, : 2 * SAMPLES]).all()


def ring(n_pes: int, wavelets: int) -> LineProgram:
    """Even PEs send to the next but one to the east, odd ones to the west, the ends to their neighbours.

    A core sends ahead what is under way before the first wavelet comes, then takes one and sends one a cycle.
    """
    program = LineProgram(n_pes, 0)
    order = [*range(0, n_pes, 2), *reversed(range(1, n_pes, 2))]
    colours = [program.colour() for _ in range(4)]
    ahead = min(wavelets, 2 + 2 * HOW.ramp_cycles + 1)
    pairs = list(zip(order, order[1:] + order[:1], strict=True))
    sent_in = {source: colours[2 * (target < source) + source // 2 % 2] for source, target in pairs}
    for source, target in pairs:
        program.way(sent_in[source], source, target)
        taken_in = sent_in[next(each for each, to in pairs if to == source)]
        program.add(source, k.NONE, sent_in[source], ahead)
        program.add(source, taken_in, sent_in[source], wavelets - ahead)
        program.add(source, taken_in, k.NONE, ahead)
    return program


@pytest.mark.kernels
@pytest.mark.parametrize("n_pes", [4, 8, 12, 24])
@pytest.mark.parametrize("wavelets", [1, 5, 7, 8, 60])
def test_a_step_of_a_ring_takes_two_hops_and_two_ramps_more_than_its_wavelets(n_pes: int, wavelets: int) -> None:
    finish = run(ring(n_pes, wavelets), HOW, np.zeros(n_pes, np.int64)).finish.max()
    steps = 5
    how = LineParameters()
    env = simpy.Environment()
    region = Region("layers", n_pes, n_pes)
    zero = np.zeros(n_pes, np.int64)
    part = PeRegion(env, region, (zero, zero), [[Shift(steps, 0, wavelets)]], how, 1000, {}, RegionLog(False))
    env.run(until=part.process)
    assert part.run_so_far.ends == [steps * int(finish)]


# A task is activated, then the tiles start and move: 3 + 2 + 60 + 2 hops + 2 ramps of 2 + 1.
@pytest.mark.parametrize(("compute", "step"), [(0, 72), (69, 72), (70, 73), (500, 503)])
def test_a_step_takes_the_longer_of_work_and_shift(compute: int, step: int) -> None:
    env = simpy.Environment()
    zero = np.zeros(8, np.int64)
    phases = [[Shift(10, compute, 60)]]
    part = PeRegion(env, Region("layers", 8, 8), (zero, zero), phases, HOW, 1000, {}, RegionLog(False))
    env.run(until=part.process)
    assert part.run_so_far.ends == [10 * step]

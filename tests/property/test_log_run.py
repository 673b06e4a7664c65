"""Random runs, recorded and read back: cycles add up to the stored totals, and agree with a cycle-by-cycle twin."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.simulator.engine.cell import BUSY, STATES, Activity, Cell, ComponentSpec, Placement
from dieshot.simulator.log.expand import cycle_intervals, dense
from dieshot.simulator.log.reader import RunFile, open_run
from dieshot.simulator.log.recorder import Recorder

SPECS = (
    ComponentSpec("array", "tensor", 10, "MAC", 8, static_fj_per_cycle=3, count=2),
    ComponentSpec("hbm/channel0", "hbm", 7, "byte", 64, static_fj_per_cycle=1),
    ComponentSpec("sequencer", "control", 16, "op", 0),
)


@st.composite
def cells(draw: st.DrawFn, number: int) -> Cell:
    """Draw a cell whose components do one loop each, over the whole duration or part of it."""
    rows = []
    duration_fs = draw(st.integers(1, 200))
    for component in range(len(SPECS)):
        start_fs, length_fs = draw(st.integers(0, 20)), draw(st.integers(0, 30))
        period_fs = max(length_fs, 1) + draw(st.integers(0, 15))
        repeat = draw(st.integers(1, 4))
        state, amount = draw(st.integers(1, len(STATES) - 1)), draw(st.integers(0, 50))
        if draw(st.booleans()):
            rows.append((component, start_fs, start_fs + length_fs, state, amount, repeat, period_fs))
            duration_fs = max(duration_fs, start_fs + length_fs + (repeat - 1) * period_fs)
    columns = np.array(rows, np.int64).reshape(-1, 7).T.copy()
    activity = Activity(columns[0].astype(np.int32), columns[1], columns[2], columns[3].astype(np.int8), *columns[4:])
    energy = draw(st.fixed_dictionaries({}, optional={"tensor": st.integers(0, 9), "hbm": st.integers(0, 9)}))
    return Cell(("cell", number), f"cell {number}", "kernel", duration_fs, activity, energy)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Cell], list[Placement], int]:
    """Draw cells, placements on two stages that follow each other in time, and the duration (fs)."""
    drawn = [draw(cells(number)) for number in range(draw(st.integers(1, 3)))]
    placements, end_fs = [], 0
    for stage in (0, 1):
        now_fs = draw(st.integers(0, 40))
        for _ in range(draw(st.integers(0, 3))):
            cell = draw(st.integers(0, len(drawn) - 1))
            duration_fs = drawn[cell].duration_fs
            repeat, stride_fs = draw(st.integers(1, 4)), duration_fs + draw(st.integers(0, 12))
            placements.append(Placement(cell, now_fs, repeat, stride_fs, stage, -1))
            end_fs = max(end_fs, now_fs + (repeat - 1) * stride_fs + duration_fs)
            now_fs = now_fs + (repeat - 1) * stride_fs + duration_fs + draw(st.integers(0, 30))
    return drawn, draw(st.permutations(placements)), max(end_fs, 1) + draw(st.integers(0, 50))


def record(path: Path, cells: list[Cell], placements: list[Placement], duration_fs: int) -> None:
    """Record a run of two stages, of one chip and of two."""
    with Recorder(path, "none") as recorder:
        recorder.components(SPECS)
        recorder.stages([1, 2])
        for cell in cells:
            recorder.add_cell(cell)
        recorder.add_placements(placements)
        recorder.summary({}, duration_fs)


def naive_run(
    cells: list[Cell], placements: list[Placement], stage: int, component: int, n_cycles: int
) -> tuple[list[int], list[int], list[int]]:
    """Return state, amount and dynamic energy (fJ) of every cycle, copy by copy."""
    period_fs, kind = SPECS[component].clock_period_fs, SPECS[component].kind
    state, amount, energy_fj = ([0] * n_cycles for _ in range(3))
    copies = [(p.start_fs + i * p.stride_fs, p.cell) for p in placements if p.stage == stage for i in range(p.repeat)]
    for start_fs, cell in sorted(copies):
        first = start_fs // period_fs
        local = dense(
            cycle_intervals(cells[cell].activity, SPECS, component), 0, -(-cells[cell].duration_fs // period_fs)
        )
        for cycle, (code, done) in enumerate(zip(local.state.tolist(), local.amount.tolist(), strict=True), first):
            amount[cycle] += done
            energy_fj[cycle] += done * cells[cell].fj_per_amount.get(kind, 0)
            if code == BUSY or state[cycle] == 0:
                state[cycle] = code
    return state, amount, energy_fj


def check_component(run: RunFile, path: str, expected: tuple[list[int], list[int], list[int]], component: int) -> None:
    """Hold the cycles of one component against the twin and against the totals."""
    spec, n_cycles = SPECS[component], len(expected[0])
    window = run.cycles(path, 0, n_cycles)
    totals = run.totals(path)
    static_fj = spec.static_fj_per_cycle * spec.count
    assert window.codes.tolist() == expected[0]
    assert window.amount.tolist() == expected[1]
    assert window.energy_fj.tolist() == [energy + static_fj for energy in expected[2]]
    assert int(window.amount.sum()) == totals.amount
    assert int(window.energy_fj.sum()) == totals.energy_fj
    assert totals.static_energy_fj == n_cycles * static_fj
    half = n_cycles // 2
    if half:
        left, right = run.cycles(path, 0, half), run.cycles(path, half, n_cycles)
        assert np.array_equal(np.concatenate([left.codes, right.codes]), window.codes)
        assert np.array_equal(np.concatenate([left.energy_fj, right.energy_fj]), window.energy_fj)


@settings(max_examples=40, deadline=None)
@given(runs())
def test_cycles_of_a_run_equal_the_naive_twin_and_add_up(drawn: tuple[list[Cell], list[Placement], int]) -> None:
    recorded, placements, duration_fs = drawn
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder) / "run.h5", recorded, placements, duration_fs)
        with open_run(Path(folder) / "run.h5") as run:
            assert run.duration_fs == duration_fs
            for component, spec in enumerate(SPECS):
                n_cycles = -(-duration_fs // spec.clock_period_fs)
                for stage, chip in ((0, 0), (1, 2)):
                    expected = naive_run(recorded, placements, stage, component, n_cycles)
                    check_component(run, f"chip{chip}/{spec.path}", expected, component)


@settings(max_examples=20, deadline=None)
@given(runs())
def test_cells_and_placements_come_back_as_they_were(drawn: tuple[list[Cell], list[Placement], int]) -> None:
    recorded, placements, duration_fs = drawn
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder) / "run.h5", recorded, placements, duration_fs)
        with open_run(Path(folder) / "run.h5") as run:
            rows = zip(*(column.tolist() for column in run.placements.values()), strict=True)
            names = list(run.placements)
            assert [Placement(**dict(zip(names, row, strict=True))) for row in rows] == placements
            for number, cell in enumerate(recorded):
                back = run.cell(number)
                assert (back.name, back.kind, back.duration_fs) == (cell.name, cell.kind, cell.duration_fs)
                assert back.fj_per_amount == cell.fj_per_amount
                for column in ("component", "start_fs", "end_fs", "state", "amount", "repeat", "period_fs"):
                    assert getattr(back.activity, column).tolist() == getattr(cell.activity, column).tolist()

"""Programs of statically scheduled chips: the machine takes what the compiler said, and notices every slip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_static import NaiveChip, Wrong
from static_programs import layer, lpu_machine, programs, small_machine, stretches

from dieshot.chips.mapping.static.schedule import Program
from dieshot.chips.parts.static.die import run_program
from dieshot.chips.parts.static.part import ScheduleViolation
from dieshot.kernels.static_program import INSTALL, R_N, R_OP, R_START
from dieshot.simulator.engine.cell import BUSY

pytestmark = pytest.mark.kernels


def shifted(program: Program, row: int, cycles: int) -> Program:
    rows = program.rows.copy()
    rows[row, R_START] += cycles
    return replace(program, rows=rows[np.argsort(rows[:, R_START], kind="stable")])


@given(stretches())
@settings(max_examples=25)
def test_every_program_takes_the_cycles_that_its_compiler_predicts(stretch: Any) -> None:
    machine, operators = stretch
    for program in programs(machine, operators):
        outcome = run_program(machine, program)
        assert outcome.cycles == program.cycles
        assert (outcome.activity.state == BUSY).all()  # nothing waits: a part acts, or has nothing to do


@given(stretches(), st.data())
@settings(max_examples=40)
def test_an_instruction_a_cycle_early_or_late_is_noticed(stretch: Any, data: Any) -> None:
    machine, operators = stretch
    program = programs(machine, operators)[-1]
    row = data.draw(st.integers(0, len(program.rows) - 1))
    cycles = data.draw(st.sampled_from([-1, 1]))
    if program.rows[row, R_OP] == INSTALL or program.rows[row, R_START] + cycles < 0:
        return  # an installation has no operands on streams; it may have slack
    with pytest.raises(ScheduleViolation):
        run_program(machine, shifted(program, row, cycles))


@given(stretches(), st.data())
@settings(max_examples=15)
def test_a_missing_instruction_is_noticed(stretch: Any, data: Any) -> None:
    machine, operators = stretch
    program = programs(machine, operators)[-1]
    row = data.draw(st.integers(0, len(program.rows) - 1))
    left = replace(program, rows=np.delete(program.rows, row, axis=0))
    try:
        outcome = run_program(machine, left)
    except ScheduleViolation:
        return
    assert row_was_last_of_its_vectors(program, row) and outcome.cycles <= program.cycles


def row_was_last_of_its_vectors(program: Program, row: int) -> bool:
    """Return whether nothing takes what the row puts: a write of a result, or what leaves the chip."""
    rows = program.rows
    first, width, stride, n = rows[row, 17 + 1], rows[row, 17], rows[row, 19], rows[row, R_N]
    put = {int(first + i * stride + lane) for i in range(n) for lane in range(width)}
    taken = {
        int(each[at + 2] + i * each[at + 3] + lane)
        for each in rows
        for at in (7, 11)
        if each[at] >= 0
        for i in range(each[R_N])
        for lane in range(each[at + 1])
    }
    return not put & taken


@given(stretches(), st.data())
@settings(max_examples=8)
def test_the_machine_acts_as_registers_that_are_shifted_one_by_one(stretch: Any, data: Any) -> None:
    machine, operators = stretch
    program = min(programs(machine, operators), key=lambda each: each.cycles)
    assert NaiveChip(machine, program).act_out() == run_program(machine, program, record=False).cycles
    row = data.draw(st.integers(0, len(program.rows) - 1))
    if program.rows[row, R_START] == 0:
        return
    slip = shifted(program, row, data.draw(st.sampled_from([-1, 1])))
    assert is_wrong(NaiveChip(machine, slip).act_out) == is_wrong(lambda: run_program(machine, slip, record=False))


def is_wrong(act: Any) -> bool:
    try:
        act()
    except (Wrong, ScheduleViolation):
        return True
    return False


def test_a_layer_of_llama_3_70b_goes_as_predicted_and_a_slip_anywhere_in_it_is_noticed() -> None:
    machine = lpu_machine()
    (program,) = programs(machine, layer(1, 8192, 1792, 4, 128, 1100, "w8a16", 16))
    assert run_program(machine, program).cycles == program.cycles
    for row in range(0, len(program.rows), len(program.rows) // 24):
        if program.rows[row, R_OP] != INSTALL:
            with pytest.raises(ScheduleViolation):
                run_program(machine, shifted(program, row, 1), record=False)


def test_the_message_names_unit_and_cycle() -> None:
    machine = small_machine()
    (program,) = programs(machine, layer(1, 40, 20, 2, 8, 10, "fp16", 16))
    with pytest.raises(ScheduleViolation, match=r"^[a-zA-Z ]+ \d+ in cycle \d+: [^;]+ \(\d+; row \d+ of the unit's"):
        run_program(machine, shifted(program, 3, 1))

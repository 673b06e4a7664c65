"""The parts of a systolic chip on programs written by hand: credit, gates, weights ahead, results in the lanes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from dieshot.chips.mapping.systolic.machine import step_row
from dieshot.chips.parts.systolic.core_program import CoreProgram, SystolicTiming
from dieshot.chips.parts.systolic.die import DMA, MXU, SEQUENCER, VECTOR, VMEM, ProgramRun, run_program
from dieshot.chips.parts.systolic.lane_log import LaneLog
from dieshot.chips.systolic import Systolic
from dieshot.simulator.engine.cell import BUSY, STALL_CREDIT, STALL_LAUNCH, STALL_LINK, STALL_MEMORY, STALL_OPERAND
from dieshot.simulator.studies.setup import set_up

MIB = 1 << 20
US = 10**9


@cache
def timing() -> SystolicTiming:
    chip = set_up("tpu-v6e-1", ("chip.program.drain=0ns", "chip.vmem.access=0cycle")).chip
    assert isinstance(chip, Systolic)
    return chip.timing


def program(*steps: np.ndarray, issue_fs: int = US, exchange_fs: int = 0, resident_bytes: int = 0) -> CoreProgram:
    rows = np.stack(steps)
    n_operators = int(rows[:, 0].max()) + 1
    return CoreProgram(rows, (issue_fs,) * n_operators, (exchange_fs,) * n_operators, resident_bytes)


def intervals(run: ProgramRun, line: int, state: int) -> list[tuple[int, int]]:
    chosen = (run.activity.component == line) & (run.activity.state == state)
    pairs = zip(run.activity.start_fs[chosen].tolist(), run.activity.end_fs[chosen].tolist(), strict=True)
    return [(int(start), int(end)) for start, end in pairs]


def total(run: ProgramRun, line: int, state: int) -> int:
    return sum(end - start for start, end in intervals(run, line, state))


def multiply(folds: int, stream: int, load_cycles: int = 128, **columns: int) -> np.ndarray:
    return step_row(folds=folds, stream=stream, load_cycles=load_cycles, macs=folds * stream, **columns)


def test_folds_follow_each_other_and_the_skew_comes_once() -> None:
    run = run_program(timing(), program(multiply(10, 500), multiply(4, 300)), record=True)
    cycles = 10 * 500 + 4 * 300 + timing().array.tail_cycles
    ready = -(-US // timing().period_fs)  # weights of the first fold went in while the operator was issued
    assert run.ends_fs[-1] == (ready + cycles) * timing().period_fs
    assert int(run.activity.amount[run.activity.component == MXU].sum()) == 10 * 500 + 4 * 300


def test_short_folds_wait_for_the_weights_of_the_next() -> None:
    run = run_program(timing(), program(multiply(11, 8)), record=True)
    ready = -(-US // timing().period_fs)
    assert run.ends_fs[-1] == (ready + 10 * 128 + 8 + timing().array.tail_cycles) * timing().period_fs


def test_lanes_end_a_share_of_a_fold_after_the_last_result() -> None:
    alone = run_program(timing(), program(multiply(10, 500)), record=True).ends_fs[-1]
    worked = run_program(timing(), program(multiply(10, 500, vector=US, ops=77)), record=True)
    period = timing().period_fs
    assert worked.ends_fs[-1] == -(-(alone + US // 10) // period) * period
    assert total(worked, VECTOR, BUSY) == US


def test_an_operator_is_issued_when_the_one_before_is_over() -> None:
    two = (multiply(10, 500, operator=0), multiply(10, 500, operator=1))
    run = run_program(timing(), program(*two, exchange_fs=3 * US), record=True)
    first, second = run.ends_fs
    assert second - first == pytest.approx(first, abs=2 * timing().period_fs)
    assert total(run, SEQUENCER, BUSY) == 2 * US
    assert total(run, SEQUENCER, STALL_LINK) == 6 * US
    assert total(run, MXU, STALL_LAUNCH) > 0


def test_weights_come_while_an_operator_computes_and_gated_rows_do_not() -> None:
    compute = multiply(100, 500, operator=0)
    late = run_program(timing(), program(compute, multiply(1, 8, operator=1, load=16 * MIB, hold=16 * MIB)), True)
    gated = run_program(
        timing(), program(compute, multiply(1, 8, operator=1, load=16 * MIB, hold=16 * MIB, gated=1)), True
    )
    assert intervals(late, DMA, BUSY)[0][0] == 0
    assert intervals(gated, DMA, BUSY)[0][0] >= gated.ends_fs[0]
    assert gated.ends_fs[-1] > late.ends_fs[-1] + 5 * US
    assert total(gated, MXU, STALL_MEMORY) > 5 * US


def test_loads_wait_for_room() -> None:
    tile = 60 * MIB
    steps = [multiply(200, 500, load=tile, hold=tile) for _ in range(4)]
    roomy = run_program(replace(timing(), vmem_bytes=4 * tile), program(*steps), record=True)
    tight = run_program(replace(timing(), vmem_bytes=2 * tile), program(*steps), record=True)
    single = run_program(replace(timing(), vmem_bytes=2 * tile), program(*steps, resident_bytes=tile), record=True)
    assert total(roomy, DMA, STALL_CREDIT) == 0
    assert total(tight, DMA, STALL_CREDIT) > 0
    assert roomy.ends_fs[-1] <= tight.ends_fs[-1] < single.ends_fs[-1]
    assert roomy.counters["hbm_read_bytes"] == single.counters["hbm_read_bytes"] == 4 * tile


def test_a_step_after_another_waits_for_its_results() -> None:
    apart = program(multiply(10, 500, vector=5 * US), multiply(10, 500))
    after = program(multiply(10, 500, vector=5 * US), multiply(10, 500, after=0, wait=US))
    free, bound = (run_program(timing(), each, record=True) for each in (apart, after))
    assert bound.ends_fs[-1] > free.ends_fs[-1] + US
    assert total(bound, MXU, STALL_OPERAND) > 3 * US  # the lanes go on for 5 us, of which the folds take a part


def test_what_is_stored_is_in_memory_at_the_end() -> None:
    run = run_program(timing(), program(step_row(vector=US, store=8 * MIB, worked=MIB)), record=True)
    assert run.counters["hbm_write_bytes"] == 8 * MIB
    assert run.ends_fs[-1] > 2 * US + 8 * MIB / timing().hbm.bytes_per_fs * 0.8
    assert int(run.activity.amount[run.activity.component == VMEM].sum()) == MIB


def test_a_line_joins_neighbours_and_does_one_thing_at_a_time() -> None:
    log = LaneLog(3)
    log.add(0, 10, BUSY, 5)
    log.add(10, 20, BUSY, 7)
    log.add(15, 25, STALL_MEMORY)
    log.add(18, 22, BUSY, 1)
    assert log.rows == [[0, 20, BUSY, 12], [20, 25, STALL_MEMORY, 1]]
    cut = log.activity(22)
    assert cut.end_fs.tolist() == [20, 22] and cut.component.tolist() == [3, 3]

"""Random programs on systolic chips: work and bytes add up, a line does one thing at a time, bounds hold."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operators import attentions, gemms, streams

from dieshot.chips.parts.systolic.die import DMA, MXU, N_LINES
from dieshot.chips.systolic import Systolic, SystolicState
from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.log.total import totals
from dieshot.simulator.studies.bounds import roofline
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator

FS_PER_SECOND = 10**15
STRETCHES = st.lists(st.one_of(gemms(), attentions(), streams()), min_size=1, max_size=4)


@cache
def chip(system: str, *sets: str) -> Systolic:
    built = set_up(system, ("chip.software.candidates_simulated=1", *sets)).chip
    assert isinstance(built, Systolic)
    return built


def cells_of(system: str, stretch: list[Operator]) -> list[Cell]:
    return [outcome.cells[0] for outcome in chip(system).carry_out_all(stretch, SystolicState())]


def amount(cells: list[Cell], first: int, stop: int) -> int:
    """Sum what lines first .. stop - 1 did."""
    chosen = [(cell.activity, (cell.activity.component >= first) & (cell.activity.component < stop)) for cell in cells]
    return sum(int(activity.amount[mine].sum()) for activity, mine in chosen)


def supported(system: str, stretch: list[Operator]) -> list[Operator]:
    return [one for one in stretch if not one.macs or one.dtype in chip(system).machine.mac_rate]


@pytest.mark.parametrize("system", ["tpu-v6e-1", "tpu-v7-1", "tpu-v5e-1", "trn2-16"])
@settings(max_examples=6, deadline=None)
@given(stretch=STRETCHES)
def test_work_and_bytes_add_up(system: str, stretch: list[Operator]) -> None:
    stretch = supported(system, stretch)
    if not stretch:
        return
    cells = cells_of(system, stretch)
    specs = chip(system).components()
    macs = sum(one.macs for one in stretch)
    useful = sum(cell.counters["macs"] for cell in cells)
    assert useful == macs or (any(one.kind == "attention" for one in stretch) and useful >= macs)
    assert amount(cells, MXU, MXU + 1) == useful + sum(cell.counters["padded_macs"] for cell in cells)
    assert all(cell.counters["padded_macs"] >= 0 for cell in cells)
    moved = amount(cells, N_LINES, len(specs))
    assert moved == cells[-1].counters["hbm_read_bytes"] + cells[-1].counters["hbm_write_bytes"]
    assert moved == amount(cells, DMA, DMA + 1)
    assert cells[-1].counters["hbm_read_bytes"] >= sum(one.weight_bytes + one.kv_read_bytes for one in stretch)
    assert cells[-1].counters["hbm_write_bytes"] >= sum(one.kv_write_bytes for one in stretch)
    for cell in cells:
        counted = totals(cell.activity, specs, cell.duration_fs)  # refuses intervals that overlap
        assert (counted.cycles >= 0).all() and (cell.activity.amount >= 0).all()
        assert len(cell.activity) == 0 or cell.activity.end_fs.max() <= cell.duration_fs


@pytest.mark.parametrize("system", ["tpu-v6e-1", "trn2-16"])
@settings(max_examples=6, deadline=None)
@given(stretch=STRETCHES)
def test_no_stretch_beats_its_bounds(system: str, stretch: list[Operator]) -> None:
    stretch = supported(system, stretch)
    if not stretch:
        return
    bounds = [roofline(one, chip(system).peaks()) for one in stretch]
    least = max(sum(bound.compute for bound in bounds), sum(bound.memory for bound in bounds))
    assert sum(cell.duration_fs for cell in cells_of(system, stretch)) >= least * FS_PER_SECOND


@settings(max_examples=5, deadline=None)
@given(stretch=STRETCHES)
def test_the_same_stretch_on_a_fresh_chip_is_the_same_to_the_last_byte(stretch: list[Operator]) -> None:
    stretch = supported("tpu-v6e-1", stretch)
    if not stretch:
        return
    fresh = set_up("tpu-v6e-1", ("chip.software.candidates_simulated=1",)).chip
    again = [outcome.cells[0] for outcome in fresh.carry_out_all(stretch, SystolicState())]
    for one, other in zip(cells_of("tpu-v6e-1", stretch), again, strict=True):
        assert one.duration_fs == other.duration_fs and one.counters == other.counters
        for column in ("component", "start_fs", "end_fs", "state", "amount"):
            assert np.array_equal(getattr(one.activity, column), getattr(other.activity, column))


@settings(max_examples=8, deadline=None)
@given(stretch=STRETCHES)
def test_tensors_that_do_not_stay_go_through_memory(stretch: list[Operator]) -> None:
    small = chip("tpu-v6e-1", "chip.vmem.capacity=8MiB")
    stretch = supported("tpu-v6e-1", stretch)
    if not stretch:
        return
    outcomes = small.carry_out_all(stretch, SystolicState())
    counters = outcomes[-1].cells[0].counters
    spilled = [one.output_bytes for one in stretch if one.output_bytes > small.machine.spill_bytes]
    assert counters["hbm_write_bytes"] >= sum(spilled) + sum(one.kv_write_bytes for one in stretch)
    inputs = [n for one in stretch for n in one.inputs.values() if n > small.machine.spill_bytes]
    assert counters["hbm_read_bytes"] >= sum(inputs) + sum(one.weight_bytes + one.kv_read_bytes for one in stretch)


@settings(max_examples=5, deadline=None)
@given(stretch=STRETCHES)
def test_recording_changes_nothing(stretch: list[Operator]) -> None:
    stretch = supported("tpu-v6e-1", stretch)
    if not stretch:
        return
    seen = [outcome.duration_fs for outcome in chip("tpu-v6e-1").carry_out_all(stretch, SystolicState())]
    silent = [one.duration_fs for one in chip("tpu-v6e-1").carry_out_all(stretch, SystolicState(), record=False)]
    assert seen == silent

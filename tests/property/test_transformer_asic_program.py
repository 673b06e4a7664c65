"""Random stretches on a chip with fixed units: work and bytes add up, a line does one thing at a time, bounds hold."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operators import attentions, gemms, streams

from dieshot.chips.parts.transformer_asic.die import ARRAY, DMA, N_LINES
from dieshot.chips.transformer_asic import AsicState, TransformerAsic
from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.log.total import totals
from dieshot.simulator.studies.bounds import roofline
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator

FS_PER_SECOND = 10**15
STRETCHES = st.lists(st.one_of(gemms(), attentions(), streams()), min_size=1, max_size=4)
# As announced; so little room that most tensors go through HBM, and waves are short.
CHIPS = ((), ("chip.sram.capacity=24MiB", "chip.program.cache_wave=2MiB", "chip.program.weight_wave=2MiB"))


@cache
def chip(sets: tuple[str, ...]) -> TransformerAsic:
    built = set_up("sohu-1", sets).chip
    assert isinstance(built, TransformerAsic)
    return built


def cells_of(sets: tuple[str, ...], stretch: list[Operator]) -> list[Cell]:
    outcomes = chip(sets).carry_out_all(stretch, AsicState())
    return [cell for outcome in outcomes for cell in outcome.cells]


def amount(cells: list[Cell], first: int, stop: int) -> int:
    """Sum what lines first .. stop - 1 did."""
    chosen = [(cell.activity, (cell.activity.component >= first) & (cell.activity.component < stop)) for cell in cells]
    return sum(int(activity.amount[mine].sum()) for activity, mine in chosen)


@pytest.mark.parametrize("sets", CHIPS)
@settings(max_examples=12, deadline=None)
@given(stretch=STRETCHES)
def test_work_and_bytes_add_up(sets: tuple[str, ...], stretch: list[Operator]) -> None:
    cells = cells_of(sets, stretch)
    specs = chip(sets).components()
    macs = sum(one.macs for one in stretch)
    useful = sum(cell.counters["macs"] for cell in cells)
    assert useful == macs or (any(one.kind == "attention" for one in stretch) and useful >= macs)
    assert all(cell.counters["padded_macs"] >= 0 for cell in cells)
    # A pass of fp8 counts one, of bf16 two or four.
    assert useful <= sum(cell.counters["macs_issued"] for cell in cells) <= amount(cells, ARRAY, ARRAY + 1)
    read = sum(cell.counters.get("hbm_read_bytes", 0) for cell in cells)
    written = sum(cell.counters.get("hbm_write_bytes", 0) for cell in cells)
    assert read + written == amount(cells, N_LINES, len(specs)) == amount(cells, DMA, DMA + 1)
    assert read >= sum(one.weight_bytes + one.kv_read_bytes for one in stretch)
    assert written >= sum(one.kv_write_bytes for one in stretch)
    for cell in {id(cell): cell for cell in cells}.values():
        counted = totals(cell.activity, specs, cell.duration_fs)  # refuses intervals that overlap
        assert (counted.cycles >= 0).all() and (cell.activity.amount >= 0).all()
        assert len(cell.activity) == 0 or cell.activity.end_fs.max() <= cell.duration_fs


@pytest.mark.parametrize("sets", CHIPS)
@settings(max_examples=12, deadline=None)
@given(stretch=STRETCHES)
def test_no_stretch_beats_its_bounds(sets: tuple[str, ...], stretch: list[Operator]) -> None:
    bounds = [roofline(one, chip(sets).peaks()) for one in stretch]
    least = max(sum(bound.compute for bound in bounds), sum(bound.memory for bound in bounds))
    assert sum(cell.duration_fs for cell in cells_of(sets, stretch)) >= least * FS_PER_SECOND


@pytest.mark.parametrize("sets", CHIPS)
@settings(max_examples=6, deadline=None)
@given(stretch=STRETCHES)
def test_less_of_everything_takes_no_less_time(sets: tuple[str, ...], stretch: list[Operator]) -> None:
    """Half the memory's pace, or half the arrays' clockwork in wait, never makes a stretch end earlier by a tenth."""
    whole = sum(cell.duration_fs for cell in cells_of(sets, stretch))
    slow = sum(cell.duration_fs for cell in cells_of((*sets, "chip.hbm.pin_rate=3.125Gbit/s"), stretch))
    assert slow > 0.9 * whole

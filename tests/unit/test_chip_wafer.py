"""A wafer as a chip: placement, what fits into a PE and what is refused, equal layers, conservation, zeros skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from operators import operator

from dieshot.chips.mapping.wafer.phase import Region
from dieshot.chips.mapping.wafer.place import place
from dieshot.chips.parts.wafer.sample import MESH_X, MESH_Y, SAMPLES, SRAM, VECTOR
from dieshot.chips.wafer import Wafer, WaferState
from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.engine.chip import InfeasibleError, OperatorOutcome, UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.trace import trace
from dieshot.traces import Operator, Trace, partition

SMALL = ("chip.fabric.rows=24", "chip.fabric.columns=40")
TINY = "tests/data/traces/tiny-llama.json"
VECTOR_OPS = {"tokens": 1, "ffn": 4096, "gated": 1}


@cache
def wafer(*sets: str) -> Wafer:
    chip = set_up("cs3", sets).chip
    assert isinstance(chip, Wafer)
    return chip


def tiny(generate: int = 3, prompt: int = 8, batch: int = 1, precision: str = "fp16") -> Trace:
    return trace(TINY, prompt=prompt, generate=generate, batch=batch, precision=precision, kv_precision="fp16")


def carried_out(chip: Wafer, operators: Sequence[Operator], state: WaferState) -> list[tuple[Operator, Cell]]:
    outcomes: Sequence[OperatorOutcome[WaferState]] = chip.carry_out_all(operators, state)
    return [(each, outcome.cells[0]) for each, outcome in zip(operators, outcomes, strict=True)]


def all_cells(chip: Wafer, whole: Trace) -> list[tuple[Operator, Cell]]:
    """Return every operator of a trace once with its cell, block after block."""
    done, state = [], chip.initial_state
    for step in whole.steps:
        for block in step.blocks:
            done += carried_out(chip, block.operators, state)
            state = chip.carry_out_all(block.operators, state)[-1].state
        state = chip.drain(state)[1]
    return done


def test_regions_are_as_square_as_they_can_be() -> None:
    assert place(wafer().parameters, 20, 57).layers == Region("layers", 190, 223)
    assert place(wafer().parameters, 32, 59).layers == Region("layers", 190, 139)
    whole = place(wafer().parameters, 1)
    assert whole.layers == whole.tables == Region("layers", 762, 1172)


def test_tables_lie_in_a_strip_that_just_holds_them() -> None:
    chip = wafer().divided(32)
    stages = [stage.steps for stage in partition(trace("llama-3.1-8b", generate=2, precision="fp16"), 1, 32).stages]
    chip.prepare(stages, 1)
    tables, layers = chip.lowering.placement.tables, chip.lowering.placement.layers
    have = (48 - 2) * 1024
    needs = [
        2 * 2 * -(-128256 // tables.rows) * -(-4096 // columns) for columns in (tables.columns, tables.columns - 1)
    ]
    assert needs[0] <= have < needs[1] + 1024
    assert tables.columns + -(-32 // (tables.rows // layers.rows)) * layers.columns <= 1172


def test_more_regions_than_pes_and_more_colours_than_routers_have_are_refused() -> None:
    with pytest.raises(InfeasibleError, match=r"PEs for 1000 regions"):
        wafer(*SMALL).divided(1000)
    with pytest.raises(InputError, match=r"router.colours.*expected 20 or more for these programs; got 19"):
        set_up("cs3", ["chip.router.colours=19"])
    assert set_up("cs3", ["chip.router.colours=20"]).chip.memory_bytes == 762 * 1172 * 48 * 1024
    with pytest.raises(InputError, match=r"expected 31 or more for these programs; got 24"):
        set_up("cs3", ["chip.software.root=middle"])
    with pytest.raises(InputError, match=r"expected \d+ or more for these programs; got 24"):
        set_up("cs3", ["chip.software.reduction=tree"])  # a colour for every level


def test_what_fits_into_a_pe_fits_and_a_byte_more_does_not() -> None:
    steps = [tiny().steps]
    chip = wafer(*SMALL)
    with pytest.raises(UnsupportedError, match=r"needs (\d+) B .* more than the 1 B that it has") as refused:
        wafer(*SMALL, "chip.pe.reserved=49151 B").prepare(steps, 1)
    need = int(str(refused.value).partition("needs ")[2].partition(" B")[0])
    wafer(*SMALL, f"chip.pe.reserved={48 * 1024 - need} B").prepare(steps, 1)
    with pytest.raises(UnsupportedError, match=rf"needs {need} B .* 1 B more than the {need - 1} B"):
        wafer(*SMALL, f"chip.pe.reserved={48 * 1024 - need + 1} B").prepare(steps, 1)
    assert chip.memory_bytes == 24 * 40 * 48 * 1024


@pytest.mark.parametrize("chip", ["wse-2", "wse-3"])
def test_formats_without_multiplier_are_refused(chip: str) -> None:
    rows = wafer() if chip == "wse-3" else set_up("cs2").chip
    kinds = "bf16, fp16, int8" if chip == "wse-3" else "fp16"
    one = operator("gemm", {"M": 1, "N": 64, "K": 64, "bias": 0}, "fp8")
    with pytest.raises(
        UnsupportedError, match=rf"{chip} does not multiply fp8 \(operator gemm\); it multiplies {kinds}"
    ):
        rows.carry_out(one, rows.initial_state)


def test_a_model_larger_than_the_wafer_is_refused_with_what_is_short() -> None:
    with pytest.raises(InputError, match=r"llama-3-70b .* does not fit on cs3.*141.1 GB weights"):
        run("cs3", "llama-3-70b", precision="fp16", generate=1)


def test_equal_layers_are_one_cell_and_steps_differ_by_positions_to_a_pe_only() -> None:
    chip, whole = wafer(*SMALL), tiny(generate=40)
    chip.prepare([whole.steps], 1)
    layers = [step.blocks[1].operators for step in whole.steps[1:]]
    state = chip.carry_out_all(layers[0], chip.initial_state)[-1].state
    again = chip.carry_out_all(layers[0], state)[-1].state
    assert again == chip.carry_out_all(layers[0], again)[-1].state
    found: dict[int, Any] = {}
    for step, layer in zip(whole.steps[1:], layers, strict=True):
        cells = tuple(id(outcome.cells[0]) for outcome in chip.carry_out_all(layer, again))
        assert found.setdefault(-(-step.kv_len // 24), cells) == cells
    assert len(found) == 2
    assert len(set(found.values())) == 2


@pytest.mark.parametrize("prompt", [8, 60])
def test_all_work_of_the_trace_is_in_the_log(prompt: int) -> None:
    chip, whole = Wafer(wafer(*SMALL).parameters), tiny(prompt=prompt)
    chip.prepare([whole.steps], 1)
    for each, cell in all_cells(chip, whole):
        activity, counters = cell.activity, cell.counters
        done = [
            int((activity.amount * activity.repeat)[(activity.component >= low) & (activity.component < stop)].sum())
            for low, stop in ((0, 2 * SAMPLES), (VECTOR, VECTOR + 1), (SRAM, SRAM + 1), (MESH_Y, MESH_X + 1))
        ]
        if each.kind == "attention" and each.dims["q_len"] == 1:
            # One cell serves a cache until every PE of a column holds one position more.
            longest = -(-each.dims["kv_len"] // 24) * 24
            assert counters["macs"] == each.macs // each.dims["kv_len"] * longest
            assert counters["kv_read_bytes"] == each.kv_read_bytes // each.dims["kv_len"] * longest
        else:
            assert counters["macs"] == each.macs
            assert counters["kv_read_bytes"] == each.kv_read_bytes
        assert each.macs <= counters["macs"] <= done[0] == counters["macs_issued"]
        assert counters["padded_macs"] == done[0] - counters["macs"]
        assert done[2] == counters["sram_bytes"] >= each.weight_bytes + each.kv_read_bytes
        assert done[3] == 4 * counters["wavelet_hops"]
        assert int(activity.start_fs.min(initial=0)) >= 0
        last = activity.end_fs + (activity.repeat - 1) * activity.period_fs
        assert int(last.max(initial=0)) <= cell.duration_fs


def test_a_stretch_takes_as_long_as_its_operators_one_by_one() -> None:
    chip, whole = wafer(*SMALL), tiny()
    layer = whole.steps[-1].blocks[1].operators
    together = sum(cell.duration_fs for _, cell in carried_out(chip, layer, chip.initial_state))
    state, apart = chip.initial_state, 0
    for each in layer:
        outcome = chip.carry_out(each, state)
        state, apart = outcome.state, apart + outcome.duration_fs
    assert together == apart
    assert state == chip.carry_out_all(layer, chip.initial_state)[-1].state


def test_tables_and_layers_lie_apart_and_vectors_move_between_them() -> None:
    chip = wafer().divided(32)
    whole = trace("llama-3.1-8b", generate=2, precision="fp16")
    chip.prepare([stage.steps for stage in partition(whole, 1, 32).stages], 1)
    head, layers, tail = whole.steps[-1].blocks
    tables, region = chip.lowering.placement.tables, chip.lowering.placement.layers
    state = chip.carry_out_all(head.operators, chip.initial_state)[-1].state
    assert state.region == tables
    first = carried_out(chip, layers.operators, state)[0][1]
    state = chip.carry_out_all(layers.operators, state)[-1].state
    assert (state.region, state.layout) == (region, "y")
    again = carried_out(chip, layers.operators, state)[0][1]
    # 4,096 elements of 16 bit in one stream, over the wafer and over the region
    hops = 762 + 1172 + region.rows + region.columns
    assert first.duration_fs - again.duration_fs >= (2048 + hops) * chip.clock.period_fs
    last = carried_out(chip, tail.operators, state)[0][1]
    assert last.duration_fs >= (2048 + hops) * chip.clock.period_fs
    assert chip.carry_out_all(tail.operators, state)[-1].state.region == tables


def test_draining_waits_for_the_last_pe_and_then_all_are_ready() -> None:
    chip = wafer(*SMALL)
    assert chip.drain(chip.initial_state) == (None, chip.initial_state)
    state = chip.carry_out_all(tiny().steps[-1].blocks[1].operators, chip.initial_state)[-1].state
    cell, quiet = chip.drain(state)
    assert cell is not None
    assert quiet == chip.initial_state
    assert 0 < cell.duration_fs <= (24 + 40) * 2 * chip.clock.period_fs


def test_a_hand_over_walks_a_region_and_carries_a_row_on_each_link() -> None:
    chip = wafer(*SMALL)
    send = operator("send_recv", {"elements": 24 * 100}, "fp16")
    cycles = chip.hand_over(send, chip.initial_state).duration_fs // chip.clock.period_fs
    start = chip.parameters.software.task_activation + chip.parameters.software.vector_start
    assert cycles == start + 40 + 100 * 2 // 4 + 2 * 2 + 1


def test_between_wafers_the_last_pe_the_way_to_the_edge_and_the_links_add_up() -> None:
    setup = set_up("cs3-x4").placed(1, 20)
    chip, fabric = setup.chip, setup.fabric
    assert isinstance(chip, Wafer)
    assert fabric is not None
    send = operator("send_recv", {"elements": 2 * 8192}, "fp16")
    wire = fabric.carry_out(send, 1)
    # 5 us and 16 kB twice over 12 ports of 12.5 GB/s
    assert wire.duration_fs == pytest.approx(5e9 + 32768 / (150e9 * 0.95) * 1e15, rel=0.02)
    cell, after = chip.alongside(wire, send, chip.initial_state)
    edge = chip.lowering.placement.layers.columns + 2 * 2 + 1
    assert cell.duration_fs - wire.duration_fs == edge * chip.clock.period_fs
    assert after == chip.initial_state
    assert int(cell.activity.amount.sum()) == int(wire.activity.amount.sum())


def test_zero_weights_cost_nothing_where_they_are_skipped_and_as_much_where_not() -> None:
    dims = {"M": 1, "N": 40 * 64, "K": 24 * 64, "bias": 0}
    dense = operator("gemm", dims, "fp16")
    sparse = replace(dense, sparsity="unstructured", density=0.25)
    sparser = replace(dense, sparsity="unstructured", density=0.01)
    plain, skipping = wafer(*SMALL), wafer(*SMALL, "chip.sparsity.zero_skipping=true")

    def cycles(chip: Wafer, one: Operator) -> int:
        return chip.carry_out(one, chip.initial_state).duration_fs // chip.clock.period_fs

    assert cycles(plain, sparse) == cycles(plain, dense) == cycles(skipping, dense)
    # 64 vector instructions of 64 MACs at 8 a cycle, or of 16, or, at the most that is skipped, of 8
    assert cycles(plain, dense) - cycles(skipping, sparse) == 64 * (8 - 2)
    assert cycles(plain, dense) - cycles(skipping, sparser) == 64 * (8 - 1)
    counters = skipping.carry_out(sparse, skipping.initial_state).cells[0].counters
    assert counters["skipped_macs"] == dense.macs * 3 // 4
    assert counters["macs"] == counters["macs_issued"] == dense.macs // 4


def test_two_chips_give_the_same_cells() -> None:
    layer = tiny().steps[-1].blocks[1].operators
    for (_, one), (_, other) in zip(
        carried_out(Wafer(wafer(*SMALL).parameters), layer, wafer(*SMALL).initial_state),
        carried_out(Wafer(wafer(*SMALL).parameters), layer, wafer(*SMALL).initial_state),
        strict=True,
    ):
        assert one.duration_fs == other.duration_fs
        assert one.counters == other.counters
        assert all(
            (getattr(one.activity, column) == getattr(other.activity, column)).all()
            for column in type(one.activity).__slots__
        )


def test_published_power_is_that_of_the_system() -> None:
    assert wafer().published_power_w == {"system": 23000}


def test_static_power_is_shared_by_the_regions() -> None:
    for n_parts in (1, 20):
        chip = wafer().divided(n_parts)
        watts = sum(spec.static_fj_per_cycle * spec.count for spec in chip.components()) / chip.clock.period_fs
        assert watts * n_parts == pytest.approx(chip.parameters.power.idle / 1000, rel=1e-3)


MIDDLE = ("chip.fabric.rows=240", "chip.fabric.columns=240")


def prefilled(prompt: int, *sets: str) -> tuple[Wafer, dict[str, tuple[Operator, Cell]], int]:
    """Return the chip, the operators of a prompt's layer with their cells, and the cycles of that layer."""
    chip = Wafer(wafer(*MIDDLE, *sets).parameters)
    whole = trace("qwen3-0.6b", prompt=prompt, generate=1, precision="fp16", kv_precision="fp16")
    chip.prepare([whole.steps], 1)
    done = carried_out(chip, whole.steps[0].blocks[1].operators, chip.initial_state)
    cycles = sum(cell.duration_fs for _, cell in done) // chip.clock.period_fs
    return chip, {each.name: (each, cell) for each, cell in done}, cycles


def test_longer_prompts_take_longer_whatever_the_layout() -> None:
    found = [prefilled(prompt) for prompt in (40, 100, 240, 241)]
    cycles = [each for _, _, each in found]
    assert cycles == sorted(cycles)
    assert [chip.lowering.uses_grid(layer["act"][0]) for chip, layer, _ in found] == [False, True, True, True]


@pytest.mark.parametrize("prompt", [40, 700])
def test_a_prompt_without_room_for_all_tokens_is_worked_off_in_parts(prompt: int) -> None:
    roomy, plenty, _ = prefilled(prompt)
    narrow, little, _ = prefilled(prompt, "chip.pe.reserved=12 KiB")
    assert narrow.lowering.group_tokens < 40 <= roomy.lowering.group_tokens
    assert narrow.lowering.chunk_tokens <= roomy.lowering.chunk_tokens
    for name, (each, cell) in little.items():
        assert cell.counters["macs"] == each.macs <= cell.counters["macs_issued"]
        # The last of several parts is padded as the others are.
        assert cell.counters["macs_issued"] <= 2 * plenty[name][1].counters["macs_issued"]

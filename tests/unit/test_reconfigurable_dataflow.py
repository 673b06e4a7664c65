"""Chips of compute and memory tiles: strips, routes, streams and credits, what layers leave to each other, refusals."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from operators import operator

from dieshot import run
from dieshot.chips.mapping.dataflow.lower import Lowering, successors
from dieshot.chips.mapping.dataflow.stage import Region
from dieshot.chips.parts.dataflow.die import GRAIN_FS, N_SHARED
from dieshot.chips.parts.dataflow.log import shares, union
from dieshot.chips.parts.dataflow.timing import Handover, Stream
from dieshot.chips.reconfigurable_dataflow import ReconfigurableDataflow
from dieshot.simulator.engine.cell import BUSY, STALL_LINK, STALL_MEMORY
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import find_path
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Partition, Step, build_trace, load_model_config, partition
from dieshot.traces.operator import Operator

SYSTEM = "sn40l-8"
NO_LEAD = Handover(begun=True)


@cache
def parts_of(model: str, prompt: int, batch: int = 1, precision: str = "bf16") -> Partition:
    config = load_model_config(find_path("models", model))
    trace = build_trace(config, batch=batch, prompt=prompt, generate=3, precision=precision, kv_precision="bf16")
    return partition(trace, 8, 1, pad=True)


@cache
def chip(model: str = "llama-3-8b", prompt: int = 100, *sets: str) -> ReconfigurableDataflow:
    built = set_up(SYSTEM, sets).placed(8, 1).chip
    assert isinstance(built, ReconfigurableDataflow)
    built.prepare([stage.steps for stage in parts_of(model, prompt).stages], 1)
    return built


def step(model: str = "llama-3-8b", prompt: int = 100, index: int = 1) -> Step:
    return parts_of(model, prompt).stages[0].steps[index]


def layer(model: str = "llama-3-8b", prompt: int = 100, index: int = 1) -> tuple[Operator, ...]:
    return next(tuple(block.operators) for block in step(model, prompt, index).blocks if block.name == "layers")


def pin_bytes(built: ReconfigurableDataflow, outcomes: Any) -> int:
    first = built.parameters.mesh.columns + N_SHARED
    pins = range(first, first + built.hbm.n_pins)
    return sum(
        int(cell.activity.amount[np.isin(cell.activity.component, pins)].sum())
        for outcome in outcomes
        for cell in outcome.cells
    )


@pytest.mark.parametrize("index", [0, 1])
def test_stages_share_out_all_strips(index: int) -> None:
    region = chip().lowering.region(layer(index=index))
    placed = [stage.strips for stage in region.stages if not stage.collective]
    assert all(n >= 1 for _, n in placed)
    assert [first for first, _ in placed] == [sum(n for _, n in placed[:i]) for i in range(len(placed))]
    assert sum(n for _, n in placed) == chip().parameters.mesh.columns
    work = {stage.operator.name: stage.cycles for stage in region.stages}
    assert max(work.values()) < 1.5 * np.mean([work[name] for name in ("qkv_proj", "gate_up_proj", "down_proj")])


@pytest.mark.parametrize("strips", [(0, 4), (51, 1), (20, 9)])
def test_delivery_is_what_walking_every_route_gives(strips: tuple[int, int]) -> None:
    """A byte from the head of every column to every unit of the strips: down the column, then along the row."""
    machine = chip().machine
    rows, columns = machine.strip, machine.p.mesh.columns
    loads: Counter[tuple[Any, ...]] = Counter()
    weight = 1 / (columns * rows * strips[1])
    for source in range(columns):
        for row in range(rows):
            for goal in range(strips[0], strips[0] + strips[1]):
                for passed in range(row + 1):
                    loads["down", source, passed] += weight
                step_ = 1 if goal > source else -1
                for column in range(source, goal, step_):
                    loads[row, column, column + step_] += weight
    busiest, hops = machine.delivery(strips)
    assert busiest == pytest.approx(max(loads.values()))
    assert hops == pytest.approx(sum(loads.values()))


@pytest.mark.parametrize(("rows", "n_strips"), [(1, 1), (12, 3), (13, 3), (17, 5), (64, 25)])
def test_matrix_cycles_are_those_of_counted_blocks(rows: int, n_strips: int) -> None:
    machine = chip().machine
    work = chip().lowering.work(operator("gemm", {"M": rows, "N": 1000, "K": 4096, "bias": 0}, "bf16"), 1)
    columns, deep = -(-1000 // n_strips), -(-4096 // machine.strip)
    counted = min(
        len([(i, j) for i in range(0, rows, a) for j in range(0, columns, b)]) * deep for a, b in ((16, 12), (12, 16))
    )
    assert machine.mac_cycles(work, n_strips) == counted


def test_a_narrow_mesh_brings_inputs_late() -> None:
    work = chip().lowering.work(layer(index=0)[1], 1)
    wide, narrow = chip().machine, chip("llama-3-8b", 100, "chip.mesh.width=1B/cycle").machine
    assert wide.work_cycles(work, 8) == wide.mac_cycles(work, 8) + wide.simd_cycles(work, 8)
    assert narrow.work_cycles(work, 8) == narrow.input_cycles(work) == -(-work.read // narrow.strip)


def test_a_stream_is_cut_into_transfers_that_cover_it_once() -> None:
    region = chip().lowering.region(layer())
    stream = Stream(region, 256 << 10)
    assert sum(stream.sizes[: stream.n_own]) == region.stream_bytes
    assert set(stream.sizes[: stream.n_own - 1]) == {256 << 10}
    covered = Counter(
        tile for a, b in zip(stream.first_tile, stream.last_tile, strict=True) for tile in range(a, b + 1)
    )
    assert [covered[tile] for tile in range(len(stream.missing))] == stream.missing.tolist()
    assert all(n >= 1 for n in stream.missing)


def test_experts_are_fetched_when_they_are_chosen() -> None:
    chosen = layer("mixtral-8x7b")
    region = chip("mixtral-8x7b").lowering.region(chosen)
    stream = Stream(region, 256 << 10)
    route = next(i for i, stage in enumerate(region.stages) if stage.operator.kind == "route")
    waiting = sum(size for size, gate in zip(stream.sizes, stream.gate, strict=False) if gate == route)
    assert waiting == sum(each.weight_bytes for each in chosen if each.kind == "grouped_gemm")
    ahead = region.prefix_bytes
    assert ahead == sum(size for size, gate in zip(stream.sizes, stream.gate, strict=False) if gate != route)


def test_what_may_be_fetched_ahead_is_wanted_whatever_comes_next() -> None:
    steps = [[("head", 1, 5), ("layer", 3, 70), ("tail", 1, 40)], [("head", 1, 5), ("tail", 1, 9)]]
    assert successors(steps) == {"head": 9, "layer": 40, "tail": 0}


@pytest.mark.parametrize("model", ["llama-3-8b", "mixtral-8x7b"])
def test_bytes_of_a_step_are_those_of_its_streams(model: str) -> None:
    built, state, moved, wanted = chip(model), Handover(), 0, 0
    for block in step(model).blocks:
        for _ in range(min(block.repeat, 4)):
            outcomes = built.carry_out_all(block.operators, state)
            state = outcomes[-1].state
            moved += pin_bytes(built, outcomes)
            region = built.lowering.region(block.operators)
            wanted += region.stream_bytes + sum(stage.store for stage in region.stages)
    assert moved == wanted
    assert state.ahead == state.flying == 0


def test_a_layer_begins_with_what_the_one_before_fetched() -> None:
    built = chip()
    cold = built.carry_out_all(layer(), NO_LEAD)
    left = cold[-1].state
    assert left.ahead > left.flying > 0
    assert left.late_fs % GRAIN_FS == 0
    warm = built.carry_out_all(layer(), left)
    saved_fs = sum(outcome.duration_fs for outcome in cold) - sum(outcome.duration_fs for outcome in warm)
    landed = (left.ahead - left.flying) * built.parameters.agcu.transfer
    assert saved_fs == pytest.approx(landed / built.hbm.bytes_per_s * 1e15, rel=0.5)
    assert built.carry_out_all(layer(), left)[0].cells[0] is warm[0].cells[0]


def test_layers_recur_soon() -> None:
    built, state, seen = chip(), Handover(begun=True), []
    while state not in seen:
        seen.append(state)
        state = built.carry_out_all(layer(), state)[-1].state
    assert len(seen) < 20


def test_transfers_under_way_keep_to_their_number() -> None:
    built = chip()
    most = built.parameters.agcu.window // built.parameters.agcu.transfer
    state = built.carry_out_all(layer(), NO_LEAD)[-1].state
    # Those that a window of the memory asks for after the layer's end are among them.
    for _ in range(6):
        assert state.flying <= 2 * most
        state = built.carry_out_all(layer(), state)[-1].state


def test_less_room_for_streams_takes_longer() -> None:
    tiles = "chip.program.stream_tile=512KiB"
    wide, narrow = chip("llama-3-8b", 100, tiles), chip("llama-3-8b", 100, tiles, "chip.pmu.stream_share=0.004")
    took = [sum(outcome.duration_fs for outcome in built.carry_out_all(layer(), NO_LEAD)) for built in (wide, narrow)]
    assert took[0] < took[1]
    state = narrow.carry_out_all(layer(), NO_LEAD)[-1].state
    assert state.ahead * narrow.parameters.agcu.transfer <= 0.004 * 1040 * (512 << 10)


def test_a_small_batch_waits_for_memory_and_links_and_a_prompt_works() -> None:
    share = {}
    for index in (0, 1):
        outcomes = chip(prompt=1000).carry_out_all(layer(prompt=1000, index=index), NO_LEAD)
        time: Counter[int] = Counter()
        for activity in (cell.activity for outcome in outcomes for cell in outcome.cells):
            strips = activity.component < chip().parameters.mesh.columns
            for state in (BUSY, STALL_MEMORY, STALL_LINK):
                chosen = strips & (activity.state == state)
                time[state] += int((activity.end_fs - activity.start_fs)[chosen].sum())
        share[index] = time
    assert share[1][STALL_MEMORY] > share[1][STALL_LINK] > share[1][BUSY] / 10
    assert share[0][BUSY] > share[0][STALL_LINK] > 10 * share[0][STALL_MEMORY]


def test_token_tiles_go_through_the_stages_together() -> None:
    """A prompt of many tiles takes little more than its slowest stage, far less than all stages one after the other."""
    region = chip(prompt=1000).lowering.region(layer(prompt=1000, index=0))
    assert region.token_tiles == 16
    outcomes = chip(prompt=1000).carry_out_all(layer(prompt=1000, index=0), NO_LEAD)
    took = sum(outcome.duration_fs for outcome in outcomes)
    period = chip().clock.period_fs
    cycles = [stage.cycles * period for stage in region.stages]
    assert max(cycles) * 16 < took < 0.7 * sum(cycles) * 16


def test_activations_that_do_not_fit_go_through_hbm() -> None:
    lowering = chip(prompt=1000).lowering
    small = Lowering(chip("llama-3-8b", 1000, "chip.pmu.capacity=64KiB").machine)
    prompt = layer(prompt=1000, index=0)
    extra = small.region(prompt).stream_bytes - lowering.region(prompt).stream_bytes
    assert extra == prompt[0].input_bytes
    assert small.region(prompt).stages[-1].store == prompt[0].input_bytes
    assert lowering.region(prompt).stages[-1].store == 0


def test_a_switch_of_models_copies_all_weights_at_the_rate_of_ddr() -> None:
    runs = [
        run(SYSTEM, "qwen3-0.6b", prompt=8, generate=2, sets=sets).summary
        for sets in ((), ("chip.ddr.model_switch=true",))
    ]
    copied = runs[1]["energy_j"]["ddr_channel"] / 15e-12 / 8 / 8  # of a socket
    took_s = runs[1]["time_to_first_token_s"] - runs[0]["time_to_first_token_s"]
    rate = chip().ddr.bytes_per_s
    assert 0.85 * rate < copied / took_s < rate
    assert runs[1]["time_per_output_token_s"] == runs[0]["time_per_output_token_s"]
    assert copied * 8 == pytest.approx(0.6e9 * 2, rel=0.3)
    with pytest.raises(InputError, match="simulated for one stage, not 2"):
        run(
            SYSTEM,
            "qwen3-0.6b",
            prompt=8,
            generate=1,
            tensor_parallel=4,
            pipeline_parallel=2,
            sets=("chip.ddr.model_switch=true",),
        )


def test_a_model_larger_than_ddr_is_not_switched_to() -> None:
    for capacity, fits in (("2MiB", False), ("1TiB", True)):
        built = set_up(SYSTEM, ("chip.ddr.model_switch=true", f"chip.ddr.capacity={capacity}")).placed(8, 1).chip
        steps = [stage.steps for stage in parts_of("llama-3-8b", 100).stages]
        if fits:
            built.prepare(steps, 1)
        else:
            with pytest.raises(UnsupportedError, match=r"2\.0 GB of weights do not lie in 0\.0 GB of DDR"):
                built.prepare(steps, 1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("chip.pmu.count=1041", "expected 1040"),
        ("chip.hbm.idle_latency=10ns", "more than the DRAM's"),
        ("chip.agcu.window=1KiB", "a transfer's 262144 bytes at least"),
        ("chip.pmu.stream_share=0.001", "room for 8388608 bytes at least"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        set_up(SYSTEM, (setting,))


def test_formats_that_units_do_not_multiply_are_refused() -> None:
    built = set_up(SYSTEM).placed(8, 1).chip
    steps = [stage.steps for stage in parts_of("llama-3-8b", 100, precision="fp8").stages]
    with pytest.raises(UnsupportedError, match=r"does not multiply fp8 \(operator qkv_proj\); it multiplies bf16"):
        built.prepare(steps, 1)


def test_collectives_need_links() -> None:
    alone = ReconfigurableDataflow(set_up(SYSTEM).chip.parameters)
    with pytest.raises(UnsupportedError, match="no links in a system without a fabric"):
        alone.carry_out_all(layer(), NO_LEAD)


def test_shares_add_up_and_unions_keep_amounts() -> None:
    assert shares(10, np.array([1, 1, 1])).sum() == 10
    rows = np.array([[7, 0, 4, 1, 10], [7, 2, 6, 1, 5], [7, 8, 9, 1, 1]])
    assert union(rows).tolist() == [[7, 0, 6, 1, 15], [7, 8, 9, 1, 1]]


def test_a_stretch_that_nobody_announced_fetches_nothing_ahead() -> None:
    built = set_up(SYSTEM).placed(8, 1).chip
    region: Region = built.lowering.region(layer())
    assert region.follow_bytes == 0
    assert built.carry_out_all(layer(), NO_LEAD)[-1].state.ahead == 0

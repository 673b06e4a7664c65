"""Cards of in-memory cores: peaks, cycles of whole operators, modes, formats, collectives among cards, refusals."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from operators import operator

from dieshot import run
from dieshot.chips.dimc import Dimc
from dieshot.chips.mapping.dimc import attention, gemm
from dieshot.chips.mapping.dimc.lower import steps_of
from dieshot.chips.mapping.dimc.machine import DimcMachine
from dieshot.chips.parts.dimc.card_links import CardCollectives, CardGraph
from dieshot.chips.parts.dimc.die import run_program
from dieshot.chips.parts.dimc.program import Exchange
from dieshot.simulator.engine.cell import BUSY, STALL_LINK, STALL_MEMORY, STALL_OPERAND, Cell
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters, find_document, resolve
from dieshot.simulator.studies.point import decode_point, point
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator, build_trace, load_model_config
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS
from dieshot.traces.work import Formats

FS_PER_S = 10**15
FS_PER_NS = 10**6
PEAKS = [("mxint4", 9.6e15), ("mxint8", 2.4e15), ("mxint16", 0.6e15)]


@cache
def chip(system: str = "corsair-server", *sets: str) -> Dimc:
    built = set_up(system, sets).chip
    assert isinstance(built, Dimc)
    return built


def gemm_of(m: int, n: int, k: int, dtype: str = "mxint4") -> Operator:
    dims = {"M": m, "N": n, "K": k, "bias": 0}
    return make_operator("gemm", "gemm", dims, Formats(dtype, dtype, "mxint16"), PREVIOUS)


def attention_of(kv_len: int, batch: int = 2, q_len: int = 1, window: int = 0, kv: str = "mxint8") -> Operator:
    dims = {"batch": batch, "q_len": q_len, "kv_len": kv_len, "heads": 32, "kv_heads": 8, "head_dim": 128}
    dims |= {"causal": 1, "window": window}
    return make_operator("attention", "attention", dims, Formats("mxint16", None, "mxint4", kv), PREVIOUS)


def cell_of(built: Dimc, each: Operator) -> Cell:
    return built.carry_out(each, built.initial_state).cells[0]


def cycles_of(built: Dimc, cell: Cell, part: str, state: int = BUSY) -> dict[str, int]:
    """Return the cycles in a state of every line of a kind of part."""
    found = {}
    for number, spec in enumerate(built.components()):
        if spec.kind == part:
            rows = (cell.activity.component == number) & (cell.activity.state == state)
            time_fs = (cell.activity.end_fs[rows] - cell.activity.start_fs[rows]).sum()
            found[spec.path] = int(time_fs) // spec.clock_period_fs
    return found


@pytest.mark.parametrize(("dtype", "flops"), PEAKS)
def test_peaks_are_those_announced(dtype: str, flops: float) -> None:
    assert 2 * chip().peaks()[f"mac:{dtype}"] == pytest.approx(flops, rel=0.06)  # 10.07, 2.52, 0.63


def test_metis_makes_its_209_tops() -> None:
    assert 2 * chip("metis-card").peaks()["mac:int8"] == pytest.approx(209.6e12, rel=1e-3)


def test_sram_is_selected_at_150_terabytes_a_second() -> None:
    machine = chip().machine
    mantissas = machine.n_cores * machine.p.array.tile // machine.p.array.select * machine.p.clock
    assert mantissas == pytest.approx(150e12, rel=0.05)


@pytest.mark.parametrize(("dtype", "columns"), [("mxint4", 128), ("mxint8", 64), ("mxint16", 32)])
def test_a_tile_is_4_kib_of_any_format(dtype: str, columns: int) -> None:
    machine = chip().machine
    assert machine.columns(machine.weight_bits(dtype, "")) == columns


@pytest.mark.parametrize("m", [1, 8, 16, 17, 64])
@pytest.mark.parametrize(("dtype", "bits"), [("mxint4", 4), ("mxint8", 8)])
def test_a_gemm_selects_and_multiplies_for_as_long_as_its_tiles_take(m: int, dtype: str, bits: int) -> None:
    built = chip()
    each = gemm_of(m, 8192, 8192, dtype)
    cell = cell_of(built, each)
    tiles = (8192 // 64) * (8192 * bits // 512)  # 8192 of 4 bits, 16384 of 8
    passes = tiles // built.machine.n_cores
    assert set(cycles_of(built, cell, "select").values()) == {passes * 64}
    assert set(cycles_of(built, cell, "array").values()) == {passes * m * bits}
    assert cell.counters["macs_issued"] == each.macs == cell.counters["macs"]
    assert cell.counters["tiles_selected"] == tiles
    # nothing but the first tile, or what selection takes beyond a multiplication, keeps the arrays waiting for SRAM
    waited = max(cycles_of(built, cell, "array", STALL_MEMORY).values())
    assert waited <= 64 + (passes - 1) * max(0, 64 - m * bits)


@pytest.mark.parametrize(("dtype", "batch"), [("mxint4", 16), ("mxint8", 8)])
def test_time_grows_with_the_batch_only_beyond_the_balance(dtype: str, batch: int) -> None:
    built = chip("corsair-server", "chip.simd.lanes=128", "chip.noc.port=1024B/cycle")
    took = [cell_of(built, gemm_of(m, 32768, 8192, dtype)).duration_fs for m in (1, batch, 2 * batch, 4 * batch)]
    assert took[1] < 1.2 * took[0]
    assert took[2] > 1.6 * took[1]
    assert took[3] == pytest.approx(2 * took[2], rel=0.1)


def test_without_a_second_tile_selected_select_and_multiply_add_up() -> None:
    single = chip("corsair-server", "chip.array.selected=1")
    each = gemm_of(16, 32768, 8192)
    n_passes = 16
    more = cell_of(single, each).duration_fs - cell_of(chip(), each).duration_fs
    assert more == (n_passes - 1) * 64 * single.timing.clock.period_fs


@pytest.mark.parametrize("shape", [(4, 4096, 4096), (1, 100, 70), (3, 512, 28672), (5, 128256, 512)])
def test_every_layout_holds_all_weights_once(shape: tuple[int, int, int]) -> None:
    machine = chip().machine
    m, n, k = shape
    wanted = gemm.GemmShape(m, n, k, 1, "mxint4", "mxint16", 4, 4)
    for layout in gemm.layouts(machine, wanted):
        step = gemm.build(machine, wanted, layout, 0)
        assert step.macs >= m * n * k
        assert step.n_passes * machine.n_cores * machine.p.array.tile >= sum(t.select_bytes for t in step.tiles)
    best = gemm.best_layout(machine, wanted)
    assert gemm.build(machine, wanted, best, 0).n_passes <= min(
        2 * -(-n * k // (64 * 128 * machine.n_cores)) + 1,
        max(gemm.build(machine, wanted, layout, 0).n_passes for layout in gemm.layouts(machine, wanted)),
    )


def test_a_narrow_gemm_shares_k_among_chiplets() -> None:
    machine = chip().machine
    narrow = gemm.GemmShape(1, 64, 1 << 20, 1, "mxint4", "mxint16", 4, 4)
    best = gemm.best_layout(machine, narrow)
    assert best.k_chiplets == machine.n_chiplets
    assert max(gemm.build(machine, narrow, best, 0).share) > 0


def test_weights_take_whole_tiles() -> None:
    built = chip("corsair-rack")
    whole, part = gemm_of(1, 1280, 8192), gemm_of(1, 100, 70)
    assert built.stored_weight_bytes(whole) == whole.resident_weight_bytes
    assert built.stored_weight_bytes(part) == pytest.approx(2 * 4096 * 17 / 16, rel=1e-3)  # an exponent for 32 weights
    assert chip("corsair-card").stored_weight_bytes(part) == part.resident_weight_bytes


def test_weights_lie_alike_for_prompts_and_tokens(repository: Path) -> None:
    model = load_model_config(repository / "configs" / "models" / "llama-3-8b.json")
    built = set_up("corsair-server").chip
    assert isinstance(built, Dimc)
    built.admit(build_trace(model, batch=4, prompt=512, generate=2, precision="mxint4", kv_precision="mxint8"))
    assert built.machine.rows["down_proj"] == 4
    step = steps_of(
        built.machine, replace(gemm_of(2048, 4096, 14336), name="down_proj"), 0, lambda _: Exchange("", 0, ())
    )[0]
    alone = gemm.best_layout(built.machine, gemm.GemmShape(4, 4096, 14336, 1, "mxint4", "mxint16", 4, 4))
    shape = gemm.GemmShape(2048, 4096, 14336, 1, "mxint4", "mxint16", 4, 4)
    assert step == gemm.build(built.machine, shape, alone, 0)


def test_decode_attention_is_the_same_within_a_tile_of_keys() -> None:
    built = chip()
    assert cell_of(built, attention_of(129)) is cell_of(built, attention_of(192))
    assert cell_of(built, attention_of(192)) is not cell_of(built, attention_of(193))
    assert cell_of(built, attention_of(5000, window=150)) is cell_of(built, attention_of(192))


@pytest.mark.parametrize("kv_len", [1, 64, 1000, 5000])
@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("q_len", [1, 300])
def test_attention_multiplies_all_that_is_seen(kv_len: int, batch: int, q_len: int) -> None:
    built = chip()
    each = attention_of(max(kv_len, q_len), batch, q_len)
    counters = cell_of(built, each).counters
    assert counters["macs_issued"] >= each.macs
    assert counters["macs_issued"] >= counters["macs"] >= each.macs
    assert counters["kv_read_bytes"] >= each.kv_read_bytes


def test_few_pairs_share_the_keys_of_one_among_chiplets() -> None:
    machine: DimcMachine = chip().machine
    dims = {
        "batch": 1,
        "q_len": 1,
        "kv_len": 4096,
        "heads": 8,
        "kv_heads": 1,
        "head_dim": 128,
        "causal": 1,
        "window": 0,
    }
    each = make_operator("attention", "attention", dims, Formats("mxint16", None, "mxint4", "mxint8"), PREVIOUS)
    share = attention.share_of(machine, attention.whole_tiles(machine, each))
    assert (share.parts, share.keys, set(share.pairs)) == (8, 512, {1})
    assert max(attention.build(machine, each, 0)[1].share) > 0


def test_arrays_wait_for_select_at_a_small_batch_and_for_links_before() -> None:
    built = chip()
    cell = cell_of(built, gemm_of(1, 8192, 8192))
    assert min(cycles_of(built, cell, "array", STALL_MEMORY).values()) == (4 - 2) * (
        64 - 4
    )  # two of four tiles were there
    assert min(cycles_of(built, cell, "array", STALL_LINK).values()) >= 115 * 1.2  # the way from the other chiplets
    assert min(cycles_of(built, cell, "d2d").values()) > 0


def test_experts_with_few_rows_lie_beside_each_other() -> None:
    rows = (3, 0, 3, 1)
    dims = {"M": sum(rows), "N": 2048, "K": 2048, "experts": len(rows)}
    formats = Formats("mxint4", "mxint4", "mxint16")
    each = make_operator("experts", "grouped_gemm", dims, formats, PREVIOUS, group_rows=rows)
    counters = cell_of(chip(), each).counters
    assert counters["macs_issued"] == each.macs
    assert counters["tiles_selected"] == 3 * 32 * 16


@pytest.mark.parametrize("system", ["corsair-server", "metis-card"])
def test_formats_that_the_arrays_do_not_take_are_refused(system: str) -> None:
    built = chip(system)
    with pytest.raises(UnsupportedError, match=f"{built.parameters.name} has no in-memory array for fp8"):
        built.carry_out(operator("gemm", {"M": 1, "N": 64, "K": 64, "bias": 0}, "fp8"), built.initial_state)
    with pytest.raises(UnsupportedError, match=r"keeps weights and cache in .*int8"):
        kv = "bf16"
        each = attention_of(64, kv=kv) if system != "metis-card" else operator_kv(kv)
        built.carry_out(each, built.initial_state)


def operator_kv(kv: str) -> Operator:
    dims = {"batch": 1, "q_len": 1, "kv_len": 64, "heads": 8, "kv_heads": 8, "head_dim": 128, "causal": 1, "window": 0}
    return make_operator("attention", "attention", dims, Formats("bf16", None, "int8", kv), PREVIOUS)


def test_a_run_in_a_format_without_arrays_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="corsair has no in-memory array for bf16") as refused:
        run("corsair-server", "llama-3-8b", prompt=1, generate=0, precision="bf16")
    assert "\n" not in str(refused.value)


def test_memory_follows_the_mode() -> None:
    assert chip("corsair-card").memory_bytes == 256 * 10**9
    assert chip("corsair-card", "chip.mode=performance").memory_bytes == 2 << 30
    with pytest.raises(InputError, match=r"does not fit.*or --set chip\.mode=capacity for 256 GB"):
        run("corsair-card", "llama-3-70b", prompt=1, generate=0, sets=["chip.mode=performance"])


def test_70b_from_dram_takes_what_400_gb_s_allow() -> None:
    figures = point(decode_point("corsair-card", "llama-3-70b", 1, 128)).figures
    weights = (70.6e9 - 1.05e9) * 4.25 / 8 + 1.05e9 * 8.25 / 8  # embedding and head in 8 bits, of the former a row
    assert 88e-3 <= weights / 400e9 <= figures["time_per_output_token_s"] <= 1.08 * weights / 400e9
    assert figures["stall_fractions"]["stall_memory"] > 0.95


def test_a_second_segment_hides_the_multiplication_of_the_first() -> None:
    each = gemm_of(1024, 32768, 8192)
    double = chip("corsair-card", "chip.dram.buffers=2")
    single = chip("corsair-card", "chip.dram.buffers=1")
    assert cell_of(single, each).duration_fs > 1.1 * cell_of(double, each).duration_fs
    counters = cell_of(double, each).counters
    assert counters["dram_read_bytes"] == pytest.approx(each.weight_bytes, rel=1e-3)
    least_fs = each.weight_bytes * FS_PER_S / 400e9
    assert least_fs < cell_of(double, each).duration_fs < 1.1 * least_fs


def test_the_same_operator_is_faster_out_of_sram() -> None:
    each = gemm_of(1, 8192, 8192)
    assert cell_of(chip(), each).duration_fs * 20 < cell_of(chip("corsair-card"), each).duration_fs


@cache
def pcie() -> LinkParameters:
    return resolve(find_document("links", "corsair-pcie5"), LinkParameters).values


def collectives(group: int, add: int = 1) -> CardCollectives:
    return CardCollectives(chip().parameters.cards, pcie(), group, add)


def test_a_pair_of_cards_exchanges_over_its_bridge() -> None:
    cards = chip().parameters.cards
    assert cards.bridge is not None
    n_bytes = 1 << 20
    done = collectives(2).carry_out("all_reduce", n_bytes, 2, "x")
    wire_fs = n_bytes * FS_PER_S / (cards.bridge.rate * cards.bridge.protocol_efficiency)
    assert done.duration_fs == pytest.approx(cards.send + cards.bridge.hop_latency + wire_fs, rel=0.01)
    assert {link for link, *_ in done.sends} == {"bridge"}
    small = collectives(2).carry_out("all_reduce", 256, 2, "x")
    assert small.duration_fs == pytest.approx(cards.send + cards.bridge.hop_latency, rel=0.02)


def test_a_server_adds_up_on_bridges_before_pci_express() -> None:
    n_bytes = 64 << 20
    done = collectives(8).carry_out("all_reduce", n_bytes, 8, "x")
    sent = {link: sum(n for name, _, _, n in done.sends if name == link) for link, *_ in done.sends}
    assert sent == {"bridge": n_bytes, "fabric": n_bytes * 3 // 4}  # halves, then quarters of a half to and fro
    rate = pcie().n_links * pcie().rate * pcie().protocol_efficiency
    cards = chip().parameters.cards
    assert cards.bridge is not None
    on_bridge = n_bytes * FS_PER_S / (cards.bridge.rate * cards.bridge.protocol_efficiency)
    least_fs = n_bytes * 3 / 4 * FS_PER_S / rate + on_bridge
    assert least_fs <= done.duration_fs <= 1.1 * least_fs
    assert "level by level" in done.name


def test_the_fastest_algorithm_counts() -> None:
    group = collectives(8)
    graph = CardGraph(group.cards, group.fabric, 8)
    for n_bytes in (64, 1 << 14, 1 << 22):
        trials = [group._trial(graph, label, plan) for label, plan in group._plans("all_reduce", n_bytes, graph)]
        assert len(trials) == 4
        best = min(trial.duration_fs for trial in trials)
        assert group.carry_out("all_reduce", n_bytes, 8, "x").duration_fs == best


def test_every_all_reduce_gives_everybody_everything() -> None:
    """Follow the sums: at the end each card holds each block with the parts of all cards in it, each part once."""
    for n_cards in (2, 4, 8, 16):
        group = collectives(n_cards)
        graph = CardGraph(group.cards, group.fabric, n_cards)
        for label, plan in group._plans("all_reduce", 1 << 16, graph):
            start = [{b: {c: 1} for b in range(len(plan.block_bytes))} for c in range(n_cards)]
            held = [{b: dict(parts) for b, parts in blocks.items()} for blocks in start]
            snapshots: dict[tuple[int, int], dict[int, int]] = {}
            for number, each in enumerate(plan.transfers):
                source = held[each.source][each.block]
                if each.own:  # what was there before others began to arrive
                    source = snapshots.setdefault((each.source, each.block), dict(source))
                    snapshots.setdefault((each.destination, each.block), dict(held[each.destination][each.block]))
                if each.reduces:
                    target = held[each.destination][each.block]
                    for card, times in source.items():
                        target[card] = target.get(card, 0) + times
                else:
                    held[each.destination][each.block] = dict(source)
                assert all(before < number for before in each.after)
            everything = dict.fromkeys(range(n_cards), 1)
            assert all(blocks[b] == everything for blocks in held for b in blocks), label


def test_a_stage_sends_to_the_next_server_over_network_cards() -> None:
    done = collectives(8).carry_out("send_recv", 1 << 20, 1, "x")
    assert "nic" in {link for link, *_ in done.sends}
    near = collectives(2).carry_out("send_recv", 1 << 20, 1, "x")
    assert {link for link, *_ in near.sends} <= {"fabric", "bridge"}
    assert near.duration_fs < done.duration_fs


def test_cards_that_fill_no_server_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="12 cards do not fill"):
        collectives(12).carry_out("all_reduce", 64, 12, "x")
    alone = CardCollectives(chip().parameters.cards, None, 4, 1)
    with pytest.raises(UnsupportedError, match="among 4 cards, and nothing joins them"):
        alone.carry_out("all_reduce", 64, 4, "down_proj_all_reduce")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("chip.array.selected=3", "array.selected: .*expected 1 or 2"),
        ("chip.array.tile=16B", "array.tile: .*a column of mxint"),
        ("chip.dram.channels=12", "dram.channels: .*multiple of 8 chiplets"),
        ("chip.dram.interleave=100B", "dram.interleave: .*multiple of"),
        ("chip.dram.idle_latency=1ns", "dram.idle_latency: .*more than"),
    ],
)
def test_parameters_that_cannot_be_together_are_refused(change: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace(": ", ".*")):
        set_up("corsair-card", [change])


def test_links_that_pass_through_other_cards_are_refused() -> None:
    with pytest.raises(InputError, match=r"fabric\.topology"):
        run("corsair-server", "llama-3-8b", prompt=1, generate=0, sets=["fabric.topology=ring"])


def test_faster_parts_never_take_longer() -> None:
    each = [gemm_of(32, 4096, 14336), attention_of(900, 8)]

    def duration(*sets: str) -> int:
        built = chip("corsair-server", *sets)
        outcomes = built.carry_out_all(each, built.initial_state)
        return sum(outcome.duration_fs for outcome in outcomes)

    whole = duration()
    changes = ["d2d.rate=2TB/s", "d2d.latency=50ns", "noc.port=512B/cycle", "simd.lanes=128"]
    for better in [*changes, "array.select=32cycle", "control.operator=20cycle"]:
        assert duration(f"chip.{better}") <= whole


def test_lines_of_the_log_are_those_that_are_there() -> None:
    kinds = {spec.kind for spec in chip("metis-card").components()}
    assert kinds == {"control", "select", "array", "reduce", "noc", "simd", "segments", "dma", "dram_channel"}
    server = [spec.path for spec in chip().components()]
    assert server[1] == "chiplet0/select"  # links come with the fabric, when a model is placed
    assert sum("d2d" in path for path in server) == 8


def test_an_array_never_exceeds_its_peak() -> None:
    built = chip()
    cell = cell_of(built, gemm_of(100, 8192, 8192))
    specs: Any = built.components()
    for number, spec in enumerate(specs):
        rows = cell.activity.component == number
        busy_fs = (cell.activity.end_fs - cell.activity.start_fs)[rows & (cell.activity.state == BUSY)].sum()
        amount = cell.activity.amount[rows].sum()
        cycles = busy_fs / spec.clock_period_fs
        assert amount <= np.ceil(cycles) * spec.peak_amount_per_cycle * 1.001 + spec.peak_amount_per_cycle, spec.path


def test_values_wait_for_the_softmax_not_for_links() -> None:
    cell = cell_of(chip(), attention_of(4096, 16))
    first = next(number for number, spec in enumerate(chip().components()) if spec.path == "chiplet0/array")
    rows = cell.activity.where(cell.activity.component == first)
    work = np.flatnonzero(rows.state == BUSY)
    between = rows.state[work[0] : work[-1]]
    assert STALL_OPERAND in between
    assert STALL_LINK not in between


def test_lanes_work_on_one_group_of_columns_while_arrays_multiply_the_next() -> None:
    built = chip()
    cell = cell_of(built, gemm_of(256, 32768, 8192))
    arrays, lanes = (max(cycles_of(built, cell, part).values()) for part in ("array", "simd"))
    assert arrays == 16 * 256 * 4
    assert lanes > 5000
    assert cell.duration_fs < (arrays + lanes // 4) * built.timing.clock.period_fs


def test_adder_trees_take_the_sums_of_all_cores() -> None:
    built = chip()
    cell = cell_of(built, gemm_of(3, 8192, 8192))
    first = next(number for number, spec in enumerate(built.components()) if spec.path == "chiplet0/reduce")
    amount = cell.activity.amount[cell.activity.component == first].sum()
    layout = gemm.best_layout(built.machine, gemm.GemmShape(3, 8192, 8192, 1, "mxint4", "mxint16", 4, 4))
    assert amount == 3 * 8192 // 8 * min(layout.along_k, 128) * built.parameters.array.accumulator


@pytest.mark.parametrize("shape", [(1, 6144, 4096), (8, 4096, 14336), (64, 3584, 8192), (1, 128256, 4096)])
def test_the_layout_chosen_is_as_fast_as_any_that_is_simulated(shape: tuple[int, int, int]) -> None:
    built = chip()
    wanted = gemm.GemmShape(*shape, 1, "mxint4", "mxint16", 4, 4)

    def took_fs(layout: gemm.Layout) -> int:
        step = gemm.build(built.machine, wanted, layout, 0)
        return run_program(built.timing, [step], record=False).ends_fs[-1]

    best = min(map(took_fs, gemm.layouts(built.machine, wanted)))
    assert took_fs(gemm.best_layout(built.machine, wanted)) <= 1.03 * best

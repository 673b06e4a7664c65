"""Chips with the Transformer's operators as circuits: peaks, refusals, chains, waves, closed forms, what is counted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from operators import operator
from recorded import operators_of, placed_sum, record

from dieshot import run
from dieshot.chips.mapping.transformer_asic.group import Group, groups_of
from dieshot.chips.mapping.transformer_asic.lower import Segment, program_of, segments
from dieshot.chips.parts.systolic.core_program import HOLD, LOAD
from dieshot.chips.parts.transformer_asic.die import ARRAY, FIRST_UNIT, run_program
from dieshot.chips.parts.transformer_asic.program import ACTIVATION, NORM, RELEASE
from dieshot.chips.transformer_asic import AsicState, TransformerAsic
from dieshot.simulator.engine.cell import BUSY, Cell
from dieshot.simulator.engine.chip import OperatorOutcome, UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.setup import set_up
from dieshot.simulator.studies.split import Degrees, split
from dieshot.simulator.studies.trace import trace
from dieshot.traces import Operator, build_trace, load_model_config, partition
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS, RESIDUAL
from dieshot.traces.trace import LAYERS
from dieshot.traces.work import Formats

GEMM = {"M": 1024, "N": 4096, "K": 4096, "bias": 0}
QUIET = AsicState()
GB = 10**9
AHEAD = 8 << 20
WARM = AsicState(AHEAD)
ROOMY = "chip.sram.capacity=2GiB"  # so that no tensor goes through HBM


@cache
def chip(*sets: str) -> TransformerAsic:
    built = set_up("sohu-1", sets).chip
    assert isinstance(built, TransformerAsic)
    return built


def gemm(rows: int, n: int = 4096, k: int = 4096, dtype: str = "fp8") -> Operator:
    return operator("gemm", GEMM | {"M": rows, "N": n, "K": k}, dtype)


def attention(kv_len: int, batch: int = 2, q_len: int = 1) -> Operator:
    dims = {"batch": batch, "q_len": q_len, "kv_len": kv_len, "heads": 8, "kv_heads": 1, "head_dim": 128}
    formats = Formats("bf16", None, "fp8", "fp8")
    return make_operator("attention", "attention", dims | {"causal": 1, "window": 0}, formats, PREVIOUS, shard="heads")


def norm(rows: int, hidden: int = 4096) -> Operator:
    dims = {"tokens": rows, "hidden": hidden, "residual": 1, "writes_residual": 1, "shift": 0}
    inputs = {PREVIOUS: 2 * rows * hidden, RESIDUAL: 2 * rows * hidden}
    return make_operator("norm", "norm", dims, Formats("bf16", "bf16", "fp8"), inputs)


def activation(rows: int, ffn: int) -> Operator:
    dims = {"tokens": rows, "ffn": ffn, "gated": 1}
    return make_operator("act", "activation", dims, Formats("bf16", None, "fp8"), "gemm")


def duration_fs(*outcomes: OperatorOutcome[AsicState]) -> int:
    return sum(outcome.duration_fs for outcome in outcomes)


def cells_of(stretch: list[Operator], *sets: str, state: AsicState = QUIET) -> list[Cell]:
    return [cell for outcome in chip(*sets).carry_out_all(stretch, state) for cell in outcome.cells]


def read_bytes(cells: list[Cell]) -> int:
    return sum(cell.counters.get("hbm_read_bytes", 0) for cell in cells)


def amount(cells: list[Cell], line: int) -> int:
    return sum(int(cell.activity.amount[cell.activity.component == line].sum()) for cell in cells)


def busy_fs(cells: list[Cell], line: int) -> int:
    total = 0
    for cell in cells:
        chosen = (cell.activity.component == line) & (cell.activity.state == BUSY)
        total += int((cell.activity.end_fs - cell.activity.start_fs)[chosen].sum())
    return total


def layer(rows: int, prompt: int, tp: int = 8) -> list[Operator]:
    """Return the operators of a decode step's layer of Llama-3-70B, up to the first collective."""
    from dieshot.simulator.params import find_path

    model = load_model_config(find_path("models", "llama-3-70b"))
    trace = build_trace(model, batch=rows, prompt=prompt, generate=2, precision="fp8", kv_precision="fp8")
    blocks = partition(trace, tp, 1).stages[0].steps[1].blocks
    operators = next(block for block in blocks if block.name == LAYERS).operators
    kinds = [each.kind for each in operators]
    return list(operators[: kinds.index("all_reduce")])


def test_peaks_are_those_of_arrays_and_stacks() -> None:
    peaks = chip().peaks()
    assert peaks["mac:fp8"] == 4 * 1024 * 1024 * 1.2e9
    assert peaks["mac:bf16"] == peaks["mac:fp8"] / 2  # with fp8 in the array; a quarter with bf16
    assert peaks["memory"] == pytest.approx(4.8e12, rel=1e-3)


def test_two_operands_of_bf16_take_four_passes() -> None:
    rooms = chip(ROOMY)
    narrow, wide = (rooms.carry_out(gemm(4096, 8192, 8192, dtype), QUIET).duration_fs for dtype in ("fp8", "bf16"))
    assert 3.6 * narrow < wide < 4.1 * narrow
    assert chip().machine.passes("bf16", "fp8") == 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("convolution", "sohu has no unit for convolution"),
        ("selective_scan", "sohu has no unit for selective_scan"),
    ],
)
def test_what_is_no_transformer_operator_is_refused(kind: str, message: str) -> None:
    dims = {"batch": 1, "q_len": 4, "channels": 64, "carried": 0}
    dims |= {"kernel": 4, "bias": 1} if kind == "convolution" else {"state": 16}
    one = make_operator(kind, kind, dims, Formats("bf16", "bf16", "bf16", "bf16"), PREVIOUS)
    with pytest.raises(UnsupportedError, match=message):
        chip().carry_out(one, QUIET)


def test_a_format_that_the_arrays_do_not_take_is_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"sohu has no arrays for int8 \(operator gemm\); they multiply bf16, fp8"
    ):
        chip().carry_out(gemm(8, dtype="int8"), QUIET)


def test_parameters_that_cannot_be_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"array.split: .*a divisor of array.rows 1024"):
        chip("chip.array.split=3")
    with pytest.raises(InputError, match=r"hbm.idle_latency: cannot be with the other parameters"):
        chip("chip.hbm.idle_latency=10ns")
    with pytest.raises(
        UnsupportedError, match=r"cannot hold the tiles of operator gemm: .* bytes of its SRAM's 4194304"
    ):
        chip("chip.sram.capacity=4MiB").carry_out(gemm(1, k=65536), QUIET)


def test_a_norm_an_array_and_a_unit_make_a_group() -> None:
    stretch = [norm(8), gemm(8), activation(8, 2048), gemm(8, k=2048), norm(8)]
    assert list(groups_of(stretch)) == [Group(0, 1, 2), Group(None, 3), Group(back=4)]


def test_an_equal_stretch_has_the_same_cells() -> None:
    first, again = cells_of([norm(8), gemm(8)]), cells_of([norm(8), gemm(8)])
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_a_gemm_bound_by_the_arrays_takes_its_closed_form() -> None:
    """First weights in, folds one behind the other, skew of the array at the end."""
    rows = 4096
    done_fs = chip(ROOMY).carry_out(gemm(rows, 8192, 8192), QUIET).duration_fs
    period_fs, tail = chip().clock.period_fs, chip().timing.core.array.tail_cycles
    streaming_fs = rows * 16 * period_fs  # 8 x 8 tiles on four arrays
    around_fs = 2 * 1024 * period_fs + tail * period_fs + 2 * 10**9
    assert streaming_fs < done_fs < streaming_fs + around_fs


def test_a_gemm_bound_by_memory_takes_what_refreshes_leave_of_it() -> None:
    one = gemm(1, 16384, 8192)
    streaming_fs = one.weight_bytes / chip().timing.core.hbm.bytes_per_fs
    assert streaming_fs < chip().carry_out(one, QUIET).duration_fs < 1.12 * streaming_fs + 2 * 10**9


def test_units_work_behind_the_arrays_and_not_after_them() -> None:
    rows, ffn = 4096, 4096
    alone = duration_fs(*chip(ROOMY).carry_out_all([gemm(rows, 2 * ffn)], QUIET))
    stretch = [norm(rows), gemm(rows, 2 * ffn), activation(rows, ffn)]
    cells = cells_of(stretch, ROOMY)
    together = sum(cell.duration_fs for cell in cells)
    units_fs = busy_fs(cells, FIRST_UNIT + NORM) + busy_fs(cells, FIRST_UNIT + ACTIVATION)
    assert units_fs > 0.3 * alone
    assert together < alone + 0.2 * units_fs


def test_a_slow_unit_holds_the_arrays_up() -> None:
    rows, ffn = 4096, 4096
    stretch = [gemm(rows, 2 * ffn), activation(rows, ffn)]
    slow = sum(cell.duration_fs for cell in cells_of(stretch, "chip.units.activation.rate=64op/cycle"))
    least_fs = rows * 2 * ffn // 64 * chip().clock.period_fs
    assert least_fs < slow < 1.1 * least_fs + sum(cell.duration_fs for cell in cells_of(stretch))


def test_weights_of_the_next_group_come_while_one_computes() -> None:
    stretch = [attention(4096, batch=16), gemm(16, 8192, 1024)]
    fused = duration_fs(*chip().carry_out_all(stretch, QUIET))
    apart = duration_fs(*(chip().carry_out(one, QUIET) for one in stretch))
    assert fused < 0.9 * apart


def test_the_log_of_a_decode_stretch_holds_its_bytes_and_macs() -> None:
    stretch = layer(rows=4, prompt=1023)
    cells = cells_of(stretch, state=WARM)
    assert read_bytes(cells) == sum(each.weight_bytes + each.kv_read_bytes for each in stretch)  # whole pages
    written = sum(cell.counters.get("hbm_write_bytes", 0) for cell in cells)
    assert written == sum(each.kv_write_bytes for each in stretch)
    assert sum(cell.counters["macs"] for cell in cells) == sum(each.macs for each in stretch)
    assert amount(cells, ARRAY) >= sum(each.macs for each in stretch)


def test_weights_that_are_there_are_not_read_again() -> None:
    stretch = layer(rows=4, prompt=1023)
    cold, warm = chip().carry_out_all(stretch, QUIET), chip().carry_out_all(stretch, WARM)
    assert cold[-1].state == warm[-1].state == WARM == AsicState(chip().parameters.program.weights_ahead)
    assert duration_fs(*warm) < duration_fs(*cold)
    read = [read_bytes([cell for outcome in each for cell in outcome.cells]) for each in (cold, warm)]
    assert read[0] - read[1] == AHEAD


def test_weights_that_a_stretch_does_not_need_are_kept_for_the_next() -> None:
    (kept,) = chip().carry_out_all([norm(4)], WARM)
    assert kept.state == WARM
    assert read_bytes(list(kept.cells)) == norm(4).weight_bytes


def test_decode_attention_depends_on_whole_pages() -> None:
    page = chip().parameters.attention.page
    same = [chip().carry_out(attention(kv_len), QUIET).cells[0] for kv_len in (page + 1, 2 * page)]
    assert same[0] is same[1]
    assert chip().carry_out(attention(2 * page + 1), QUIET).cells[0] is not same[0]


def test_thousands_of_sequences_are_few_programs() -> None:
    one = attention(2048, batch=3000)
    cells = chip().carry_out(one, QUIET).cells
    assert len(cells) > 8
    assert len({id(cell) for cell in cells}) <= 4
    assert sum(cell.counters["macs"] for cell in cells) == one.macs
    assert not chip().machine.spilled(one.input_bytes)
    assert read_bytes(list(cells)) == one.kv_read_bytes + AHEAD


def test_keys_and_values_are_read_near_the_rate_of_the_memory() -> None:
    one = attention(2048, batch=3000)
    least_fs = one.kv_read_bytes / chip().timing.core.hbm.bytes_per_fs
    assert least_fs < chip().carry_out(one, QUIET).duration_fs < 1.2 * least_fs


def test_rows_of_the_next_wave_come_in_while_one_computes() -> None:
    rows, n, k = 1 << 16, 8192, 8192
    stretch = [norm(rows, k), gemm(rows, n, k)]
    outcomes = chip().carry_out_all(stretch, QUIET)
    assert outcomes[0].cells == ()  # the group's time is that of its matrix operator
    done_fs = duration_fs(*outcomes)
    compute_fs = rows * (n // 1024) * (k // 1024) // 4 * chip().clock.period_fs
    traffic = stretch[0].input_bytes + stretch[0].input_bytes // 2 + stretch[1].output_bytes
    traffic += len(outcomes[1].cells) * stretch[1].weight_bytes  # every wave reads all of them
    memory_fs = traffic / chip().timing.core.hbm.bytes_per_fs
    assert max(compute_fs, memory_fs) < done_fs < 1.2 * max(compute_fs, memory_fs) < compute_fs + memory_fs
    assert sum(cell.counters["macs"] for cell in outcomes[1].cells) == stretch[1].macs


def test_room_that_a_program_takes_it_gives_back() -> None:
    machine = chip().machine
    for stretch in (layer(4, 1000), [attention(2000, batch=40, q_len=700)], [norm(9000), gemm(9000)]):
        found = list(segments(machine, stretch))
        assert found
        for segment in found:
            steps = program_of(machine, segment)[0].steps
            assert steps[:, HOLD].sum() == steps[:, RELEASE].sum() > 0


def test_queries_that_come_from_memory_count_as_room() -> None:
    """Short caches with many queries: turns take what both need, and two turns that follow each other fit."""
    one = attention(64, batch=4000, q_len=64)
    machine = chip("chip.sram.capacity=32MiB").machine
    assert machine.spilled(one.input_bytes)
    for segment in segments(machine, [one]):
        program = program_of(machine, segment)[0]
        held = 0
        for hold, release in program.steps[:, [HOLD, RELEASE]].tolist():
            held += hold
            assert held + program.resident_bytes <= machine.sram_bytes
            held -= release


@pytest.mark.parametrize(("system", "tp"), [("sohu-1", 1), ("sohu-8", 4)])
def test_the_log_of_a_run_holds_the_bytes_of_its_trace(system: str, tp: int, tmp_path: Path) -> None:
    done = record(system, tmp_path, 3, tp=tp)
    page = chip().parameters.attention.page
    wanted = 0
    for operator_, n in operators_of(done.parts, 0):
        wanted += n * operator_.weight_bytes
        if operator_.kind == "attention":
            kv_len = operator_.dims["kv_len"]
            keys = -(-kv_len // page) * page if operator_.dims["q_len"] == 1 else kv_len
            wanted += n * operator_.kv_read_bytes // kv_len * keys
    assert placed_sum(done, 0, "hbm_read_bytes") == wanted + AHEAD
    written = sum(n * operator_.kv_write_bytes for operator_, n in operators_of(done.parts, 0))
    assert placed_sum(done, 0, "hbm_write_bytes") == written


def test_a_split_array_wastes_less_of_itself_on_narrow_heads() -> None:
    one = attention(2048, batch=8, q_len=2048)
    times = [chip(f"chip.array.split={split}").carry_out(one, QUIET).duration_fs for split in (1, 2, 4)]
    assert times[0] > 1.5 * times[1] > 2 * times[2]


def test_cells_of_a_program_hold_all_that_it_did() -> None:
    stretch = layer(rows=4, prompt=600)
    cells = cells_of(stretch)
    (segment,) = (replace(each, ahead_bytes=AHEAD) for each in segments(chip().machine, stretch))
    assert isinstance(segment, Segment)
    whole = run_program(chip().timing, program_of(chip().machine, segment)[0], True)
    assert sum(cell.duration_fs for cell in cells) == whole.end_fs
    for line in range(len(chip().components())):
        parts = amount(cells, line)
        assert parts == int(whole.activity.amount[whole.activity.component == line].sum())
    assert int(program_of(chip().machine, segment)[0].steps[:, LOAD].sum()) == whole.counters["hbm_read_bytes"]


@pytest.mark.parametrize(("tp", "pp", "micro_batches"), [(8, 1, 1), (1, 8, 8)])
def test_the_batch_that_fits_is_told_and_fits(tp: int, pp: int, micro_batches: int) -> None:
    setup, wanted = set_up("sohu-8"), Degrees(tp, pp)
    asked = {"prompt": 2048, "generate": 2, "precision": "fp8", "kv_precision": "fp8", "prefill_chunk": 32}

    def place(each: int) -> None:
        split(setup, trace("llama-3-70b", batch=each, **asked), wanted, micro_batches)

    with pytest.raises(InputError, match=r"or a batch of (\d+)") as refused:
        place(5000 // micro_batches)
    fits = int(str(refused.value).partition("or a batch of ")[2].partition(";")[0])
    # 144 GB a chip less 8.8 to 9.6 GB of weights, over 42 MB of keys and values and a little for activations.
    assert 0.88 * (144 * GB - 9.6 * GB) / (2050 * 20480) < fits < (144 * GB - 8.5 * GB) / (2050 * 20480)
    place(fits // micro_batches)
    with pytest.raises(InputError, match=f"or a batch of {fits};"):
        place(fits // micro_batches + 1)


def test_both_ways_to_count_tokens_are_told() -> None:
    summary = run("sohu-1", "qwen3-0.6b", batch=3, prompt=100, generate=4).summary
    assert summary["tokens_per_s_system"] == pytest.approx(3 * 4 / summary["total_time_s"])
    assert summary["tokens_per_s_system_with_prompt"] == pytest.approx(3 * 104 / summary["total_time_s"])

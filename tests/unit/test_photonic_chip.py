"""Chips of optical arrays: peaks, latency of a pass, what decode and prefill wait for, plans, bytes, refusals."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot import describe
from dieshot.chips.mapping.photonic import attention, gemm
from dieshot.chips.mapping.photonic.lower import attention_shape, plans, useful_macs
from dieshot.chips.mapping.photonic.machine import pieces
from dieshot.chips.parts.photonic.log import INPUT_DAC, N_CORE, N_SHARED, OPTICS, WEIGHT_DAC
from dieshot.chips.photonic import QUIET, Photonic
from dieshot.kernels.photonic import COLUMNS, COUNT, ROWS, VECTORS
from dieshot.simulator.cli.main import main
from dieshot.simulator.engine.cell import BUSY, STALL_MEMORY, STALL_OPERAND, Cell
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.optics import optics
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator
from dieshot.traces.dtype import bytes_of
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS
from dieshot.traces.work import Formats

LIGHTMATTER = "lightmatter-2025"
SYSTEMS = (LIGHTMATTER, "pace", "qant-npu2", "mzi-mesh")
NS = 10**6
FORMAT = {LIGHTMATTER: "abfp16"}


@cache
def chip(system: str = LIGHTMATTER, *sets: str) -> Photonic:
    built = set_up(system, [f"chip.{each}" for each in sets]).chip
    assert isinstance(built, Photonic)
    return built


def product(m: int, n: int, k: int, dtype: str = "abfp16") -> Operator:
    dims = {"M": m, "N": n, "K": k, "bias": 0}
    return make_operator("gemm", "gemm", dims, Formats(dtype, dtype, dtype), PREVIOUS)


def attend(q_len: int, kv_len: int, batch: int = 1, causal: int = 1, window: int = 0, cached: bool = True) -> Operator:
    dims = {"batch": batch, "q_len": q_len, "kv_len": kv_len, "heads": 8, "kv_heads": 2, "head_dim": 96}
    formats = Formats("abfp16", None, "abfp16", "abfp16" if cached else None)
    return make_operator("attention", "attention", dims | {"causal": causal, "window": window}, formats, PREVIOUS)


def cell_of(built: Photonic, operator: Operator) -> Cell:
    return built.carry_out(operator, QUIET).cells[0]


def spent_fs(cell: Cell, line: int, state: int) -> int:
    a = cell.activity
    chosen = (a.component == line) & (a.state == state)
    return int(((a.end_fs - a.start_fs) * a.repeat)[chosen].sum())


@pytest.mark.parametrize(
    ("system", "dtype", "tops"), [(LIGHTMATTER, "abfp16", 65.5), ("pace", "int8", 8.192), ("qant-npu2", "int8", 0.008)]
)
def test_peaks_are_the_published_ones(system: str, dtype: str, tops: float) -> None:
    assert 2e-12 * chip(system).peaks()[f"mac:{dtype}"] == pytest.approx(tops, rel=1e-6)


def test_the_slowest_part_sets_the_pace_of_vectors() -> None:
    assert optics("pace")["issue_limited_by"] == "input_dac"
    assert chip("pace", "detectors.lanes=16").timing.issue_fs == 4 * NS
    assert chip("pace", "accumulator.rate=40op/cycle").timing.issue_fs == 4 * NS  # 128 operations a vector
    assert chip("pace", "inputs.rate=500MHz").timing.issue_fs == 2 * NS


def test_a_pass_of_pace_is_what_its_parts_take() -> None:
    found = optics("pace")
    parts = (found[f"pass_{name}_fs"] for name in ("dac", "flight", "amplifier", "adc"))
    assert sum(parts) == found["pass_analog_fs"] == pytest.approx(3 * NS, rel=0.15)  # published 3 ns a MAC cycle
    assert found["pass_simulated_fs"] == found["pass_analog_fs"] + found["pass_digital_fs"]
    assert found["pass_simulated_fs"] == pytest.approx(5 * NS, rel=0.15)  # published 5 ns around the loop
    slower = optics("pace", ["detectors.latency=2500ps"])
    assert slower["pass_simulated_fs"] == found["pass_simulated_fs"] + NS
    assert slower["busy_macs_per_s"] == pytest.approx(found["busy_macs_per_s"], rel=0.01)  # converters are pipelined


def test_light_reaches_the_optics_a_conversion_after_the_digits_leave() -> None:
    built = chip("pace")
    a = cell_of(built, product(1, 1, 64, "int8")).activity
    first = [int(a.start_fs[(a.component == N_SHARED + part) & (a.state == BUSY)].min()) for part in range(N_CORE)]
    assert first[OPTICS] - first[INPUT_DAC] == built.timing.dac_fs
    assert min(first[part] - first[OPTICS] for part in (3, 4)) == built.timing.flight_fs + built.timing.amplifier_fs


def test_decode_waits_for_the_host_and_then_for_weights_to_be_written() -> None:
    operator = product(1, 4096, 4096)
    fed, starved = chip(), chip(LIGHTMATTER, "host.link=3TB/s", "host.channels=256")
    by_host, by_writers = cell_of(fed, operator), cell_of(starved, operator)
    assert by_host.duration_fs > operator.weight_bytes * 10**15 // fed.machine.host_bytes_per_s
    optics_line = N_SHARED + OPTICS
    assert spent_fs(by_host, optics_line, STALL_MEMORY) > 0.5 * by_host.duration_fs
    blocks = 32 * 32 // 4  # of each array
    write_fs, settle_fs = fed.machine.write_fs(128, 128), fed.parameters.weights.settle
    assert by_writers.duration_fs > blocks * write_fs
    assert by_writers.duration_fs < 1.35 * blocks * (write_fs + settle_fs)
    assert spent_fs(by_writers, optics_line, STALL_OPERAND) > 0.8 * by_writers.duration_fs


def test_many_rows_keep_the_arrays_busy_and_few_do_not() -> None:
    busy = [cell_of(chip(), product(m, 2048, 2048)) for m in (1, 64, 2048)]
    shares = [spent_fs(cell, N_SHARED + OPTICS, BUSY) / cell.duration_fs for cell in busy]
    assert shares[0] < 0.15 < shares[1] < shares[2]
    assert shares[2] > 0.9


@pytest.mark.parametrize(
    ("settle", "m", "n", "written"),
    [("10us", 1, 4096, "rows"), ("10us", 512, 4096, "rows"), ("1ns", 1024, 256, "weights")],
)
def test_what_is_written_is_what_stays_longest(settle: str, m: int, n: int, written: str) -> None:
    built = chip("mzi-mesh", f"weights.settle={settle}", "weights.decomposition=0", "host.link=1TB/s")
    operator = product(m, n, 1024, "int8")
    assert built._choose(operator).name == f"{written} written"
    times = [built._run((operator,), (plan,), False).ends_fs[-1] for plan in plans(built.machine, operator)]
    assert cell_of(built, operator).duration_fs <= 1.02 * min(times)


@settings(max_examples=40)
@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from(SYSTEMS))
def test_runs_of_a_tile_cover_it_once(width: int, depth: int, system: str) -> None:
    machine = chip(system).machine
    covered = 0
    for columns in pieces(width, machine.columns * machine.p.cores):
        runs = gemm.block_runs(machine, 3, columns, depth)
        covered += int((runs[:, ROWS] * runs[:, COLUMNS] * runs[:, COUNT]).sum())
        assert (runs[:, VECTORS] == 3).all()
        assert runs[:, 0].max() < machine.p.cores
    assert covered == width * depth


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 600), st.integers(1, 600), st.sampled_from(SYSTEMS))
def test_products_load_every_weight_and_multiply_all(m: int, n: int, k: int, system: str) -> None:
    machine = chip(system).machine
    operator = product(m, n, k, FORMAT.get(system, "int8"))
    for plan in plans(machine, operator):
        done = sum(
            int((s.runs[:, VECTORS] * s.runs[:, ROWS] * s.runs[:, COLUMNS] * s.runs[:, COUNT]).sum())
            for s in plan.steps
        )
        assert done == operator.macs
        assert sum(step.load for step in plan.steps) % operator.weight_bytes == 0
        assert max(step.load for step in plan.steps) <= machine.timing.weight_sram_bytes


@settings(max_examples=40)
@given(st.integers(1, 400), st.integers(0, 900), st.integers(1, 3), st.booleans(), st.sampled_from([0, 1, 200]))
def test_attention_covers_the_pairs_that_are_seen(
    q_len: int, before: int, batch: int, causal: bool, window: int
) -> None:
    operator = attend(q_len, q_len + before, batch, int(causal), window if causal else 0)
    machine = chip().machine
    shape = attention_shape(machine, operator)
    for plan in plans(machine, operator):
        done = sum(
            int((s.runs[:, VECTORS] * s.runs[:, ROWS] * s.runs[:, COLUMNS] * s.runs[:, COUNT]).sum())
            for s in plan.steps
        )
        keys = attention.padded_keys(machine, shape) if q_len == 1 else shape.n_keys
        assert operator.macs <= useful_macs(machine, operator) <= done
        assert done <= 2 * batch * 8 * 96 * q_len * keys
        n_bytes = sum(step.load for step in plan.steps)
        assert n_bytes == bytes_of(2 * batch * keys * 2 * 96, "abfp16")
        assert n_bytes == operator.kv_read_bytes or q_len == 1


def test_equal_blocks_of_the_cache_are_one_cell() -> None:
    built = chip()
    first, same = cell_of(built, attend(1, 130)), cell_of(built, attend(1, 256))
    assert first is same
    assert cell_of(built, attend(1, 257)) is not first


def test_keys_of_an_encoder_are_not_loaded() -> None:
    plan = plans(chip().machine, attend(64, 64, causal=0, cached=False))[0]
    assert sum(step.load for step in plan.steps) == 0


def test_a_second_tile_is_loaded_while_the_first_is_used() -> None:
    operator = product(64, 2048, 2048)
    one, two = (cell_of(chip(LIGHTMATTER, f"host.buffers={n}"), operator).duration_fs for n in (1, 2))
    assert two < 0.8 * one


def test_rows_without_room_for_their_sums_need_their_weights_again() -> None:
    operator = product(1024, 512, 1024)
    once, twice = (
        cell_of(chip(LIGHTMATTER, f"sram.sums={n}KiB"), operator).counters["host_bytes"] for n in (2048, 1024)
    )
    assert once == operator.weight_bytes
    assert twice == 2 * operator.weight_bytes


def test_experts_without_rows_are_neither_loaded_nor_written() -> None:
    dims, rows = {"M": 40, "N": 256, "K": 256, "experts": 4}, (0, 30, 0, 10)
    formats = Formats("abfp16", "abfp16", "abfp16")
    operator = make_operator("grouped_gemm", "grouped_gemm", dims, formats, PREVIOUS, group_rows=rows)
    for plan in plans(chip().machine, operator):
        assert sum(step.load for step in plan.steps) == operator.weight_bytes == 2 * bytes_of(256 * 256, "abfp16")
        done = sum(
            int((s.runs[:, VECTORS] * s.runs[:, ROWS] * s.runs[:, COLUMNS] * s.runs[:, COUNT]).sum())
            for s in plan.steps
        )
        assert done == operator.macs


def test_stretches_add_up_and_operators_may_fetch_ahead() -> None:
    built, operators = chip(), (product(4, 1024, 1024), product(4, 1024, 1024))
    together = built.carry_out_all(operators, QUIET)
    alone = cell_of(built, operators[0]).duration_fs
    assert sum(each.duration_fs for each in together) < 2 * alone
    amounts = [each.cells[0].activity.amount * each.cells[0].activity.repeat for each in together]
    host = [int(a[each.cells[0].activity.component == 2].sum()) for a, each in zip(amounts, together, strict=True)]
    assert sum(host) == 2 * operators[0].weight_bytes
    assert host[0] > operators[0].weight_bytes  # some of the second's came while the first was at work


def test_formats_without_converters_are_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"pace has no converters for fp8 .operator gemm.; it multiplies bf16, int8"
    ):
        chip("pace").carry_out(product(1, 64, 64, "fp8"), QUIET)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("weights.buffers=3", "weights.buffers: cannot be with the other parameters; expected 1 or 2"),
        ("software.tile=1MiB", "software.tile: .* half of sram.weights at most"),
        ("sram.sums=128B", "sram.sums: .* at least 256 bytes"),
    ],
)
def test_parameters_that_contradict_each_other(override: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        set_up("pace", [f"chip.{override}"])
    with pytest.raises(InputError, match=words):
        optics("pace", [override])


def test_a_run_tells_effective_bits_and_warns_of_too_few() -> None:
    summary = run("pace", "qwen3-0.6b", prompt=1, generate=0).summary
    assert summary["effective_bits"] == pytest.approx(chip("pace").budget.bits)
    assert summary["operand_bits"] == 9
    assert len(summary["warnings"]) == 2
    assert "operands in bf16 have 9" in summary["warnings"][0]
    assert "rounded to 8 bits (vectors) and 8 bits (what is written)" in summary["warnings"][1]
    better = ("detectors.bits=14bit", "detectors.crosstalk_db=-60", "inputs.bits=9bit", "weights.bits=9bit")
    better += ("laser.optical_power=20W", "laser.rin_db_per_hz=-160")
    sets = [f"chip.{each}" for each in better]
    assert "warnings" not in run("pace", "qwen3-0.6b", prompt=1, generate=0, sets=sets).summary


def test_only_photonic_chips_have_optics() -> None:
    with pytest.raises(InputError, match="no optical arrays; expected photonic"):
        optics("h100-sxm")


def test_power_of_a_busy_product_is_the_sum_of_kinds_of_its_own() -> None:
    found = optics(LIGHTMATTER)
    kinds = ("laser", "tuning", "weight_dac", "input_dac", "adc", "accumulator", "sram", "vector", "static")
    assert found["busy_chip_w"] == pytest.approx(sum(found[f"busy_{kind}_w"] for kind in kinds))
    assert found["busy_laser_w"] == pytest.approx(1.6 / 0.15, rel=1e-3)
    samples = 4 * 128 * 1e15 / chip().timing.issue_fs * found["busy_utilization"]
    assert found["busy_adc_w"] == pytest.approx(samples * 24e-12, rel=0.03)  # 3 pJ of 8 bits, 24 of 11
    assert np.isclose(found["busy_w"], found["busy_chip_w"] + found["busy_host_memory_w"])


@pytest.mark.parametrize("operator", [product(1, 1000, 900), product(300, 300, 300), attend(1, 400), attend(70, 200)])
def test_writers_and_optics_are_at_work_or_wait_from_the_begin_to_their_last_block(operator: Operator) -> None:
    a = cell_of(chip(), operator).activity
    for part in (WEIGHT_DAC, OPTICS):
        lines = range(N_SHARED + part, N_SHARED + 4 * N_CORE, N_CORE)
        at_work = [line for line in lines if (a.component == line).any()]
        assert len(at_work) >= 3  # edges of a small product leave one out
        for line in at_work:
            chosen = a.component == line
            last = (a.end_fs + (a.repeat - 1) * a.period_fs)[chosen].max()
            covered = ((a.end_fs - a.start_fs) * a.repeat)[chosen].sum()
            assert covered == last - a.start_fs[chosen].min()


def test_what_a_chip_follows_is_described() -> None:
    found = describe("chips/pace")
    assert found["effective_bits"] == pytest.approx(chip("pace").budget.bits, abs=0.01)
    assert found["effective_bits_limited_by"] == "outputs"


def test_the_command_tells_what_the_study_finds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["micro", "optics", "pace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pass_simulated_fs"] == optics("pace")["pass_simulated_fs"]
    assert main(["micro", "optics", "pace", "--set", "weights.buffers=3"]) == 2
    assert "expected 1 or 2" in capsys.readouterr().err

"""Chips of systolic arrays: the maker's own cost model, peaks, refusals, stretches and how they are cut."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from operators import operator

from dieshot.chips.mapping.systolic.lower import joined, plans
from dieshot.chips.mapping.systolic.machine import Plan, step_row
from dieshot.chips.parts.core.array import time_folds
from dieshot.chips.parts.systolic.die import DMA, MXU, VECTOR, run_program
from dieshot.chips.systolic import Systolic, SystolicState
from dieshot.kernels.systolic import FIRST_START, INTERVAL, LAST_START, N_FOLD, N_STATE
from dieshot.simulator.engine.cell import BUSY
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import Operator
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS
from dieshot.traces.work import Formats

FS_PER_NS = 10**6
GEMM = {"M": 8, "N": 2048, "K": 2048, "bias": 0}
NORM = {"tokens": 8, "hidden": 2048, "residual": 0, "writes_residual": 0, "shift": 0}
SYSTEMS = ("tpu-v5e-1", "tpu-v5p-1", "tpu-v6e-1", "tpu-v7-1", "tpu-8i-1", "inf2-1", "trn1-16", "trn2-16")


@cache
def chip(system: str = "tpu-v6e-1", *sets: str) -> Systolic:
    built = set_up(system, sets).chip
    assert isinstance(built, Systolic)
    return built


def attention(kv_len: int, batch: int = 2, q_len: int = 1) -> Operator:
    dims = {"batch": batch, "q_len": q_len, "kv_len": kv_len, "heads": 32, "kv_heads": 8, "head_dim": 128}
    dims |= {"causal": 1, "window": 0}
    return make_operator("attention", "attention", dims, Formats("bf16", None, "bf16", "bf16"), PREVIOUS, shard="heads")


@pytest.mark.parametrize("n_columns", [1, 63, 64, 65, 128, 511, 512])
def test_a_neuron_matmul_takes_its_columns_or_64_cycles(n_columns: int) -> None:
    machine = chip("inf2-1").machine
    cycles = machine.stream_cycles(n_columns, "bf16")
    load_cycles = machine.weight_load_cycles(128, "bf16")
    assert cycles == max(n_columns, 64)
    assert load_cycles == 32  # a quarter of a multiplication by 128 columns
    folds = np.array([[0, 0, cycles, load_cycles, 7]], np.int64)
    assert folds.shape[1] == N_FOLD
    times = time_folds(machine.timing.array, True, np.zeros(N_STATE, np.int64), folds)[0]
    assert times[INTERVAL] == cycles
    assert times[LAST_START] - times[FIRST_START] == 6 * max(n_columns, 64)
    assert machine.timing.period_fs == round(1e15 / 2.8e9)


def test_a_neuron_scratchpad_takes_60_cycles_before_the_first_data() -> None:
    timing = chip("inf2-1").timing
    assert timing.vmem_access_fs == 60 * timing.period_fs


@pytest.mark.parametrize("system", ["trn2-16", "inf2-1"])
def test_a_dma_of_32_kib_takes_1416_ns(system: str) -> None:
    machine = chip(system, "chip.program.region=0ns", "chip.program.drain=0ns").machine
    program = joined(machine, [Plan(np.stack([step_row(load=1 << 15, hold=1 << 15)]), 0)])
    run = run_program(machine.timing, program, record=True)
    period = machine.timing.period_fs
    assert machine.timing.dma.transfer_fs(1 << 15) == pytest.approx(1416 * FS_PER_NS, abs=2)
    assert 0 <= run.ends_fs[-1] - 1416 * FS_PER_NS < period


@pytest.mark.parametrize(
    ("system", "dtype", "tflops"),
    [
        ("tpu-v5e-1", "bf16", 197),
        ("tpu-v5e-1", "int8", 394),
        ("tpu-v5p-1", "bf16", 459),
        ("tpu-v6e-1", "bf16", 918),
        ("tpu-v6e-1", "int8", 1836),
        ("tpu-v7-1", "bf16", 2307),
        ("tpu-v7-1", "fp8", 4614),
        ("tpu-8i-1", "bf16", 1101),
        ("tpu-8i-1", "fp8", 8808),
        ("inf2-1", "bf16", 184),
        ("trn2-16", "fp8", 1258),
    ],
)
def test_peaks_are_those_of_array_and_clock(system: str, dtype: str, tflops: float) -> None:
    assert 2e-12 * chip(system).peaks()[f"mac:{dtype}"] == pytest.approx(tflops, rel=0.005)


@pytest.mark.parametrize(
    ("system", "gigabytes"),
    [("tpu-v5e-1", 819), ("tpu-v5p-1", 2765), ("tpu-v6e-1", 1640), ("tpu-v7-1", 7380), ("tpu-8i-1", 8600),
     ("inf2-1", 820), ("trn2-16", 2900)],
)  # fmt: skip
def test_memory_peaks_are_the_published_ones(system: str, gigabytes: float) -> None:
    assert 1e-9 * chip(system).peaks()["memory"] == pytest.approx(gigabytes, rel=0.003)


@pytest.mark.parametrize("system", SYSTEMS)
def test_lines_are_told_apart_and_static_power_is_whole(system: str) -> None:
    specs = chip(system).components()
    assert len({spec.path for spec in specs}) == len(specs)
    power = chip(system).parameters.power
    per_cycle = sum(spec.static_fj_per_cycle * spec.count for spec in specs)
    assert per_cycle / chip(system).timing.period_fs == pytest.approx((power.idle + power.clocked) / 1000, rel=1e-4)


def test_a_format_that_the_arrays_do_not_take_is_refused() -> None:
    words = r"tpu-v7 has no matrix unit for int8 \(operator gemm\); it multiplies bf16, fp8"
    with pytest.raises(UnsupportedError, match=words):
        chip("tpu-v7-1").carry_out(operator("gemm", GEMM, "int8"), SystolicState())


def test_parameters_that_cannot_be_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"hbm.idle_latency: cannot be with the other parameters"):
        chip("tpu-v6e-1", "chip.hbm.idle_latency=10ns")
    with pytest.raises(InputError, match=r"software.weight_tile: .*a quarter of the scratchpads"):
        chip("tpu-v6e-1", "chip.software.weight_tile=64MiB")
    small = chip("tpu-v6e-1", "chip.vmem.capacity=4MiB")
    words = r"tpu-v6e cannot hold a tile of weights of operator gemm: 33554432 bytes of its scratchpads' 4194304"
    with pytest.raises(UnsupportedError, match=words):
        small.carry_out(operator("gemm", GEMM | {"K": 65536}, "bf16"), SystolicState())


def test_an_equal_stretch_has_the_same_cells() -> None:
    stretch = [operator("norm", NORM, "bf16"), operator("gemm", GEMM, "bf16")]
    first = chip().carry_out_all(stretch, SystolicState())
    again = chip().carry_out_all(list(stretch), SystolicState())
    assert all(one.cells[0] is other.cells[0] for one, other in zip(first, again, strict=True))


def test_weights_of_the_next_operator_come_while_one_computes() -> None:
    stretch = [attention(4096, batch=8), operator("gemm", GEMM, "bf16")]
    fused = chip().carry_out_all(stretch, SystolicState())
    apart = [chip().carry_out(one, SystolicState()) for one in stretch]
    assert fused[1].duration_fs < 0.7 * apart[1].duration_fs
    assert fused[0].duration_fs <= 1.1 * apart[0].duration_fs


def test_cells_of_a_stretch_hold_all_that_its_program_did() -> None:
    stretch = [operator("norm", NORM, "bf16"), operator("gemm", GEMM, "bf16"), attention(704)]
    cells = [outcome.cells[0] for outcome in chip().carry_out_all(stretch, SystolicState())]
    whole = run_program(chip().timing, joined(chip().machine, [chip()._choose(one) for one in stretch]), True)
    assert sum(cell.duration_fs for cell in cells) == whole.ends_fs[-1]
    for line in range(len(chip().components())):
        parts = sum(int(cell.activity.amount[cell.activity.component == line].sum()) for cell in cells)
        assert parts == int(whole.activity.amount[whole.activity.component == line].sum())
    assert sum(cell.counters["macs"] for cell in cells) == sum(one.macs for one in stretch)


def test_decode_attention_depends_on_whole_pages() -> None:
    page = chip().parameters.attention.page
    same = [chip().carry_out(attention(kv_len), SystolicState()).cells[0] for kv_len in (page + 1, 2 * page)]
    assert same[0] is same[1]
    assert chip().carry_out(attention(2 * page + 1), SystolicState()).cells[0] is not same[0]


def test_a_dense_cache_is_read_faster_than_a_paged_one() -> None:
    paged = chip().carry_out(attention(1024, batch=16), SystolicState()).duration_fs
    dense = chip("tpu-v6e-1", "chip.attention.cache=dense").carry_out(attention(1024, batch=16), SystolicState())
    assert dense.duration_fs < paged
    least = attention(1024, batch=16).kv_read_bytes / chip().peaks()["memory"] * 1e15
    assert dense.duration_fs > least


def test_a_batch_of_one_waits_for_memory_and_a_large_one_for_the_arrays() -> None:
    shape = {"M": 1, "N": 8192, "K": 8192, "bias": 0}
    for rows, limit in ((1, DMA), (4096, MXU)):
        cell = chip().carry_out(operator("gemm", shape | {"M": rows}, "bf16"), SystolicState()).cells[0]
        activity = cell.activity
        busy = {
            line: int(
                (activity.end_fs - activity.start_fs)[(activity.component == line) & (activity.state == BUSY)].sum()
            )
            for line in (MXU, VECTOR, DMA)
        }
        assert busy[limit] > 0.85 * cell.duration_fs
        assert busy[VECTOR] < busy[limit]


def test_a_gemm_bound_by_the_arrays_takes_its_closed_form() -> None:
    """First weights in, folds one behind the other, skew of the array, a share of a fold for the lanes at the end."""
    m, n, k = 4096, 2048, 2048
    machine, timing = chip().machine, chip().timing
    done = chip().carry_out(operator("gemm", {"M": m, "N": n, "K": k, "bias": 0}, "bf16"), SystolicState())
    folds = (n // 256) * (k // 256) // 2
    streaming = folds * machine.stream_cycles(m, "bf16")
    assert machine.stream_cycles(m, "bf16") == m // 2
    least_fs = (streaming + timing.array.tail_cycles) * timing.period_fs
    around_fs = machine.p.program.region + machine.p.program.operator + machine.p.program.drain
    assert least_fs < done.duration_fs < 1.05 * least_fs + 2 * around_fs


@pytest.mark.parametrize("system", ["tpu-v5e-1", "tpu-v6e-1", "tpu-v7-1", "tpu-8i-1", "inf2-1", "trn2-16"])
def test_a_gemm_bound_by_memory_takes_what_refreshes_leave_of_it(system: str) -> None:
    one = operator("gemm", {"M": 1, "N": 16384, "K": 8192, "bias": 0}, "bf16")
    taken_fs = chip(system).carry_out(one, SystolicState()).duration_fs
    streaming_fs = one.weight_bytes / chip(system).timing.hbm.bytes_per_fs
    assert streaming_fs < taken_fs < 1.1 * streaming_fs + 10**10


def test_cores_divide_an_operator() -> None:
    one, two = chip("tpu-v5p-1", "chip.cores.count=1"), chip("tpu-v5p-1")
    shape = {"M": 2048, "N": 4096, "K": 4096, "bias": 0}
    alone = one.carry_out(operator("gemm", shape, "bf16"), SystolicState()).duration_fs
    shared = two.carry_out(operator("gemm", shape, "bf16"), SystolicState()).duration_fs
    assert 0.45 * alone < shared < 0.65 * alone


def test_candidates_cover_the_weights_once() -> None:
    machine = chip().machine
    for plan in plans(machine, operator("gemm", GEMM, "bf16")):
        assert int(plan.steps[:, 1].sum()) == 2 * 2048 * 2048

"""How long systolic chips take to simulate: a stretch of a layer, and a whole run of Llama 3 70B on eight TPU v6e."""

from __future__ import annotations

from pathlib import Path

from operators import operator
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.systolic import SystolicState
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up

GATE_UP = {"M": 1, "N": 7168, "K": 8192, "bias": 0}


def test_a_stretch_of_a_decode_layer(benchmark: BenchmarkFixture) -> None:
    gemm = operator("gemm", GATE_UP, "bf16")

    def simulate() -> int:
        chip = set_up("tpu-v6e-1").chip
        return sum(outcome.duration_fs for outcome in chip.carry_out_all([gemm, gemm], SystolicState()))

    assert benchmark(simulate) > 0


def test_llama_3_70b_on_eight_tpus(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    done = benchmark.pedantic(
        run,
        ("tpu-v6e-8", "llama-3-70b"),
        {"prompt": 1024, "generate": 128, "output": tmp_path / "run.h5"},
        rounds=2,
        warmup_rounds=1,
    )
    assert done.summary["wall_s"] < 5
    assert done.summary["log_bytes"] < 20 * 10**6

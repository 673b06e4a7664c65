"""How long dataflow chips take to simulate: a decode layer, and a whole run of Llama 3 70B on sixteen sockets."""

from __future__ import annotations

from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.dataflow.timing import Handover
from dieshot.simulator.params import find_path
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up
from dieshot.traces import build_trace, load_model_config, partition


def test_a_decode_layer(benchmark: BenchmarkFixture) -> None:
    config = load_model_config(find_path("models", "llama-3-70b"))
    trace = build_trace(config, batch=1, prompt=1000, generate=2, precision="bf16")
    steps = partition(trace, 8, 1, pad=True).stages[0].steps[1:]

    def simulate() -> int:
        chip = set_up("sn40l-8").placed(8, 1).chip
        chip.prepare([steps], 1)
        layers = steps[0].blocks[1].operators
        return sum(outcome.duration_fs for outcome in chip.carry_out_all(layers, Handover(begun=True)))

    assert benchmark(simulate) > 0


def test_llama_3_70b_on_sixteen_sockets(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    done = benchmark.pedantic(
        run,
        ("sn40l-16", "llama-3-70b"),
        {"prompt": 1024, "generate": 128, "output": tmp_path / "run.h5"},
        rounds=2,
        warmup_rounds=1,
    )
    assert done.summary["wall_s"] < 5
    assert done.summary["log_bytes"] < 20 * 10**6

"""How long it takes to build, split, write and read the trace of 1,280 decode steps (each is to stay under 0.3 s)."""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.traces import Trace, build_trace, load_model_config, parse_trace, partition, trace_text

MODELS = Path(__file__).resolve().parents[2] / "configs" / "models"


def build(name: str, routing: str = "balanced") -> Trace:
    model = load_model_config(MODELS / f"{name}.json")
    return build_trace(model, batch=8, prompt=1024, generate=1281, precision="fp8", routing=routing)


@pytest.mark.parametrize(
    ("name", "routing"),
    [("llama-3-70b", "balanced"), ("qwen3-235b-a22b", "balanced"), ("qwen3-235b-a22b", "power_law")],
)
def test_build(benchmark: BenchmarkFixture, name: str, routing: str) -> None:
    assert len(benchmark(build, name, routing).steps) == 1281


@pytest.mark.parametrize(("tp", "pp"), [(8, 1), (8, 8), (1, 80)])
def test_partition(benchmark: BenchmarkFixture, tp: int, pp: int) -> None:
    trace = build("llama-3-70b")
    assert len(benchmark(partition, trace, tp, pp).stages) == pp


def test_write(benchmark: BenchmarkFixture) -> None:
    assert benchmark(trace_text, build("llama-3-70b"))


def test_read(benchmark: BenchmarkFixture) -> None:
    text = trace_text(build("llama-3-70b"))
    assert len(benchmark(parse_trace, text).steps) == 1281

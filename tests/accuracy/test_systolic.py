"""Simulated TPUs and NeuronCores against measurements: bounds just above what is reached, on rows outside every fit."""

from __future__ import annotations

import pytest

from accuracy import systolic
from accuracy.systolic import Comparison, mape

SERVING_BAR_PERCENT = 30.0
SECONDS_EACH = 4096  # prompts above take longer to simulate than a test should
FITTED = "inf2-12 llama-2-7b"


@pytest.fixture(scope="module")
def attention() -> list[Comparison]:
    return list(systolic.attention())


@pytest.mark.parametrize(("phase", "percent"), [("prefill", 8.0), ("decode", 12.0)])
def test_attention_of_a_tpu_on_the_half_held_back(attention: list[Comparison], phase: str, percent: float) -> None:
    held_back = [row for row in attention if row.group == phase and row.half == "check"]
    assert len(held_back) > 15
    assert mape(held_back) < percent


def test_servers_on_tpus() -> None:
    rows = [systolic.serving_row(row) for row in systolic.table("tpu_serving.csv") if row["phase"] == "decode"]
    assert len(rows) == 9
    assert mape(rows) < SERVING_BAR_PERCENT


@pytest.mark.parametrize(("metric", "percent", "every"), [("tpot", 12.0, 4), ("ttft", 50.0, 12)])
def test_decoders_on_neuron_cores(metric: str, percent: float, every: int) -> None:
    chosen = [
        row
        for row in systolic.table("neuron_latency.csv")
        if row["metric"] == metric and f"{row['system']} {row['model']}" != FITTED
    ]
    short = [row for row in chosen if metric == "tpot" or int(row["batch"]) * int(row["prompt"]) <= SECONDS_EACH]
    assert len(short[::every]) >= 3
    assert mape([systolic.neuron_row(row) for row in short[::every]]) < percent

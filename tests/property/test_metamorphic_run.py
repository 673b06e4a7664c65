"""A better part makes a whole run faster; one that was not in the way hardly moves it."""

from __future__ import annotations

import functools

import pytest

from dieshot.simulator.studies.run import run

BETTER = (
    "chip.hbm.pin_rate=*1.5",
    "chip.sm_clock=*1.2",
    "chip.sm.count=*2",
    "chip.hbm.idle_latency=450cycle",
    "chip.launch.latency=300ns",
    "fabric.rate=*2",
    "fabric.hop_latency=300ns",
    "system.host.step_gap=10us",
)


@functools.cache
def total_time_s(better: str | None) -> float:
    """Return the time of a small run of eight chips, with one part better."""
    sets = () if better is None else (better,)
    summary = run("dgx-h100", "llama-3-8b", prompt=200, generate=3, batch=2, sets=sets).summary
    return float(summary["total_time_s"])


@pytest.mark.parametrize("better", BETTER)
def test_a_better_part_makes_the_run_faster(better: str) -> None:
    assert total_time_s(better) < total_time_s(None)


def test_a_better_part_that_was_not_in_the_way_hardly_matters() -> None:
    """Weights stream from the DRAM; a faster L2 only lets requests meet other refreshes and rows (measured: 0.06 %)."""
    assert total_time_s("chip.l2.read_bandwidth=*2") < 1.002 * total_time_s(None)
    assert total_time_s("chip.l2.read_bandwidth=*0.25") > 1.01 * total_time_s(None)


def test_doubling_a_number_moves_the_answer_in_its_direction() -> None:
    assert total_time_s("chip.hbm.pin_rate=*1.5") < 0.98 * total_time_s(None)
    assert total_time_s("chip.launch.latency=2us") > 1.05 * total_time_s(None)

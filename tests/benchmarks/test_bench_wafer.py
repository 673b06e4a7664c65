"""How long a wafer takes: Llama 3 70B on four CS-3 with its log, and a line of PEs wavelet by wavelet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.mapping.wafer.phase import AllReduce, Y
from dieshot.chips.parts.wafer.line import LineParameters, run
from dieshot.chips.parts.wafer.line_timing import program_of
from dieshot.simulator.studies.run import run as run_model


def test_llama_3_70b_on_four_wafers(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    output = tmp_path / "run.h5"
    done = benchmark.pedantic(
        run_model,
        ("cs3-x4", "llama-3-70b"),
        {"prompt": 1024, "generate": 128, "precision": "fp16", "output": output},
        rounds=2,
        warmup_rounds=1,
    )
    assert done.summary["time_per_output_token_s"] > 0


@pytest.mark.parametrize("wavelets", [6, 600])
def test_all_reduce_on_a_line(benchmark: BenchmarkFixture, wavelets: int) -> None:
    how = LineParameters()
    program = program_of(AllReduce(Y, wavelets), 360, how)
    outcome = benchmark(run, program, how, np.zeros(360, np.int64))
    benchmark.extra_info["PE cycles/s"] = 360 * int(outcome.finish.max()) / benchmark.stats.stats.mean

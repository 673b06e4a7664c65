"""How long a model in ROM takes: a prompt token by token and its answer with the log, and one token in one block."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.mapping.model_rom.phase import Matrix
from dieshot.chips.model_rom import ModelRom
from dieshot.chips.parts.model_rom.block import run_token
from dieshot.simulator.studies.run import run
from dieshot.simulator.studies.setup import set_up


def test_llama_3_1_8b_with_its_log(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    outputs = (tmp_path / f"{i}.h5" for i in count())
    done = benchmark.pedantic(
        lambda: run("hc1", "llama-3.1-8b", prompt=1024, generate=128, output=next(outputs)), rounds=2, warmup_rounds=1
    )
    assert done.summary["time_per_output_token_s"] > 0


def test_a_matrix_in_rom(benchmark: BenchmarkFixture) -> None:
    chip = set_up("hc1").chip
    assert isinstance(chip, ModelRom)
    phases = [[Matrix(4096, 128256, 32)]]
    token = benchmark(run_token, chip.machine, phases, True)
    benchmark.extra_info["cycles/s"] = token.ends[-1] / benchmark.stats.stats.mean

"""SCALE-Sim side by side, where it is installed in an environment of its own (`make scale-sim`).

DIESHOT_SCALE_SIM_PYTHON names the interpreter of that environment.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.chips.parts.core.array import systolic
from dieshot.chips.parts.core.fold import DATAFLOWS, Gemm, time_gemm

PYTHON = os.environ.get("DIESHOT_SCALE_SIM_PYTHON") or None
SEED = 20260
CONFIGURATION = """
[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: 4096
FilterSramSzkB: 4096
OfmapSramSzkB: 8192
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: {dataflow}
ReadRequestBuffer: 512
WriteRequestBuffer: 512
Bandwidth: 10
[layout]
IfmapCustomLayout: False
FilterCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
Case = tuple[int, int, list[tuple[int, int, int]]]
CASES: list[Case] = [
    (128, 128, [(128, 128, 128), (512, 512, 512)]),
    (7, 5, [(20, 11, 16), (3, 30, 9)]),
    (37, 53, [(100, 200, 150), (1, 300, 111)]),
    (16, 64, [(65, 129, 33)]),
]


def drawn_cases() -> list[Case]:
    """Return arrays of every aspect, each with GEMMs of ones, primes and what is left over beside the array."""
    draw = random.Random(SEED)
    shapes = [(1, 7), (9, 1), (8, 128), (128, 8), (256, 64), (3, 3), (31, 17), (1, 40), (12, 5)]
    extents = [1, 2, 3, 7, 13, 31, 64, 97, 131]
    return [(*shape, [(1, 1, 1)] + [tuple(draw.choices(extents, k=3)) for _ in range(3)]) for shape in shapes]  # type: ignore[misc]


def scale_sim(folder: Path, dataflow: str, case: Case) -> tuple[list[int], float]:
    """Return the compute cycles that SCALE-Sim prints for each GEMM, and its wall time in s."""
    rows, columns, gemms = case
    (folder / "run.cfg").write_text(CONFIGURATION.format(rows=rows, columns=columns, dataflow=dataflow))
    layers = "".join(f"layer{i},{m},{n},{k},\n" for i, (m, n, k) in enumerate(gemms))
    (folder / "gemm.csv").write_text(f"Layer,M,N,K,\n{layers}")
    files = ["-c", "run.cfg", "-t", "gemm.csv", "-l", "gemm.csv", "-p", "out", "-i", "gemm", "-s", "N"]
    began = time.perf_counter()
    command = [str(PYTHON), "-m", "scalesim.scale", *files]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    wall_s = time.perf_counter() - began
    with (folder / "out" / "run" / "COMPUTE_REPORT.csv").open() as report:
        lines = list(csv.DictReader(report, skipinitialspace=True))
    return [int(float(line["Total Cycles"])) for line in lines], wall_s


@pytest.mark.skipif(PYTHON is None, reason="DIESHOT_SCALE_SIM_PYTHON names no interpreter with SCALE-Sim")
@pytest.mark.parametrize("case", CASES + drawn_cases(), ids=lambda case: f"{case[0]}x{case[1]}")
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_side_by_side(benchmark: BenchmarkFixture, tmp_path: Path, dataflow: str, case: Case) -> None:
    theirs, wall_s = scale_sim(tmp_path, dataflow, case)
    array = systolic(case[0], case[1], "none")

    def simulate() -> list[int]:
        done = [time_gemm(array, Gemm(*shape), dataflow) for shape in case[2]]
        assert all(each.busy_pes(0, each.end_cycle).sum() == each.busy_pe_cycles for each in done)
        return [each.end_cycle - 1 for each in done]

    assert benchmark(simulate) == theirs
    median_s = benchmark.stats.stats.median
    benchmark.extra_info |= {
        "array_cycles_per_s": sum(theirs) / median_s,
        "scale_sim_array_cycles_per_s": sum(theirs) / wall_s,
        "times_scale_sim": wall_s / median_s,
    }

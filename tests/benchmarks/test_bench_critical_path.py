"""Speed of the critical path of Llama 3 70B on eight H100 (aim: 1 s), of its chain, and of comparing files (1 s)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.simulator.studies.compare import compare
from dieshot.simulator.studies.critical_path.pipeline import longest_path, longest_path_fs
from dieshot.simulator.studies.critical_path.recorded import timeline_of_ledger
from dieshot.simulator.studies.critical_path.study import critical_path
from dieshot.simulator.studies.run import run


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the run that `make run` makes."""
    file = tmp_path_factory.mktemp("run") / "run.h5"
    run("dgx-h100", "llama-3-70b", prompt=1024, generate=128, precision="fp8", output=file)
    return file


def test_path_from_a_file(benchmark: BenchmarkFixture, result: Path) -> None:
    found = benchmark.pedantic(critical_path, (result,), {"if_faster": False}, rounds=5, warmup_rounds=1)
    assert sum(each["time_fs"] for each in found["operators"]) == found["duration_fs"]


def test_two_files(benchmark: BenchmarkFixture, result: Path) -> None:
    found = benchmark.pedantic(compare, (result, result), rounds=5, warmup_rounds=1)
    assert found["difference"]["inputs"] == []


def test_chain_of_a_thousand_steps(benchmark: BenchmarkFixture) -> None:
    done = run("dgx-h100", "llama-3-8b", prompt=128, generate=1000)
    line = timeline_of_ledger(done.ledger, done.duration_fs)
    own = [shape.duration_fs for shape in line.shapes]

    def chain() -> int:
        assert sum(longest_path(line).values()) == len(line.start_fs)
        return longest_path_fs(line, own, line.gap_fs)

    assert benchmark.pedantic(chain, rounds=5) == done.duration_fs

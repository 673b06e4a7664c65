"""The audit of all claims that come along: arithmetic alone, and with every run."""

from pytest_benchmark.fixture import BenchmarkFixture

from dieshot.simulator.studies.audit.study import audit

MOST_S = 60.0  # with all runs, warm, on two cores


def test_arithmetic_of_all_claims(benchmark: BenchmarkFixture) -> None:
    found = benchmark(audit, simulate=False)
    assert len(found) == 325


def test_all_claims_with_their_runs(benchmark: BenchmarkFixture) -> None:
    found = benchmark.pedantic(audit, kwargs={"processes": 2}, rounds=1, warmup_rounds=0)
    assert sum(len(each.runs) for each in found) > 60
    assert benchmark.stats.stats.max < MOST_S

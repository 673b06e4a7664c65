"""What a sweep costs beside its runs, what a second worker gives, and a long trial by SIGKILL."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import sweep_runs
from sweep_kills import SHORT_RUNS, Trial, results_of
from sweep_runs import Batches

import dieshot
from dieshot.simulator.store.store import Store
from dieshot.simulator.sweep.drive import drive
from dieshot.simulator.sweep.engines.processes import Processes
from dieshot.simulator.sweep.engines.serving import Function

N_EMPTY, N_SHORT, N_LONG = 20_000, 1000, 200
N_KILLED, N_KILLS = 2000, 20


def carried_out(folder: Path, n: int, n_workers: int, function: Function) -> dict[str, float]:
    """Carry out `n` runs; return the wall time, the client's processor time, and the runs' own seconds."""
    points = Batches(list(range(1000, 1000 + n)))
    with Store.open(folder, create=True) as store:
        number = store.add_sweep("sweep", "text", points.keys)
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        with Processes(n_workers, function) as engine:
            drive(store, number, points, engine)
        wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
        counts = store.counts(number)
    assert counts.done == n
    return {"wall_s": wall_s, "client_cpu_s": cpu_s, "runs_s": counts.seconds}


def test_overhead_of_empty_runs(benchmark: Any, tmp_path: Path) -> None:
    found = benchmark.pedantic(lambda: carried_out(tmp_path, N_EMPTY, 2, sweep_runs.quick), rounds=1)
    benchmark.extra_info["ms per run and worker"] = 1e3 * (2 * found["wall_s"] - found["runs_s"]) / N_EMPTY
    benchmark.extra_info["ms of the client per run"] = 1e3 * found["client_cpu_s"] / N_EMPTY


def test_overhead_of_short_runs(benchmark: Any, tmp_path: Path) -> None:
    document = tmp_path / "short.yaml"
    document.write_text(SHORT_RUNS.format(last=N_SHORT // 2 - 1))
    cpu_s = time.process_time()
    found = benchmark.pedantic(lambda: dieshot.sweep(document, store=tmp_path / "store", workers=2), rounds=1)
    assert found.counts.done == N_SHORT
    benchmark.extra_info["ms per run and worker"] = 1e3 * (2 * found.wall_s - found.counts.seconds) / N_SHORT
    benchmark.extra_info["ms of the client per run"] = 1e3 * (time.process_time() - cpu_s) / N_SHORT


def test_a_second_worker(benchmark: Any, tmp_path: Path) -> None:
    one = carried_out(tmp_path / "one", N_LONG, 1, sweep_runs.busy)
    two = benchmark.pedantic(lambda: carried_out(tmp_path / "two", N_LONG, 2, sweep_runs.busy), rounds=1)
    benchmark.extra_info["times as fast as one"] = one["wall_s"] / two["wall_s"]
    benchmark.extra_info["ms of the client per run"] = 1e3 * two["client_cpu_s"] / N_LONG


def test_killed_at_random(benchmark: Any, tmp_path: Path) -> None:
    document = tmp_path / "short.yaml"
    document.write_text(SHORT_RUNS.format(last=N_KILLED // 2 - 1))
    trial = Trial(document, tmp_path / "killed", random.Random(20))
    benchmark.pedantic(lambda: trial.run(N_KILLS, N_KILLED), rounds=1)
    benchmark.extra_info["kills"] = len(trial.killed)
    benchmark.extra_info["clients"] = trial.clients
    assert trial.left_behind() == []
    whole = dieshot.sweep(document, store=tmp_path / "serial", engine="serial")
    assert whole.counts.done == N_KILLED
    assert results_of(tmp_path / "killed") == results_of(tmp_path / "serial")
    with Store.open(tmp_path / "killed") as store:
        assert store.rows(1, ["run"]).column("run").to_pylist() == list(range(N_KILLED))

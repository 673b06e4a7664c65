"""A sweep that is killed at random, client and workers alike, comes to the results of one that nobody touched."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections import Counter
from pathlib import Path

import sweep_runs
from sweep_kills import SHORT_RUNS, Trial, n_ended, results_of

import dieshot
from dieshot.simulator.store.question import rows
from dieshot.simulator.sweep.engines.processes import Processes

LAST = 79
VICTIMS = ("worker", "group")
N_RUNS = 2 * (LAST + 1)


def test_results_after_kills_are_those_of_the_serial_engine(tmp_path: Path) -> None:
    document = tmp_path / "short.yaml"
    document.write_text(SHORT_RUNS.format(last=LAST))
    trial = Trial(document, tmp_path / "killed", random.Random(7), VICTIMS)
    trial.run(len(VICTIMS), N_RUNS)
    assert len(trial.killed) == len(VICTIMS)
    assert trial.clients > 1
    assert trial.left_behind() == []
    whole = dieshot.sweep(document, store=tmp_path / "serial", engine="serial")
    assert (whole.counts.done, whole.counts.open) == (N_RUNS, 0)
    assert results_of(tmp_path / "killed") == results_of(tmp_path / "serial")
    runs = rows(tmp_path / "killed", "short", ["run"]).column("run").to_pylist()
    assert runs == list(range(N_RUNS))


def test_a_kill_of_the_client_costs_a_chunk_at_most(tmp_path: Path) -> None:
    n_runs, n_kills, begun = 200, 2, tmp_path / "begun.txt"
    context = multiprocessing.get_context("spawn")
    ended: int | None = -signal.SIGKILL
    killed = 0
    while ended == -signal.SIGKILL:
        client = context.Process(target=sweep_runs.carry_out_recorded, args=(tmp_path / "store", begun, n_runs))
        client.start()
        if killed < n_kills:
            done = n_runs * (killed + 1) // (n_kills + 2)
            while n_ended(tmp_path / "store") < done:
                assert client.is_alive()
                time.sleep(0.005)
            client.kill()
            killed += 1
        client.join()
        ended = client.exitcode
    assert ended == 0
    times = Counter(begun.read_text().split())
    assert set(times) == {str(batch) for batch in range(1000, 1000 + n_runs)}
    one_chunk = int(Processes.chunk_s[1] / sweep_runs.BRIEF_S)
    assert times.total() - n_runs <= n_kills * one_chunk
    assert n_ended(tmp_path / "store") == n_runs

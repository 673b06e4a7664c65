"""A sweep that is killed at random, client and workers alike, comes to the results of one that nobody touched."""

from __future__ import annotations

import random
from pathlib import Path

from sweep_kills import SHORT_RUNS, Trial, results_of

import dieshot
from dieshot.simulator.store.question import rows

LAST = 79
VICTIMS = ("worker", "client", "group")
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

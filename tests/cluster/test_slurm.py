"""The engine on a real Slurm of one node: to the end, whatever is requeued, cancelled or killed."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster import deeds
from cluster.client import Client
from cluster.processes import wait_for
from cluster.sweeps import N_RUNS, finish, n_ended, results_of, start_client
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines import own_cluster, slurm
from dieshot.simulator.sweep.engines.engine import EngineLostError
from dieshot.simulator.sweep.engines.options import EngineOptions

WORDS = ("--engine", "slurm", "--partition", "short", "--interface", "lo")


def options(folder: Path, n_workers: int = 2) -> EngineOptions:
    return EngineOptions(folder, workers=n_workers, partition="short", interface="lo")


def naps(n: int, milliseconds: int) -> list[PointRequest]:
    return [PointRequest("none", "none", batch=batch, prompt=milliseconds) for batch in range(1, n + 1)]


def call(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout


def tasks(state: str = "all") -> list[str]:
    """Return the tasks of arrays in the queue as JOB_INDEX."""
    return call("squeue", "--noheader", "--array", f"--states={state}", "--format=%i %T").splitlines()


def running() -> list[str]:
    return [line.split()[0] for line in tasks("running")]


def queued() -> list[str]:
    lines = (line.split() for line in tasks("pending,running,completing"))
    return [name for name, _ in lines]


def of_cluster(folder: Path) -> list[psutil.Process]:
    """Return the processes that have to do with the cluster of a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in words):
            found.append(process)
    return [each for each in found if "dask" in each.info["cmdline"]]


def listening(process: psutil.Process) -> list[Any]:
    return [each.laddr for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]


def nothing_left(folder: Path) -> None:
    wait_for(lambda: not queued(), 20)
    wait_for(lambda: not of_cluster(folder), 20)
    assert not (folder / own_cluster.FOLDER / own_cluster.RECORD).exists()


def test_requeued_and_cancelled_tasks(loopback: Path, tmp_path: Path, true_results: dict[str, bytes]) -> None:
    store = tmp_path / "store"
    client = start_client(tmp_path, store, *WORDS, "--workers", "3")
    wait_for(lambda: n_ended(store) > N_RUNS // 10)
    first, second, *_ = running()
    call("scancel", first)
    call("scontrol", "requeue", second)
    wait_for(lambda: second not in running())
    call("scontrol", "update", f"JobId={second}", "StartTime=now")  # Slurm itself waits for two minutes
    assert n_ended(store) < N_RUNS
    assert client.wait(60) == 0
    assert results_of(store) == true_results
    nothing_left(store)


def test_a_killed_client_finds_its_cluster_again(
    loopback: Path, tmp_path: Path, true_results: dict[str, bytes]
) -> None:
    store = tmp_path / "store"
    client = start_client(tmp_path, store, *WORDS, "--workers", "2")
    wait_for(lambda: n_ended(store) > N_RUNS // 10)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait(10)
    record = store / own_cluster.FOLDER / own_cluster.RECORD
    name = json.loads(record.read_text())["name"]
    before = sorted(queued())
    assert len(before) == 2
    again = start_client(tmp_path, store, *WORDS, "--workers", "2")
    wait_for(lambda: n_ended(store) > N_RUNS // 2)
    assert json.loads(record.read_text())["name"] == name
    assert sorted(queued()) == before
    again.send_signal(signal.SIGTERM)
    assert again.wait(30) == 128 + signal.SIGTERM
    nothing_left(store)
    assert n_ended(store) < N_RUNS
    finish(tmp_path, store, "slurm", workers=2, partition="short", interface="lo")
    assert results_of(store) == true_results
    nothing_left(store)


def test_what_is_told_to_end_ends_its_run(loopback: Path, tmp_path: Path) -> None:
    with slurm.open_engine(options(tmp_path), deeds.nap) as engine:
        client = Client(naps(6, 1000), 3)
        client.drive(engine, lambda: len(client.outcomes) >= 1)
        call("scancel", running()[0])
        client.drive(engine)
    assert client.n_lost == 0
    assert sorted(client.outcomes) == list(range(6))
    assert set(client.times.values()) == {1}
    nothing_left(tmp_path)


def test_scheduler_and_all_workers_are_replaced(
    loopback: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "CHECK_S", 0.5)
    with slurm.open_engine(options(tmp_path), deeds.nap_or_die) as engine:
        client = Client(naps(60, 60), 6)
        client.drive(engine, lambda: len(client.outcomes) >= 10)
        (scheduler,) = [each for each in of_cluster(tmp_path) if "scheduler" in each.info["cmdline"]]
        scheduler.kill()
        n = len(client.outcomes)
        client.drive(engine, lambda: len(client.outcomes) >= n + 10)
        for name in running():
            call("scancel", name)
        client.drive(engine)
    assert client.set_aside == {deeds.FATAL_BATCH - 1}
    assert len(client.outcomes) == 59
    assert set(client.times.values()) == {1}
    nothing_left(tmp_path)


def test_an_abandoned_cluster_ends(loopback: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIESHOT_AWAY_S", "1")
    store = tmp_path / "store"
    client = start_client(tmp_path, store, *WORDS, "--workers", "2")
    wait_for(lambda: n_ended(store) > 5)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait(10)
    wait_for(lambda: not queued(), 20)
    wait_for(lambda: not of_cluster(store), 20)


def test_another_cluster_takes_the_place_of_one_that_is_not_wanted(loopback: Path, tmp_path: Path) -> None:
    first = own_cluster.OwnCluster(options(tmp_path, 1))
    wait_for(lambda: running())
    second = own_cluster.OwnCluster(options(tmp_path, 2))
    assert not second.is_found
    wait_for(lambda: len(queued()) == 2)
    assert first._scheduler is not None
    assert first._scheduler.wait(10) == 0
    wait_for(lambda: len(of_cluster(tmp_path)) == 3)
    assert {address.ip for process in of_cluster(tmp_path) for address in listening(process)} == {"127.0.0.1"}
    third = own_cluster.OwnCluster(options(tmp_path, 2))
    assert third.is_found
    second.end()
    nothing_left(tmp_path)


def test_workers_that_cannot_start_are_one_line(
    loopback: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "CHECK_S", 0.2)
    monkeypatch.setattr(own_cluster, "MOST_STARTS", 2)
    wanted = replace(options(tmp_path, 1), slurm_options=("--export=PATH=/nowhere,PYTHONHOME=/nowhere",))
    with slurm.open_engine(wanted, deeds.nap) as engine, pytest.raises(EngineLostError) as raised:
        Client(naps(3, 10), 1).drive(engine)
    assert "\n" not in str(raised.value)
    assert "worker-0.log ends with: " in str(raised.value)
    nothing_left(tmp_path)


def test_waiting_in_the_queue_is_no_error(loopback: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "CHECK_S", 0.2)
    wanted = replace(options(tmp_path, 1), slurm_options=("--begin=now+3600",))
    with slurm.open_engine(wanted, deeds.nap) as engine:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert not engine.events(0.2)
        assert (engine.n_workers, engine.room) == (0, 0)
        assert [line.split()[1] for line in tasks("pending,running")] == ["PENDING"]
    nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"partition": "long"}, "--engine: Slurm does not take the workers: sbatch: error: .*invalid partition.*"),
        ({"partition": "a b"}, "--partition: cannot stand in a batch script; expected a name of sinfo; got 'a b'"),
        ({"interface": "lol"}, "--interface: no such network interface with an address; .*did you mean 'lo'\\?"),
        ({"slurm_options": ("x",)}, "--slurm-option: cannot stand in a batch script; .*; got 'x'"),
    ],
)
def test_what_slurm_refuses_is_one_line(loopback: Path, tmp_path: Path, change: dict[str, object], line: str) -> None:
    with pytest.raises(InputError, match=f"(?i)^{line}$"):
        slurm.open_engine(replace(options(tmp_path), **change))
    assert not queued()
    assert not of_cluster(tmp_path)

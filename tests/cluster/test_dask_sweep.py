"""Whole sweeps on Dask: the same bytes as without, whoever is killed."""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest
from distributed import Client
from distributed.chaos import KillWorker

from cluster.processes import Cluster, wait_for
from cluster.sweeps import N_RUNS, document, finish, n_ended, results_of, start_client
from dieshot.simulator.sweep.engines.certificate import certificate_in
from dieshot.simulator.sweep.engines.engine import EngineLostError
from dieshot.simulator.sweep.engines.scheduler_address import security
from dieshot.simulator.sweep.sweep import sweep

CHAOS_S = 5.0


def end_chaos(client: Client) -> None:
    with contextlib.suppress(OSError):  # of a worker that has just died
        client.unregister_worker_plugin("chaos")


def test_workers_killed_at_random(tmp_path: Path, true_results: dict[str, bytes]) -> None:
    store = tmp_path / "store"
    with Cluster(tmp_path, 2, nanny=True) as cluster:
        with Client(cluster.address, set_as_default=False) as client:
            client.register_plugin(KillWorker("1 s", mode="segfault"), name="chaos")
            client.wait_for_workers(2)
            peace = threading.Timer(CHAOS_S, end_chaos, [client])
            peace.start()
            done = finish(tmp_path, store, "dask", scheduler_file=cluster.scheduler_file)
            peace.join()
            log = (tmp_path / "dask.log").read_text()
        if done.counts.set_aside:  # a run may be hit three times by chance
            done = sweep(
                document(tmp_path),
                store=store,
                engine="dask",
                retry=["set_aside"],
                options={"scheduler_file": cluster.scheduler_file},
            )
    assert "Worker process" in log or "Restarting worker" in log  # of the nannies: there were deaths
    assert (done.counts.done, done.counts.failed) == (N_RUNS // 2, N_RUNS // 2)
    assert results_of(store) == true_results


def test_scheduler_and_client_are_killed(tmp_path: Path, true_results: dict[str, bytes]) -> None:
    store = tmp_path / "store"
    with Cluster(tmp_path, 2) as cluster:
        words = ("--engine", "dask", "--scheduler-file", str(cluster.scheduler_file))
        client = start_client(tmp_path, store, *words)
        wait_for(lambda: n_ended(store) > N_RUNS // 5)
        os.kill(cluster.scheduler.pid, signal.SIGKILL)
        cluster.scheduler.wait(10)
        cluster.start_scheduler()
        for _ in range(2):
            cluster.start_worker()
        n = n_ended(store)
        wait_for(lambda: n_ended(store) > n + 5)
        os.kill(client.pid, signal.SIGKILL)
        client.wait(10)
        assert n_ended(store) < N_RUNS
        again = start_client(tmp_path, store, *words)
        assert again.wait(60) == 0
    assert results_of(store) == true_results


def test_tls(tmp_path: Path, true_results: dict[str, bytes]) -> None:
    store = tmp_path / "store"
    certificate, key = certificate_in(tmp_path / "certificates")
    files = {"tls_ca": certificate, "tls_cert": certificate, "tls_key": key}
    with Cluster(tmp_path, 2, certificates=(certificate, certificate, key)) as cluster:
        assert cluster.address.startswith("tls://")
        with pytest.raises(EngineLostError, match="no Dask scheduler answers at tcp://"):
            finish(tmp_path, tmp_path / "plain", "dask", address=cluster.address.replace("tls://", "tcp://"))
        others, other_key = certificate_in(tmp_path / "others")
        wrong = {"tls_ca": others, "tls_cert": others, "tls_key": other_key}
        with pytest.raises(EngineLostError, match="no Dask scheduler answers at tls://"):
            finish(tmp_path, tmp_path / "wrong", "dask", address=cluster.address, **wrong)
        finish(tmp_path, store, "dask", address=cluster.address, **files)
    assert results_of(store) == true_results
    assert security(certificate, certificate, key).get_connection_args("client")["require_encryption"]

"""The engine on real Dask processes: same outcomes as without, whatever dies."""

import os
import signal
from pathlib import Path

import pytest

from cluster import deeds
from cluster.client import Client
from cluster.processes import Cluster, wait_for
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines import dask
from dieshot.simulator.sweep.engines.engine import EngineLostError
from dieshot.simulator.sweep.engines.options import EngineOptions


def naps(n: int, milliseconds: int) -> list[PointRequest]:
    return [PointRequest("none", "none", batch=batch, prompt=milliseconds) for batch in range(1, n + 1)]


def expected(requests: list[PointRequest]) -> dict[int, object]:
    return {run: {"batch": each.batch, "double": each.batch * 2.5} for run, each in enumerate(requests)}


def figures(client: Client) -> dict[int, object]:
    return {run: outcome.figures for run, outcome in client.outcomes.items()}


def options(cluster: Cluster) -> EngineOptions:
    return EngineOptions(cluster.folder, scheduler_file=cluster.scheduler_file)


def test_all_runs_once(tmp_path: Path) -> None:
    requests = naps(100, 5)
    with Cluster(tmp_path, 2) as cluster, dask.open_engine(options(cluster), deeds.nap) as engine:
        client = Client(requests, 7)
        client.drive(engine)
        assert engine.n_workers == 2
    assert figures(client) == expected(requests)
    assert set(client.times.values()) == {1}


def test_a_run_that_kills_its_workers_is_known(tmp_path: Path) -> None:
    requests = naps(40, 5)
    with Cluster(tmp_path, 2, nanny=True) as cluster, dask.open_engine(options(cluster), deeds.nap_or_die) as engine:
        client = Client(requests, 8)
        client.drive(engine)
    fatal = deeds.FATAL_BATCH - 1
    assert client.set_aside == {fatal}
    assert client.deaths == {fatal: 3}
    assert figures(client) == {run: row for run, row in expected(requests).items() if run != fatal}
    assert set(client.times.values()) == {1}


def test_sigterm_lets_the_run_under_way_end(tmp_path: Path) -> None:
    requests = naps(6, 1500)
    with Cluster(tmp_path, 2) as cluster, dask.open_engine(options(cluster), deeds.nap) as engine:
        client = Client(requests, 3)
        client.drive(engine, lambda: len(client.outcomes) >= 1)
        cluster.workers[0].send_signal(signal.SIGTERM)
        client.drive(engine)
        assert cluster.workers[0].wait(10) == 0
    assert figures(client) == expected(requests)
    assert client.n_lost == 0
    assert set(client.times.values()) == {1}


def test_stop_gives_back_after_the_run_under_way(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster, dask.open_engine(options(cluster), deeds.nap) as engine:
        client = Client(naps(20, 300), 10)
        client.drive(engine, lambda: len(client.outcomes) >= 2)
        client.take_back(engine)
    assert 2 <= len(client.outcomes) <= 4


def test_a_scheduler_that_comes_back_is_used_again(tmp_path: Path) -> None:
    requests = naps(40, 50)
    with Cluster(tmp_path, 1) as cluster, dask.open_engine(options(cluster), deeds.nap) as engine:
        client = Client(requests, 5)
        client.drive(engine, lambda: len(client.outcomes) >= 5)
        os.kill(cluster.scheduler.pid, signal.SIGKILL)
        cluster.scheduler.wait(10)
        cluster.start_scheduler()
        cluster.start_worker()
        client.drive(engine)
    assert figures(client) == expected(requests)
    assert set(client.times.values()) == {1}


def test_a_scheduler_that_stays_away_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "RETURN_S", 1.0)
    with Cluster(tmp_path, 1) as cluster, dask.open_engine(options(cluster), deeds.nap) as engine:
        client = Client(naps(20, 200), 5)
        client.drive(engine, lambda: len(client.outcomes) >= 1)
        os.kill(cluster.scheduler.pid, signal.SIGKILL)
        with pytest.raises(EngineLostError, match=r"^no Dask scheduler answers at tcp://127.0.0.1:\d+: .*$"):
            client.drive(engine)


def test_a_scheduler_that_answers_no_more_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "ROLL_CALL_S", 0.2)
    monkeypatch.setattr(dask, "RETURN_S", 0.5)
    with Cluster(tmp_path, 1) as cluster, dask.open_engine(options(cluster), deeds.nap) as engine:
        client = Client(naps(20, 200), 5)
        client.drive(engine, lambda: len(client.outcomes) >= 1)
        os.kill(cluster.scheduler.pid, signal.SIGSTOP)
        with pytest.raises(EngineLostError, match=r"^no Dask scheduler answers at tcp://127.0.0.1:\d+: .*$"):
            client.drive(engine)


def test_a_cluster_without_workers_is_one_line(tmp_path: Path) -> None:
    with Cluster(tmp_path, 0) as cluster, dask.Dask(lambda: cluster.address, None, deeds.nap, absent_s=0.3) as engine:
        client = Client(naps(3, 10), 1)
        with pytest.raises(EngineLostError, match="no worker has come to the Dask scheduler"):
            client.drive(engine)


def test_workers_have_the_code_of_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "identity", lambda: "dieshot 0 with code 0")
    with (
        Cluster(tmp_path, 1) as cluster,
        dask.open_engine(options(cluster), deeds.nap) as engine,
        pytest.raises(
            EngineLostError, match=r"^worker tcp://\S+ has dieshot \S+ with code \w+, this client dieshot 0 "
        ),
    ):
        Client(naps(3, 10), 1).drive(engine)


def test_no_scheduler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "CONNECT_S", 1.0)
    with pytest.raises(EngineLostError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1: "):
        dask.open_engine(EngineOptions(tmp_path, address="127.0.0.1:1"))


def test_workers_end_with_a_dead_client(tmp_path: Path) -> None:
    """What a client has left behind ends after the run that is under way, not after its chunk."""
    with Cluster(tmp_path, 1) as cluster:
        engine = dask.open_engine(options(cluster), deeds.nap)
        client = Client(naps(40, 500), 20)
        client.drive(engine, lambda: len(client.outcomes) >= 1)
        engine.close()
        requests = naps(3, 10)
        with dask.open_engine(options(cluster), deeds.nap) as again:
            second = Client(requests, 1)
            second.drive(again)
    assert figures(second) == expected(requests)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("tcp://192.0.2.1:8786", "--address: a scheduler on another machine is talked to by TLS only; "),
        ("192.0.2.1:8786", "--address: a scheduler on another machine is talked to by TLS only; "),
        ("tls://192.0.2.1:8786", "--tls-ca: TLS without certificates; "),
        ("inproc://1", "--address: not an address; "),
        ("tcp://", "--address: not an address; "),
    ],
)
def test_nothing_goes_in_the_clear_beyond_this_machine(tmp_path: Path, address: str, line: str) -> None:
    with pytest.raises(InputError) as raised:
        dask.open_engine(EngineOptions(tmp_path, address=address))
    assert str(raised.value).startswith(line)


def test_a_file_that_is_no_scheduler_file(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    with pytest.raises(InputError, match="cannot be read"):
        dask.open_engine(EngineOptions(tmp_path, scheduler_file=file))
    file.write_text("[]")
    with pytest.raises(InputError, match="not a scheduler file of Dask"):
        dask.open_engine(EngineOptions(tmp_path, scheduler_file=file))


def test_every_worker_has_one_thread(tmp_path: Path) -> None:
    with Cluster(tmp_path, 0) as cluster:
        cluster.start_worker("2")
        engine = dask.open_engine(options(cluster), deeds.nap)
        wait_for(lambda: not engine.events(0.1) and engine.n_workers == 1)
        with engine, pytest.raises(EngineLostError, match="has 2 threads; start it with one"):
            Client(naps(3, 10), 1).drive(engine)

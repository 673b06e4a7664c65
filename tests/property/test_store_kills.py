"""A client killed at any moment: what was acknowledged is there, once, and the end is the same to the byte."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import store_client
from runs_of_a_store import contents, finished, key, keys

from dieshot.simulator.store import ledger, shard
from dieshot.simulator.store.compact import rows_in_ledger
from dieshot.simulator.store.question import rows
from dieshot.simulator.store.shard import read
from dieshot.simulator.store.status import status
from dieshot.simulator.store.store import Store

CLIENT = Path(store_client.__file__)
KILLS = 5
SPAN_S = 0.3  # a kill comes within this time after the client's first word


def run_until(folder: Path, killed_after_s: float | None, journal: str = ledger.JOURNAL) -> list[str]:
    """Run a client, kill it some time after its first word, return all that it said."""
    with subprocess.Popen([sys.executable, CLIENT, folder, journal], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        said = [client.stdout.readline()]
        if killed_after_s is not None:
            time.sleep(killed_after_s)
            client.send_signal(signal.SIGKILL)
        said += client.stdout.readlines()
    return [line.rstrip("\n") for line in said if line.endswith("\n")]


def check(folder: Path, acknowledged: set[int], sweeps: int) -> None:
    """The ledger is whole, and every run that was acknowledged is in one place, with its own row."""
    with Store.open(folder) as store:
        connection = sqlite3.connect(folder / "ledger.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        numbers = numbers_of(connection)
        ended = {run for (run,) in connection.execute("SELECT run FROM run WHERE state IN (4, 5)")}
        in_ledger = [n for t in rows_in_ledger(folder, connection) for n in t["run"].to_pylist()]
        shards = connection.execute("SELECT part, file, runs FROM shard").fetchall()
        in_files = [run for each in shards for run in read(folder, *each)["run"].to_pylist()]
        tally = dict(connection.execute("SELECT state, sum(runs) FROM tally GROUP BY state"))
        connection.close()
        assert {file for _, file, _ in shards} == set(contents(folder)) if (folder / "results").exists() else not shards
        assert sorted(in_ledger + in_files) == sorted(ended)  # none twice, none missing
        assert acknowledged <= ended
        assert store.counts().leased == 0
        assert (tally.get(4, 0) + tally.get(5, 0), sum(tally.values())) == (len(ended), len(numbers))
        assert all(store.n_points(sweep) == 122 for sweep in range(1, sweeps + 1))
    for each in rows(folder, None, None).to_pylist():
        outcome = finished(each["run"], numbers[each["run"]])
        assert (each["batch"], each["error"]) == (outcome.row["batch"], outcome.error)


def numbers_of(connection: sqlite3.Connection) -> dict[int, int]:
    behind = {key(number): number for points in store_client.SWEEPS for number in points}
    return {run: behind[each] for run, each in connection.execute("SELECT run, key FROM run")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    assert run_until(folder, None)[-1] == "complete"
    return contents(folder)


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_kills_at_random_moments_lose_nothing(journal: str, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    draw = random.Random(journal)
    folder, acknowledged, sweeps = tmp_path / "store", set[int](), 0
    for _ in range(KILLS):
        said = run_until(folder, draw.random() * SPAN_S, journal)
        acknowledged |= {int(run) for line in said if line.startswith("finished") for run in line.split()[1:]}
        sweeps = max([sweeps, *(int(line.split()[1]) for line in said if line.startswith("sweep"))])
        check(folder, acknowledged, sweeps)
    assert run_until(folder, None)[-1] == "complete"
    check(folder, acknowledged, len(store_client.SWEEPS))
    assert contents(folder) == undisturbed


# Where a row could get lost or doubled: before the file has its name, before the ledger knows it, before an older file
# is gone.
STEPS = {
    "written": "Path.rename = lambda *_: end()",
    "named": "shard._synchronise = lambda *_: end()",
    "known": "shard.orphans = lambda *_: end()",
}


KILLED_AT_THE_THIRD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import store_client
from dieshot.simulator.store import compact, shard
left, move = 3, compact.move
def moved(*each):
    global left
    left -= 1
    if left == 0:
        {step}
    move(*each)
def end():
    os.kill(os.getpid(), signal.SIGKILL)
compact.move = moved
store_client.work(Path({folder!r}))
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_every_step_of_moving_rows(step: str, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "store"
    program = KILLED_AT_THE_THIRD.format(tests=str(CLIENT.parent), step=STEPS[step], folder=str(folder))
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    said = done.stdout.splitlines()
    check(folder, {int(run) for line in said if line.startswith("finished") for run in line.split()[1:]}, 3)
    assert run_until(folder, None)[-1] == "complete"
    assert contents(folder) == undisturbed


@pytest.mark.parametrize("killed_after_s", [0.0, 0.02])
def test_a_kill_while_the_store_is_made(killed_after_s: float, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    folder = tmp_path / "store"
    for _ in range(3):
        with subprocess.Popen([sys.executable, CLIENT, folder], stdout=subprocess.DEVNULL) as client:
            while not (folder / "lock").exists():
                time.sleep(0.0005)
            time.sleep(killed_after_s)
            client.kill()
    assert run_until(folder, None)[-1] == "complete"
    assert contents(folder) == undisturbed


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_looks_from_elsewhere_while_a_client_is_at_work(
    journal: str, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    folder, seen = tmp_path / "store", [0]
    with subprocess.Popen([sys.executable, CLIENT, folder, journal], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        client.stdout.readline()
        while client.poll() is None:
            found = rows(folder, None, ["run"])["run"].to_pylist()
            assert found == sorted(set(found)) and len(found) >= seen[-1]
            assert status(folder)["done"] + status(folder)["failed"] >= len(found)
            seen.append(len(found))
            time.sleep(0.02)
        assert client.stdout.read().endswith("complete\n")
    assert len(set(seen)) > 3
    assert contents(folder) == undisturbed


def test_a_power_cut_takes_the_last_transactions_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the ledger's log, which nobody has brought to the disk, any part may be missing from the end."""
    monkeypatch.setattr(shard, "ROWS_AT_ONCE", 64)
    draw = random.Random(3)
    ended = []

    def cut(folder: Path) -> None:
        after = tmp_path / f"after {len(ended)}"
        shutil.copytree(folder, after)
        (after / "ledger.sqlite-shm").unlink(missing_ok=True)
        log = after / "ledger.sqlite-wal"
        if log.exists():
            os.truncate(log, int(log.stat().st_size * draw.random()))
        check(after, set(), 0)
        with Store.open(after) as store:
            ended.append(store.counts().final)
        shutil.rmtree(after)

    with Store.open(tmp_path / "store", create=True) as store:
        cut(store.folder)
        for number, points in enumerate(store_client.SWEEPS[:5], 1):
            sweep = store.add_sweep(f"sweep-{number}", f"text {number}", keys(points))
            while found := store.pending(sweep, 20):
                store.lease([run for run, _ in found], 1)
                store.finish([finished(run, points[point]) for run, point in found])
                cut(store.folder)
            store.compact()
            cut(store.folder)
            if number == 3:
                store.retry(["failed"])
                cut(store.folder)
    assert len(set(ended)) > 5

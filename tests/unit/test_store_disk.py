"""A store on a disk that is full or cannot be written: one line, nothing damaged, and on it goes when there is room."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from runs_of_a_store import carry_out, contents, finished, keys

from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.store.error import StoreError
from dieshot.simulator.store.outcome import FinishedRun
from dieshot.simulator.store.question import ask
from dieshot.simulator.store.status import status
from dieshot.simulator.store.store import Store

N = 400


def long(run: int) -> FinishedRun:
    outcome = finished(run, run)
    return outcome._replace(row={**outcome.row, "note": f"{run:6d} " * 400})


def fill(store: Store, sweep: int) -> None:
    while found := store.pending(sweep, 20):
        store.lease([run for run, _ in found], 1)
        store.finish([long(run) for run, _ in found])
    store.compact()


def check(folder: Path) -> None:
    connection = sqlite3.connect(folder / "ledger.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.fixture(scope="module")
def with_room(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("room") / "store"
    with Store.open(folder, create=True) as store:
        fill(store, store.add_sweep("name", "text", keys(range(N))))
    return contents(folder)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Hold a mount of the test's own; skip where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mount is not allowed here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a small disk"
)


@needs_root
def test_a_full_disk_stops_in_one_line_and_the_same_client_goes_on(tmp_path: Path, with_room: dict[str, bytes]) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1500k", "tmpfs") as disk:
        folder = disk / "store"
        with Store.open(folder, create=True) as store:
            sweep = store.add_sweep("name", "text", keys(range(N)))
            (disk / "other").write_bytes(b"x" * 600_000)
            with pytest.raises(StoreError, match=r"^\S+: .*disk.*; nothing is lost$") as caught:
                fill(store, sweep)
            assert "\n" not in str(caught.value)
            n_before = store.counts(sweep).final
            assert 0 < n_before < N
            check(folder)
            (disk / "other").unlink()
            subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
            store.release([run for run in range(N) if run >= n_before])
            fill(store, sweep)
        check(folder)
        assert contents(folder) == with_room
        assert ask(folder).num_rows == N


@needs_root
@pytest.mark.parametrize("kilobytes", [60, 200, 400, 900, 2100])
def test_a_full_disk_at_any_size_can_be_opened_again(
    kilobytes: int, tmp_path: Path, with_room: dict[str, bytes]
) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs") as disk:
        folder, n_before = disk / "store", 0
        with pytest.raises(StoreError, match="nothing is lost"), Store.open(folder, create=True) as store:
            sweep = store.add_sweep("name", "text", keys(range(N)))
            try:
                fill(store, sweep)
            finally:
                n_before = store.counts(sweep).final
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        with Store.open(folder, create=True) as store:
            check(folder)
            assert store.counts().final == n_before
            fill(store, store.add_sweep("name", "text", keys(range(N))))
        assert contents(folder) == with_room


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store_disk import fill
from runs_of_a_store import keys
from dieshot.simulator.store.error import StoreError
from dieshot.simulator.store.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    with Store.open(Path({folder!r}), create=True) as store:
        fill(store, store.add_sweep("name", "text", keys(range({n}))))
except StoreError as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.parametrize("limit", [5_000, 40_000, 150_000, 600_000])
def test_a_limit_on_the_size_of_files_is_a_full_disk(limit: int, tmp_path: Path, with_room: dict[str, bytes]) -> None:
    assert resource.RLIM_INFINITY  # the limit is the child's alone
    folder = tmp_path / "store"
    program = LIMITED.format(tests=str(Path(__file__).parent), limit=limit, folder=str(folder), n=N)
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("\n") == 1 and "nothing is lost" in done.stdout
    assert done.stderr == ""
    with Store.open(folder, create=True) as store:
        check(folder)
        fill(store, store.add_sweep("name", "text", keys(range(N))))
    assert contents(folder) == with_room


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Hold a folder so that nobody can write to it, not even root."""
    if os.geteuid() == 0:
        with mounted(folder, "--bind", str(folder)):
            done = subprocess.run(["mount", "-o", "remount,bind,ro", folder], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no read-only mount here: {done.stderr.strip()}")
            yield
        return
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


@pytest.mark.parametrize("left_by", ["a client that closed it", "a client that was killed"])
def test_a_read_only_store_can_be_read_and_not_opened(
    left_by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "store"
    store = Store.open(folder, create=True)
    carry_out(store, store.add_sweep("name", "text", keys(range(20))))
    if "killed" in left_by:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)  # as a kill leaves it, with its log
        (copy / "ledger.sqlite-shm").unlink()  # what a reader would have to make anew
        assert (copy / "ledger.sqlite-wal").stat().st_size > 0
        folder = copy
    store.close()
    with read_only(folder):
        with pytest.raises(
            InputError, match=r"result store is read-only; expected a folder and files that can be"
        ) as e:
            Store.open(folder, create=True)
        assert "\n" not in str(e.value)
        assert ask(folder, where="batch < 3").num_rows == 3
        assert status(folder)["done"] == 19
        assert main(["results", str(folder), "--csv", "--select", "batch", "--limit", "2"]) == 0
        assert capsys.readouterr().out == "batch\n0\n1\n"


def test_a_ledger_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write any file")
    folder = tmp_path / "store"
    Store.open(folder, create=True).close()
    (folder / "ledger.sqlite").chmod(0o444)
    with pytest.raises(InputError, match="read-only"):
        Store.open(folder)

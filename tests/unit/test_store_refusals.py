"""Stores that cannot be used, and stores from strangers: one line that names the file, nothing outside is touched."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from runs_of_a_store import carry_out, keys, row

from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.store.outcome import FinishedRun
from dieshot.simulator.store.question import ask
from dieshot.simulator.store.status import status
from dieshot.simulator.store.store import Store

Damage = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with rows in Parquet and in the ledger, closed."""
    folder = tmp_path / "store"
    with Store.open(folder, create=True) as store:
        carry_out(store, store.add_sweep("first", "text", keys(range(50))))
        store.compact()
        carry_out(store, store.add_sweep("second", "text", keys(range(100, 150))), most=20)
    return folder


def shard(folder: Path) -> Path:
    return next((folder / "results").iterdir())


def in_ledger(statement: str) -> Damage:
    def change(folder: Path) -> None:
        connection = sqlite3.connect(folder / "ledger.sqlite")
        connection.executescript(statement)
        connection.close()

    return change


def cut(name: str, share: float) -> Damage:
    def change(folder: Path) -> None:
        path = folder / name if name == "ledger.sqlite" else shard(folder)
        os.truncate(path, int(path.stat().st_size * share))

    return change


def overwrite(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name if name == "ledger.sqlite" else shard(folder)).write_bytes(content) and None


def other_parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"run": [1]}), shard(folder))


def nested_parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    table = parquet.read_table(shard(folder))
    parquet.write_table(table.append_column("deep", pyarrow.array([[1]] * len(table))), shard(folder))


def test_a_second_client_is_told_who_has_the_store(folder: Path) -> None:
    program = (
        f"from pathlib import Path\nfrom dieshot.simulator.store.store import Store\nStore.open(Path({str(folder)!r}))"
    )
    with Store.open(folder):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert f"result store is in use by process {os.getpid()}; expected one client at a time" in done.stderr
        assert ask(folder).num_rows > 0
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_look_from_another_terminal_does_not_lock_a_client_out(folder: Path) -> None:
    program = f"""
from pathlib import Path
from dieshot.simulator.store.lock import holder
while True:
    holder(Path({str(folder)!r}))
"""
    with subprocess.Popen([sys.executable, "-c", program]) as looking:
        try:
            for _ in range(20):
                Store.open(folder).close()
        finally:
            looking.kill()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut("ledger.sqlite", 0.5), r"ledger\.sqlite: file of a result store is damaged or foreign \(.*malformed\)"),
        (cut("ledger.sqlite", 0.001), r"ledger\.sqlite: "),
        (overwrite("ledger.sqlite", b"no ledger at all " * 100), r"ledger\.sqlite: .*file is not a database"),
        (in_ledger("PRAGMA application_id = 7"), r"ledger\.sqlite: not the ledger of a result store"),
        (in_ledger("PRAGMA user_version = 2"), r"ledger\.sqlite: result store of a newer dieshot: its version is 2"),
        (in_ledger("DROP TABLE lease"), r"ledger\.sqlite: .*other tables than a ledger has"),
        (
            in_ledger("CREATE TRIGGER t AFTER UPDATE ON run BEGIN DELETE FROM outcome; END"),
            r"ledger\.sqlite: .*other tables than a ledger has",
        ),
        (in_ledger("UPDATE outcome SET cells = '{}'"), r"ledger\.sqlite: .*a row that is no list of values"),
        (in_ledger("UPDATE outcome SET cells = '[[1],2,3,4,5]'"), r"ledger\.sqlite: .*"),
        (in_ledger("UPDATE outcome SET cells = '[1]'"), r"ledger\.sqlite: .*rows 50 to 69"),
        (in_ledger("UPDATE outcome SET shape = 77"), r"ledger\.sqlite: .*rows 50 to 69"),
        (in_ledger("UPDATE shape SET columns = '[\"run\"]' WHERE shape = 1"), r"ledger\.sqlite: .*shape 1"),
        (in_ledger("UPDATE run SET state = 99 WHERE run = 60"), r"ledger\.sqlite: .*run 60 has a row and no end"),
        (in_ledger("UPDATE shard SET file = '../../../etc/passwd'"), r"results: .*a file named '../../../etc/passwd'"),
        (in_ledger("UPDATE shard SET file = '00001-0123456789abcdef.parquet'"), r"results: .*a file named '00001-"),
        (in_ledger("UPDATE shard SET runs = 49"), r"\.parquet: .*50 rows, the ledger says 49"),
        (cut("results", 0.5), r"\.parquet: file of a result store is damaged or foreign"),
        (cut("results", 0.0), r"\.parquet: file of a result store is damaged or foreign"),
        (overwrite("results", b"PAR1 and more of it PAR1"), r"\.parquet: file of a result store is damaged"),
        (other_parquet, r"\.parquet: .*no column error"),
        (nested_parquet, r"\.parquet: .*column 'deep' of type list"),
        (lambda folder: shard(folder).unlink(), r"\.parquet: file of a result store is missing"),
    ],
)
def test_a_damaged_or_foreign_store_is_one_line(
    damage: Damage, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder)
    assert main(["results", str(folder)]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and told.out == ""
    with pytest.raises(InputError, match=words):
        ask(folder)
    with pytest.raises(InputError), Store.open(folder) as store:
        for sweep in (1, 2):
            carry_out(store, sweep)
        store.compact()
        store.rows()


@pytest.mark.parametrize("name", ["ledger.sqlite", "results", "lock", "ledger.sqlite-wal"])
def test_a_link_out_of_a_store_is_not_followed(name: str, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    if name == "results":
        shutil.move(folder / name, outside)
        kept = outside / "00099-0123456789abcdef.parquet"  # by its name an orphan
        kept.write_bytes(b"mine")
    else:
        kept = outside
        kept.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"mine")
        (folder / name).unlink(missing_ok=True)
    before = kept.read_bytes()
    (folder / name).symlink_to(outside)
    with pytest.raises(InputError, match=name):
        Store.open(folder)
    assert kept.read_bytes() == before


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"not a result store: the folder has other files, such as 'thesis.tex'"):
        Store.open(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="not a folder"):
        Store.open(tmp_path / "thesis.tex", create=True)
    for look in (ask, status, Store.open):
        with pytest.raises(InputError, match=r"no result store; expected a folder with ledger\.sqlite"):
            look(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_strings_of_strangers_are_shown_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    nasty = "\x1b]0;owned\x07\x1b[31m[bold]red[/bold]\n=cmd()|'; DROP TABLE run; --"
    with Store.open(folder, create=True) as store:
        sweep = store.add_sweep(nasty, nasty, keys(range(3)))
        store.finish([FinishedRun(0, row(0) | {"model": nasty, nasty: 1}, None, 1.0)])
        store.finish([FinishedRun(1, {"model": nasty}, f"failed: {nasty}", 1.0)])
        assert store.rows(sweep)["model"].to_pylist() == [nasty, nasty]
    for options in ([], ["--sweep", "nothing"], ["--select", "model"]):
        main(["results", str(folder), *options])
        told = capsys.readouterr()
        assert "\x1b" not in told.out + told.err and "\x07" not in told.out + told.err
        assert "[bold]" in told.out or told.out == ""
    assert main(["results", str(folder), "--csv", "--select", "model"]) == 0
    assert capsys.readouterr().out.count(nasty) == 2  # in a pipe it is what it is
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["results", str(folder), "--csv"]) == 0
    told = capsys.readouterr()
    assert "\x1b" not in told.out and "DROP TABLE" in told.out
    assert main(["results", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["model"] == nasty

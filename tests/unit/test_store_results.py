"""Rows as they come back: by point and run, of one type a column, chosen by SQL that can do nothing else."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from runs_of_a_store import carry_out, contents, finished, keys

from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.store.outcome import FinishedRun
from dieshot.simulator.store.question import ask, rows
from dieshot.simulator.store.store import Store

COLUMNS = [
    "run",
    "state",
    "batch",
    "chip.hbm.pin_rate",
    "energy_per_token_j",
    "prefill_chunk",
    "system",
    "error",
    "key",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """One sweep of 40 runs, of which every eleventh fails: 30 are in Parquet, 5 in the ledger, 5 wait."""
    with Store.open(tmp_path / "a.sweep", create=True) as opened:
        carry_out(opened, opened.add_sweep("all", "text", keys(range(30))))
        opened.compact()
        carry_out(opened, opened.add_sweep("more", "text", keys(range(40))), chunk=5, most=5)
        yield opened


def results(folder: Path, *options: str) -> int:
    return main(["results", str(folder), *options])


def test_rows_come_by_run_or_by_point(store: Store) -> None:
    assert store.rows().column_names == COLUMNS
    assert store.rows()["run"].to_pylist() == list(range(35))
    back = store.add_sweep("back", "text", keys([34, 3, 39, 2, 34, 0]))
    found = store.rows(back, ["point", "run", "batch"])
    assert found.to_pylist() == [
        {"point": point, "run": run, "batch": run} for point, run in [(0, 34), (1, 3), (3, 2), (4, 34), (5, 0)]
    ]
    assert ask(store.folder, sweep="back")["point"].to_pylist() == [0, 1, 3, 4, 5]
    tail = store.add_sweep("tail", "text", keys(range(20, 40)))
    assert store.rows(tail, ["point", "run"]).to_pylist() == [{"point": n - 20, "run": n} for n in range(20, 35)]


def test_a_store_without_rows_has_its_own_columns(tmp_path: Path) -> None:
    with Store.open(tmp_path / "b", create=True) as store:
        assert store.rows().to_pydict() == {"run": [], "state": [], "error": [], "key": []}
        sweep = store.add_sweep("name", "text", keys(range(3)))
        assert store.rows(sweep).num_rows == 0
        empty = store.add_sweep("empty", "text", keys([]))
        assert store.rows(empty).num_rows == 0


VALUES: dict[str, tuple[list[Any], pyarrow.DataType, list[Any]]] = {
    "whole": ([1, None, 3], pyarrow.int64(), [1, None, 3]),
    "number": ([0.1, math.inf, 1e-300], pyarrow.float64(), [0.1, math.inf, 1e-300]),
    "mixed": ([1, 2.5, None], pyarrow.float64(), [1.0, 2.5, None]),
    "truth": ([True, False, None], pyarrow.bool_(), [True, False, None]),
    "text": (["a", None, ""], pyarrow.string(), ["a", None, ""]),
    "words": ([1, "x", 2.0], pyarrow.string(), ["1", "x", "2"]),
    "truths": ([True, 1, 0.5], pyarrow.string(), ["true", "1", "0.5"]),
    "large": ([2**63, 1, 2], pyarrow.string(), [str(2**63), "1", "2"]),
    "edge": ([2**63 - 1, -(2**63), 0], pyarrow.int64(), [2**63 - 1, -(2**63), 0]),
    "nothing": ([None, None, None], pyarrow.null(), [None, None, None]),
    "unicode é\n": (["é\n\0", "日", "\U0001f600"], pyarrow.string(), ["é\n\0", "日", "\U0001f600"]),
}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_column_has_one_type_whenever_its_rows_were_moved(at_once: bool, tmp_path: Path) -> None:
    with Store.open(tmp_path / "b", create=True) as store:
        whole = store.add_sweep("name", "text", keys(range(3))) if at_once else None
        for run in range(3):
            if whole is None:
                store.add_sweep("name", "text", keys(range(run + 1)))
            row = {name: values[run] for name, (values, _, _) in VALUES.items()}
            store.finish([FinishedRun(run, row, None, 1.0)])
            store.compact()
        (name,) = contents(store.folder)
        table = parquet.read_table(store.folder / "results" / name)
    for column, (_, kind, values) in VALUES.items():
        assert (table.schema.field(column).type, table[column].to_pylist()) == (kind, values), column
    assert table.column_names == sorted([*VALUES, "run", "key", "state", "error"])
    assert re.fullmatch(r"00000-[0-9a-f]{16}\.parquet", name)


def test_files_do_not_tell_how_they_came_about(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a", create=True) as store:
        carry_out(store, store.add_sweep("name", "text", keys(range(100))), chunk=100)
        store.compact()
    with Store.open(tmp_path / "b", create=True) as store:
        sweep = store.add_sweep("another", "other", keys(range(60)))
        order = [run for run, _ in store.pending(sweep, 100)][::-1]
        for run in order:
            store.finish([finished(run, run)._replace(seconds=run)])
        store.compact()
        sweep = store.add_sweep("name", "text", keys(range(100)))
        for run in range(99, 59, -1):
            store.lease([run], run)
            assert store.died(run, f"killed at {run}") is False
            store.finish([finished(run, run)])
        store.compact()
        store.compact()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 1


def test_questions_choose_order_and_cut(store: Store) -> None:
    folder = store.folder
    assert ask(folder, '"chip.hbm.pin_rate" > 16')["run"].to_pylist() == [33, 34]
    assert ask(folder, "state = 'failed'")["error"].to_pylist() == [f"batch {n} does not fit" for n in (10, 21, 32)]
    assert ask(folder, "batch >= 3 -- why not", "batch + 1 AS next", "batch desc", 2)["next"].to_pylist() == [35, 34]
    assert ask(folder, order="batch % 3", limit=4)["run"].to_pylist() == [0, 3, 6, 9]  # ties keep the order of runs
    assert ask(folder, select="count(*) AS n, max(batch) AS most").to_pylist() == [{"n": 35, "most": 34}]
    assert ask(folder, limit=0).num_rows == 0
    assert rows(folder, "more", ["batch", "chip.hbm.pin_rate"]).slice(34).to_pylist() == [
        {"batch": 34, "chip.hbm.pin_rate": 17.0}
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--where", "bach > 1"], "--where: .*did you mean 'batch'"),
        (["--select", "energy_per_tokn_j"], "--select: .*did you mean 'energy_per_token_j'"),
        (["--order", "btch"], "--order: .*did you mean 'batch'"),
        (["--where", "chip.hbm.pin_rate > 1"], "--where: .*did you mean '\"chip.hbm.pin_rate\"'"),
        (["--where", "batch >"], "--where: Parser Error"),
        (["--where", "cast(system AS int) = 1"], "Conversion Error"),
        (["--where", "1=1) OR (SELECT"], "--where: "),
        (["--where", "true); SELECT 1; SELECT (1"], "--where: "),
        (["--select", "1; ATTACH 'x.db'; SELECT 1"], "--select: "),
        (["--sweep", "mor"], "sweep: no such sweep in the store; .*did you mean 'more'"),
        (["--limit", "-1"], "expected a whole number of at least 0"),
        (["-o", "rows.xls"], "'rows.xls', expected a name that ends in .csv, .json, .parquet"),
        (["--json", "--csv"], "of --json, --csv, --output and --plot there can be one"),
        (["--plot", "a.png"], "--plot needs --x and --y"),
        (["--plot", "a.gif", "--x", "batch", "--y", "run"], "a.gif, expected a file that ends in .png or .svg"),
        (["--plot", "a.png", "--x", "bach", "--y", "run"], "did you mean 'batch'"),
        (["--plot", "a.png", "--x", "batch", "--y", "run", "--log", "z"], "'z', expected x, y or xy"),
        (["--pareto", "min:energy_per_tokn_j"], "did you mean 'energy_per_token_j'"),
        (["--pareto", "min:average_power_w"], "no column average_power_w"),
        (["--pareto", "energy_per_token_j"], "expected min:FIGURE or max:FIGURE"),
    ],
)
def test_a_wrong_question_is_one_line(
    options: list[str], words: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results(store.folder, *options) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert re.search(words, told.err), told.err


@pytest.mark.parametrize(
    "expression",
    [
        "(SELECT content FROM read_text('{file}'))",
        "(SELECT count(*) FROM read_csv('{file}'))",
        "(SELECT count(*) FROM '{file}')",
        "(SELECT count(*) FROM glob('{file}'))",
        "(SELECT count(*) FROM read_parquet('{file}'))",
        "(SELECT count(*) FROM sqlite_scan('{file}', 'run'))",
        "(SELECT count(*) FROM secret_of_ours)",
        "getenv('HOME')",
        "1 FROM results); COPY (SELECT 1) TO '{made}'; SELECT (1",
        "1; COPY results TO '{made}'; SELECT 1",
        "1; SET enable_external_access = true; SELECT 1",
        "1; INSTALL httpfs; SELECT 1",
        "1; EXPORT DATABASE '{made}'; SELECT 1",
        "1; ATTACH '{made}' AS x; SELECT 1",
    ],
)
def test_sql_reaches_nothing_but_the_rows(expression: str, store: Store, tmp_path: Path) -> None:
    secret_of_ours = pyarrow.table({"a": [1]})
    file, made = tmp_path / "secret.csv", tmp_path / "made"
    file.write_text("a\n1\n")
    assert secret_of_ours.num_rows == 1
    filled = expression.format(file=file, made=made)
    for where, select, order in ((f"{filled} = 1", None, None), (None, filled, None), (None, None, filled)):
        with pytest.raises(InputError):
            ask(store.folder, where, select, order)
    assert not made.exists() and file.read_text() == "a\n1\n"


def test_figures_leave_with_every_bit(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert results(store.folder, "--csv") == 0
    printed = capsys.readouterr().out
    read = list(csv.DictReader(io.StringIO(printed)))
    assert list(read[0]) == COLUMNS
    for line in read:
        run = int(line["run"])
        row, error, _ = finished(run, run)[1:]
        assert line["state"] == ("failed" if error else "done") and line["error"] == (error or "")
        assert line["energy_per_token_j"] == ("" if error else repr(row["energy_per_token_j"]))
    assert results(store.folder, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["columns"]["energy_per_token_j"] == {"type": "number", "unit": "J"}
    assert [row["run"] for row in record["rows"]] == list(range(35))
    assert record["rows"][7]["energy_per_token_j"] == 1 / 8
    for name in ("x.csv", "x.json", "x.parquet"):
        assert results(store.folder, "-o", str(tmp_path / name)) == 0
        assert capsys.readouterr().out == f"35 rows in {tmp_path / name}\n"
    assert (tmp_path / "x.csv").read_text() == printed
    assert json.loads((tmp_path / "x.json").read_text()) == record
    assert parquet.read_table(tmp_path / "x.parquet").to_pylist() == record["rows"]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_numbers_that_json_lacks_are_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "b", create=True) as store:
        store.add_sweep("name", "text", keys(range(2)))
        store.finish([FinishedRun(0, {"a": math.nan, "b": True}, None, 1), FinishedRun(1, {"a": -math.inf}, None, 1)])
    assert results(tmp_path / "b", "--json", "--select", "a, b") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == [{"a": None, "b": True}, {"a": None, "b": None}]
    assert results(tmp_path / "b", "--csv", "--select", "a, b") == 0
    assert capsys.readouterr().out == "a,b\nnan,true\n-inf,\n"


def test_a_table_shows_what_varies_and_failures_last(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert results(store.folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "same in all: system dgx-h100"
    assert "batch" in lines[2] and "chip.hbm.pin_rate" in lines[2] and "energy per token" in lines[2]
    numbers = [line.split()[1] for line in lines if line.endswith((" J ", " mJ "))]
    assert numbers == [str(n) for n in range(35) if n % 11 != 10]
    assert "250.0 mJ" in next(line for line in lines if line.split()[:2] == ["3", "3"])
    assert [line.split()[-5] for line in lines[-5:] if "does not fit" in line] == ["batch"] * 3
    assert results(store.folder, "--where", "batch > 1000") == 0
    assert capsys.readouterr().out == "no runs have ended that meet this\n"
    assert results(store.folder, "--quiet") == 0
    assert capsys.readouterr().out == ""


def test_one_row_is_a_list(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert results(store.folder, "--where", "run = 3") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()][:3] == [
        ["run", "3"],
        ["state", "done"],
        ["batch", "3"],
    ]


def test_a_front_holds_what_nothing_beats(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    goals = ("--pareto", "min:energy_per_token_j", "--csv", "--select", "run, energy_per_token_j")
    assert results(store.folder, *goals) == 0
    assert capsys.readouterr().out == f"run,energy_per_token_j\n34,{1 / 35!r}\n"


def test_a_picture_is_the_same_each_time(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        axes = ("--x", "chip.hbm.pin_rate", "--y", "energy_per_token_j", "--by", "system", "--log", "y")
        assert results(store.folder, "--plot", str(file), *axes) == 0
        assert capsys.readouterr().out == f"energy_per_token_j over chip.hbm.pin_rate in {file}\n"
    assert files[0].read_bytes() == files[1].read_bytes() and b"<svg" in files[0].read_bytes()

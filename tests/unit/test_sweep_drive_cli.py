"""`dieshot sweep` and `dieshot.sweep`: from a document to results, again and again, and out of turn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import dieshot
from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.store.status import status
from dieshot.simulator.sweep.stop import Stop

# 15 ms each; from 2048 positions on, two do not fit: 12 runs, one of which is refused.
SHORT = {
    "name": "short",
    "system": "hc1",
    "model": "llama-3.1-8b",
    "prompt": 1,
    "generate": 2,
    "batch": [1, 2],
    "cached": [0, 1, 2, 3, 4, 2000],
    "plot": {"x": "cached", "y": "energy_per_token_j", "by": "batch"},
}
SEARCH = {key: SHORT[key] for key in ("system", "model", "prompt", "generate", "batch")} | {
    "cached": {"from": 0, "to": 2000},
    "method": "search",
    "trials": 12,
    "generation": 4,
    "objectives": [{"minimize": "energy_per_token_j"}, {"maximize": "tokens_per_s_user"}],
}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "short.yaml"
    file.write_text(json.dumps(SHORT))
    return file


def files(store: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((store / "results").iterdir())}


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_every_engine_comes_to_the_same_bytes(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = []
    for name, options in (("serial", ["--engine", "serial"]), ("two", ["--workers", "2"])):
        assert main(["sweep", str(document), "--store", str(tmp_path / name), "--json", *options]) == 0
        found = told(capsys)
        assert found["runs"] == {"total": 12, "done": 11, "failed": 1, "set_aside": 0, "waiting": 0}
        assert [each["points"] for each in found["errors"]] == [1]
        assert main(["results", str(tmp_path / name), "--csv"]) == 0
        csv.append(capsys.readouterr().out)
    assert len(csv[0].splitlines()) == 13
    assert csv[0] == csv[1]
    assert files(tmp_path / "serial") == files(tmp_path / "two")
    assert not (tmp_path / "two" / "progress.json").exists()


def test_the_same_again_runs_nothing(document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", str(document), "--store", str(tmp_path / "store"), "--engine", "serial"]
    assert main(command) == 0
    first = capsys.readouterr().out
    before = (files(tmp_path / "store"), status(tmp_path / "store")["seconds"])
    assert main(command) == 0
    again = capsys.readouterr().out
    assert "12 runs: 11 done, 1 failed; 12 now in" in first
    assert "12 were there" in again
    assert "does not fit on hc1" in again
    assert (files(tmp_path / "store"), status(tmp_path / "store")["seconds"]) == before
    assert main([*command, "--retry", "failed", "--json"]) == 0
    assert told(capsys)["already_there"] == 11
    assert files(tmp_path / "store") == before[0]


def test_sweeps_share_runs(tmp_path: Path) -> None:
    first = dieshot.sweep(SHORT, store=tmp_path, engine="serial")
    second = dieshot.sweep(SHORT | {"cached": {"from": 0, "to": 5}}, store=tmp_path, engine="serial")
    assert (first.n_before, second.n_before) == (0, 10)
    assert second.counts.total == 12
    assert list(second.table(["batch", "cached"]).itertuples(index=False, name=None)) == [
        (batch, cached) for batch in (1, 2) for cached in range(6)
    ]


def test_a_dictionary_and_a_data_frame(tmp_path: Path) -> None:
    found = dieshot.sweep(SHORT, store=tmp_path / "store", engine="serial")
    table = found.table()
    assert list(table["cached"]) == SHORT["cached"] * 2
    assert list(table["state"]) == ["done"] * 11 + ["failed"]
    assert table["energy_per_token_j"].notna().sum() == 11
    assert table["command"][7] == "dieshot run hc1 llama-3.1-8b --batch 2 --cached 1 --prompt 1 --generate 2"


def test_logs_are_kept_by_key(tmp_path: Path) -> None:
    found = dieshot.sweep(SHORT | {"batch": 1}, store=tmp_path / "store", engine="serial", logs=True)
    table = found.table()
    logs = {file.name: file for file in (tmp_path / "store" / "logs").iterdir()}
    assert set(logs) == {f"{key}.h5" for key in table["key"]}
    run = dieshot.open_run(logs[f"{table['key'][3]}.h5"])
    assert run.summary["energy_per_token_j"] == table["energy_per_token_j"][3]


def test_a_search_is_the_same_for_every_engine_and_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = dieshot.sweep(SEARCH, store=tmp_path / "whole", engine="serial")
    assert (whole.counts.total, whole.counts.open, whole.n_points) == (12, 0, 12)
    stop = Stop()
    seen: list[int] = []

    def tell(progress: Any) -> None:
        seen.append(progress.ended)
        if progress.ended >= 4:
            stop.number = signal.SIGTERM

    part = dieshot.sweep(SEARCH, store=tmp_path / "parts", engine="serial", stop=stop, tell=tell)
    assert 4 <= part.n_points < 12
    rest = dieshot.sweep(SEARCH, store=tmp_path / "parts", workers=2)
    assert rest.n_before == part.counts.final
    assert (rest.counts.total, rest.counts.open) == (12, 0)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_search_tells_its_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(json.dumps(SEARCH))
    command = ["sweep", str(file), "--store", str(tmp_path / "store"), "--engine", "serial"]
    assert main([*command, "--json"]) == 0
    found = told(capsys)
    front = [(row["energy_per_token_j"], -row["tokens_per_s_user"]) for row in found["pareto"]]
    assert front
    assert front == sorted(front)
    assert [second for _, second in front] == sorted((second for _, second in front), reverse=True)
    assert main(command) == 0
    assert "runs that no other beats" in capsys.readouterr().out


def test_indices_of_a_sensitivity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "moves.yaml"
    fixed = {key: SHORT[key] for key in ("system", "model", "prompt", "generate")}
    ways = {"method": "sensitivity", "analysis": "morris", "samples": 4}
    file.write_text(json.dumps(fixed | ways | {"cached": {"from": 0, "to": 500}, "batch": {"from": 1, "to": 3}}))
    command = ["sweep", str(file), "--store", str(tmp_path / "store"), "--engine", "serial"]
    assert main([*command, "--json"]) == 0
    indices = told(capsys)["sensitivity"]["indices"]["energy_per_token_j"]
    assert indices["batch"]["mu_star"] > indices["cached"]["mu_star"] > 0
    assert main(command) == 0
    assert "mu_star" in capsys.readouterr().out


def test_a_plot(document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "picture.svg"
    command = ["sweep", str(document), "--store", str(tmp_path / "store"), "--engine", "serial", "--json"]
    assert main([*command, "--plot", str(picture)]) == 0
    assert told(capsys)["plot"] == str(picture)
    assert picture.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "expected a sweep document, or --status DIR"),
        (["nowhere.yaml"], "no such file"),
        (["SWEEP", "--engine", "procesess"], "did you mean 'processes'?"),
        (["SWEEP", "--workers", "0"], "expected a whole number of at least 1"),
        (["SWEEP", "--retry", "done"], "expected one of failed, set_aside"),
        (["SWEEP", "--plot", "picture.pdf"], "expected a file that ends in .png or .svg"),
        (["--status", "nowhere"], "no result store"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    command = ["sweep", *(str(document) if word == "SWEEP" else word for word in words)]
    assert main([*command, "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_a_document_is_refused_before_there_is_a_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cached"):
        dieshot.sweep(SHORT | {"cached": -1}, store=tmp_path / "store")
    with pytest.raises(InputError, match="a search tries no run again"):
        dieshot.sweep(SEARCH, store=tmp_path / "store", retry=["failed"])
    with pytest.raises(InputError, match="nothing to search"):
        dieshot.sweep(SEARCH | {"cached": 1, "batch": 1}, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_no_success_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(json.dumps(SHORT | {"batch": 4, "cached": [2000, 2001]}))
    assert main(["sweep", str(file), "--store", str(tmp_path / "store"), "--engine", "serial", "--quiet"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dieshot: no run of 2 succeeded: memory: ")
    assert len(said.err.splitlines()) == 1


def test_a_batch_system_ends_client_and_workers_in_order(tmp_path: Path) -> None:
    file, store = tmp_path / "long.yaml", tmp_path / "store"
    file.write_text(json.dumps(SHORT | {"batch": 1, "cached": {"from": 0, "to": 1500}}))
    command = [sys.executable, "-m", "dieshot", "sweep", str(file), "--store", str(store), "--workers", "2"]
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    client = subprocess.Popen(command, text=True, start_new_session=True, **pipes)
    deadline_s = time.monotonic() + 60.0
    while not (store / "progress.json").exists() or not status(store)["done"]:
        assert time.monotonic() < deadline_s
        assert client.poll() is None, client.stderr and client.stderr.read()
        time.sleep(0.02)
    looked = subprocess.run([*command[:4], "--status", str(store), "--json"], capture_output=True, text=True)
    at_work = json.loads(looked.stdout)["at_work"]
    assert (at_work["pid"], at_work["engine"], at_work["workers"]) == (client.pid, "processes", 2)
    os.killpg(client.pid, signal.SIGTERM)
    out, said = client.communicate(timeout=30)
    assert client.returncode == 143
    assert out == ""
    assert len(said.splitlines()) == 1
    counts = status(store)
    assert f"stopped; {counts['done']:,} of 1,501 runs are in {store}" in said
    assert (counts["leased"], counts["client"]) == (0, None)
    assert 0 < counts["done"] < 1501

"""A replay with something changed, and two files side by side: what is told, what is stored, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest
from recorded import MODEL

from dieshot import compare, open_run, run
from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.log.digest import digest
from dieshot.simulator.log.recorder import Recorder
from dieshot.simulator.log.scalar import put_scalar
from dieshot.simulator.studies.compare import Against, against
from dieshot.simulator.studies.difference import difference, moved

TABLES = ("figures", "operators", "kinds", "components", "utilization", "energy", "stalls")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and the results of three runs: a GPU, eight GPUs, a TPU serving two users."""
    folder = tmp_path_factory.mktemp("runs")
    config = folder / "config.json"
    config.write_text(json.dumps(MODEL))
    for name, system, batch in (("one", "h100-sxm", 1), ("eight", "dgx-h100", 1), ("tpu", "tpu-v6e-1", 2)):
        run(system, str(config), batch=batch, prompt=48, generate=3, output=folder / f"{name}.h5")
    return folder


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main(words) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def changes(found: dict[str, Any]) -> list[Any]:
    return [row["change"] for table in TABLES for row in found[table] if row["before"] is not None]


def test_an_unchanged_replay_is_the_same_file_and_nothing_moved(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, plain, told = str(folder / "eight.h5"), str(tmp_path / "plain.h5"), str(tmp_path / "told.h5")
    assert main(["replay", source, "-q", "-o", plain]) == 0
    assert digest(plain) == digest(source)
    with open_run(plain) as opened:
        assert opened.difference is None
    record = answer(capsys, "replay", source, "--against", source, "--json", "-o", told)
    found = record["against"]["difference"]
    assert set(changes(found)) == {0}
    assert not moved(found)
    assert main(["show", told]) == 0
    assert "this run and eight.h5: nothing moved" in capsys.readouterr().out
    # but for the difference, the file is the same
    with h5py.File(told, "r+") as file:
        del file["difference"]
    assert digest(told) == digest(source)


@pytest.mark.parametrize(
    "words",
    [
        ("--processes", "2"),
        ("--compression", "zstd"),
        ("--set", "chip.hbm.pin_rate=*1"),
        ("--tp", "8", "--pp", "1", "--micro-batches", "1"),
    ],
)
def test_options_that_change_nothing_leave_the_run_as_it_was(
    words: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    source, again = str(folder / "eight.h5"), str(tmp_path / "again.h5")
    assert main(["replay", source, *words, "-q", "-o", again]) == 0
    with open_run(again) as ran, open_run(source) as was:
        figures = {key: value for key, value in ran.summary.items() if key != "assumed_parameters_read"}
        assert figures == {key: value for key, value in was.summary.items() if key != "assumed_parameters_read"}
        assert (ran.difference is not None) == ("--set" in words or "--tp" in words)
        assert ran.difference is None or set(changes(ran.difference)) == {0}


def test_a_replay_with_a_change_is_compared_with_its_source(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, faster = folder / "one.h5", tmp_path / "faster.h5"
    record = answer(capsys, "replay", str(source), "--set", "chip.hbm.pin_rate=*2", "--json", "-o", str(faster))
    told = record["against"]
    assert (told["file"], told["digest"], told["system"]) == ("one.h5", digest(source), "h100-sxm")
    with open_run(source) as was, open_run(faster) as ran:
        assert ran.difference is not None
        assert ran.difference["against"] == {key: value for key, value in told.items() if key != "difference"}
        assert told["difference"] == difference(was.summary, ran.summary)
        assert {key: ran.difference[key] for key in told["difference"]} == told["difference"]
    rows = {row["name"]: row for row in told["difference"]["figures"]}
    assert rows["total_time_s"]["change"] < 0 < rows["tokens_per_s_user"]["change"]
    busy = next(row for row in told["difference"]["utilization"] if row["kind"] == "hbm_channel")
    assert busy["change"] < 0
    assert answer(capsys, "show", str(faster), "--json")["against"] == told
    assert main(["show", str(faster)]) == 0
    text = capsys.readouterr().out
    for part in ("the run became faster", "one.h5", "this run", "hbm_channel", "what moved"):
        assert part in text
    assert compare(source, faster)["difference"] == told["difference"]


def test_a_trace_can_be_compared_with_a_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = str(tmp_path / "x.trace")
    words = ["trace", str(folder / "config.json"), "--prompt", "48", "--generate", "3", "--precision", "fp8", "-q"]
    assert main([*words, "-o", trace]) == 0
    assert "against" not in answer(capsys, "replay", trace, "h100-sxm", "--json", "--no-log")
    words = ["replay", trace, "h100-sxm", "--against", str(folder / "one.h5"), "--json", "--no-log"]
    assert set(changes(answer(capsys, *words)["against"]["difference"])) == {0}


def test_runs_of_different_systems_stand_side_by_side(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "compare", str(folder / "one.h5"), str(folder / "tpu.h5"), "--json")
    assert (found["before"]["system"], found["after"]["system"]) == ("h100-sxm", "tpu-v6e-1")
    inputs = {row["name"]: (row["before"], row["after"]) for row in found["difference"]["inputs"]}
    assert inputs["batch"] == (1, 2) and inputs["system"] == ("h100-sxm", "tpu-v6e-1")
    kinds = {row["kind"]: row for row in found["difference"]["components"] if row["state"] == "busy"}
    assert kinds["tensor"]["after"] is kinds["mxu"]["before"] is None
    assert None not in (kinds["hbm_channel"]["before"], kinds["hbm_channel"]["after"])
    assert main(["compare", str(folder / "one.h5"), str(folder / "tpu.h5")]) == 0
    text = capsys.readouterr().out
    assert "what was asked for" in text and "only one has it" in text


def test_a_comparison_can_be_a_page(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["compare", str(folder / "one.h5"), str(folder / "eight.h5"), "-o", str(page)]) == 0
    text, shown = page.read_text(), capsys.readouterr().out
    assert text.startswith("<!DOCTYPE html>") and digest(folder / "one.h5") in text
    assert "http" not in text and "the run became" in text and "the run became" in shown
    assert "folder" in refusal(
        capsys, "compare", str(folder / "one.h5"), str(folder / "eight.h5"), "-o", "no/where.html"
    )


def test_the_states_of_every_kind_add_up_and_agree_with_the_main_one(folder: Path) -> None:
    for name in ("one", "eight", "tpu"):
        with open_run(folder / f"{name}.h5") as opened:
            summary = opened.summary
        states = summary["component_states"]
        assert all(sum(shares.values()) == pytest.approx(1, abs=1e-12) for shares in states.values())
        main_kind = dict(states[summary["main_kind"]])
        assert main_kind.pop("busy") == summary["utilization"][summary["main_kind"]]
        assert main_kind == summary["stall_fractions"]
        assert {kind: shares.get("busy", 0.0) for kind, shares in states.items()} == summary["utilization"]
        assert all(each["limit"] for each in summary["operators"])


@pytest.mark.parametrize("name", ["one", "eight", "tpu"])
def test_what_an_older_file_does_not_tell_is_found_in_its_cells(name: str, folder: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.h5"
    shutil.copy(folder / f"{name}.h5", older)
    whole = against(folder / f"{name}.h5").summary
    told = {key: value for key, value in whole.items() if key not in ("component_states", "main_kind")}
    told["operators"] = [{k: v for k, v in each.items() if k != "limit"} for each in whole["operators"]]
    with h5py.File(older, "r+") as file:
        put_scalar(file, "summary", json.dumps(told))
    found = against(older).summary
    assert found["component_states"] == whole["component_states"]
    assert found == whole


def test_what_cannot_be_compared_is_refused_in_one_line(
    folder: Path, tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path / "killed.h5"):
        raise KeyboardInterrupt
    part, one, v1 = str(tmp_path / "killed.h5.part"), str(folder / "one.h5"), str(repository / "tests/data/run_v1.h5")
    assert "killed.h5.part: the run did not come to its end" in refusal(capsys, "compare", one, part)
    assert "the run did not come to its end" in refusal(capsys, "replay", one, "--against", part, "--no-log")
    eight = str(folder / "eight.h5")
    assert "is the file to compare with" in refusal(capsys, "replay", one, "--against", eight, "-o", eight)
    assert "summary.total_time_s" in refusal(capsys, "compare", v1, one)
    assert "config.json" in refusal(capsys, "compare", one, str(folder / "config.json"))
    assert "does not exist" in refusal(capsys, "compare", one, "nowhere.h5")
    assert list(tmp_path.iterdir()) == [tmp_path / "killed.h5.part"]


def test_version_1_has_no_difference(repository: Path) -> None:
    with open_run(repository / "tests/data/run_v1.h5") as opened:
        assert opened.difference is None


def test_a_difference_that_is_none_is_told(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.h5"
    shutil.copy(folder / "one.h5", damaged)
    with h5py.File(damaged, "r+") as file:
        put_scalar(file, "difference", "[1, 2]")
    with open_run(damaged) as opened, pytest.raises(InputError, match="the difference is no JSON object"):
        _ = opened.difference


def test_an_identity_is_name_and_content(folder: Path, tmp_path: Path) -> None:
    moved_file = tmp_path / "elsewhere.h5"
    shutil.copy(folder / "one.h5", moved_file)
    here, there = against(folder / "one.h5"), against(moved_file)
    assert isinstance(here, Against)
    assert (here.file, there.file) == ("one.h5", "elsewhere.h5")
    assert here.digest == there.digest != against(folder / "eight.h5").digest

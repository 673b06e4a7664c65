"""What moved between two runs: sums, order, figures that one of them lacks, and the command that asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recorded import MODEL

from dieshot import run
from dieshot.simulator.cli.difference import sentences
from dieshot.simulator.cli.main import main
from dieshot.simulator.log.reader import open_run
from dieshot.simulator.studies.difference import FIGURES, difference, moved


def summary(**changes: Any) -> dict[str, Any]:
    operators = [
        {"phase": "prefill", "name": "qkv", "kind": "gemm", "time_s": 2.0},
        {"phase": "decode", "name": "qkv", "kind": "gemm", "time_s": 4.0},
        {"phase": "decode", "name": "sum", "kind": "all_reduce", "time_s": 1.0},
    ]
    base: dict[str, Any] = dict.fromkeys(FIGURES, 1.0)
    base |= {
        "total_time_s": 8.0,
        "micro_batches": 1,
        "operators": operators,
        "energy_j": {"tensor": 3.0, "static": 5.0},
    }
    return base | {"stall_fractions": {"stall_link": 0.25, "idle": 0.25}} | changes


def test_nothing_moves_between_a_run_and_itself() -> None:
    found = difference(summary(), summary())
    tables = [
        found[name] for name in ("figures", "operators", "kinds", "components", "utilization", "energy", "stalls")
    ]
    assert all(row["change"] == 0 and row["ratio"] == 1 for table in tables for row in table)
    assert [row["name"] for row in found["figures"]] == list(FIGURES)
    assert found["inputs"] == found["limits"]["operators"] == []
    assert not moved(found)


def test_what_was_asked_for_is_told_where_it_differs() -> None:
    found = difference(summary(batch=1, system="a"), summary(batch=4, system="a"))
    assert found["inputs"] == [{"name": "batch", "before": 1, "after": 4}]
    assert moved(found)


def test_runs_of_other_lengths_are_held_against_each_other_by_token() -> None:
    longer = [{"phase": "decode", "name": "qkv", "kind": "gemm", "time_s": 12.0}]
    found = difference(
        summary(generate=5, batch=1),
        summary(generate=9, batch=2, operators=longer, total_time_s=20.0, energy_j={"tensor": 9.0, "static": 18.0}),
    )
    rows = {row["name"]: (row["before"], row["after"]) for row in found["operators_per_token"]}
    assert rows == {"qkv": (1.0, 1.5), "sum": (0.25, 0.0)}
    energy = {row["kind"]: (row["before"], row["after"]) for row in found["energy_per_token"]}
    assert energy == {"tensor": (0.6, 0.5), "static": (1.0, 1.0)}


def test_components_have_seconds_and_shares_and_lack_what_a_run_has_not() -> None:
    states = {"tensor": {"busy": 0.25, "stall_memory": 0.75}, "hbm": {"busy": 1.0}}
    other = {"tensor": {"busy": 0.5, "idle": 0.5}, "sram": {"busy": 0.125, "idle": 0.875}}
    found = difference(summary(component_states=states), summary(component_states=other, total_time_s=4.0))
    rows = {(row["kind"], row["state"]): row for row in found["components"]}
    assert rows["tensor", "stall_memory"] == {
        "kind": "tensor",
        "state": "stall_memory",
        "before": 6.0,
        "after": 0.0,
        "change": -6.0,
        "ratio": 0.0,
        "share_before": 0.75,
        "share_after": 0.0,
    }
    assert (rows["tensor", "busy"]["change"], rows["tensor", "busy"]["share_after"]) == (0.0, 0.5)
    assert [(rows[key]["before"], rows[key]["after"]) for key in (("hbm", "busy"), ("sram", "busy"))] == [
        (8.0, None),
        (None, 0.5),
    ]
    assert found["components"][0]["state"] == "stall_memory" and found["components"][-1]["change"] is None


def test_the_limit_is_what_sets_most_of_the_time() -> None:
    def operators(*limits: str | None) -> list[dict[str, Any]]:
        return [each | {"limit": limit} for each, limit in zip(summary()["operators"], limits, strict=True)]

    before = summary(operators=operators("tensor", "hbm", "stall_link"))
    after = summary(operators=operators("tensor", "tensor", "stall_link"), total_time_s=9.0)
    limits = difference(before, after)["limits"]
    assert [(row["limit"], row["time_s"], row["share"]) for row in limits["before"]] == [
        ("hbm", 4.0, 0.5),
        ("tensor", 2.0, 0.25),
        ("stall_link", 1.0, 0.125),
        ("between operators", 1.0, 0.125),
    ]
    assert limits["after"][0]["limit"] == "tensor"
    assert [(row["phase"], row["limit_before"], row["limit_after"]) for row in limits["operators"]] == [
        ("decode", "hbm", "tensor")
    ]
    said = " ".join(sentences(difference(before, after)))
    assert "tensor is the new limit of most operators by time (66.7 %), in place of hbm (50.0 %)" in said
    assert "the run became slower: 8.000 s -> 9.000 s, +12.5%" in said


def test_operators_and_what_is_between_add_up_to_the_run() -> None:
    slower = [*summary()["operators"][:2], {"phase": "decode", "name": "sum", "kind": "all_reduce", "time_s": 3.5}]
    found = difference(summary(), summary(total_time_s=11.0, operators=slower))
    assert sum(row["change"] for row in found["operators"]) == pytest.approx(3.0)
    first, second = found["operators"][:2]
    assert (first["name"], first["before"], first["after"], first["change"]) == ("sum", 1.0, 3.5, 2.5)
    assert (second["name"], second["change"]) == ("between operators", pytest.approx(0.5))
    kinds = {(row["phase"], row["kind"]): row["change"] for row in found["kinds"]}
    assert kinds[("decode", "all_reduce")] == 2.5
    stalls = {row["state"]: (row["before"], row["after"]) for row in found["stalls"]}
    assert stalls["stall_link"] == (2.0, 2.75)
    assert sum(after for _, after in stalls.values()) == 11.0


def test_a_user_waits_for_one_micro_batch_of_several() -> None:
    found = difference(summary(micro_batches=2), summary())
    qkv = next(row for row in found["operators"] if (row["phase"], row["name"]) == ("decode", "qkv"))
    assert (qkv["before"], qkv["after"]) == (2.0, 4.0)


def test_what_one_run_lacks() -> None:
    found = difference(
        summary(time_per_output_token_s=None, energy_j={"tensor": 3.0, "static": 5.0}),
        summary(energy_j={"tensor": 3.0, "static": 4.0, "link_laser": 0.5}, operators=[]),
    )
    rows = {row["name"]: row for row in found["figures"]}
    assert rows["time_per_output_token_s"]["change"] is None
    energy = {row["kind"]: (row["change"], row["ratio"]) for row in found["energy"]}
    assert energy == {"static": (-1.0, 0.8), "link_laser": (0.5, None), "tensor": (0.0, 1.0)}
    assert [row["kind"] for row in found["energy"]] == ["static", "link_laser", "tensor"]
    assert {row["after"] for row in found["operators"] if row["phase"]} == {0.0}


def test_runs_and_their_files_tell_the_same(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(MODEL))
    files = [tmp_path / "a.h5", tmp_path / "b.h5"]
    runs = [
        run("dgx-h100", str(config), prompt=32, generate=2, sets=sets, output=file)
        for file, sets in zip(files, ((), ("fabric.hop_latency=*2",)), strict=True)
    ]
    told = []
    for file in files:
        with open_run(file) as opened:
            told.append(opened.summary)
    live, read = difference(*runs), difference(*told)
    assert live == read
    rows = [row for row in live["operators"] if abs(row["change"]) > 1e-12]
    assert {row["kind"] for row in rows} == {"all_reduce", "all_gather"}
    assert all(row["change"] > 0 for row in rows)
    total = next(row for row in live["figures"] if row["name"] == "total_time_s")
    assert sum(row["change"] for row in live["operators"]) == pytest.approx(total["change"])
    energy = next(row for row in live["figures"] if row["name"] == "energy_per_token_j")
    assert sum(row["change"] for row in live["energy"]) == pytest.approx(2 * energy["change"])


def test_the_command_prints_both_and_what_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(MODEL))
    words = ["run", "dgx-h100", str(config), "--prompt", "32", "--generate", "2", "--no-log", "--quiet"]
    words += ["--set", "fabric=passage-l200", "--against", "fabric=nvlink4-nvswitch"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    against = told["against"]
    assert against["sets"] == ["fabric=nvlink4-nvswitch"]
    rows = {row["name"]: row for row in against["difference"]["figures"]}
    for name in FIGURES:
        assert (rows[name]["before"], rows[name]["after"]) == (against["summary"][name], told[name])
    assert told["energy_j"]["link_laser"] > 0
    assert "link_laser" not in against["summary"]["energy_j"]
    words.remove("--quiet")
    assert main(words) == 0
    text = capsys.readouterr().out
    for part in (
        "time to first token",
        "fabric=nvlink4-nvswitch",
        "this run",
        "all_reduce",
        "link_laser",
        "what moved",
    ):
        assert part in text

"""`dieshot audit`: tables, JSON, one claim opened, and refusals on one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dieshot.simulator.cli.main import main


def test_a_table_by_system_with_a_closing_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--no-runs", "--only", "Etched"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Etched Sohu")
    assert "above bound: memory" in shown
    assert "14 claims: 2 above bound, " in shown and "prompt tokens" in shown


def test_json_holds_findings_and_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--no-runs", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["claims"]) == 325 == sum(record["verdicts"].values())
    (claim,) = (each for each in record["claims"] if each["id"] == "a4-sohu-70b-t2")
    assert claim["verdict"] == "above bound"
    finding = claim["findings"][0]
    assert (finding["bound"], round(finding["factor"])) == ("memory bandwidth", 88)
    assert "8 x 6 TB/s of memory over 70.6 GB of fp8 weights = 680 tok/s" in finding["arithmetic"]


def test_a_user_s_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "id,system,metric,value,unit,model,chips\nmine,NVIDIA B200,decode_tokens_per_s_user,200,tok/s,llama-3-70b,1\n"
    )
    assert main(["audit", str(file), "--no-runs", "--json"]) == 0
    (claim,) = json.loads(capsys.readouterr().out)["claims"]
    assert claim["said"] == "above bound: memory bandwidth, 1.76x"


def test_one_claim_opened_with_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "id,system,metric,value,unit,model\nmine,Taalas HC1,decode_tokens_per_s_user,17000,tok/s,llama-3.1-8b\n"
    )
    assert main(["audit", str(file), "--explain", "mine", "--processes", "1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["commands"] == ["dieshot run hc1 llama-3.1-8b --batch 1 --cached 1022 --prompt 1 --generate 2"]
    assert record["run"]["command"] == record["commands"][0]
    assert record["run"]["stalls"] and record["run"]["parameters"]
    assert any("simulated on hc1" in each["arithmetic"] for each in record["findings"])


def test_one_claim_opened_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--no-runs", "--explain", "a4-nvlink-bw"]) == 0
    shown = capsys.readouterr().out
    assert "reachable only under both directions" in shown
    assert "claimed 900 GB/s; published 450; 900 / 2 = 450" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--explain", "a4-nvlink-bv"], "--explain: no such claim; expected a claim's id; got 'a4-nvlink-bv'; "
                                        "did you mean 'a4-nvlink-bw'?"),
        (["--only", "Sohu", "--explain", "a4-nvlink-bw"], "--explain and --only exclude each other"),
    ],
)  # fmt: skip
def test_wrong_words_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--no-runs", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_bad_row_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("id,system,metric,value,unit\nmine,NVIDIA B200,tdp_W,much,W\n")
    assert main(["audit", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.endswith(
        "mine.csv:2: value: not a number; expected a number of at least 0, such as 0.58; got 'much'\n"
    )

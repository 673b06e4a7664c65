"""What a run leans on: every assumed parameter is moved over its range, one at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recorded import MODEL

from dieshot import run
from dieshot.simulator.cli.main import main
from dieshot.simulator.studies.sensitivity import sensitivity

ASKED: dict[str, Any] = {"prompt": 16, "generate": 2, "precision": "bf16"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("model") / "config.json"
    file.write_text(json.dumps(MODEL | {"num_hidden_layers": 1}))
    return str(file)


@pytest.fixture(scope="module")
def found(model: str) -> dict[str, Any]:
    return sensitivity("h100-sxm", model, sets=["chip.software.candidates_simulated=1"], **ASKED)


def test_every_assumed_parameter_with_a_range_is_there(found: dict[str, Any], model: str) -> None:
    summary = run("h100-sxm", model, sets=["chip.software.candidates_simulated=1"], **ASKED).summary
    read = [each for each in summary["assumed_parameters_read"] if not each["path"].startswith("cost.")]
    assumed = {each["path"]: each for each in read if each["range"]}
    assert {each["path"] for each in found["parameters"]} == set(assumed)
    assert found["figures"]["time_per_output_token_s"] == summary["time_per_output_token_s"]


def test_an_end_is_the_run_with_that_value(found: dict[str, Any], model: str) -> None:
    gap = next(each for each in found["parameters"] if each["path"] == "system.host.step_gap")
    sets = ["chip.software.candidates_simulated=1", "system.host.step_gap=500us"]
    summary = run("h100-sxm", model, sets=sets, **ASKED).summary
    assert gap["high"]["time_per_output_token_s"] == summary["time_per_output_token_s"]
    low_s = gap["low"]["time_per_output_token_s"]
    assert gap["high"]["time_per_output_token_s"] - low_s == pytest.approx(500e-6, rel=1e-6)


def test_the_parameter_that_matters_most_comes_first(found: dict[str, Any]) -> None:
    assert found["parameters"][0]["path"] == "system.host.step_gap"


def test_the_verb_prints_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    at = {"time_to_first_token_s": 2.0, "time_per_output_token_s": 1.0, "energy_per_token_j": 3.0}
    row = {"path": "chip.a.b", "unit": "fs", "value": 5, "range": [0.0, 10.0], "why": "so", "low": at, "high": None}
    answer = {"system": "s", "model": "m", "figures": at, "parameters": [row]}
    monkeypatch.setattr("dieshot.simulator.studies.sensitivity.sensitivity", lambda *args, **kwargs: answer)
    assert main(["sensitivity", "s", "m", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer
    assert main(["sensitivity", "s", "m"]) == 0
    shown = capsys.readouterr().out
    assert "chip.a.b" in shown
    assert "+0.0% to impossible" in shown

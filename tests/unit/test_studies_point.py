"""Points: short runs by request."""

import json
import shlex
from pathlib import Path

import pytest

from dieshot.simulator.cli.main import app
from dieshot.simulator.studies.point import PointRequest, decode_point, point, points

SHORT = decode_point("tpu-v6e-1", "qwen3-0.6b", 2, 64)


def test_a_point_is_the_run_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    request = decode_point("tpu-v6e-1", "qwen3-0.6b", 2, 64, precision="int8", sets=("chip.core_clock=*1.1",))
    words = shlex.split(request.command)
    assert words[0] == "dieshot"
    app([*words[1:], "--no-log", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    figures = point(request).figures
    for key in ("time_per_output_token_s", "energy_per_token_j", "batch", "cached", "precision"):
        assert told[key] == figures[key], key


def test_each_distinct_request_runs_once_and_all_are_answered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from dieshot.simulator.studies import point as module

    asked: list[PointRequest] = []
    monkeypatch.setattr(module, "point", lambda request: asked.append(request) or len(asked))
    other = decode_point("tpu-v6e-1", "qwen3-0.6b", 1, 64)
    assert points([SHORT, other, SHORT]) == [1, 2, 1]
    assert asked == [SHORT, other]


def test_workers_give_the_same_points() -> None:
    requests = [SHORT, PointRequest("tpu-v6e-1", "llama-3-70b")]
    assert [(each.refused, (each.summary or {}).get("energy_j")) for each in points(requests, processes=2)] == [
        (each.refused, (each.summary or {}).get("energy_j")) for each in points(requests)
    ]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (PointRequest("tpu-v6e-1", "llama-3-70b"), "does not fit"),
        (PointRequest("no-such", "llama-3-70b"), "no-such"),
        (decode_point("tpu-v6e-1", "qwen3-0.6b", 1, 1 << 20), "cached"),
    ],
)
def test_a_refusal_is_told(request_: PointRequest, why: str) -> None:
    found = point(request_)
    assert found.summary is None and found.refused is not None and why in found.refused
    with pytest.raises(ValueError, match="dieshot run"):
        _ = found.figures


def test_a_result_file_holds_the_command_that_repeats_it(tmp_path: Path) -> None:
    from dieshot.simulator.log.reader import open_run
    from dieshot.simulator.studies.run import run

    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    made = run("tpu-v6e-1", "qwen3-0.6b", prompt=4, generate=2, cached=12, batch=2, output=first)
    with open_run(first) as file:
        words = json.loads(file.provenance["command"])
    assert words[words.index("--cached") + 1] == "12"
    app([*words[1:], "-o", str(second), "-q"], standalone_mode=False)
    with open_run(second) as file:
        assert file.summary["time_per_output_token_s"] == made.summary["time_per_output_token_s"]
